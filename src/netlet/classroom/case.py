"""A submission on its way through the sandbox: what has to be done there, and with what."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from netlet.analysis.failures import OTHER_SHAPE, REPEAT_CHANNELS
from netlet.classroom.file_kinds import SOURCES, describe_without_code
from netlet.classroom.grades import GradingSettings
from netlet.classroom.inside import CODE, TRAIN
from netlet.classroom.own_files import fill_claim
from netlet.classroom.perturbed_copy import ImageSequence, draw_images
from netlet.classroom.roster import NO_PROBLEMS, Claim, ClaimProblems
from netlet.classroom.submitted_weights import (
    TRIED_IMAGES,
    choose_normalization,
    find_weights,
    list_other_normalizations,
)
from netlet.data import Dataset
from netlet.errors import GradingError, NetError
from netlet.nets.device_errors import OTHER_DEVICE, OUT_OF_MEMORY
from netlet.recipes import Recipe
from netlet.sandbox import Limits, SandboxTask
from netlet.sandbox.visible import package_folder

UNUSABLE = "no weights are scored, so only the rules on the net are judged: "
_FUNCTION = "netlet.classroom.inside:examine"
_ANSWER_BYTES = 256 << 20
_NOT_RETRAINED = "not retrained, so only the rules on the net are judged: "
_NO_RECIPE = 'no recipe is claimed; write recipe = "quick", for example, in claim.toml'

# Of the message on a net that fails because of the shape of the images.
_INPUT = re.compile(r"\(input \d+x(\d+)x(\d+); $")
_CHANNELS = re.compile(r"it gets 1 channel but expects (\d+)")
_PADDING = 2  # pixels on each side, from 28x28 to 32x32

_MISSING = re.compile(r"No such file or directory: ['\"]([^'\"]+)['\"]")
_NETWORK = re.compile(
    r"(Temporary failure in name resolution|Name or service not known|Network is unreachable"
    r"|Failed to resolve|getaddrinfo failed|no internet connection)"
)
_PATH = re.compile(r"(?<![\w.])/(?:[^/\s'\"(),:;]+/)+[^/\s'\"(),:;]+")
_INSTALLED = re.compile(r"/(?:site-packages|dist-packages|python3\.\d+)/")


@dataclass(frozen=True)
class Case:
    """One submission on its way through the sandbox.

    Attributes:
        name: The name of the submission.
        folder: The folder with its files.
        claim: What the student says of it.
        recipe: The recipe to retrain it by; None for its own weights.
        images: What it is scored on.
        task: What the sandbox does.
        unusable: Why it has no weights or recipe that can be used; empty if nothing is wrong.
        warnings: What is wrong with the claim.
    """

    name: str
    folder: Path
    claim: Claim
    recipe: Recipe | None
    images: ImageSequence
    task: SandboxTask
    unusable: str = ""
    warnings: tuple[str, ...] = ()


class CaseMaker:
    """Makes the cases of a class by the same settings.

    Args:
        settings: How the class is graded.
        data: The data set; its held-out split gives the scores.
        folder: An empty folder for the training images, which the sandbox reads.
    """

    def __init__(self, settings: GradingSettings, data: Dataset, folder: Path) -> None:
        self._settings, self._data = settings, data
        self._inputs: dict[str, Path] = {}
        if settings.retrain:
            file = folder / "train.npz"
            np.savez(file, images=data.train.images.numpy(), labels=data.train.labels.numpy())
            file.chmod(0o644)
            self._inputs[TRAIN] = file

    def prepare(
        self, name: str, folder: Path, claim: Claim, problems: ClaimProblems = NO_PROBLEMS
    ) -> Case:
        """Return what the sandbox has to do for a submission.

        Args:
            name: The name of the submission.
            folder: The folder with its files.
            claim: What the student says of it.
            problems: What is wrong with the claim.

        Raises:
            NetError: It has no code.
        """
        if not any(path.suffix in SOURCES for path in folder.rglob("*")):
            names = (path.name for path in sorted(folder.rglob("*")) if path.is_file())
            raise NetError(describe_without_code(names))
        settings = self._settings
        weights, unusable = self._choose_weights(folder, claim, problems)
        claim, problems = fill_claim(claim, folder, weights, problems, self._data.digest)
        recipe = None
        if settings.retrain:
            recipe, unusable = self._choose_recipe(claim, problems)
        used = choose_normalization(claim)
        images = draw_images(self._data.held_out)
        request = {
            "net": claim.net or settings.net,
            "weights": weights,
            "shape": self._data.shape,
            "classes": self._data.classes,
            "recipe": recipe.to_dict() if recipe else None,
            "seeds": settings.seeds,
            "mean": used.mean,
            "std": used.std,
            "others": list_other_normalizations(used) if weights else [],
            "tried": TRIED_IMAGES,
        }
        seconds = settings.seconds_per_seed * (len(settings.seeds) if recipe else 1)
        task = SandboxTask(
            function=_FUNCTION,
            request=request,
            inputs={CODE: folder, **self._inputs},
            later=images.to_bytes() if recipe or weights else (),
            limits=Limits(wall_s=seconds, answer_bytes=_ANSWER_BYTES),
            trust=settings.trust,
        )
        warnings = tuple(one for one in problems.found if one not in unusable)
        return Case(name, folder, claim, recipe, images, task, unusable, warnings)

    def _choose_recipe(self, claim: Claim, problems: ClaimProblems) -> tuple[Recipe | None, str]:
        """Return the recipe to retrain by, or why there is none."""
        chosen = self._settings.retrain
        if isinstance(chosen, Recipe):
            return chosen.for_net(in_catalog=False), ""
        if claim.recipe is not None:
            return claim.recipe.for_net(in_catalog=False), ""
        return None, _NOT_RETRAINED + (problems.of_recipe or _NO_RECIPE)

    def _choose_weights(
        self, folder: Path, claim: Claim, problems: ClaimProblems
    ) -> tuple[str | None, str]:
        """Return the path of the weights, or why there are none."""
        if self._settings.retrain:
            return None, ""
        if problems.of_weights:
            return None, UNUSABLE + problems.of_weights
        try:
            return find_weights(folder, claim.weights or self._settings.weights), ""
        except GradingError as error:
            return None, UNUSABLE + str(error)


def shorten_problem(message: str, folder: Path, limits: Limits | None = None) -> str:
    """Return a message without the paths of the sandbox and of this machine's Python.

    One on memory names the limit of the sandbox: a student chooses neither the batch size nor the
    device. One on the shape of the images says what to change in the net, for they are given, too.
    One on a file that is missing, or on the network, says what the sandbox has.

    Args:
        message: What went wrong.
        folder: The folder of the submission, which code without a sandbox names.
        limits: Those of the sandbox, by default the usual ones.
    """
    for place in (CODE, str(folder)):
        message = message.replace(f"{place}/", "").replace(place, "the submission")
    before, found, rest = message.partition(OUT_OF_MEMORY)
    if found and OTHER_DEVICE in rest:
        what, _, remedy = (limits or Limits()).memory_problem.partition("; ")
        message = f"{before}{what}{rest.replace(OTHER_DEVICE, remedy)}"
    message = _explain_network(_explain_missing_file(_explain_shape(message), folder))
    return _PATH.sub(_shorten_path, message)


def _explain_shape(message: str) -> str:
    """Return a message in which the student's remedy for a wrong shape takes the place of others.

    The teacher chooses the images, so options for them are none of a student's remedies.
    """
    before, found, after = message.partition(OTHER_SHAPE)
    size = _INPUT.search(before)
    if not found or not size:
        return message
    height, width = (int(number) + 2 * _PADDING for number in size.groups())
    pad = ", ".join([str(_PADDING)] * 4)
    remedy = f"enlarge them in forward(), as F.pad(x, ({pad})) does to {height}x{width}"
    if channels := _CHANNELS.search(before):
        remedy = f"repeat their channel in forward(): x.expand(-1, {channels[1]}, -1, -1)"
    return (
        f"{before}the net is graded on images of this shape: change its layers, or {remedy}"
        f"{after.removeprefix(REPEAT_CHANNELS)}"
    )


def _explain_missing_file(message: str, folder: Path) -> str:
    """Return a message on a file that is missing with where it is, or which files are read."""
    match = _MISSING.search(message)
    if match is None:
        return message
    path = PurePosixPath(match[1])
    name, outside = path.name, path.is_absolute() or ".." in path.parts
    places = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    here = sorted(place for place in places if PurePosixPath(place).name == name)
    if here and outside:
        remedy = f"the submission has {here[0]}: write its path relative to the file of the code"
    elif here:
        remedy = f"the submission has {here[0]}: the code runs in the folder of its own file"
    elif outside:  # it may be the labels
        remedy = "the code can read only the files of its submission: leave out what reads others"
    else:
        remedy = "only Python files, notebooks and weights are read: write its values into the code"
    return f"{message[: match.end()]}; {remedy}{message[match.end() :]}"


def _explain_network(message: str) -> str:
    """Return a message on a connection that failed with the reason that grading has no network."""
    if not _NETWORK.search(message):
        return message
    return f"{message}; grading has no network: hand in what the code downloads, or leave it out"


def _shorten_path(match: re.Match[str]) -> str:
    """Return the name of a file of Python, its packages or netlet; any other path as it is."""
    path = match[0]
    own = (sys.prefix, sys.base_prefix, package_folder())
    is_own = any(path.startswith(f"{place.rstrip('/')}/") for place in own if place != "/usr")
    return path.rpartition("/")[2] if is_own or _INSTALLED.search(path) else path
