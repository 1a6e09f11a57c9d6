"""The IDX format of the MNIST files, plain and gzipped.

Two zero bytes, one byte for the type, one for the number of dimensions, each dimension as a
big-endian 32-bit count, then the values, big-endian, last dimension fastest
(http://yann.lecun.com/exdb/mnist/, "The IDX file format").
"""

import gzip
import struct
import zlib
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netlet.errors import DataError
from netlet.files import write_atomic
from netlet.text import format_shape

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(text).newbyteorder("="): code for code, text in _TYPES.items()}


def read_file(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def decompress(content: bytes, path: Path) -> bytes:
    """Decompress gzipped content; return other content unchanged.

    Args:
        content: The content of a file.
        path: Of the file, for error messages.

    Raises:
        DataError: The gzip data is damaged or incomplete.
    """
    if content[:2] != b"\x1f\x8b" and path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: expected a complete gzip file, found a broken one ({error}); "
            "download it again"
        ) from error


def parse_idx(content: bytes, path: Path) -> NDArray[np.generic]:
    """Return the array in the raw content of an IDX file.

    Args:
        content: The uncompressed content.
        path: Of the file, for error messages.

    Raises:
        DataError: A wrong magic number, or more or fewer bytes than the header announces.
    """
    if len(content) < 4:
        raise DataError(
            f"{path}: expected an IDX header of at least 4 bytes, found {len(content)} bytes"
        )
    zero, code, rank = struct.unpack(">HBB", content[:4])
    if zero != 0 or code not in _TYPES or rank == 0:
        raise DataError(
            f"{path}: expected an IDX magic number such as 0x00000803, "
            f"found 0x{content[:4].hex()}; this is not an IDX file"
        )
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(
            f"{path}: expected a header of {start} bytes, found {len(content)} bytes; "
            "the file is cut short"
        )
    shape = struct.unpack(f">{rank}I", content[4:start])
    dtype = np.dtype(_TYPES[code])
    expected = start + prod(shape) * dtype.itemsize
    if len(content) != expected:
        what = "the file is cut short" if len(content) < expected else "there are trailing bytes"
        raise DataError(
            f"{path}: expected {expected:,} bytes for {format_shape(shape)}, "
            f"found {len(content):,}; {what}"
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def read_idx(path: Path | str) -> NDArray[np.generic]:
    """Read an IDX file, plain or ``.gz``.

    Returns:
        An array with the file's shape and type, in native byte order.

    Raises:
        DataError: The file cannot be read or is not one complete IDX array.
    """
    path = Path(path)
    return parse_idx(decompress(read_file(path), path), path)


def write_idx(path: Path | str, values: NDArray[np.generic]) -> None:
    """Write an array as IDX, gzipped if the name ends in ``.gz``.

    The file appears complete or not at all.

    Raises:
        DataError: IDX cannot store the array's type, or the array has no dimension.
        OSError: The folder cannot be written to.
    """
    path = Path(path)
    code = _CODES.get(values.dtype.newbyteorder("="))
    if code is None or not 1 <= values.ndim <= 255:
        known = ", ".join(str(dtype) for dtype in _CODES)
        raise DataError(
            f"{path}: cannot store {values.dtype} of {values.ndim} dimensions; IDX stores {known}"
        )
    header = struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape)
    content = header + values.astype(_TYPES[code]).tobytes()
    # No time stamp, so that the same array gives the same bytes.
    write_atomic(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
