"""The recorded studies that come with netlet, and finding a study by name or path."""

from __future__ import annotations

import json
from pathlib import Path

from netlet.errors import RecordError, did_you_mean
from netlet.records.ladder import LADDER
from netlet.records.run import RECORD, load_run
from netlet.records.study import STUDY, Study, load_study
from netlet.text import quote_shell


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
    if any((folder / name).is_file() for name in (RECORD, STUDY, LADDER)):
        return True
    return any(folder.glob(f"*/{RECORD}"))


def find_study(name: str | Path) -> Study:
    """Return a study by name or path; a single run is a study of one seed.

    Args:
        name: The folder or the record of a study or run, a folder with the folders of several runs
            of one experiment, or the name of a study that comes with netlet. An existing path
            takes precedence.

    Raises:
        RecordError: There is no such study, or a record is broken.
    """
    path, known = Path(name), list_studies()
    # A folder that happens to have a study's name, such as a report's figures, is not meant.
    if path.is_dir() and (holds_records(path) or str(name) not in known):
        return _load_folder(path)
    if path.is_file():
        return _load_file(path)
    if str(name) in known:
        return load_study(shipped_studies_folder() / str(name))
    raise RecordError(
        f"no study {str(name)!r}; {did_you_mean(str(name), known)}"
        f"name a folder with records, or one of {', '.join(known)}"
    )


def _load_folder(folder: Path) -> Study:
    if (folder / STUDY).is_file():
        return load_study(folder)
    if (folder / RECORD).is_file():
        return Study.from_runs([load_run(folder)])
    if (folder / LADDER).is_file():
        raise RecordError(
            f"{folder}: is a ladder; name the folder of one of its rungs,"
            f" or run 'netlet report {quote_shell(folder)}'"
        )
    runs = sorted(folder.glob(f"*/{RECORD}"))
    if runs:
        return Study.from_runs([load_run(run) for run in runs])
    raise RecordError(
        f"{folder}: holds neither {STUDY} nor {RECORD}; name the folder of a study or run"
    )


def _load_file(path: Path) -> Study:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise RecordError(
            f"{path}: cannot be read as a record ({type(error).__name__}: {error})"
        ) from error
    if isinstance(record, dict) and "seeds" in record:
        return load_study(path)
    return Study.from_runs([load_run(path)])
