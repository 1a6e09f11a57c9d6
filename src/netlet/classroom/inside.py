"""What runs inside of the sandbox: find the net of a submission, train it if asked, run it.

The changed copies of the test images come first, and the test images themselves only when the
answers on the copies have been sent (``perturbed_copy.py``). No test label is here, and nothing
that this returns is believed; see ``examine.py``.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from netlet.classroom.candidates import list_candidates
from netlet.classroom.fitting_nets import HAS_ALL
from netlet.classroom.named_net import list_sources
from netlet.classroom.net_families import read_families
from netlet.classroom.net_search import MOST_CANDIDATES, FoundNet, find_net
from netlet.classroom.plain_tensors import list_plain
from netlet.classroom.working_folder import working_folder
from netlet.data import Dataset, Split
from netlet.errors import NetError, first_line
from netlet.evaluation import compute_logits
from netlet.experiments import find_experiment
from netlet.experiments.sandbox import analysis_to_json
from netlet.nets import build
from netlet.nets.addresses import describe_other_definitions, list_other_definitions
from netlet.nets.copying import copy_net
from netlet.nets.weights import load_adapted
from netlet.recipes import Recipe, recipe_from_json
from netlet.records import Epoch
from netlet.sandbox import Exchange
from netlet.sandbox.inside import find_place
from netlet.training import Callback, fit

CODE, TRAIN = "/task/code", "/task/train.npz"  # where submission and training images are
COPIES = ("noisy", "moved")  # what comes before the test images
_SCORED_WHILE_TRAINING = 500  # training images: the test images have no labels here


def examine(request: dict[str, Any], exchange: Exchange) -> tuple[dict[str, Any], bytes]:
    """Find the net of a submission and run it.

    Args:
        request: ``net`` and ``weights`` in the submission, ``shape`` and ``classes``, ``recipe``
            and ``seeds`` to train with, ``mean`` and ``std`` of the submitted weights, ``others``
            (pairs of mean and std) to try on the first ``tried`` test images.
        exchange: It gives the images to run on, in three parts.

    Returns:
        The net's address and analysis, the epochs of each training, what was converted or left out
        in the weights, and why they cannot be used; and a safetensors file with the logits for the
        test images and the weights of the net.

    Raises:
        NetError: There is no net, or it cannot be built or run.
    """
    folder = Path(find_place(request, CODE))
    shape, classes = tuple(request["shape"]), request["classes"]
    submitted = find_net(folder, request["net"], shape, classes, request["weights"])
    with working_folder(folder, submitted.address):
        return _run_net(request, exchange, submitted, folder)


def _run_net(
    request: dict[str, Any], exchange: Exchange, submitted: FoundNet, folder: Path
) -> tuple[dict[str, Any], bytes]:
    """Train the net of a submission, if asked, and run it; see :func:`examine`."""
    shape, classes = tuple(request["shape"]), request["classes"]
    address, found = submitted.address, submitted.analysis
    entry = find_experiment(address).net
    shown = os.path.relpath(address, folder)
    definitions = describe_other_definitions(address, shown)
    values: dict[str, Any] = {
        "net": shown,
        "analysis": analysis_to_json(found),
        "definitions": "; ".join(filter(None, [submitted.note, definitions])),
        "epochs": [],
        "weights_note": "",
        "weights_problem": "",
    }
    nets: dict[int, list[nn.Module]] = {}
    if request["recipe"] and found.cost.one_image is not None:  # training would refuse it
        return values, save(_state(build(entry.builder, 0, shape, classes), 0))
    if request["recipe"]:
        recipe = recipe_from_json(request["recipe"])
        for seed in request["seeds"]:
            net = build(entry.builder, seed, shape, classes)
            keeper = _Keeper()
            run = fit(net, _load_training_set(request), recipe, seed=seed, callbacks=[keeper])
            values["epochs"].append([epoch.train.percent for epoch in run.epochs])
            nets[seed] = [*keeper.nets[:-1], net]
    else:
        recipe = Recipe(mean=request["mean"], std=request["std"])
        nets[0] = [build(entry.builder, 0, shape, classes)]
        try:
            if request["weights"]:
                values["weights_note"] = _load_weights(nets[0][0], request, submitted, folder)
        except NetError as error:  # the rules on the net are judged without them
            values["weights_problem"] = str(error)
        except Exception as error:  # of the net's own code, or a rare type of tensors
            reason = f"{type(error).__name__}: {first_line(error, otherwise='no message')}"
            values["weights_problem"] = f"{request['weights']}: cannot be loaded ({reason})"
    tensors: dict[str, torch.Tensor] = {}
    if request["recipe"] or (request["weights"] and not values["weights_problem"]):
        others = [Recipe(mean=mean, std=std) for mean, std in request["others"]]
        tensors |= _score(nets, recipe, exchange, others, request["tried"])
    for seed, epochs in nets.items():
        tensors |= _state(epochs[-1], seed)
    return values, save(tensors)


def _load_weights(
    net: nn.Module, request: dict[str, Any], submitted: FoundNet, folder: Path
) -> str:
    """Load the submitted weights into a net, and return a note on them.

    Tensors of more layers than the net has are left out only if the code builds no other net of its
    class: then they are probably of a layer that has been deleted since.

    Raises:
        NetError: They do not fit; the message names the only other net or definition that they fit.
    """
    weights = request["weights"]
    try:
        loaded = load_adapted(net, folder / weights)
    except NetError:
        if meant := _find_other(submitted, folder):
            shown = os.path.relpath(meant, folder)
            raise NetError(f"{weights} fits only {shown}; name it in claim.toml") from None
        if submitted.has_variants:
            raise
        loaded = load_adapted(net, folder / weights, leave_out="layers")
    meant = _find_other(submitted, folder) if loaded.left_out else None
    if meant and submitted.fitting.fits_exactly(meant):
        shown = os.path.relpath(meant, folder)
        has_all = f"{shown}{HAS_ALL}{weights}: if it is the net, name it in claim.toml"
        return f"{has_all}; {loaded.note}"
    return loaded.note


def _find_other(submitted: FoundNet, folder: Path) -> str | None:
    """Return the only other net or definition of a submission that its weights fit, if any.

    Nets that the code builds with other arguments are among them, also if a class was named.
    """
    families = read_families(list_sources(folder), folder)
    others = [*list_other_definitions(submitted.address), *list_candidates(folder).addresses]
    others += [*families.named, *families.derived]
    others = [one for one in others if one != submitted.address]
    return submitted.fitting.find_only(others[:MOST_CANDIDATES])


def _score(
    nets: Mapping[int, Sequence[nn.Module]],
    recipe: Recipe,
    exchange: Exchange,
    others: Sequence[Recipe],
    tried: int,
) -> dict[str, torch.Tensor]:
    """Return the logits for the test images, when those for their copies have been sent.

    Args:
        nets: The net of each seed after each epoch; the copies are for the last one only.
        recipe: How images are normalized.
        exchange: It gives the images and takes the logits for the copies.
        others: Other normalizations, which the net of seed 0 is run with, too.
        tried: The number of test images for these.
    """
    images = exchange(b"")
    for _ in COPIES:
        copies = _read_images(images)
        last = {seed: epochs[-1] for seed, epochs in nets.items()}
        answer = {f"logits.{seed}": _run(net, copies, recipe) for seed, net in last.items()}
        images = exchange(save(answer))
    clean = _read_images(images)
    logits = {
        f"logits.{seed}.{number}": _run(net, clean, recipe)
        for seed, epochs in nets.items()
        for number, net in enumerate(epochs)
    }
    for number, other in enumerate(others):
        logits[f"other.{number}"] = _run(nets[0][-1], clean[:tried], other)
    return logits


def _state(net: nn.Module, seed: int) -> dict[str, torch.Tensor]:
    tensors = list_plain(net.state_dict())
    return {f"state.{seed}.{name}": tensor for name, tensor in tensors.items()}


def _read_images(content: bytes) -> torch.Tensor:
    return torch.from_numpy(np.load(io.BytesIO(content), allow_pickle=False))


def _run(net: nn.Module, images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    labels = torch.zeros(len(images), dtype=torch.int64)
    return compute_logits(net, Split("test", images, labels), recipe).contiguous()


def _load_training_set(request: dict[str, Any]) -> Dataset:
    with np.load(find_place(request, TRAIN), allow_pickle=False) as file:
        images, labels = (torch.from_numpy(file[name]) for name in ("images", "labels"))
    train = Split("train", images, labels)
    few = train.take(torch.arange(min(_SCORED_WHILE_TRAINING, len(train))), "val")
    return Dataset("class", train, few, tuple(map(str, range(request["classes"]))))


class _Keeper(Callback):
    """Keeps the net after each epoch, as it would be scored."""

    def __init__(self) -> None:
        self.nets: list[nn.Module] = []

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """Copy the net."""
        self.nets.append(copy_net(net))
