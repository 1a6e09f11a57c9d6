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

import dataclasses
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from netlet.display import Displayed
from netlet.errors import DamagedRecordError, LadderError, NetletDeprecationWarning, warn
from netlet.files import read_regular, safe_name
from netlet.records.study import STUDY, Study, load_study
from netlet.text import quote_shell
from netlet.toml_files import check_keys, fail, read_toml, show_value

LADDER, PAGE, REMARKS = "ladder.toml", "ladder.md", "remarks.md"
MAX_SEEDS = 10_000  # of a study
_MAX_BYTES = 1 << 20  # of a ladder, and of remarks
_MAX_LETTERS = 100  # of a rung's name
_MAX_RUNGS = 1_000
_EXAMPLE = "see docs/results.md for an example"
_MAX_CLAIM = 1e15
_LADDER_KEYS = ("title", "about", "rung")
_RUNG_KEYS = ("experiment", "name", "title", "target", "recipe", "set", "budget", "seeds", "claim")
_CLAIM_KEYS = ("parameters", "best_train", "best_test")


@dataclass(frozen=True, kw_only=True)
class Rung(Displayed):
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
class Ladder(Displayed):
    """Rungs from the first to the last."""

    title: str
    about: str
    rungs: tuple[Rung, ...]
    toml: str = field(repr=False)  # content of its file


@dataclass(frozen=True)
class LadderResult(Displayed):
    """A ladder and the studies of its rungs."""

    ladder: Ladder
    studies: tuple[Study, ...]  # one for each rung
    remarks: tuple[str, ...]  # the user's remarks on each rung; empty where there are none

    def _facts(self) -> Mapping[str, object]:
        return {
            "ladder": self.ladder.title,
            "rungs": [rung.name for rung in self.ladder.rungs],
            "studies": len(self.studies),
        }


def load_ladder(path: Path) -> Ladder:
    """Load the ladder in a TOML file.

    Raises:
        LadderError: The file cannot be read, or a key is missing, unknown or invalid.
    """
    if not os.path.lexists(path):
        raise LadderError(f"{path}: no such file; name a ladder's .toml file")
    file = read_toml(path, _MAX_BYTES, LadderError, _EXAMPLE)
    values = file.values
    if "step" in values:
        warn(
            f"{path}: [[step]] is now called [[rung]]; the old name will stop working in 0.3",
            NetletDeprecationWarning,
        )
        values["rung"] = values.pop("step")
    with file.naming_lines():
        return _parse_ladder(values, file.text.replace("\r\n", "\n"))


def load_ladder_result(
    folder: Path, on_problem: Callable[[str], None] | None = None
) -> LadderResult:
    """Load a ladder and its studies from the folder that ``netlet climb`` wrote.

    Args:
        folder: The folder of the ladder.
        on_problem: A function called with the error of each rung whose study is damaged; the rung
            is left out. Without it, or if no rung is left, the error is raised.

    Raises:
        LadderError: The folder holds no ladder, or a rung has not been trained yet.
        RecordError: A study is damaged.
    """
    if not (folder / LADDER).is_file():
        raise LadderError(
            f"{folder}: holds no {LADDER}; "
            f"run 'netlet climb LADDER --out {quote_shell(folder)}' first"
        )
    return load_rungs(load_ladder(folder / LADDER), folder, on_problem)


def load_rungs(
    ladder: Ladder, folder: Path, on_problem: Callable[[str], None] | None = None
) -> LadderResult:
    """Load the studies of a ladder's rungs; otherwise like :func:`load_ladder_result`."""
    missing = [rung.name for rung in ladder.rungs if not (folder / rung.name / STUDY).exists()]
    if missing:
        raise LadderError(
            f"{folder}: not trained yet: {', '.join(missing)}; "
            f"run 'netlet climb LADDER --out {quote_shell(folder)}' again"
        )
    rungs: list[Rung] = []
    studies: list[Study] = []
    for rung in ladder.rungs:
        try:
            studies.append(load_study(folder / rung.name))
        except DamagedRecordError as error:
            if on_problem is None or (rung == ladder.rungs[-1] and not rungs):
                raise
            on_problem(str(error))
        else:
            rungs.append(rung)
    ladder = dataclasses.replace(ladder, rungs=tuple(rungs))
    for rung, study in zip(rungs, studies, strict=True):
        if study.name != rung.name:
            raise LadderError(
                f"{folder / rung.name}: holds a study of {study.name}, not of the rung;"
                " use another folder for the ladder"
            )
    remarks = tuple(_read_remarks(folder / rung.name / REMARKS) for rung in ladder.rungs)
    return LadderResult(ladder, tuple(studies), remarks)


def _parse_ladder(values: Mapping[str, Any], toml: str) -> Ladder:
    check_keys(values, _LADDER_KEYS, "a ladder")
    entries = values.get("rung", [])
    if not isinstance(entries, list) or not entries:
        fail("has no [[rung]]; a ladder needs at least one", "rung")
    if len(entries) > _MAX_RUNGS:
        fail(f"has {len(entries):,} rungs; give it at most {_MAX_RUNGS:,}", "rung")
    rungs = tuple(_parse_rung(entry, "rung", number) for number, entry in enumerate(entries))
    folders = [rung.name.casefold() for rung in rungs]  # of which some systems make one
    for number, rung in enumerate(rungs):
        if rung.name.casefold() in folders[:number]:
            fail(
                f"two rungs are called {rung.name!r}; give each its own name",
                "rung",
                number,
                "name",
            )
    about = _read_text(values, "about") if "about" in values else ""
    return Ladder(title=_read_text(values, "title"), about=about, rungs=rungs, toml=toml)


def _parse_rung(entry: object, *place: str | int) -> Rung:
    values = _read_table(entry, _RUNG_KEYS, "a rung", *place)
    experiment = _read_text(values, "experiment", *place)
    changes = values.get("set", {})
    if not isinstance(changes, dict):
        fail(f"set = {show_value(changes)}; write a table, like {{ epochs = 14 }}", *place, "set")
    return Rung(
        name=_read_name(values, experiment, *place),
        experiment=experiment,
        title=_read_text(values, "title", *place),
        target=_read_text(values, "target", *place),
        recipe=_read_text(values, "recipe", *place) if "recipe" in values else None,
        changes=changes,
        budget=_read_text(values, "budget", *place) if "budget" in values else None,
        max_seeds=_read_seeds(values, *place),
        claim=_read_claim(values, *place),
    )


def _read_name(values: Mapping[str, Any], experiment: str, *place: str | int) -> str:
    name = _read_text(values, "name", *place) if "name" in values else experiment
    if safe_name(name) != name or name in (LADDER, PAGE) or len(name) > _MAX_LETTERS:
        fail(
            f"{name!r} cannot be a folder's name; give the rung a name of at most {_MAX_LETTERS} "
            "letters and digits",
            *place,
            "name",
        )
    return name


def _read_seeds(values: Mapping[str, Any], *place: str | int) -> int | None:
    seeds = values.get("seeds")
    if seeds is not None and (
        isinstance(seeds, bool) or not isinstance(seeds, int) or not 1 <= seeds <= MAX_SEEDS
    ):
        fail(
            f"seeds = {show_value(seeds)} is not a number of seeds; give 1 or more, at most "
            f"{MAX_SEEDS:,}",
            *place,
            "seeds",
        )
    return seeds


def _read_claim(values: Mapping[str, Any], *place: str | int) -> dict[str, float]:
    claim = _read_table(values.get("claim", {}), _CLAIM_KEYS, "a claim", *place, "claim")
    for key, number in claim.items():
        if (
            isinstance(number, bool)
            or not isinstance(number, int | float)
            or not 0 <= number <= _MAX_CLAIM
        ):
            fail(
                f"the claim's {key} = {show_value(number)} is not a number; "
                "write it like parameters = 4990 or best_test = 97.16",
                *place,
                "claim",
                key,
            )
    return dict(claim)


def _read_table(
    values: object, known: tuple[str, ...], what: str, *place: str | int
) -> Mapping[str, Any]:
    if not isinstance(values, dict):
        fail(f"{what} is {show_value(values)}; write a table of {', '.join(known)}", *place)
    check_keys(values, known, what, *place)
    return values


def _read_text(values: Mapping[str, Any], key: str, *place: str | int) -> str:
    value = values.get(key)
    if not isinstance(value, str) or not value.strip():
        found = f"{key} is {show_value(value)}" if key in values else f"there is no {key}"
        fail(f'{found}; write {key} = "..."', *place, key)
    return value.strip()


def _read_remarks(path: Path) -> str:
    """Return a user's remarks, without a byte order mark; empty if there is no file."""
    if not os.path.lexists(path):
        return ""
    content = read_regular(path, _MAX_BYTES, LadderError)
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n").strip()
    except UnicodeDecodeError as error:
        raise LadderError(
            f"{path}: cannot be read as remarks (not UTF-8 text); save it as UTF-8"
        ) from error
