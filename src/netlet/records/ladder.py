"""Ladders: chains of experiments, each derived from the one before, as a TOML file has them.

    title = "From a skeleton to the bar"
    about = "What the whole is for."

    [[step]]
    experiment = "code_2"              # an experiment or net, as for 'netlet train'
    name = "lighter"                   # of the step; the experiment's if not given
    title = "A lighter net"
    target = "Fewer than 5,000 parameters, and no loss."
    recipe = "plain"                   # another recipe of ours, if given
    set = { epochs = 14 }              # changes of the recipe, if any; augment takes a name
    budget = "document_004"            # another budget of ours, if given
    seeds = 1                          # at most so many, for a step that is dear
    claim = { parameters = 4990, best_train = 96.84, best_test = 97.16 }  # what somebody wrote of
    it, if anything

Climbing leaves a copy of this file and, beside it, a study's folder for each step. A person's own
words about a step lie in that folder, in ``remarks.md``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlet.errors import LadderError, did_you_mean
from netlet.records.study import STUDY, Study, load_study

LADDER, PAGE, REMARKS = "ladder.toml", "ladder.md", "remarks.md"
_OF_LADDER = ("title", "about", "step")
_OF_STEP = ("experiment", "name", "title", "target", "recipe", "set", "budget", "seeds", "claim")
_OF_CLAIM = ("parameters", "best_train", "best_test")


@dataclass(frozen=True, kw_only=True)
class Rung:
    """One step of a ladder."""

    name: str  # of the experiment it makes, and of its folder
    experiment: str  # as for 'netlet train'
    title: str
    target: str
    recipe: str | None = None
    changes: Mapping[str, Any] = field(default_factory=dict)  # of the recipe
    budget: str | None = None
    seeds: int | None = None  # at most
    claim: Mapping[str, float] = field(default_factory=dict)  # accuracies in percent


@dataclass(frozen=True, kw_only=True)
class Ladder:
    """Steps from the first to the last."""

    title: str
    about: str
    rungs: tuple[Rung, ...]
    text: str = field(repr=False)  # of its file


@dataclass(frozen=True)
class Climbed:
    """A ladder and what its steps came to."""

    ladder: Ladder
    studies: tuple[Study, ...]  # of each rung
    remarks: tuple[str, ...]  # a person's own words on each rung; "" where there are none


def load_ladder(path: Path) -> Ladder:
    """The ladder that a TOML file holds.

    Raises:
        LadderError: It cannot be read, lacks something, or has what a ladder has not.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError) as error:
        raise LadderError(f"{path}: cannot be read as a ladder ({error})") from error
    except tomllib.TOMLDecodeError as error:
        raise LadderError(f"{path}: is no TOML ({error})") from error
    _refuse_unknown(values, _OF_LADDER, f"{path}: a ladder")
    steps = values.get("step", [])
    if not isinstance(steps, list) or not steps:
        raise LadderError(f"{path}: has no [[step]]; a ladder needs at least one")
    rungs = tuple(
        _rung(step, f"{path}: step {number}") for number, step in enumerate(steps, start=1)
    )
    names = [rung.name for rung in rungs]
    for name in names:
        if names.count(name) > 1:
            raise LadderError(f"{path}: two steps are called {name!r}; give each its own name")
    title = _text(values, "title", f"{path}: the ladder")
    about = _text(values, "about", f"{path}: the ladder") if "about" in values else ""
    return Ladder(title=title, about=about, rungs=rungs, text=text)


def load_climbed(folder: Path) -> Climbed:
    """What climbing left in a folder.

    Raises:
        LadderError: It holds no ladder.
        RecordError: A step's study is missing or broken.
    """
    if not (folder / LADDER).is_file():
        raise LadderError(
            f"{folder}: holds no {LADDER}; 'netlet climb LADDER --out {folder}' makes it"
        )
    ladder = load_ladder(folder / LADDER)
    missing = [rung.name for rung in ladder.rungs if not (folder / rung.name / STUDY).is_file()]
    if missing:
        raise LadderError(
            f"{folder}: the steps {', '.join(missing)} have not been run; 'netlet climb' runs them"
        )
    found = tuple(load_study(folder / rung.name) for rung in ladder.rungs)
    for rung, study in zip(ladder.rungs, found, strict=True):
        if study.name != rung.name:
            raise LadderError(
                f"{folder / rung.name}: is a study of {study.name}, not of the step; climb elsewhere"
            )
    return Climbed(
        ladder, found, tuple(_remarks(folder / rung.name / REMARKS) for rung in ladder.rungs)
    )


def _rung(step: Mapping[str, Any], where: str) -> Rung:
    _refuse_unknown(step, _OF_STEP, where)
    experiment = _text(step, "experiment", where)
    claim = step.get("claim", {})
    _refuse_unknown(claim, _OF_CLAIM, f"{where}: a claim")
    for what, number in claim.items():
        if isinstance(number, bool) or not isinstance(number, int | float):
            raise LadderError(f"{where}: the claim's {what} = {number!r} is no number")
    name = _text(step, "name", where) if "name" in step else experiment
    safe = all(letter.isalnum() or letter in "._-" for letter in name) and name.strip("._")
    if not safe or name in (LADDER, PAGE):
        raise LadderError(
            f"{where}: {name!r} makes no folder name; give the step a name of letters and digits"
        )
    seeds = step.get("seeds")
    if seeds is not None and (isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1):
        raise LadderError(f"{where}: seeds = {seeds!r} is no number of seeds; give at least 1")
    changes = step.get("set", {})
    if not isinstance(changes, dict):
        raise LadderError(
            f"{where}: set = {changes!r}; write it as a table, like set = {{ epochs = 14 }}"
        )
    return Rung(
        name=name,
        experiment=experiment,
        title=_text(step, "title", where),
        target=_text(step, "target", where),
        recipe=_text(step, "recipe", where) if "recipe" in step else None,
        changes=changes,
        budget=_text(step, "budget", where) if "budget" in step else None,
        seeds=seeds,
        claim=claim,
    )


def _text(values: Mapping[str, Any], name: str, where: str) -> str:
    value = values.get(name)
    if not isinstance(value, str) or not value.strip():
        found = f"{name} = {value!r}" if name in values else f"no {name}"
        raise LadderError(f'{where} has {found}; write {name} = "..."')
    return value.strip()


def _refuse_unknown(values: Any, known: tuple[str, ...], where: str) -> None:
    if not isinstance(values, dict):
        raise LadderError(f"{where} is {values!r}; write it as a table of {', '.join(known)}")
    for name in values:
        if name not in known:
            raise LadderError(
                f"{where} has no {name!r}; {did_you_mean(name, known)}it has: {', '.join(known)}"
            )


def _remarks(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, UnicodeDecodeError) as error:
        raise LadderError(f"{path}: cannot be read ({error})") from error
