"""Find the net of a run again, and refuse another one of the same name.

A run records where the code of its net is and the digest of it. A file of the same name in
another folder, or the same file after a change, may have the same layers and compute another thing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from netlet.errors import NetError
from netlet.nets.addresses import is_user_code
from netlet.nets.net_code import find_code, find_definition, is_file_address, list_needed_files
from netlet.nets.notation import is_notation
from netlet.nets.notebook_files import NOTEBOOK
from netlet.nets.one_line import find_net_by_name
from netlet.nets.registry import NETS, NetEntry
from netlet.records import WEIGHTS, Run, RunConfig
from netlet.text import quote_shell, relative_path

_MOST_SHOWN = 3  # files


def find_net_of_run(run: Run, folder: str, *, trusted: bool) -> NetEntry:
    """Return the net of a finished run.

    Args:
        run: The run.
        folder: The run's folder, for messages.
        trusted: Whether code that the run names may be run.

    Raises:
        NetError: There is no such net, it is code that is not trusted, or it is another one than
            the run's.
    """
    address = _locate(run, folder)
    if trusted and run.source_digest:
        found = find_code(address)
        if found is not None and found.digest != run.source_digest:
            weights = quote_shell(Path(folder) / WEIGHTS)
            shown = address
            if is_file_address(address.rpartition(":")[0]):
                shown = f"{relative_path(found.path)}:{address.rpartition(':')[2]}"
            remedy = "restore it, or use the net as it is now with the run's weights"
            if Path(found.path) != Path(run.source_path):
                home = relative_path(Path(run.source_path).parent)
                remedy = f"run the command in {home}, or use this net with the run's weights"
            if same := find_definition(shown, run.source_digest):
                raise NetError(
                    f"{folder}: {shown} is another net now, and the run's is {same}; use that with "
                    f"the run's weights: {quote_shell(same)} --weights {weights}"
                )
            remedy += f": {quote_shell(shown)} --weights {weights}"
            began = _Origin(run.source_path, run.source_digest, run.source_cell)
            raise _refuse(folder, began, address, found.path, remedy)
        if found is None and is_gone(address):
            there = relative_path(run.source_path)
            raise NetError(
                f"{folder}: its net came from {there}, and there is no such file; put it back, or "
                "pass the net itself and its weights: NET --weights "
                f"{quote_shell(Path(folder) / WEIGHTS)}"
            )
    if not is_user_code(address) and address not in NETS and not is_notation(address):
        weights = quote_shell(Path(folder) / WEIGHTS)
        # A net of PyTorch's own classes has the name of what it is made of, not of who makes it.
        name = "FUNCTION" if hasattr(nn, address) else address
        builder = "; FUNCTION is one of yours that builds it" if hasattr(nn, address) else ""
        raise NetError(
            f"{folder}: its net is {address}, of a file that the run does not name; pass "
            f"net_name='file.py:{name}' to netlet.fit, or use the net itself with its weights: "
            f"file.py:{name} --weights {weights}{builder}"
        )
    try:
        return find_net_by_name(address, trusted=trusted)
    except NetError as error:
        place, _, name = address.rpartition(":")
        if not (trusted and is_file_address(place) and f"no {name!r} in" in str(error)):
            raise
        weights = quote_shell(Path(folder) / WEIGHTS)
        raise NetError(
            f"{error}; if the net has another name now, pass it with the run's weights: "
            f"{quote_shell(relative_path(place))}:NAME --weights {weights}"
        ) from error


def refuse_other_source(config: RunConfig) -> None:
    """Check that the net of a run that is about to go on is still the one that it began with.

    Raises:
        NetError: Its code has changed.
    """
    if config.source_digest:
        refuse_changed_code(config.name, config.net_source, config.source_digest)


def refuse_changed_code(who: str, net: str, digest: str) -> None:
    """Check that code still has the digest that a record has.

    Args:
        who: The run or trial, for the message.
        net: The address of the net, as it was typed or in full.
        digest: The digest of its code when the net was trained.

    Raises:
        NetError: The code has changed.
    """
    found = find_code(net)
    if found is not None and found.digest != digest:
        place = net.rpartition(":")[0]
        began = place if is_file_address(place) else found.path
        remedy = "restore it, or start a new run"
        if same := find_definition(net, digest):
            raise NetError(f"{who}: {net} is another net now, and the run's is {same}; {remedy}")
        raise _refuse(who, _Origin(began, digest), net, found.path, remedy)


def describe_changed_code(net: str, digest: str) -> str:
    """Name the files of a net whose code is another one than when it was trained.

    No code is run.

    Args:
        net: The address of the net.
        digest: The digest of its code when it was trained; empty if it is not known.

    Returns:
        The files, of which at least one has changed, in words; empty if the code is the same, or no
        longer there.
    """
    if not digest or not is_user_code(net):
        return ""
    place, _, name = net.rpartition(":")
    with contextlib.suppress(NetError, OSError, SyntaxError, ValueError):
        found = find_code(net)
        if found is None and is_file_address(place) and not is_gone(net):
            return f"{relative_path(place)}, in which {name} cannot be found now,"
        if found is not None and found.digest != digest:
            return f"{relative_path(found.path)}{_describe_needed(net, found.path)}"
    return ""


def _locate(run: Run, folder: str) -> str:
    """Return the address of a run's net from here."""
    if not run.source_path:
        return run.net
    return locate_net(run.net, run.source_digest, [Path(folder)], [run.source_path])


def locate_net(
    net: str, digest: str, records: Sequence[Path], sources: Sequence[str | Path] = ()
) -> str:
    """Return the address from here of a net that records name.

    Its file is looked for from the working directory, then from the folders that the records lie
    in, which may have been moved or copied with the net; among these, the code of the records comes
    first. Where none of them has the file, it is looked for where it was. No code is run.

    Args:
        net: The address in the records.
        digest: The digest of its code when it was trained.
        records: Files or folders of the records.
        sources: Where the file has been when the net was trained.

    Returns:
        The address of a file that is there; ``net`` itself if there is none.
    """
    place, _, name = net.rpartition(":")
    if not is_user_code(net) or not is_file_address(place):
        return net
    parents = dict.fromkeys(parent for one in records for parent in one.resolve().parents)
    here = [net] if Path(place).is_file() else []
    near = [*here, *(f"{one / place}:{name}" for one in parents if (one / place).is_file())]
    for address in near:
        found = find_code(address)
        if found is not None and found.digest == digest:
            return address
    far = [f"{one}:{name}" for one in sources if Path(one).is_file()]
    return next(iter([*near, *far]), net)


def is_gone(address: str) -> bool:
    """Return whether an address names a file that is not there."""
    place = address.rpartition(":")[0]
    return is_file_address(place) and not Path(place).is_file()


@dataclass(frozen=True)
class _Origin:
    """Where the net of a run came from."""

    path: str
    digest: str
    cell: int = 0  # as of ``NetCode``; 0 if it is not known

    def __str__(self) -> str:
        return f"cell {self.cell} of " * bool(self.cell) + relative_path(self.path)


def _refuse(who: str, began: _Origin, net: str, found: str, remedy: str) -> NetError:
    """Return the error that names the source of a run and the one that is there now."""
    one, other = relative_path(began.path), relative_path(found)
    if one == other:
        return NetError(
            f"{who}: {began}{_describe_needed(net, found)} has changed since the run (its digest "
            f"was {began.digest[:12]}); {remedy}"
        )
    return NetError(
        f"{who}: its net came from {began} (digest {began.digest[:12]}), but {other} is another "
        f"net of the same name; {remedy}"
    )


def _describe_needed(net: str, path: str) -> str:
    """Return what else than the place of a net may have changed: other cells, imported files."""
    files = [relative_path(file) for file in list_needed_files(net) if file != Path(path)]
    needed = ["another cell that the net needs"] if path.endswith(NOTEBOOK) else []
    if len(files) > _MOST_SHOWN:
        needed.append(f"one of the {len(files)} files that it imports")
    elif files:
        needed.append(f"{' or '.join(files)}, which it imports")
    return f", or {', or '.join(needed)}," if needed else ""
