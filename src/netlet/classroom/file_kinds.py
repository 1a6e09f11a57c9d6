"""Which files of a submission are read: their kinds, by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from netlet.text import escape_controls

SOURCES = (".py", ".ipynb")
_APPENDED = {".py.txt": ".py", ".ipynb.txt": ".ipynb", ".ipynb.json": ".ipynb"}  # by browsers
PICKLES = (".pkl", ".pickle")  # weights only if torch.save wrote them: often they are other data
WEIGHTS = (
    *(".safetensors", ".pt", ".pth", ".ckpt", ".bin"),
    *(".pt.tar", ".pth.tar"),  # PyTorch's examples call a file of torch.save like this
    *PICKLES,
)
CLAIMS = ("claim.toml", "claim.json")
# Canvas and browsers number files of one name; Windows adds ".txt", and hides it.
_CLAIM = re.compile(r"(claim)(?:-[0-9]+| ?\([0-9]+\))?(\.toml|\.json)(?:\.txt)?")
REPOSITORY, RECORD = "netlet.toml", "run.json"
_EPOCHS = "epochs.jsonl"  # of the run that the record is about
STATING = (*CLAIMS, REPOSITORY, RECORD)  # what the student says of the net
GRADES_JSON, JOURNAL = "grades.json", "grades.jsonl"  # by which a folder of grades is known
ARCHIVE = ".zip"
_PACKED = (
    ".rar",
    ".7z",
    ".tar",
    ".gz",
    ".tgz",
    ".bz2",
    ".xz",
    ".tbz2",
    ".txz",
    ".zst",
    ".zipx",
)  # which nothing here unpacks
_OF_TEACHER = (
    *(".csv", ".tsv", ".toml", ".md", ".rst", ".json", ".jsonl", ".xlsx", ".xls", ".ods"),
    *(".yml", ".yaml", ".ini", ".cfg", ".log", ".lock", ".sh", ".bat", ".ps1", ".db", ".lnk"),
    *(".bak", ".orig", ".tmp", ".part", ".crdownload", ".pyc", ".npz"),
)
_NOTES = ("readme", "notes", "license", "requirements", "todo", "changelog")
# Files of weights that other programs write; NumPy's may be other data.
_OTHER_WEIGHTS = (
    *(".h5", ".hdf5", ".keras", ".onnx", ".tflite", ".pb", ".npz", ".joblib", ".msgpack"),
    *(".tar", ".weights", ".params", ".torch", ".model", ".mlmodel"),
)
_OF_WEIGHTS = ("weight", "model", "checkpoint", "state_dict")  # in names without an ending


def list_endings(endings: Iterable[str]) -> str:
    """Return endings of files for a message: ``.py or .ipynb``."""
    *others, last = endings
    return f"{', '.join(others)} or {last}"


NO_SOURCES = "no Python file or notebook"
HAND_IN_CODE = "; hand in the code of the net"
_MOST_NAMES = 3
WEIGHTS_END = f"weights are read from files that end in {list_endings(WEIGHTS)}"


def is_source(name: str) -> bool:
    """Return whether a name is that of a Python file or notebook."""
    return name.lower().endswith((*SOURCES, *_APPENDED))


def is_weights(name: str) -> bool:
    """Return whether a name is that of a file of weights."""
    return name.lower().endswith(WEIGHTS)


def is_pickle(name: str) -> bool:
    """Return whether a name is that of a file of weights, or of any other data."""
    return name.lower().endswith(PICKLES)


def is_archive(name: str) -> bool:
    """Return whether a name is that of a zip file."""
    return name.lower().endswith(ARCHIVE)


def is_packed(name: str) -> bool:
    """Return whether a name is that of an archive that is not unpacked."""
    return name.lower().endswith(_PACKED) and not is_weights(name)


def is_of_teacher(name: str) -> bool:
    """Return whether a file in the folder of a class is hardly a submission, but a list or a note.

    Such are tables, settings, records, files without an ending, and those of editors and systems.
    """
    lower = name.lower()
    ending = find_ending(name)
    stem = lower.removesuffix(ending)
    return (
        name.startswith((".", "~$"))
        or ending in ("", *_OF_TEACHER)
        or lower.endswith("~")
        or stem in _NOTES
    )


def refuse_unread(name: str) -> str:
    """Return why a file that lies in the folder of a class cannot be graded, and the remedy."""
    if is_weights(name):
        return (
            f"{name} has weights without the code of the net; put both into one folder, or into "
            "one .zip file"
        )
    if is_packed(name):
        return f"{name} is not unpacked; hand in a .zip file"
    return f"{name} is not read; hand in a .py file, notebook, folder or .zip file"


def find_other_weights(names: Iterable[str]) -> str:
    """Return the first name of a file that may have weights and is not read; empty for none.

    Programs add an ending to weights: ``weights.pt.zip``, ``weights.pth.txt``. Students leave it
    out.
    """
    others = (
        name
        for name in names
        if not is_weights(name)
        and (
            name.lower().endswith(_OTHER_WEIGHTS)
            or is_weights(PurePosixPath(name).stem)
            or (not find_ending(name) and any(word in name.lower() for word in _OF_WEIGHTS))
        )
    )
    return next(map(escape_controls, others), "")


def find_usual_name(name: str) -> str:
    """Return a name as grading knows it: ``model.py`` for ``model.PY`` and ``model.py.txt``.

    ``claim-1.toml`` and ``claim (1).toml`` are ``claim.toml``.

    Args:
        name: The name of a file, without its folder.
    """
    lower = name.lower()
    if claim := _CLAIM.fullmatch(lower):
        return claim[1] + claim[2]
    if lower in STATING:
        return lower
    if not (is_source(name) or is_weights(name)):
        return name
    ending = find_ending(name)
    return name[: len(name) - len(ending)] + _APPENDED.get(ending, ending)


def find_ending(name: str) -> str:
    """Return the ending of a name in lower case, such as ``.pth.tar``; empty if it has none."""
    lower = name.lower()
    long = [ending for ending in (*WEIGHTS, *_APPENDED) if lower.endswith(ending)]
    return max(long, key=len) if long else PurePosixPath(lower).suffix


def describe_without_code(names: Iterable[str]) -> str:
    """Return that a submission has no code, what it has, and what to hand in.

    Args:
        names: The names of its files.
    """
    names = list(dict.fromkeys(map(escape_controls, names)))
    if packed := [name for name in names if is_packed(name)]:
        return f"{NO_SOURCES}, and {packed[0]} is not unpacked; hand in a .zip file"
    if archives := [name for name in names if is_archive(name)]:
        return f"{NO_SOURCES}, only the zip file {archives[0]}; unpack it and hand in its files"
    weights = [name for name in names if is_weights(name)]
    there = [f"weights ({_list_some(weights)})"] if weights else []
    there += ["the record of a run"] if RECORD in names else []
    there += [name for name in names if name in (*CLAIMS, REPOSITORY)]
    of_run = (RECORD, _EPOCHS) if RECORD in names else ()
    others = [n for n in names if n not in (*weights, *of_run, *CLAIMS, REPOSITORY)]
    there += [*others[:_MOST_NAMES]]
    there += [f"{len(others) - _MOST_NAMES} more"] if len(others) > _MOST_NAMES else []
    if not there:
        return f"{NO_SOURCES}{HAND_IN_CODE}"
    *first, last = there
    shown = f"{', '.join(first)} and {last}" if first else last
    return f"{NO_SOURCES}, only {shown}{HAND_IN_CODE}, too"


def _list_some(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
