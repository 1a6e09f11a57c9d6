"""Nets with trained weights, and how to prepare images for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from netlet.analysis import check_input_shape
from netlet.budgets import Budget, Score, budget_from_json
from netlet.data import Dataset, Split
from netlet.data.recorded_data import is_recorded_split
from netlet.display import Displayed
from netlet.errors import NetError, check_argument
from netlet.experiments.named import EXPERIMENTS, find_experiment
from netlet.nets import NetEntry, build, pretrained, weights_digest
from netlet.nets.blocks import MNIST_SHAPE
from netlet.nets.compiled_nets import unwrap
from netlet.nets.copying import copy_net
from netlet.nets.origins import find_net_of_run
from netlet.nets.pretrained import DIGITS, find_run
from netlet.recipes import Recipe
from netlet.records import Run

_OF_OTHER_IMAGES = (
    "if they were trained on other images, pass --dataset to export, evaluate, predict or explain "
    "(shape and class_names in Python)"
)


@dataclass(frozen=True)
class TrainedNet(Displayed):
    """A net in evaluation mode, and the images that it was trained for."""

    name: str  # of the experiment, or as the user typed it
    net: nn.Module
    shape: tuple[int, ...]  # of one image, C H W
    class_names: tuple[str, ...]
    mean: float  # of gray levels 0..1; subtracted from the input
    std: float  # the input is divided by it
    file: Path | None  # with the weights; None: the net has none
    budget: Budget | None
    run: Run | None = None  # that trained it, if a run's folder was named
    assumed: bool = False  # the weights are from a file, and nobody said mean and std for them

    @staticmethod
    def from_run(run: Run, net: nn.Module) -> TrainedNet:
        """Return the net that a run has trained, for predictions and exports.

        Args:
            run: The record that ``fit`` has returned.
            net: The net that ``fit`` has trained; it is copied.

        Raises:
            NetError: The net has other weights than those of the run.
        """
        net = unwrap(net)
        check_argument(run, Run)
        check_argument(net, nn.Module)
        if weights_digest(net) != run.weights_digest:
            raise NetError(
                f"{type(net).__name__}: its weights are not those of the run {run.name}, seed "
                f"{run.seed}; pass the net that netlet.fit has trained, without changing it"
            )
        return TrainedNet(
            name=run.name,
            net=copy_net(net).cpu().eval(),
            shape=tuple(run.data["shape"]),
            class_names=tuple(run.data["class_names"]),
            mean=run.recipe["mean"],
            std=run.recipe["std"],
            file=None,
            budget=budget_from_json(run.budget) if run.budget else None,
            run=run,
        )

    @property
    def recipe(self) -> Recipe:
        """A recipe that normalizes images as in training."""
        return Recipe(mean=self.mean, std=self.std)

    @property
    def normalization(self) -> str:
        """How images are normalized, in words, and how in training if that differs."""
        used = f"mean {self.mean:g}, std {self.std:g}"
        own = self.run.recipe if self.run else {"mean": self.mean, "std": self.std}
        if (own["mean"], own["std"]) == (self.mean, self.std):
            return used
        return f"{used} instead of the run's mean {own['mean']:g}, std {own['std']:g}"

    def find_recorded_score(self, data: Dataset, split: Split) -> Score | None:
        """Return what the net scored on these images when it was trained.

        Args:
            data: A data set.
            split: The split of it.

        Returns:
            The score of the run's last epoch; None if it is not of these images, or the net has
            other weights or another normalization now.
        """
        run = self.run
        if run is None or run.last_epoch.split != split.name:
            return None
        same_net = (run.recipe["mean"], run.recipe["std"]) == (
            self.mean,
            self.std,
        ) and weights_digest(self.net) == run.weights_digest
        if not same_net or not is_recorded_split(run.data, data, split):
            return None
        # Records of earlier versions do not name the draw, and another one has other labels.
        is_own = data.held_out.name == "val" and data.before_hold_out is None
        drawn = split.name == "val" and not is_own
        if drawn and any(int(split.labels[one.image]) != one.label for one in run.mistakes):
            return None
        return run.last_epoch.score

    def _facts(self) -> Mapping[str, object]:
        return {
            "name": self.name,
            "net": type(self.net).__name__,
            "shape": self.shape,
            "classes": len(self.class_names),
            "normalization": self.normalization,
            "weights": str(self.file) if self.file else None,
            "budget": self.budget.name if self.budget else None,
        }


def load_trained_net(
    name: str,
    weights: Path | None = None,
    *,
    shape: Sequence[int] | None = None,
    class_names: Sequence[str] | None = None,
    mean: float | None = None,
    std: float | None = None,
    trust: bool = False,
) -> TrainedNet:
    """Return a net with its weights.

    Args:
        name: The folder of a finished run; or an experiment or net, registered or ``file.py:Name``.
        weights: A safetensors file, or a ``.pt`` file with a ``state_dict``; default: those of the
            run, or those that come with netlet.
        shape: The shape of one image, ``C H W``; default: that of the run's images, or MNIST's.
        class_names: The names of the classes; default: the run's, or the ten digits.
        mean: The mean of gray levels 0..1; default: the run's, or MNIST's.
        std: Their standard deviation; default: the run's, or MNIST's.
        trust: Whether to run code that the run's record names, like ``file.py:Name``.

    Raises:
        NetError: There is no such net, it is code that is not trusted or not the run's, there are
            no weights for it or they do not fit, or the net cannot process images of this shape.
        RecordError: The run's record is broken.
        RecipeError: The mean or std is out of range.
    """
    run = find_run(name)
    trained = Recipe(**{key: run.recipe[key] for key in ("mean", "std")}) if run else Recipe()
    given = {key: value for key, value in (("mean", mean), ("std", std)) if value is not None}
    recipe = trained.replace(**given)  # raises if one is out of range
    shape = tuple(shape or (run.data["shape"] if run else MNIST_SHAPE))
    class_names = tuple(class_names or (run.data["class_names"] if run else DIGITS))
    own_name, entry = _find_net(name, run, trust=trust)
    net = build(entry.builder, 0, shape, len(class_names))
    file = pretrained.find_weights(name, entry, weights, net=net, run=run)
    remedy = "" if run else _OF_OTHER_IMAGES
    pretrained.load_found_weights(net, name, weights, file, run, if_other_images=remedy)
    check_input_shape(net, shape)
    return TrainedNet(
        name=own_name,
        net=net.eval(),
        shape=shape,
        class_names=class_names,
        mean=recipe.mean,
        std=recipe.std,
        file=file,
        budget=_find_budget(name, run),
        run=run,
        assumed=weights is not None and not given,
    )


def find_weights(name: str, weights: Path | None = None, *, trust: bool = False) -> Path | None:
    """Return the file with the weights of a net; None if it has no parameters.

    Args:
        name: A run's folder or a net, as for :func:`load_trained_net`.
        weights: A file to use instead of the net's own.
        trust: Whether to run code that the run's record names.

    Raises:
        NetError: There is no such net, it is code that is not trusted, there are no weights for it,
            or no such file.
        RecordError: The run's record is broken.
        RecipeError: The mean or std is out of range.
    """
    run = find_run(name)
    entry = _find_net(name, run, trust=trust)[1]
    return pretrained.find_weights(name, entry, weights, run=run)


def _find_budget(name: str, run: Run | None) -> Budget | None:
    if run:
        return budget_from_json(run.budget) if run.budget else None
    return EXPERIMENTS[name].budget if name in EXPERIMENTS else None


def _find_net(name: str, run: Run | None, *, trust: bool) -> tuple[str, NetEntry]:
    """Return what a net is called, and the net."""
    if run is not None:
        return run.name, find_net_of_run(run, name, trusted=trust)
    experiment = find_experiment(name)
    return experiment.name, experiment.net
