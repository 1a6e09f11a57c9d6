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
from netlet.files import write_whole

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_CODES = {np.dtype(text).newbyteorder("="): code for code, text in _TYPES.items()}


def read_file(path: Path) -> bytes:
    """The bytes of a file as they lie on the disk.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def decompress(content: bytes, path: Path) -> bytes:
    """The raw content: decompressed if it is gzipped, else as it is; ``path`` is for the messages.

    Raises:
        DataError: The compression is broken or cut short.
    """
    if content[:2] != b"\x1f\x8b" and path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: expected a whole gzip file, found a broken one ({error}); get it anew"
        ) from error


def parse_idx(content: bytes, path: Path) -> NDArray[np.generic]:
    """The array in the raw content of an IDX file; ``path`` is for the messages.

    Raises:
        DataError: Wrong magic, or fewer or more bytes than the header promises.
    """
    if len(content) < 4:
        raise DataError(
            f"{path}: expected an IDX header of at least 4 bytes, found {len(content)} bytes"
        )
    zero, code, rank = struct.unpack(">HBB", content[:4])
    if zero != 0 or code not in _TYPES or rank == 0:
        raise DataError(
            f"{path}: expected an IDX magic number such as 0x00000803, found 0x{content[:4].hex()}; "
            "this is not an IDX file"
        )
    start = 4 + 4 * rank
    if len(content) < start:
        raise DataError(
            f"{path}: expected a header of {start} bytes, found {len(content)} bytes; the file is cut short"
        )
    shape = struct.unpack(f">{rank}I", content[4:start])
    dtype = np.dtype(_TYPES[code])
    expected = start + prod(shape) * dtype.itemsize
    if len(content) != expected:
        what = "the file is cut short" if len(content) < expected else "there are trailing bytes"
        raise DataError(
            f"{path}: expected {expected:,} bytes for {'x'.join(map(str, shape))}, found {len(content):,}; {what}"
        )
    values = np.frombuffer(content, dtype, offset=start).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def read_idx(path: Path | str) -> NDArray[np.generic]:
    """Read an IDX file, plain or ``.gz``.

    Returns:
        An array of the file's own shape and type, in native byte order.

    Raises:
        DataError: The file cannot be read or is not one whole IDX array.
    """
    path = Path(path)
    return parse_idx(decompress(read_file(path), path), path)


def write_idx(path: Path | str, values: NDArray[np.generic]) -> None:
    """Write an array as IDX, gzipped if the name ends in ``.gz``; the file appears whole or not at all.

    Raises:
        DataError: The type is none of the six that IDX knows, or the array has no dimension.
        OSError: The folder cannot be written to.
    """
    path = Path(path)
    code = _CODES.get(values.dtype.newbyteorder("="))
    if code is None or not 1 <= values.ndim <= 255:
        known = ", ".join(str(dtype) for dtype in _CODES)
        raise DataError(
            f"{path}: cannot hold {values.dtype} of {values.ndim} dimensions; IDX holds {known}"
        )
    header = struct.pack(f">HBB{values.ndim}I", 0, code, values.ndim, *values.shape)
    content = header + values.astype(_TYPES[code]).tobytes()
    # No time stamp: the same array gives the same bytes.
    write_whole(path, gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)
