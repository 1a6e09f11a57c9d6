"""The code of a user's net by value, so that a machine without its files can build the net."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from netlet.errors import NetError
from netlet.files import read_regular
from netlet.nets import find_code, is_file_address, is_user_code
from netlet.nets.net_code import list_code_files
from netlet.nets.notebook_files import MAX_NOTEBOOK_BYTES, NOTEBOOK
from netlet.nets.user_imports import MAX_SOURCE_BYTES
from netlet.scratch import scratch_folder

_ROOT_MARK = "setup.cfg"  # an empty one: the code may import from all folders up to it


@dataclass(frozen=True)
class NetFiles:
    """The files that the code of a net needs.

    Attributes:
        address: Where the net is on the machine of the driver, with an absolute path.
        path: The file that it is in there.
        digest: The digest of its code (:class:`netlet.nets.net_code.NetCode`).
        place: That file, relative to the folder that all files are in.
        contents: The content of each file by its relative path, with ``/`` between folders.
    """

    address: str
    path: str
    digest: str
    place: str
    contents: Mapping[str, bytes]


def pack_net(address: str) -> NetFiles | None:
    """Return the code of a net.

    Args:
        address: The full address of the net.

    Returns:
        Its code; None if it comes with netlet or with an installed package, which the other
        machine has, or if there is no such code.

    Raises:
        NetError: A file cannot be read.
    """
    if not is_user_code(address):
        return None
    code, files = find_code(address), list_code_files(address)
    if code is None or Path(code.path) not in files:
        return None
    module = address.rpartition(":")[0]
    # A module is imported by its full name, from the folder that its top package is in.
    above = 0 if is_file_address(module) else module.count(".")
    above += Path(code.path).name == "__init__.py" and not is_file_address(module)
    folders = [Path(code.path).parents[above], *(file.parent for file in files)]
    root = Path(os.path.commonpath(folders))
    contents = {file.relative_to(root).as_posix(): _read(file) for file in files}
    place = Path(code.path).relative_to(root).as_posix()
    return NetFiles(address, code.path, code.digest, place, contents)


@contextlib.contextmanager
def unpack_net(files: NetFiles) -> Iterator[str]:
    """Make the code of a net available while the block runs.

    Args:
        files: Its code. Where the same code is at its own address, nothing is written.

    Yields:
        The address of the net on this machine.

    Raises:
        NetError: A path leads out of the folder.
    """
    found = find_code(files.address)
    if found is not None and found.digest == files.digest:
        yield files.address
        return
    with scratch_folder() as folder:
        root = folder / "code"
        for name, content in files.contents.items():
            _write(root, name, content)
        with contextlib.suppress(FileExistsError), (root / _ROOT_MARK).open("xb"):
            pass
        place, _, name = files.address.rpartition(":")
        if is_file_address(place):
            try:
                yield f"{root / files.place}:{name}"
            finally:
                _forget_modules(folder)
            return
        # The folder of the top package.
        parts = len(PurePosixPath(files.place).with_suffix("").parts)
        depth = parts - place.count(".") - 1 - files.place.endswith("/__init__.py")
        top = root.joinpath(*PurePosixPath(files.place).parts[:depth])
        sys.path.insert(0, str(top))
        try:
            yield files.address
        finally:
            _forget_modules(folder)


def _forget_modules(folder: Path) -> None:
    """Forget a folder that is about to go, and its modules: others may have the same names."""
    sys.path[:] = [place for place in sys.path if not Path(place).is_relative_to(folder)]
    gone = [name for name, module in list(sys.modules.items()) if _lies_in(module, folder)]
    for name in gone:
        del sys.modules[name]


def _lies_in(module: object, folder: Path) -> bool:
    with contextlib.suppress(Exception):  # some modules compute their path
        place = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())))
        return Path(place).is_relative_to(folder)
    return False


def _read(file: Path) -> bytes:
    limit = MAX_NOTEBOOK_BYTES if file.suffix == NOTEBOOK else MAX_SOURCE_BYTES
    return read_regular(file, limit, NetError)


def _write(root: Path, name: str, content: bytes) -> None:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise NetError(f"{name}: leads out of the folder of the net's code; send it again")
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)
