"""Ladders: chains of experiments, each derived from the one before, as a TOML file describes them.

    title = "From a skeleton to the target"
    about = "What the ladder as a whole is for."

    [[rung]]
    experiment = "code_2"              # an experiment or net, as for 'netlet train'
    name = "lighter"                   # of the rung; default: the experiment's name
    title = "A lighter net"
    target = "Fewer than 5,000 parameters without losing accuracy."
    recipe = "plain"                   # optional: another recipe
    set = { epochs = 14 }              # optional: changes to the recipe; augment takes a name
    budget = "document_004"            # optional: another budget
    seeds = 1                          # optional: use at most this many seeds
    claim = { parameters = 4990, best_train = 96.84, best_test = 97.16 }  # optional

``netlet climb`` writes a copy of this file and, beside it, a study's folder for each rung. Your own
remarks on a rung belong into that folder, in ``remarks.md``.
"""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlet.errors import LadderError, NetletDeprecationWarning, did_you_mean
from netlet.files import safe_name
from netlet.records.study import STUDY, Study, load_study
from netlet.text import quote_shell

LADDER, PAGE, REMARKS = "ladder.toml", "ladder.md", "remarks.md"
_LADDER_KEYS = ("title", "about", "rung")
_RUNG_KEYS = ("experiment", "name", "title", "target", "recipe", "set", "budget", "seeds", "claim")
_CLAIM_KEYS = ("parameters", "best_train", "best_test")


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One experiment of a ladder."""

    name: str  # of the experiment that it makes, and of its folder
    experiment: str  # that it starts from, as for 'netlet train'
    title: str
    target: str
    recipe: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)  # to the recipe
    budget: str | None = None
    max_seeds: int | None = None
    claim: Mapping[str, float] = field(default_factory=dict)  # accuracies in percent


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Rungs from the first to the last."""

    title: str
    about: str
    rungs: tuple[Rung, ...]
    toml: str = field(repr=False)  # content of its file


@dataclass(frozen=True)
class LadderResult:
    """A ladder and the studies of its rungs."""

    ladder: Ladder
    studies: tuple[Study, ...]  # one for each rung
    remarks: tuple[str, ...]  # the user's remarks on each rung; empty where there are none


def load_ladder(path: Path) -> Ladder:
    """Load the ladder in a TOML file.

    Raises:
        LadderError: The file cannot be read, or a key is missing, unknown or invalid.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError as error:
        raise LadderError(f"{path}: no such file; name a ladder's .toml file") from error
    except OSError as error:
        raise LadderError(f"{path}: cannot be read as a ladder ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise LadderError(f"{path}: cannot be read as a ladder (not UTF-8 text)") from error
    except tomllib.TOMLDecodeError as error:
        raise LadderError(f"{path}: is not valid TOML ({error})") from error
    if "step" in values:
        warnings.warn(
            f"{path}: [[step]] is now called [[rung]]; the old name will stop working in 0.3",
            NetletDeprecationWarning,
            stacklevel=2,
        )
        values["rung"] = values.pop("step")
    _check_keys(values, _LADDER_KEYS, f"{path}: a ladder")
    entries = values.get("rung", [])
    if not isinstance(entries, list) or not entries:
        raise LadderError(f"{path}: has no [[rung]]; a ladder needs at least one")
    rungs = tuple(
        _parse_rung(entry, f"{path}: rung {number}")
        for number, entry in enumerate(entries, start=1)
    )
    names = [rung.name for rung in rungs]
    for name in names:
        if names.count(name) > 1:
            raise LadderError(f"{path}: two rungs are called {name!r}; give each its own name")
    title = _read_text(values, "title", f"{path}: the ladder")
    about = _read_text(values, "about", f"{path}: the ladder") if "about" in values else ""
    return Ladder(title=title, about=about, rungs=rungs, toml=text)


def load_ladder_result(folder: Path) -> LadderResult:
    """Load a ladder and its studies from the folder that ``netlet climb`` wrote.

    Raises:
        LadderError: The folder holds no ladder, or a rung has not been trained yet.
        RecordError: A study is broken.
    """
    if not (folder / LADDER).is_file():
        raise LadderError(
            f"{folder}: holds no {LADDER}; "
            f"run 'netlet climb LADDER --out {quote_shell(folder)}' first"
        )
    ladder = load_ladder(folder / LADDER)
    missing = [rung.name for rung in ladder.rungs if not (folder / rung.name / STUDY).is_file()]
    if missing:
        raise LadderError(
            f"{folder}: not trained yet: {', '.join(missing)}; run 'netlet climb' again"
        )
    studies = tuple(load_study(folder / rung.name) for rung in ladder.rungs)
    for rung, study in zip(ladder.rungs, studies, strict=True):
        if study.name != rung.name:
            raise LadderError(
                f"{folder / rung.name}: holds a study of {study.name}, not of the rung;"
                " use another folder for the ladder"
            )
    remarks = tuple(_read_remarks(folder / rung.name / REMARKS) for rung in ladder.rungs)
    return LadderResult(ladder, studies, remarks)


def _parse_rung(entry: Mapping[str, Any], where: str) -> Rung:
    _check_keys(entry, _RUNG_KEYS, where)
    experiment = _read_text(entry, "experiment", where)
    changes = entry.get("set", {})
    if not isinstance(changes, dict):
        raise LadderError(
            f"{where}: set = {changes!r}; write it as a table, like set = {{ epochs = 14 }}"
        )
    return Rung(
        name=_read_name(entry, experiment, where),
        experiment=experiment,
        title=_read_text(entry, "title", where),
        target=_read_text(entry, "target", where),
        recipe=_read_text(entry, "recipe", where) if "recipe" in entry else None,
        changes=changes,
        budget=_read_text(entry, "budget", where) if "budget" in entry else None,
        max_seeds=_read_seeds(entry, where),
        claim=_read_claim(entry, where),
    )


def _read_name(entry: Mapping[str, Any], experiment: str, where: str) -> str:
    name = _read_text(entry, "name", where) if "name" in entry else experiment
    if safe_name(name) != name or name in (LADDER, PAGE):
        raise LadderError(
            f"{where}: {name!r} cannot be a folder's name;"
            " give the rung a name of letters and digits"
        )
    return name


def _read_seeds(entry: Mapping[str, Any], where: str) -> int | None:
    seeds = entry.get("seeds")
    if seeds is not None and (isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1):
        raise LadderError(f"{where}: seeds = {seeds!r} is not a number of seeds; give 1 or more")
    return seeds


def _read_claim(entry: Mapping[str, Any], where: str) -> dict[str, float]:
    claim = entry.get("claim", {})
    _check_keys(claim, _CLAIM_KEYS, f"{where}: a claim")
    for key, number in claim.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise LadderError(f"{where}: the claim's {key} = {number!r} is not a number")
    return dict(claim)


def _read_text(values: Mapping[str, Any], key: str, where: str) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value.strip():
        found = f"{key} = {value!r}" if key in values else f"no {key}"
        raise LadderError(f'{where} has {found}; write {key} = "..."')
    return value.strip()


def _check_keys(values: Any, known: tuple[str, ...], where: str) -> None:
    if not isinstance(values, dict):
        raise LadderError(f"{where} is {values!r}; write it as a table of {', '.join(known)}")
    for key in values:
        if key not in known:
            raise LadderError(
                f"{where} has no key {key!r}; {did_you_mean(key, known)}"
                f"the keys are: {', '.join(known)}"
            )


def _read_remarks(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise LadderError(f"{path}: cannot be read ({error})") from error
