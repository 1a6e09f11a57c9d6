"""What a submission states in netlet's own files: the record of a run, and ``netlet.toml``."""

from __future__ import annotations

import dataclasses
import glob
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from netlet import catalog, recipes
from netlet.classroom.file_kinds import RECORD, REPOSITORY
from netlet.classroom.roster import NO_PROBLEMS, Claim, ClaimProblems
from netlet.classroom.stated_files import read_text
from netlet.errors import GradingError, NetletError
from netlet.nets import is_user_code
from netlet.recipes import Recipe
from netlet.records import WEIGHTS, Run
from netlet.text import join_address, split_address
from netlet.toml_files import parse_toml

_MAX_BYTES, _MAX_RECORD_BYTES = 1 << 16, 8 << 20
_MAX_DOTS = 100  # in a line: the time to parse a key grows with their square
_MOST_RECORDS = 20
_MAX_LETTERS = 300  # of the address of a net


def fill_claim(
    claim: Claim,
    folder: Path,
    weights: str | None,
    problems: ClaimProblems = NO_PROBLEMS,
    data_digest: str = "",
) -> tuple[Claim, ClaimProblems]:
    """Return a claim with what netlet's own files in a submission state where it says nothing.

    The record of a run takes precedence over ``netlet.toml``. Both kinds of files are removed,
    since the code of the submission must not read them: a record has labels of test images.

    Args:
        claim: What the student claims.
        folder: The folder of the submission, a copy.
        weights: The path of the weights that are scored; None if none are.
        problems: What is wrong with the claim.
        data_digest: The digest of the data set that gives the scores; the accuracy of a run on
            another one is not claimed. Empty: of any.

    Returns:
        The claim, and its problems with those of these files.
    """
    stated: dict[str, Any] = {}
    unread, notes = [], []
    try:
        # The epochs of a recipe are not those of another one that is claimed.
        stated |= _read_settings(folder, with_recipe=claim.recipe is None)
    except (NetletError, OSError) as error:
        unread.append(str(error).replace(f"{folder}/", ""))
    try:
        of_run, note = _read_record(folder, weights, data_digest)
        stated |= of_run
        notes = [note] if note else []
    except (NetletError, OSError) as error:
        unread.append(str(error).replace(f"{folder}/", ""))
    for name in (RECORD, REPOSITORY):
        for file in folder.rglob(name):
            file.unlink()
    kept = {key: value for key, value in stated.items() if getattr(claim, key) is None}
    found = dataclasses.replace(
        problems,
        found=(*problems.found, *unread, *notes),
        of_recipe=problems.of_recipe or "; ".join(unread),
    )
    return dataclasses.replace(claim, **kept), found


def _read_record(folder: Path, weights: str | None, data_digest: str) -> tuple[dict[str, Any], str]:
    """Return what the record beside the weights says, or all records if no weights are scored.

    The text says why the record or its accuracy is left out, or its epochs may not be all; it is
    empty if there is nothing to say.

    Raises:
        NetletError: A record is not valid.
    """
    files = sorted(folder.rglob(RECORD))
    if weights is not None:
        beside = folder / weights
        files = [file for file in files if beside == file.with_name(WEIGHTS)]
    if len(files) > _MOST_RECORDS:
        return {}, f"it has {len(files)} records of runs ({RECORD}); keep only one of them"
    if not files:
        return {}, ""
    (stated, note), *more = [_read_run(file, folder, data_digest) for file in files]
    # Runs of one training differ in their seeds, and so in their accuracy.
    alike = {key: stated[key] for key in stated if all(stated[key] == o.get(key) for o, _ in more)}
    if stated.keys() - alike.keys() <= {"accuracy"}:
        return alike, note
    names = ", ".join(file.relative_to(folder).as_posix() for file in files)
    return {}, f"{names}: these records state different trainings; keep only one of them"


def _read_run(file: Path, folder: Path, data_digest: str) -> tuple[dict[str, Any], str]:
    """Return what a record says, with a text like that of :func:`_read_record`.

    Raises:
        NetletError: The record is not valid.
    """
    name = file.relative_to(folder).as_posix()
    text = read_text(file, _MAX_RECORD_BYTES, folder)
    run = Run.from_json(text, name)
    recipe = recipes.recipe_from_json(run.recipe)
    stated: dict[str, Any] = {
        "parameters": run.cost["parameters"],
        "epochs": recipe.total_epochs,
        "mean": recipe.mean,
        "std": recipe.std,
        "recipe": recipe,
        **_place_net(run.net, folder, PurePosixPath()),
    }
    note = ""
    if run.initial_weights_digest:
        note = (
            f"{name}: its training did not begin with the weights of its seed, so there may be "
            f"more epochs than {recipe.total_epochs}"
        )
    if run.last_epoch.split != "test":
        return stated, note
    if data_digest and run.data["digest"] != data_digest:
        return stated, (
            f"{name}: its run is of other images ({run.data['name']}); its accuracy is not compared"
        )
    return {**stated, "accuracy": run.last_epoch.score.percent}, note


def _read_settings(folder: Path, *, with_recipe: bool) -> dict[str, Any]:
    """Return what ``netlet.toml`` states of net and training; nothing without one.

    Raises:
        NetletError: It is not valid TOML, or its recipe is not valid.
    """
    files = sorted(folder.rglob(REPOSITORY), key=lambda file: len(file.parts))
    if not files or (len(files) > 1 and len(files[0].parts) == len(files[1].parts)):
        return {}
    text = read_text(files[0], _MAX_BYTES, folder)
    name = files[0].relative_to(folder).as_posix()
    values = parse_toml(text, name, GradingError, "repair it", max_dots=_MAX_DOTS)
    place = PurePosixPath(files[0].relative_to(folder).parent.as_posix())
    stated: dict[str, Any] = _place_net(values.get("net"), folder, place)
    if with_recipe and {"recipe", "epochs", "settings"} & values.keys():
        recipe = _find_recipe(values, name)
        stated |= {"recipe": recipe, "epochs": recipe.total_epochs}
        stated |= {"mean": recipe.mean, "std": recipe.std}
    return stated


def _find_recipe(values: Mapping[str, Any], name: str) -> Recipe:
    """Return the recipe that ``netlet.toml`` names, with its epochs and settings.

    Args:
        values: What the file states.
        name: Its path in the submission.

    Raises:
        NetletError: There is no such recipe, or a value is not valid.
    """
    try:
        base = catalog.find_recipe(values.get("recipe", recipes.STEADY.name))
        settings = dict(values.get("settings", {}))
        if "epochs" in values:
            settings["epochs"] = values["epochs"]
        changed = recipes.change_settings(base, recipes.upgrade_recipe(settings))
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise GradingError(f"{name}: its recipe is not valid: {error}") from error
    except NetletError as error:
        raise GradingError(f"{name}: {error}") from error
    return changed if not settings else changed.replace(name=f"{base.name}, as in {REPOSITORY}")


def _place_net(net: object, folder: Path, place: PurePosixPath) -> dict[str, str]:
    """Return the address of a net under its key, if its file is in the submission.

    Args:
        net: The address, like ``model.py:Net``.
        folder: The folder of the submission.
        place: The folder, in the submission, that the address is relative to.
    """
    if not isinstance(net, str) or len(net) > _MAX_LETTERS or not is_user_code(net):
        return {}
    file, name = split_address(net)
    inside = place / file
    if _is_in(inside, folder):
        return {"net": join_address(glob.escape(inside.as_posix()), name)}
    # A run names a file as the command line did, which may have run in another folder.
    found: Sequence[Path] = [path for path in folder.rglob("*") if path.name == inside.name]
    return {"net": join_address(glob.escape(inside.name), name)} if len(found) == 1 else {}


def _is_in(inside: PurePosixPath, folder: Path) -> bool:
    return ".." not in inside.parts and not inside.is_absolute() and (folder / inside).is_file()
