"""Where the description of a data set contradicts itself."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from netlet.records.json_file import shorten

CLASS_NAMES = "class names"  # the checksum of a user's data set that is not of a split
# Among the checksums, so that it is a part of the digest: how ``val`` was held out of ``train`` if
# not by ``Dataset.hold_out(N)``, like "draw 1" or "fold 0 of 5".
HELD_OUT = "held out"
_HELD_OUT = re.compile(r"draw (?P<draw>-?[1-9]\d{0,17})|fold (?P<fold>\d+) of (?P<folds>\d+)")


def find_held_out(data: Mapping[str, Any]) -> str:
    """Return which draw or fold a data set holds out, in words; empty: none, or the default."""
    checksums: Mapping[str, str] = data.get("checksums", {})  # not in checkpoints of version 0.1
    return checksums.get(HELD_OUT, "")


def read_held_out(data: Mapping[str, Any]) -> dict[str, int] | None:
    """Return how the images called ``val`` were held out of ``train``.

    Args:
        data: The description of a data set.

    Returns:
        The arguments of ``Dataset.hold_out_fold``, or those of ``Dataset.hold_out`` besides the
        number of images: nothing by default. None if the description cannot be read.
    """
    text = find_held_out(data)
    if not text:
        return {}
    match = _HELD_OUT.fullmatch(text)
    found = match.groupdict() if match else {}
    return {name: int(value) for name, value in found.items() if value is not None} or None


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
    if HELD_OUT in checksums and not _can_be_held_out(data):
        numbers = " and ".join(f"{number:,} {name}" for name, number in data["images"].items())
        yield (
            f"data.checksums say that {shorten(checksums[HELD_OUT])} is held out, which does not "
            f"give the {numbers} images of data.images"
        )
    lines = "".join(f"{name} {checksum}\n" for name, checksum in sorted(checksums.items()))
    if hashlib.sha256(lines.encode("utf-8", "surrogatepass")).hexdigest() != data["digest"]:
        yield f"data.digest is {shorten(data['digest'])}, but data.checksums have another digest"


def _can_be_held_out(data: Mapping[str, Any]) -> bool:
    """Return whether the draw or the fold that the checksums name has so many images."""
    how, val = read_held_out(data), data["images"].get("val", 0)
    if not how or not val:
        return False
    if "draw" in how:
        return True
    whole = data["images"].get("train", 0) + val
    return how["fold"] < how["folds"] and val == len(range(how["fold"], whole, how["folds"]))
