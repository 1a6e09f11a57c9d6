"""How much data the code of a submission can hold."""

from __future__ import annotations

import json
import zlib
from pathlib import Path

from netlet.classroom.submissions import SOURCES

# A table of answers for 10,000 images needs at least about this much after compression: a label
# and enough of a hash to tell the image from the others, 17 bits for each.
_TABLE_BYTES = 20_000


def describe_large_code(folder: Path) -> list[str]:
    """Return a note if the code of a submission could hold the answers for the test images."""
    files = [path for path in folder.rglob("*") if path.suffix in SOURCES and path.is_file()]
    text = b"".join(_code_of(file) for file in sorted(files))
    size = len(zlib.compress(text, 6))
    if size <= _TABLE_BYTES:
        return []
    return [
        f"its code has {size:,} bytes compressed, enough for a table of answers; see whether it "
        "holds data"
    ]


def _code_of(file: Path) -> bytes:
    """Return the code in a file, of a notebook without its outputs."""
    content = file.read_bytes()
    if file.suffix != ".ipynb":
        return content
    try:
        cells = json.loads(content)["cells"]
        sources = [cell["source"] for cell in cells if cell["cell_type"] == "code"]
        return "\n".join("".join(source) for source in sources).encode("utf-8", "replace")
    except (ValueError, KeyError, TypeError, RecursionError):
        return content
