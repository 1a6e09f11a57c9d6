"""Nets of a submission that are the same: in a notebook and its export, or in copies."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Mapping
from pathlib import Path

from netlet.classroom.working_folder import working_folder
from netlet.experiments import find_experiment
from netlet.experiments.sandbox import NetAnalysis
from netlet.nets import build
from netlet.nets.cell_history import describe, list_defined
from netlet.nets.code_imports import UNREADABLE
from netlet.nets.definitions import select_net
from netlet.nets.sources import read_source

_Text = tuple[Mapping[str, list[str]], list[str]]


def leave_out_same(
    found: Mapping[str, NetAnalysis],
    built: Mapping[str, tuple[str, str]],
    folder: Path,
    shape: tuple[int, ...],
    classes: int,
) -> dict[str, list[str]]:
    """Return the addresses of nets that differ, each with those of nets that are the same.

    Nets are the same if their text is, without comments and layout, or if both are built of one
    class with the same arguments, and so are their cost and the shapes of their tensors.

    Args:
        found: The nets by their addresses; of those that are the same, the first counts.
        built: The class of which nets are built and the arguments, by the addresses of the nets.
        folder: The folder of the submission.
        shape: The shape of one image, ``C H W``.
        classes: The number of classes.
    """
    kept: dict[str, list[str]] = {}
    for address, analysis in found.items():
        for other, copies in kept.items():
            if (
                analysis.cost == found[other].cost
                and (has_same_text(address, other) or _is_built_alike(address, other, built))
                and _list_shapes(address, folder, shape, classes)
                == _list_shapes(other, folder, shape, classes)
            ):
                copies.append(address)
                break
        else:
            kept[address] = []
    return kept


def _is_built_alike(address: str, other: str, built: Mapping[str, tuple[str, str]]) -> bool:
    return address in built and built[address] == built.get(other)


def has_same_text(address: str, other: str) -> bool:
    """Return whether two nets are defined alike, and what both files define of their parts is."""
    name, another = (one.rpartition(":")[2] for one in (address, other))
    if name != another:
        return False
    with contextlib.suppress(*UNREADABLE):
        (defined, rest), (also, other_rest) = map(_read_text, (address, other))
        if name not in defined or name not in also:
            return (defined, rest) == (also, other_rest)
        return all(defined[one] == also[one] for one in defined.keys() & also.keys())
    return False


def _read_text(address: str) -> _Text:
    """Return the definitions that a net needs by their names, and its other statements."""
    place, _, name = address.rpartition(":")
    tree = select_net(read_source(Path(place)), name).tree
    defined = {key: [describe(node) for node in nodes] for key, nodes in list_defined(tree).items()}
    imports = (ast.Import, ast.ImportFrom)
    rest = [describe(node) for node in tree.body if not isinstance(node, imports)]
    return defined, rest


def _list_shapes(
    address: str, folder: Path, shape: tuple[int, ...], classes: int
) -> dict[str, tuple[int, ...]]:
    with working_folder(folder, address):
        net = build(find_experiment(address).net.builder, 0, shape, classes)
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}
