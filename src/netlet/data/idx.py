"""The IDX format of the MNIST files, plain and gzipped.

Two zero bytes, one byte for the type, one for the number of dimensions, each dimension as a
big-endian 32-bit count, then the values, big-endian, last dimension fastest
(http://yann.lecun.com/exdb/mnist/, "The IDX file format").
"""

import gzip
import struct
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from netlet.errors import DataError
from netlet.files import read_regular, write_atomic
from netlet.text import format_shape

_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_GZIP_MAGIC = b"\x1f\x8b"
_PIECE_BYTES = 1 << 15  # unpacks to at most a thousand times as many
_MAX_MEMBERS = 2_000
_MAX_BYTES = 1 << 30  # of a file, and of an array
_SMALL_BYTES = 1 << 20
_MAX_RANK = 8  # more dimensions mean that it is another file
_CUT_SHORT = "the file is cut short, download it again"
_TOO_LONG = "there are trailing bytes, download it again"
_OTHER_FILE = "this is not an IDX file, check its name or download it again"
_CODES = {np.dtype(text).newbyteorder("="): code for code, text in _TYPES.items()}


def decompress(content: bytes, path: Path, max_bytes: int) -> bytes:
    """Decompress gzipped content; return other content unchanged.

    A small file may decompress to any size, so at most one byte more than ``max_bytes`` is
    returned.

    Args:
        content: The content of a file.
        path: The path of the file, for error messages.
        max_bytes: The size that the caller expects at most.

    Raises:
        DataError: The gzip data is damaged or incomplete.
    """
    if content[:2] != _GZIP_MAGIC and path.suffix != ".gz":
        return content
    try:
        return b"".join(_decompress_members(memoryview(content), max_bytes))[: max_bytes + 1]
    except (EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: expected a complete gzip file, found a broken one ({error}); "
            "download it again"
        ) from error


def _decompress_members(content: memoryview, max_bytes: int) -> Iterator[bytes]:
    """Yield the content of gzip files joined into one, until it is larger than ``max_bytes``."""
    at = size = 0
    for _ in range(_MAX_MEMBERS):
        member = zlib.decompressobj(wbits=31)
        while not member.eof:
            piece = content[at : at + _PIECE_BYTES]
            if not piece:
                raise EOFError("it ends too early")
            at += len(piece)
            unpacked = member.decompress(piece)
            size += len(unpacked)
            yield unpacked
            if size > max_bytes:
                return
        at -= len(member.unused_data)
        if content[at : at + 2] != _GZIP_MAGIC and not bytes(content[at:]).strip(b"\0"):
            return  # the end, or padding
    raise EOFError(f"it has more than {_MAX_MEMBERS} parts")


def parse_header(content: bytes, path: Path) -> tuple[tuple[int, ...], np.dtype[np.generic]]:
    """Return the shape and type that an IDX file announces.

    Args:
        content: The uncompressed content, or its beginning.
        path: The path of the file, for error messages.

    Raises:
        DataError: It is not the header of an IDX file, or the array would be too large.
    """
    if len(content) < 4:
        raise DataError(
            f"{path}: expected an IDX header of at least 4 bytes, found {len(content)} bytes; "
            f"{_CUT_SHORT}"
        )
    zero, code, rank = struct.unpack(">HBB", content[:4])
    if zero != 0 or code not in _TYPES or not 0 < rank <= _MAX_RANK:
        raise DataError(
            f"{path}: expected an IDX magic number such as 0x00000803, "
            f"found 0x{content[:4].hex()}; {_OTHER_FILE}"
        )
    start = _header_bytes(rank)
    if len(content) < start:
        raise DataError(
            f"{path}: expected a header of {start} bytes, found {len(content)} bytes; {_CUT_SHORT}"
        )
    shape = struct.unpack(f">{rank}I", content[4:start])
    dtype = np.dtype(_TYPES[code])
    if prod(max(count, 1) for count in shape) * dtype.itemsize > _MAX_BYTES:
        raise DataError(
            f"{path}: announces {format_shape(shape)} values of {dtype}, more than "
            f"{_MAX_BYTES:,} bytes; {_OTHER_FILE}"
        )
    return shape, dtype


def _header_bytes(rank: int) -> int:
    return 4 + 4 * rank


def parse_idx(content: bytes, path: Path) -> NDArray[np.generic]:
    """Return the array in the raw content of an IDX file.

    Args:
        content: The uncompressed content.
        path: The path of the file, for error messages.

    Raises:
        DataError: A wrong magic number, or more or fewer bytes than the header announces.
    """
    shape, dtype = parse_header(content, path)
    start = _header_bytes(len(shape))
    expected = start + prod(shape) * dtype.itemsize
    if len(content) != expected:
        remedy = _CUT_SHORT if len(content) < expected else _TOO_LONG
        raise DataError(
            f"{path}: expected {expected:,} bytes for {format_shape(shape)}, "
            f"found {len(content):,}; {remedy}"
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
    content = read_regular(path, _MAX_BYTES, DataError)
    # What the header announces and a byte more; all of a small file, to find damage at its end.
    shape, dtype = parse_header(decompress(content, path, _header_bytes(_MAX_RANK)), path)
    size = _header_bytes(len(shape)) + prod(shape) * dtype.itemsize
    return parse_idx(decompress(content, path, max(size, _SMALL_BYTES)), path)


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
