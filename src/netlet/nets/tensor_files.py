"""Read files of tensors that other people wrote: as data, and no more than the file holds."""

from __future__ import annotations

import io
import itertools
import pickle
import pickletools
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors

from netlet.errors import NetletError, first_line
from netlet.files import read_regular
from netlet.nets.pickled_values import READ_AS_DATA

MAX_WEIGHTS_BYTES = 1 << 29  # of a file
_MAX_HEADER_BYTES = 1 << 22  # of a safetensors file
_ZIP_MAGIC = b"PK\x03\x04"
_TAR_MAGIC = b"ustar"
_INDEX = "data.pkl"  # of the archive that torch.save writes
# torch.load calls this function with any size, and the result fills the memory.
_HOSTILE_NAME = b"bytearray"
_REFUSED = re.compile(r"nsupported (?:global: )?GLOBAL (\S+)")  # in torch.load's message
_STORAGE_OF_PICKLE = "torch.storage._load_from_bytes"  # what pickle, but not torch.save, names
_UNKNOWN = "a broken file or one of another program"
_MOST_CODES = 1_000_000  # of a pickle that are read, in about a second
_SHOWN_LETTERS = 80  # of a name in a file


def read_safetensors(path: Path, error: type[NetletError]) -> dict[str, torch.Tensor]:
    """Return the tensors in a safetensors file by name.

    Args:
        path: The path of the file.
        error: The type of the exceptions to raise.

    Raises:
        NetletError: The file cannot be read, is too large, or is not a safetensors file.
    """
    content = read_regular(path, MAX_WEIGHTS_BYTES, error)
    if content[:4] == _ZIP_MAGIC:
        raise error(
            f"{path}: expected a safetensors file, found one that torch.save wrote; "
            f"rename it to {path.with_suffix('.pt').name}"
        )
    try:
        if int.from_bytes(content[:8], "little") > _MAX_HEADER_BYTES:
            raise SafetensorError("its header is too long")
        return load_safetensors(content)
    except Exception as caught:  # SafetensorError; ValueError and others for strange shapes
        raise error(
            f"{path}: expected a safetensors file, found a broken one ({_shorten(caught)}); "
            "save it again"
        ) from caught


def read_torch_file(path: Path, error: type[NetletError]) -> Any:
    """Return what ``torch.save`` stored in a file, without running code from it.

    Args:
        path: The path of the file.
        error: The type of the exceptions to raise.

    Raises:
        NetletError: The file cannot be read, is too large, is broken, would run code, or would
            unpack to more than it holds.
    """
    content = read_regular(path, MAX_WEIGHTS_BYTES, error)
    if not content:
        raise error(f"{path}: is empty; name a file that torch.save wrote")
    if content[8:9] == b"{" and content[:4] != _ZIP_MAGIC:
        raise error(
            f"{path}: is a safetensors file; rename it to {path.with_suffix('.safetensors').name}"
        )
    if content[257:262] == _TAR_MAGIC:
        raise error(
            f"{path}: is a tar archive, not a file that torch.save wrote; unpack it, and name the "
            "file with the weights"
        )
    if _is_npz(content):
        raise error(
            f"{path}: is an .npz of NumPy arrays, not weights; load them into the net, and save "
            'them with torch.save(net.state_dict(), "weights.pt")'
        )
    if _is_torchscript(content):
        raise error(
            f"{path}: is a TorchScript program, not weights; save net.state_dict() instead of it"
        )
    try:
        return load_as_data(content)
    # torch.load raises exceptions of many types: EOFError, IndexError, ValueError, ...
    except Exception as caught:
        raise error(f"{path}: {_explain_unread(path, content, caught)}") from caught


def _explain_unread(path: Path, content: bytes, caught: Exception) -> str:
    """Return why ``torch.load`` did not read a file, and the remedy."""
    is_unpickling = isinstance(caught, pickle.UnpicklingError)
    refused = _REFUSED.search(str(caught)) if is_unpickling else None
    # A RuntimeError says that a pickle is not the first one of a file of torch.save.
    is_pickle = (is_unpickling or isinstance(caught, RuntimeError)) and _is_pickle(content)
    if refused and not (is_pickle and refused[1] == _STORAGE_OF_PICKLE):
        return (
            "refused, since loading it would run code stored in the file (it names "
            f"{refused[1][:_SHOWN_LETTERS]}); save net.state_dict() alone"
        )
    if is_unpickling and path.name == _INDEX:
        return (
            "is a part of a file that torch.save wrote and that has been unpacked; hand in or name "
            "that file itself"
        )
    if is_pickle or is_unpickling:
        found = "a plain pickle, as written by pickle.dump" if is_pickle else _UNKNOWN
        return (
            f"expected a state_dict written by torch.save, found {found}; save it again with "
            "torch.save(net.state_dict(), PATH)"
        )
    return f"cannot be read as weights ({_shorten(caught)}); save it again"


def load_as_data(content: bytes) -> Any:
    """Return what ``torch.save`` stored, without running code from it.

    Raises:
        Exception: Of many types, if the content is broken or would fill the memory.
    """
    _check_sizes(content)
    with (
        warnings.catch_warnings(action="ignore"),
        torch.serialization.safe_globals(READ_AS_DATA),
    ):
        return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)


def check_tensor(tensor: torch.Tensor, path: Path, name: str, error: type[NetletError]) -> None:
    """Refuse a tensor whose values are not stored in the file one by one.

    Raises:
        NetletError: It is sparse, quantized, nested, without values or larger than the file.
    """
    kind = (
        "sparse"
        if tensor.layout is not torch.strided
        else "quantized"
        if tensor.is_quantized
        else "nested"
        if tensor.is_nested
        else "without values"
        if tensor.device.type != "cpu"
        else "larger than the file"
        if tensor.numel() * tensor.element_size() > path.stat().st_size
        else ""
    )
    if kind:
        raise error(
            f"{path}: {name} is {kind}; save the state_dict of the net on a CPU, in float32"
        )


def _is_pickle(content: bytes) -> bool:
    """Return whether a file is one pickle without tensors in other files, as of ``pickle.dump``.

    A file of ``torch.save`` is an archive or several pickles. Nothing is unpickled.
    """
    if content[:1] != pickle.PROTO or _HOSTILE_NAME in content:
        return False
    try:
        for code, _, place in itertools.islice(pickletools.genops(content), _MOST_CODES):
            if code.name == "BINPERSID":
                return False
            if code.name == "STOP":
                return place == len(content) - 1
    except ValueError:  # it is broken
        pass
    return False


def _is_torchscript(content: bytes) -> bool:
    """Return whether a file is what ``torch.jit.save`` writes."""
    return any("/code/__torch__" in name for name in _list_archive(content))


def _is_npz(content: bytes) -> bool:
    """Return whether a file is what ``numpy.savez`` writes."""
    names = _list_archive(content)
    return bool(names) and all(name.endswith(".npy") for name in names)


def _list_archive(content: bytes) -> list[str]:
    """Return the names in a zip archive; none of another or a broken file, which reading says."""
    if content[:4] != _ZIP_MAGIC:
        return []
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return []


def _check_sizes(content: bytes) -> None:
    """Refuse an archive that unpacks to more than it holds.

    Raises:
        ValueError: It does.
    """
    if content[:4] != _ZIP_MAGIC:
        if _HOSTILE_NAME in content:
            raise ValueError("it would fill the memory")
        return
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = archive.infolist()
        if sum(entry.file_size for entry in entries) > len(content):
            raise ValueError("it unpacks to more bytes than it has")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("it is compressed, which torch.save never does")
        for entry in entries:
            if entry.filename.endswith(_INDEX) and _HOSTILE_NAME in archive.read(entry):
                raise ValueError("it would fill the memory")


def _shorten(error: Exception) -> str:
    text = first_line(error)[:200].rstrip(".")
    # That of a KeyError is the key alone.
    return f"{type(error).__name__}: {text}" if isinstance(error, LookupError) else text
