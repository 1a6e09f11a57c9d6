"""The recorded studies that come with netlet, and finding a study by name or path."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from netlet.errors import DamagedRecordError, RecordError, did_you_mean
from netlet.records.json_file import parse_json, read_text
from netlet.records.ladder import LADDER
from netlet.records.other_results import refuse_other_results
from netlet.records.run import CHECKPOINT_FILE, RECORD, Run, describe_unfinished, load_run
from netlet.records.study import STUDY, Study, load_study, study_from_json
from netlet.text import quote_shell

OnProblem = Callable[[str], None]


def shipped_studies_folder() -> Path:
    """Return the folder with the studies that come with netlet, ``NAME/study.json`` for each.

    An installed wheel holds them beside this file, a checkout in ``results/studies``.
    """
    installed = Path(__file__).parent / "studies"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "results" / "studies"


def list_studies() -> list[str]:
    """Return the names of the studies that come with netlet."""
    return sorted(path.parent.name for path in shipped_studies_folder().glob(f"*/{STUDY}"))


def holds_records(folder: Path) -> bool:
    """Return whether a path is the folder of a run, a study, a ladder, or of several runs."""
    return any(map(os.path.lexists, (folder / name for name in (RECORD, STUDY, LADDER)))) or bool(
        _list_runs(folder)
    )


def _list_runs(folder: Path) -> list[Path]:
    """Return the records of the runs in a folder's folders, whatever they are."""
    try:
        places = sorted(folder.iterdir())
    except OSError:  # it is not a folder, or must not be read
        return []
    return [place / RECORD for place in places if os.path.lexists(place / RECORD)]


def find_study(name: str | Path, on_problem: OnProblem | None = None) -> Study:
    """Return a study by name or path; a single run is a study of one seed.

    Args:
        name: The folder or the record of a study or run, a folder with the folders of several runs
            of one experiment, or the name of a study that comes with netlet. An existing path
            takes precedence.
        on_problem: A function that is called with the error message of each damaged record in a
            folder that holds others; without it, the first one is raised.

    Raises:
        RecordError: There is no such study, a record is damaged, or a study and one of its runs
            contradict each other.
    """
    path, known = Path(name), list_studies()
    # A folder that happens to have a study's name, such as a report's figures, is not meant.
    if path.is_dir() and (holds_records(path) or str(name) not in known):
        return _load_folder(path, on_problem)
    if not path.is_dir() and (path.exists() or path.is_symlink()):
        return _load_file(path)
    if str(name) in known:
        return load_study(shipped_studies_folder() / str(name))
    if "/" in str(name):
        raise RecordError(f"{name}: no such folder or file; 'netlet runs' lists your runs")
    raise RecordError(
        f"no study {str(name)!r}; {did_you_mean(str(name), known)}"
        f"name a folder with records, or one of {', '.join(known)}"
    )


def load_runs(paths: Iterable[Path], on_problem: OnProblem | None = None) -> list[Run]:
    """Load runs; a damaged one does not hide the others.

    Args:
        paths: The paths of their records.
        on_problem: A function that is called with the error message of each damaged record; without
            it, the first one is raised.

    Raises:
        DamagedRecordError: A record is damaged and there is no ``on_problem``.
    """
    runs = []
    for path in paths:
        try:
            runs.append(load_run(path))
        except DamagedRecordError as error:
            if on_problem is None:
                raise
            on_problem(str(error))
    return runs


def _load_folder(folder: Path, on_problem: OnProblem | None) -> Study:
    paths = _list_runs(folder)
    if os.path.lexists(folder / STUDY):
        study = load_study(folder)
        for path in paths:
            for run in load_runs([path], on_problem):
                refuse_other_results(study, run, folder / STUDY, path)
        return study
    if os.path.lexists(folder / RECORD):
        return Study.from_runs([load_run(folder)])
    if (folder / LADDER).is_file():
        raise RecordError(
            f"{folder}: is a ladder; name the folder of one of its rungs,"
            f" or run 'netlet report {quote_shell(folder)}'"
        )
    if not paths and (folder / CHECKPOINT_FILE).is_file():
        raise RecordError(describe_unfinished(folder))
    if not paths:
        raise RecordError(
            f"{folder}: holds neither {STUDY} nor {RECORD}; name the folder of a study or run"
        )
    runs = load_runs(paths[:-1], on_problem)
    # If none can be read, the last one's error is raised.
    runs += load_runs(paths[-1:], on_problem if runs else None)
    return Study.from_runs(runs)


def _load_file(path: Path) -> Study:
    text = read_text(path)
    record = parse_json(text, path)
    if path.name == STUDY or (isinstance(record, dict) and "seeds" in record):
        return study_from_json(record, path)
    return Study.from_runs([Run.from_json(text, path)])
