"""What of a submission may be its net: read from the text of its files, without running them."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from netlet.classroom.code_uses import CodeUses
from netlet.classroom.hidden_nets import list_hidden
from netlet.classroom.named_net import list_sources
from netlet.errors import NetError
from netlet.nets import complete_address
from netlet.nets.addresses import find_defining_file, find_of_private
from netlet.nets.code_imports import UNREADABLE
from netlet.nets.module_classes import takes_several_inputs
from netlet.nets.net_names import find_imported_builder, list_nets, list_without_forward
from netlet.nets.script import list_definitions
from netlet.nets.sources import read_source
from netlet.nets.unreached_nets import (
    list_below_main,
    list_calls,
    list_inside_functions,
    list_needing_arguments,
)


@dataclass
class Candidates:
    """What may be the net of a submission.

    Attributes:
        addresses: The addresses of nets that can be tried.
        fallbacks: Those of private classes, which are tried if none of the others runs.
        builders: Functions that give arguments to a class of another file that needs some, which
            are tried last. Left out are functions that train.
        unclear: Of files that define something, but no net by its looks.
        broken: Why files are not Python, or define nothing.
        hidden: Why other nets cannot be loaded, by their addresses, or files cannot be read.
        untried: Why other nets are not tried, by their addresses.
        needing: Why classes and functions that need arguments are not tried, by their addresses.
    """

    addresses: list[str] = field(default_factory=list)
    fallbacks: list[str] = field(default_factory=list)
    builders: list[str] = field(default_factory=list)
    unclear: dict[Path, str] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    hidden: dict[str, str] = field(default_factory=dict)
    untried: dict[str, str] = field(default_factory=dict)
    needing: dict[str, str] = field(default_factory=dict)


def list_candidates(folder: Path) -> Candidates:
    """Return what may be the net of a submission.

    Args:
        folder: The folder of the submission.
    """
    found = Candidates()
    builders: list[str] = []  # functions that may return a net of another file or package
    calls: set[str] = set()
    for file in list_sources(folder):
        found.hidden |= list_hidden(file)
        builders += _add_nets(file, found)
        with contextlib.suppress(*UNREADABLE):
            tree = read_source(file).tree
            found.untried |= _list_unreached(file, tree)
            for name, arguments in list_needing_arguments(tree).items():
                found.needing[f"{file}:{name}"] = (
                    f"it has required arguments: {', '.join(arguments)}"
                )
            calls |= list_calls(tree)
    private = [] if found.addresses else leave_out_copies(found.fallbacks)
    addresses = leave_out_copies(found.addresses or builders) or private
    found.fallbacks = [one for one in private if one not in addresses]
    for builder in builders:
        uses = CodeUses(builder)
        if builder not in addresses and any(map(uses.has_part, found.needing)):
            found.builders += [] if uses.trains() else [builder]
    found.addresses = [one for one in addresses if not _is_given_more(one)] or addresses
    found.untried |= {
        address: reason
        for address, reason in found.needing.items()
        if address.rpartition(":")[2] in calls
    }
    return found


def _add_nets(file: Path, found: Candidates) -> list[str]:
    """Add what a file defines, and return the address of what is tried only without other nets.

    That is a function that may return an imported net.
    """
    try:
        names = [complete_address(str(file)).rpartition(":")[2]]
        if names == [find_of_private(source := read_source(file))]:
            found.fallbacks.append(f"{file}:{names[0]}")
            builder = find_imported_builder(source.tree)
            is_safe = builder and not CodeUses(f"{file}:{builder}").trains()
            return [f"{file}:{builder}"] if is_safe else []
    except NetError as error:
        names, defined = [], []
        with contextlib.suppress(*UNREADABLE):
            tree = read_source(file).tree
            names, defined = list_nets(tree), list_definitions(tree)
            if not names and (builder := find_imported_builder(tree)):
                return [f"{file}:{builder}"]
        if not names and defined:
            found.unclear[file] = str(error)
        elif not names:
            found.broken.append(str(error))
    with contextlib.suppress(*UNREADABLE):
        names += [one for one in list_without_forward(read_source(file).tree) if one not in names]
    found.addresses += [f"{file}:{name}" for name in names]
    return []


def _list_unreached(file: Path, tree: ast.Module) -> dict[str, str]:
    """Return why nets in code that is not run are not tried, by their addresses."""
    below = dict.fromkeys(list_below_main(tree), 'it is below if __name__ == "__main__"')
    inside = {name: f"it is inside {one}()" for name, one in list_inside_functions(tree).items()}
    return {f"{file}:{name}": reason for name, reason in {**inside, **below}.items()}


def _is_given_more(address: str) -> bool:
    """Return whether the ``forward`` of a class requires more than images."""
    place, _, name = address.rpartition(":")
    with contextlib.suppress(*UNREADABLE):
        body = read_source(Path(place)).body
        classes = {node.name: node for node in body if isinstance(node, ast.ClassDef)}
        return takes_several_inputs(name, classes)
    return False


def list_parts(addresses: Collection[str]) -> set[str]:
    """Return those of some nets of which another one, in another file, is made.

    Args:
        addresses: The addresses of the nets.
    """
    uses = {address: CodeUses(address) for address in addresses}
    return {
        address
        for address, own in uses.items()
        for other, one in uses.items()
        if file_of(other) != file_of(address) and one.has_part(address) and not own.has_part(other)
    }


def file_of(address: str) -> str:
    """Return the file in the address of a net."""
    return address.rpartition(":")[0]


def leave_out_copies(addresses: list[str]) -> list[str]:
    """Leave out nets that a notebook has from another file, by ``%run``, which has them, too."""
    pairs = [address.rpartition(":")[::2] for address in addresses]
    own = {(Path(place).resolve(), name) for place, name in pairs}
    kept = []
    for address, (place, name) in zip(addresses, pairs, strict=True):
        file = find_defining_file(address)
        if file == Path(place).resolve() or (file, name) not in own:
            kept.append(address)
    return kept
