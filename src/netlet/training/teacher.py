"""Teachers: nets whose logits other nets are trained on, trained on the same images beforehand."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from netlet.catalog import find_recipe
from netlet.data import Dataset, cache_folder
from netlet.errors import NetError, OutputError, RecipeError, TrainingError, did_you_mean
from netlet.files import read_regular, write_atomic
from netlet.locks import lock_folder
from netlet.nets import NETS, build, find_net, is_notation, is_user_code
from netlet.nets.registry import NetEntry
from netlet.nets.weights import load_weights, weights_digest, weights_to_bytes
from netlet.recipes import Recipe
from netlet.records import Epoch, to_json_value
from netlet.records.values import TeacherValues
from netlet.text import escape_controls
from netlet.training.beforehand import train_beforehand
from netlet.training.bounded_folder import make_room
from netlet.training.callbacks import Callback, Plan
from netlet.training.environment import describe_environment
from netlet.training.together import finish

SEED = 0  # of every teacher
_WAIT_S = 7 * 24 * 3600.0  # for another process that trains the same teacher
_WEIGHTS, _DIGEST = "weights.safetensors", "digest.txt"
_MAX_BYTES = 1 << 28  # of all teachers that are kept; those that were used least recently go first
# Fields of a recipe that say how a net is trained with others or in several attempts, which a
# teacher is not.
_OF_THE_STUDENT = (
    *("train_as", "expand_factor", "widen_factor", "widened_weight"),
    *("teacher", "teacher_recipe", "teacher_epochs", "distill_weight", "distill_temperature"),
    *("random_starts", "random_start_epochs"),
)


@dataclass(frozen=True, eq=False)
class Teacher:
    """A trained net whose logits another net is trained on.

    Attributes:
        net: In evaluation mode.
        values: What records state about it.
        digest: The digest of its weights.
        images: The SHA-256 of the images that it was trained on.
    """

    net: nn.Module
    values: TeacherValues
    digest: str
    images: str


def prepare_teacher(
    data: Dataset, recipe: Recipe, device: torch.device, callbacks: Sequence[Callback]
) -> Teacher:
    """Return the teacher of a recipe: from netlet's cache folder, or trained now and kept there.

    It is trained on the training images alone: what is held out of them, or ``test``, is not a part
    of the data set that it sees. A teacher is used again for exactly the same training images,
    recipe, software, machine and number of threads, so that it has the same bits as if it were
    trained now.

    Args:
        data: The data set on which the student is trained.
        recipe: The recipe of the student, which names the teacher.
        device: The device to train on.
        callbacks: Objects that hear of its epochs if it is trained now.

    Raises:
        RecipeError: There is no such net or recipe, or the net is code of the user's own.
        NetError: The net does not fit the data.
        TrainingError: Its training fails.
    """
    entry, own = _find_net(recipe), teacher_recipe(recipe)
    images = data.train.sha256()
    net = build(entry.builder, SEED, data.shape, data.classes)
    root = cache_folder() / "teachers"
    folder = root / _key(entry, own, images, device)
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OutputError):  # then there is no place to keep it
            stack.enter_context(lock_folder(folder, "training a teacher", _WAIT_S))
        if not _read(folder, net):
            net = build(entry.builder, SEED, data.shape, data.classes)
            training = train_beforehand(
                net,
                data,
                own,
                seed=SEED,
                name=entry.name,
                device=device,
                callbacks=callbacks,
                tell=_tell,
            )
            try:
                finish(training)
            except TrainingError as error:
                raise TrainingError(f"teacher {recipe.teacher}: {error}") from error
            _write(folder, net)
            make_room(root, _MAX_BYTES, keep=folder)
    values: TeacherValues = {
        "net": recipe.teacher,
        "epochs": own.epochs,
        "parameters": sum(parameter.numel() for parameter in net.parameters()),
    }
    digest = weights_digest(net)
    return Teacher(net.eval().to(device), values, digest, images)


def teacher_recipe(recipe: Recipe) -> Recipe:
    """Return the recipe that trains the teacher of another recipe.

    It normalizes the images like the student's, whose images the teacher gets.

    Raises:
        RecipeError: There is no such recipe.
    """
    try:
        own = find_recipe(recipe.teacher_recipe) if recipe.teacher_recipe else recipe
    except RecipeError as error:
        raise RecipeError(f"teacher_recipe: {error}") from error
    default = Recipe()
    return own.for_net(in_catalog=True).replace(
        name="teacher",
        epochs=recipe.teacher_epochs or own.epochs,
        **{name: getattr(recipe, name) for name in ("mean", "std", "precision", "backend")},
        **{name: getattr(default, name) for name in _OF_THE_STUDENT},
    )


def check_teacher(recipe: Recipe) -> None:
    """Check the teacher of a recipe, if it has one, before anything is trained.

    Raises:
        RecipeError: There is no such net or recipe, or the net is code of the user's own.
    """
    if recipe.teacher:
        _find_net(recipe)
        teacher_recipe(recipe)


def _find_net(recipe: Recipe) -> NetEntry:
    name = escape_controls(recipe.teacher)
    if is_user_code(recipe.teacher):
        raise RecipeError(
            f"teacher={name}: a recipe runs no code of yours; name a net that comes with netlet, "
            "or write it in one line"
        )
    if recipe.teacher not in NETS and not is_notation(recipe.teacher):
        raise RecipeError(
            f"teacher={name}: no such net; {did_you_mean(recipe.teacher, NETS)}name one that "
            "'netlet list' shows, or write it in one line"
        )
    try:
        return find_net(recipe.teacher, trusted=False)
    except NetError as error:
        raise RecipeError(f"teacher={name}: {error}") from error


def _key(entry: NetEntry, recipe: Recipe, images: str, device: torch.device) -> str:
    """Return what a teacher's bits depend on, as a digest."""
    environment = describe_environment(device)
    environment.pop("commit")  # the digest of the sources says more
    parts = [entry.name, to_json_value(recipe), images, SEED, environment]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _tell(callback: Callback, plan: Plan, epochs: Sequence[Epoch]) -> None:
    callback.on_teacher(plan, epochs)


def _read(folder: Path, net: nn.Module) -> bool:
    """Load the weights of a teacher that was trained before; return whether it is there whole."""
    try:
        digest = read_regular(folder / _DIGEST, 100, NetError).decode()
        load_weights(net, folder / _WEIGHTS)
        os.utime(folder)  # it has been used
    except (NetError, OSError, ValueError):
        return False
    return weights_digest(net) == digest


def _write(folder: Path, net: nn.Module) -> None:
    """Keep a teacher, if there is room."""
    with contextlib.suppress(OSError):
        write_atomic(folder / _WEIGHTS, weights_to_bytes(net))
        write_atomic(folder / _DIGEST, weights_digest(net))
