"""Where the description of a data set contradicts itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from netlet.records.json_file import shorten

CLASS_NAMES = "class names"  # the checksum of a user's data set that is not of a split


def checksum_of_class_names(names: Sequence[str]) -> str:
    """Return the SHA-256 of the names of the classes, in the order of the labels."""
    lines = "\n".join(names)
    try:
        content = lines.encode("utf-8", "surrogateescape")  # as version 0.1 wrote some bytes
    except UnicodeEncodeError:
        content = lines.encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()


def contradictions_of_data(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield what contradicts what in the description of a data set."""
    names, classes, checksums = data["class_names"], data["classes"], data["checksums"]
    if classes != len(names):
        yield f"data.classes is {classes:,}, but data.class_names gives {len(names):,} names"
    if len(data["shape"]) != 3 or 0 in data["shape"]:
        yield f"data.shape is {list(data['shape'])}, but images are channels x height x width"
    recorded = checksums.get(CLASS_NAMES)
    if recorded is not None and recorded != checksum_of_class_names(names):
        yield (
            f"data.class_names are {shorten(', '.join(names))}, but data.checksums are "
            "of other names or of another order"
        )
    lines = "".join(f"{name} {checksum}\n" for name, checksum in sorted(checksums.items()))
    if hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest() != data["digest"]:
        yield f"data.digest is {shorten(data['digest'])}, but data.checksums have another digest"
