"""How much data the code of a submission can hold."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from netlet.classroom.file_kinds import SOURCES

# A table of answers for 10,000 images needs at least about this much after compression: a label
# and enough of a hash to tell the image from the others, 17 bits for each.
_TABLE_BYTES = 20_000
ENOUGH_FOR_ANSWERS = "bytes compressed, enough for a table of answers"  # of the note
# Parsed outside of the sandbox, where JSON takes up to twenty times as much memory.
_MAX_PARSED_BYTES = 16 << 20


def describe_large_code(folder: Path) -> list[str]:
    """Return a note if the code of a submission could hold the answers for the test images."""
    files = [path for path in folder.rglob("*") if path.suffix in SOURCES and path.is_file()]
    compressor, size = zlib.compressobj(6), 0
    largest, place = 0, ""
    for file in sorted(files):
        for number, code in enumerate(_list_code(file), 1):
            size += len(compressor.compress(code))
            if len(code) > largest and (alone := len(zlib.compress(code))) > largest:
                cell = f", cell {number}" if file.suffix == ".ipynb" else ""
                largest, place = alone, f"{file.relative_to(folder).as_posix()}{cell}"
    size += len(compressor.flush())
    if size <= _TABLE_BYTES:
        return []
    return [
        f"the code has {size:,} {ENOUGH_FOR_ANSWERS}, the largest part in {place}; see whether it "
        "holds data"
    ]


def _list_code(file: Path) -> list[bytes]:
    """Return the code in a file, of a notebook that of each cell, unless it is very large.

    Cells without code are empty; outputs do not count.
    """
    content = file.read_bytes()
    if file.suffix != ".ipynb" or len(content) > _MAX_PARSED_BYTES:
        return [content]
    try:
        cells = json.loads(content)["cells"]
        sources = [cell["source"] if cell["cell_type"] == "code" else "" for cell in cells]
        return [f"{''.join(source)}\n".encode("utf-8", "replace") for source in sources]
    except (ValueError, KeyError, TypeError, RecursionError):
        return [content]
