"""A net with its weights, and what it takes to put an image to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from netlet import records
from netlet.analysis import trace
from netlet.budgets import Budget
from netlet.errors import NetError
from netlet.experiments.named import EXPERIMENTS, find_experiment
from netlet.nets import build, find_shipped_weights, list_shipped_weights, load_weights
from netlet.nets.blocks import MNIST_SHAPE
from netlet.recipes import Recipe
from netlet.records import Run

_DIGITS = tuple("0123456789")


@dataclass(frozen=True)
class TrainedNet:
    """A net in evaluation mode, and what it was taught on."""

    name: str  # of the experiment, or as a person typed it
    net: nn.Module
    shape: tuple[int, ...]  # of one image, C H W
    class_names: tuple[str, ...]
    mean: float  # of gray levels 0..1, subtracted from the input
    std: float  # divided by
    file: Path | None  # that the weights are from; None: it has none to tell
    budget: Budget | None
    run: Run | None = None  # that trained it, where a run's folder was named

    @property
    def recipe(self) -> Recipe:
        """One that prepares images as this net was taught."""
        return Recipe(mean=self.mean, std=self.std)


def load_trained_net(
    name: str,
    weights: Path | None = None,
    *,
    shape: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    mean: float | None = None,
    std: float | None = None,
) -> TrainedNet:
    """The net that a person means, with its weights.

    Args:
        name: The folder of a finished run; or an experiment or net, ours or ``file.py:Name``.
        weights: A safetensors file or a ``.pt`` of a ``state_dict``; if not given, the run's own,
            or those that come with the package.
        shape: Of one image, ``C H W``; if not given, that of the run's images, or MNIST's.
        class_names: If not given, the run's, or the ten digits.
        mean: Of gray levels 0..1; if not given, the run's, or MNIST's.
        std: Likewise.

    Raises:
        NetError: No such net, no weights for it, weights of another net, or it does not run on such
            an image.
        RecordError: The run's record is broken.
    """
    run = find_run(name)
    source = run.net if run else name
    shape = tuple(shape or (run.data["shape"] if run else MNIST_SHAPE))
    class_names = tuple(class_names or (run.data["class_names"] if run else _DIGITS))
    experiment = find_experiment(source)
    net = build(experiment.net.builder, 0, shape, len(class_names))
    file = weights or (Path(name) / records.WEIGHTS if run else find_shipped_weights(name))
    if file:
        load_weights(net, file)
    elif any(True for _ in net.parameters()):
        theirs = (
            f"; {', '.join(list_shipped_weights())} bring theirs along"
            if list_shipped_weights()
            else ""
        )
        raise NetError(
            f"{name}: has weights to be told; give --weights FILE, or the folder of a run{theirs}"
        )
    trace(net, shape)  # says in one line why a net cannot run on such images
    taught = Recipe(**{key: run.recipe[key] for key in ("mean", "std")}) if run else Recipe()
    if run:
        budget = Budget().replace(**_with_tuples(run.budget)) if run.budget else None
    else:
        budget = experiment.budget if name in EXPERIMENTS else None
    return TrainedNet(
        name=run.name if run else name,
        net=net.eval(),
        shape=shape,
        class_names=class_names,
        mean=taught.mean if mean is None else mean,
        std=taught.std if std is None else std,
        file=file,
        budget=budget,
        run=run,
    )


def find_run(name: str) -> Run | None:
    """The finished run in a folder of that name; None if the name is no run's folder but a net's.

    Raises:
        NetError: It is a folder without a finished run, and no experiment is called so.
        RecordError: Its record is broken.
    """
    if (Path(name) / records.RECORD).is_file():
        return records.load_run(name)
    if Path(name).is_dir() and name not in EXPERIMENTS:
        raise NetError(
            f"{name}: holds no {records.RECORD}; name a finished run, or a net and --weights FILE"
        )
    return None


def _with_tuples(record: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: tuple(value) if isinstance(value, list) else value for key, value in record.items()
    }
