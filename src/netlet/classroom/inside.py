"""What runs inside of the sandbox: find the net of a submission, train it if asked, run it.

No test label is here, and nothing that this returns is believed; see ``examine.py``.
"""

from __future__ import annotations

import contextlib
import fnmatch
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from netlet.data import Dataset, Split
from netlet.errors import NetError
from netlet.evaluation import compute_logits
from netlet.experiments import find_experiment
from netlet.experiments.sandbox import NetAnalysis, SameProcess, analysis_to_json
from netlet.nets import build, complete_address, load_weights
from netlet.nets.net_names import list_nets
from netlet.nets.sources import read_source
from netlet.recipes import Recipe, recipe_from_json
from netlet.records import Epoch
from netlet.training import Callback, fit

_SOURCES = (".py", ".ipynb")
_MAX_CANDIDATES = 40
_SCORED_WHILE_TRAINING = 500  # training images: the test images have no labels here


def examine(request: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Find the net of a submission and run it.

    Args:
        request: ``folder`` of the submission, ``net`` and ``weights`` in it, ``shape`` and
            ``classes``, ``images`` to run on, ``train`` images with labels, ``recipe`` and
            ``seeds`` to train with, ``mean`` and ``std`` of the submitted weights.

    Returns:
        The net's address and analysis and the epochs of each training; and a safetensors file with
        the logits for the images and the weights of the net.

    Raises:
        NetError: There is no net, or it cannot be built, loaded or run.
    """
    folder, shape = Path(request["folder"]), tuple(request["shape"])
    classes = request["classes"]
    address, found = _find_net(folder, request["net"], shape, classes)
    entry = find_experiment(address).net
    values: dict[str, Any] = {
        "net": os.path.relpath(address, folder),
        "analysis": analysis_to_json(found),
        "epochs": [],
    }
    tensors: dict[str, torch.Tensor] = {}
    if request["recipe"]:
        recipe = recipe_from_json(request["recipe"])
        for seed in request["seeds"]:
            net = build(entry.builder, seed, shape, classes)
            recorder = _Recorder(request, recipe)
            run = fit(net, _load_training_set(request), recipe, seed=seed, callbacks=[recorder])
            values["epochs"].append([epoch.train.percent for epoch in run.epochs])
            tensors |= {f"logits.{seed}.{n}": t for n, t in enumerate(recorder.logits)}
            tensors |= _state(net, seed)
    else:
        net = build(entry.builder, 0, shape, classes)
        if request["weights"]:
            load_weights(net, folder / request["weights"])
            recipe = Recipe(mean=request["mean"], std=request["std"])
            tensors["logits.0.0"] = _run(net, request["images"], recipe)
        tensors |= _state(net, 0)
    return values, save(tensors)


def _state(net: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    # Cloned, since safetensors cannot store shared parameters.
    return {
        f"state.{seed}.{name}": tensor.detach().cpu().contiguous().clone()
        for name, tensor in net.state_dict().items()
    }


def _run(net: nn.Module, file: str, recipe: Recipe) -> torch.Tensor:
    images = torch.from_numpy(np.load(file, allow_pickle=False))
    labels = torch.zeros(len(images), dtype=torch.int64)
    return compute_logits(net, Split("test", images, labels), recipe).contiguous()


def _load_training_set(request: dict[str, Any]) -> Dataset:
    with np.load(request["train"], allow_pickle=False) as file:
        images, labels = (torch.from_numpy(file[name]) for name in ("images", "labels"))
    train = Split("train", images, labels)
    few = train.take(torch.arange(min(_SCORED_WHILE_TRAINING, len(train))))
    return Dataset("class", train, few, tuple(map(str, range(request["classes"]))))


class _Recorder(Callback):
    """Keeps the logits for the test images after each epoch."""

    def __init__(self, request: dict[str, Any], recipe: Recipe) -> None:
        self._file, self._recipe = request["images"], recipe
        self.logits: list[torch.Tensor] = []

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """Run the net as it would be scored."""
        self.logits.append(_run(net, self._file, self._recipe))


def _find_net(
    folder: Path, pattern: str | None, shape: tuple[int, ...], classes: int
) -> tuple[str, NetAnalysis]:
    """Return the address of the net, absolute, and its analysis.

    Raises:
        NetError: There is none or there are several, or it does not run.
    """
    if pattern:
        address = _resolve(folder, pattern)
        return address, SameProcess().analyze(address, shape, classes)
    problems: list[str] = []
    found: dict[str, NetAnalysis] = {}
    for address in _candidates(folder, problems):
        try:
            analysis = SameProcess().analyze(address, shape, classes)
        except NetError as error:
            problems.append(str(error))
            continue
        if analysis.outputs == classes:
            found[address] = analysis
        else:
            problems.append(f"{address} returns {analysis.outputs} numbers, not {classes}")
    if len(found) == 1:
        return next(iter(found.items()))
    if found:
        names = ", ".join(os.path.relpath(address, folder) for address in found)
        raise NetError(
            f"has {len(found)} nets that return {classes} classes: {names}; name one with --net, "
            "or in claim.toml"
        )
    why = problems[0].replace(f"{folder}/", "") if problems else "no Python file or notebook"
    raise NetError(f"has no net that returns {classes} classes ({why}); name it with --net")


def _files(folder: Path) -> list[Path]:
    files = [path for path in folder.rglob("*") if path.suffix in _SOURCES and path.is_file()]
    return sorted(files, key=lambda path: (len(path.parts), path))


def _resolve(folder: Path, pattern: str) -> str:
    """Return the address that a pattern like ``model.py:Net`` means, in a folder inside, too."""
    place, _, name = pattern.rpartition(":")
    if not place:
        place, name = name, ""
    matches = [
        path
        for path in _files(folder)
        if fnmatch.fnmatch(path.relative_to(folder).as_posix(), place)
        or fnmatch.fnmatch(path.relative_to(folder).as_posix(), f"*/{place}")
    ]
    if not matches:
        here = ", ".join(path.relative_to(folder).as_posix() for path in _files(folder)[:5])
        raise NetError(f"has no file {place!r}; it has: {here or 'no Python file or notebook'}")
    return f"{matches[0]}:{name}" if name else complete_address(str(matches[0]))


def _candidates(folder: Path, problems: list[str]) -> list[str]:
    """Return the addresses of what may be the net; files that cannot be read are problems."""
    found: list[str] = []
    for file in _files(folder)[:_MAX_CANDIDATES]:
        try:
            found.append(complete_address(str(file)))
        except NetError as error:
            names = []
            with contextlib.suppress(NetError, SyntaxError, ValueError, RecursionError):
                names = list_nets(read_source(file).tree)
            found += [f"{file}:{name}" for name in names]
            if not names:
                problems.append(str(error))
    return found[:_MAX_CANDIDATES]
