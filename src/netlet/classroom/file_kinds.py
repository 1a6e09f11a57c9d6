"""Which files of a submission are read: their kinds, by their names."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import PurePosixPath

SOURCES = (".py", ".ipynb")
PICKLES = (".pkl", ".pickle")  # weights only if torch.save wrote them: often they are other data
WEIGHTS = (
    *(".safetensors", ".pt", ".pth", ".ckpt", ".bin"),
    *(".pt.tar", ".pth.tar"),  # PyTorch's examples call a file of torch.save like this
    *PICKLES,
)
CLAIMS = ("claim.toml", "claim.json")
REPOSITORY, RECORD = "netlet.toml", "run.json"
STATING = (*CLAIMS, REPOSITORY, RECORD)  # what the student says of the net
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
# Files of weights that other programs write; NumPy's may be other data.
_OTHER_WEIGHTS = (
    *(".h5", ".hdf5", ".keras", ".onnx", ".tflite", ".pb", ".npz", ".joblib", ".msgpack"),
    *(".tar", ".weights", ".params", ".torch", ".model", ".mlmodel"),
)


def list_endings(endings: Iterable[str]) -> str:
    """Return endings of files for a message: ``.py or .ipynb``."""
    *others, last = endings
    return f"{', '.join(others)} or {last}"


WEIGHTS_END = f"weights are read from files that end in {list_endings(WEIGHTS)}"


def is_source(name: str) -> bool:
    """Return whether a name is that of a Python file or notebook."""
    return name.lower().endswith(SOURCES)


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


def find_other_weights(names: Iterable[str]) -> str:
    """Return the first name of a file that may have weights and is not read; empty for none."""
    others = (name for name in names if name.lower().endswith(_OTHER_WEIGHTS))
    return next((name for name in others if not is_weights(name)), "")


def find_usual_name(name: str) -> str:
    """Return a name as grading knows it: ``model.py`` for ``model.PY``.

    Args:
        name: The name of a file, without its folder.
    """
    lower = name.lower()
    claim = lower.removesuffix(".txt")  # which Windows adds, and hides
    if claim in CLAIMS:
        return claim
    if lower in STATING:
        return lower
    ending = find_ending(name)
    return name[: len(name) - len(ending)] + ending


def find_ending(name: str) -> str:
    """Return the ending of a name in lower case, such as ``.pth.tar``; empty if it has none."""
    lower = name.lower()
    long = [ending for ending in WEIGHTS if lower.endswith(ending)]
    return max(long, key=len) if long else PurePosixPath(lower).suffix
