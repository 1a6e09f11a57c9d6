"""Nets with trained weights by name, and the weights of runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from netlet.display import Displayed
from netlet.errors import NetError, check_type, warn
from netlet.nets.blocks import MNIST_SHAPE
from netlet.nets.one_line import find_experiments_net, find_net_by_name
from netlet.nets.origins import find_net_of_run
from netlet.nets.registry import NetEntry, build
from netlet.nets.shipped_weights import find_shipped_weights, list_shipped_weights
from netlet.nets.weights import check_weights_file, load_weights, refuse_other_weights
from netlet.recipes import Recipe
from netlet.records import (
    CHECKPOINT_FILE,
    RECORD,
    WEIGHTS,
    Run,
    describe_unfinished,
    load_run,
    locate_weights,
)
from netlet.text import escape_controls, format_shape

DIGITS = tuple("0123456789")
_PUBLISHED = ("modeling.py", "model.safetensors")  # as 'netlet publish' names code and weights


@dataclass(frozen=True)
class InputFormat(Displayed):
    """The images that a net takes, and the classes of its logits.

    Attributes:
        shape: The shape of one image, ``C H W``.
        mean: The mean of gray levels 0 to 1, as in training.
        std: Their standard deviation, as in training.
        gray_levels: Whether the net takes gray levels and normalizes them itself.
        class_names: The names of the classes, in the order of the logits.
    """

    shape: tuple[int, ...]
    mean: float
    std: float
    gray_levels: bool = False
    class_names: tuple[str, ...] = DIGITS

    @staticmethod
    def of_mnist(*, gray_levels: bool = False) -> InputFormat:
        """Return the format of images like MNIST's, as netlet normalizes them.

        Args:
            gray_levels: Whether the net takes gray levels and normalizes them itself.
        """
        return InputFormat(MNIST_SHAPE, Recipe.mean, Recipe.std, gray_levels)

    @staticmethod
    def of_run(run: Run) -> InputFormat:
        """Return the format of the images that a run was trained on, normalized."""
        return InputFormat(
            shape=tuple(run.data["shape"]),
            mean=run.recipe["mean"],
            std=run.recipe["std"],
            class_names=tuple(run.data["class_names"]),
        )

    def prepare(self, images: torch.Tensor) -> torch.Tensor:
        """Return images as the net takes them.

        Args:
            images: ``N C H W``: gray levels 0 to 255 as uint8, or 0 to 1 as floating point. As in
                MNIST, the background is 0.

        Returns:
            float32, ``N C H W``.

        Raises:
            NetError: They have another shape or type.
        """
        if tuple(images.shape[1:]) != self.shape:
            raise NetError(
                f"the images have the shape {format_shape(images.shape)}, expected N and "
                f"{format_shape(self.shape)}; for a single image pass image[None]"
            )
        levels = _to_gray_levels(images)
        return levels if self.gray_levels else _normalize(levels, self.mean, self.std)

    @property
    def _levels(self) -> str:
        if self.shape[0] == 1:
            dark = " (background)" if self.class_names == DIGITS else ""
            return f"gray levels from 0{dark} to 1"
        return f"levels of {self.shape[0]} channels from 0 to 1"

    def __str__(self) -> str:
        """Return one line of text."""
        normalized = "" if self.gray_levels else f", minus {self.mean:g}, divided by {self.std:g}"
        names = ", ".join(map(escape_controls, self.class_names))
        return (
            f"float32 N {format_shape(self.shape)}: {self._levels}"
            f"{normalized}; {len(self.class_names)} classes: {names}"
        )


class GrayLevelNet(nn.Module):
    """A net together with its normalization: from gray levels to what the net returns.

    Args:
        net: The net, which takes normalized images.
        mean: The mean that it was trained with.
        std: The standard deviation that it was trained with.
    """

    def __init__(self, net: nn.Module, mean: float, std: float) -> None:
        super().__init__()
        self.net, self.mean, self.std = net, mean, std

    def forward(self, images: torch.Tensor) -> object:
        """Return what the net returns.

        Args:
            images: ``N C H W``: gray levels 0 to 255 as uint8, or 0 to 1 as floating point.
        """
        return self.net(_normalize(_to_gray_levels(images), self.mean, self.std))


def load(
    name: str | os.PathLike[str],
    weights: Path | str | None = None,
    *,
    mean: float | None = None,
    std: float | None = None,
    gray_levels: bool = False,
    trust: bool = False,
) -> nn.Module:
    """Return a net with its trained weights, in evaluation mode on the CPU.

    What the net takes is in its attribute ``input_format``, an :class:`InputFormat`: by default
    normalized images, as in training. A file of weights does not say how its images were
    normalized: without ``mean`` and ``std``, MNIST's 0.1307 and 0.3081 are assumed.

    Args:
        name: An experiment whose weights come with netlet, the folder of a finished run or of a
            study (its median seed's run), or a net as on the command line, with ``weights``.
        weights: A safetensors file, or a ``.pt`` file with a ``state_dict``; default: those of the
            run, or those that come with netlet.
        mean: The mean of gray levels 0 to 1 that was subtracted in training; default: the run's, or
            MNIST's. Pass ``mean=0, std=1`` for images that were not normalized.
        std: Their standard deviation, by which they were divided.
        gray_levels: Whether to return a net that takes gray levels and normalizes them itself.
        trust: Whether to run code that the record of a run names, like ``file.py:Name``.

    Raises:
        NetError: There is no such net, there are no weights for it or they do not fit, or it is
            code that is not trusted or not the run's; or it was trained with another mean or std.
        RecipeError: The mean or std is out of range.
        RecordError: A record is broken, or the run of a study's median seed is gone.
    """
    check_type(name, (str, os.PathLike), "the net", "a name like 'crest' or the folder of a run")
    place = locate_weights(os.fspath(name))
    run = find_run(place)
    entry = find_net_of_run(run, place, trusted=trust) if run else find_net_by_name(place)
    # Weights of a file say nothing about their images: those of MNIST are assumed.
    images = InputFormat.of_run(run) if run else InputFormat.of_mnist()
    images = _replace_normalization(images, mean, std, place if run or weights is None else "")
    own = None if weights is None else Path(weights)
    net = build(entry.builder, 0, images.shape, len(images.class_names))
    load_found_weights(net, place, own, find_weights(place, entry, own, net=net, run=run), run)
    return with_input_format(net, replace(images, gray_levels=gray_levels))


def _replace_normalization(
    images: InputFormat, mean: float | None, std: float | None, trained: str
) -> InputFormat:
    """Return the format with a mean and a standard deviation that were given.

    Args:
        images: The format.
        mean: The mean; None: that of the format.
        std: The standard deviation; None: that of the format.
        trained: The run or experiment, if the mean and the standard deviation of its training are
            known: they are those of the format.

    Raises:
        NetError: Others were given for a training of which they are known.
        RecipeError: One is out of range.
    """
    there = Recipe(mean=images.mean, std=images.std)
    given = {key: value for key, value in (("mean", mean), ("std", std)) if value is not None}
    recipe = there.replace(**given)
    if trained and (recipe.mean, recipe.std) != (there.mean, there.std):
        raise NetError(
            f"{trained}: was trained with mean {there.mean:g}, std {there.std:g}, not with mean "
            f"{recipe.mean:g}, std {recipe.std:g}; leave mean and std out"
        )
    return replace(images, mean=recipe.mean, std=recipe.std)


def with_input_format(net: nn.Module, input_format: InputFormat) -> nn.Module:
    """Return a net in evaluation mode that says what it takes.

    Args:
        net: The net, which takes normalized images.
        input_format: What the result shall take.

    Returns:
        The net itself or, if gray levels are to be taken, a :class:`GrayLevelNet`; with the
        attribute ``input_format``.
    """
    if input_format.gray_levels:
        net = GrayLevelNet(net, input_format.mean, input_format.std)
    net.input_format = input_format  # type: ignore[assignment]
    return net.eval()


def find_run(name: str) -> Run | None:
    """Return the finished run in a folder; None if the name means a net instead.

    Raises:
        NetError: The folder holds no finished run, and no experiment has its name.
        RecordError: The run's record is broken.
    """
    if (Path(name) / RECORD).is_file():
        return load_run(name)
    if Path(name).is_dir() and find_experiments_net(name) is None:
        if (Path(name) / CHECKPOINT_FILE).is_file():
            raise NetError(describe_unfinished(name))
        code, weights = (Path(name) / file for file in _PUBLISHED)
        if code.is_file() and weights.is_file():
            raise NetError(
                f"{name}: holds no {RECORD}, but a published model; pass {code}, or its net, and "
                f"--weights {weights} (weights in Python)"
            )
        raise NetError(
            f"{name}: holds no {RECORD}; pass the folder of a finished run, or a net and --weights"
            " FILE (weights in Python)"
        )
    return None


def find_weights(
    name: str,
    entry: NetEntry,
    weights: Path | None = None,
    *,
    net: nn.Module | None = None,
    run: Run | None = None,
) -> Path | None:
    """Return the file with the weights of a net; None if it has no parameters.

    Args:
        name: A run's folder or a net, as for :func:`load`.
        entry: The net of that name.
        weights: A file to use instead of the net's own.
        net: The net, if it is built already.
        run: The run in the folder.

    Raises:
        NetError: There are no weights for it, or no such file.
    """
    if weights is not None:
        check_weights_file(weights)
    file = weights or (Path(name) / WEIGHTS if run else find_shipped_weights(name))
    if file is None and any(True for _ in (net or build(entry.builder, 0)).parameters()):
        shipped = ", ".join(list_shipped_weights())  # none where a submission is graded
        raise NetError(
            f"{name}: netlet has no trained weights for it; pass --weights FILE (weights in Python)"
            " or the folder of a run" + (f", or use one of {shipped}" if shipped else "")
        )
    return file


def load_found_weights(
    net: nn.Module,
    name: str,
    weights: Path | None,
    file: Path | None,
    run: Run | None,
    *,
    if_other_images: str = "",
) -> None:
    """Load the weights that were found into a net.

    Args:
        net: The net, which is changed in place.
        name: The run's folder or the net that the user named.
        weights: The file that the user named, if any.
        file: From :func:`find_weights`.
        run: The run in the folder, if any: its own weights must have its digest.
        if_other_images: As for ``load_weights``.

    Raises:
        NetError: The weights cannot be read, do not fit, or are not the run's.
    """
    if file is None:
        return
    if run and weights is None:
        refuse_other_weights(file, run.weights_digest, Path(name) / RECORD)
    # Those of a run are as netlet has saved them.
    own = weights is not None
    if note := load_weights(net, file, convert=own, if_other_images=if_other_images):
        warn(note)


def _to_gray_levels(images: torch.Tensor) -> torch.Tensor:
    """Return gray levels 0 to 1 as float32.

    Raises:
        NetError: The images are of another type.
    """
    if images.dtype == torch.uint8:
        return images.float() / 255
    if images.is_floating_point():
        return images.float()
    raise NetError(
        f"the images are of the type {str(images.dtype).removeprefix('torch.')}; pass gray levels "
        "0 to 255 as uint8, or 0 to 1 as float32"
    )


def _normalize(levels: torch.Tensor, mean: float, std: float) -> torch.Tensor:
    return (levels - mean) / std
