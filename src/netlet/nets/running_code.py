"""Compare the code of a net that runs with what its notebook or its files have."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import nn

from netlet.errors import NetError
from netlet.nets.built_nets import find_building, find_namespace
from netlet.nets.cell_history import (
    Definition,
    describe,
    find_never_run,
    find_ran,
    list_defined,
)
from netlet.nets.cells import Source
from netlet.nets.code_imports import UNREADABLE, find_module
from netlet.nets.definitions import select_net, split_number
from netlet.nets.imported_code import find_edited, find_edited_since
from netlet.nets.name_errors import SELECTED
from netlet.nets.net_code import NetCode, find_code, is_file_address
from netlet.nets.notebook_files import NOTEBOOK
from netlet.nets.other_nets import refuse_other_address, refuse_other_net, unwrap_net
from netlet.nets.patched_classes import list_added
from netlet.nets.registered import list_modules
from netlet.nets.replaced_definitions import find_replaced
from netlet.nets.running_constants import find_other_constant, find_other_default, read_defaults
from netlet.nets.running_net import RunningNet, SavedNet
from netlet.nets.script import binds_name, names_used_by_all
from netlet.nets.sources import read_source
from netlet.nets.stored_values import is_a, read_class_name, read_module, read_names
from netlet.nets.user_imports import is_installed
from netlet.text import relative_path

_MOST_SHOWN = 60  # characters of a value
_RUN_AGAIN = "save the notebook, run all of it again, and train"
_START_AGAIN = "start Python, or the kernel of the notebook, again and train"


def find_running_code(net: nn.Module, address: str) -> NetCode | None:
    """Return the code of a net that was built here, as its file has it.

    A notebook runs what its cells say, and Python what it has imported; the files have what was
    saved last.

    Args:
        net: The net.
        address: ``notebook.ipynb:Net``, ``file.py:Net`` or ``package.module:Net``.

    Raises:
        NetError: There is no such file or module, it does not define the net, or a file defines
            something otherwise than the cell that has run, or than was imported; or this is
            another net.
    """
    place, _, name = address.rpartition(":")
    code = None if is_file_address(place) else find_code(address)
    path = Path(code.path if code else place)
    inside = unwrap_net(net)
    building = find_building(net) or find_building(inside)
    builder: object = building.builder if building else None
    home = _find_home(inside, builder, path)
    if builder is None and _is_of_torch(inside):
        builder = home.get(split_number(name)[0])
    if edited := find_edited(net, builder):
        file, function = edited
        raise NetError(
            f"{file}: has another {function} than the one that was imported; {_START_AGAIN}"
        )
    if building and (edited := find_edited_since(building.imported, building.builder)):
        file, function = edited
        raise NetError(
            f"{file}: {function} was edited since the net was built; build the net again and train"
        )
    _refuse_edited_since_loading(net)
    if not is_file_address(place):
        if code is None and place not in sys.modules and find_module(place) is None:
            raise NetError(f"{place}: no such module; correct net_name={address!r}")
        if code is not None and not is_installed(path):
            _compare_with_module(net, builder, path, address)
        return code
    if not path.is_file():
        raise NetError(f"{place}: no such file; save the notebook, or correct net_name={address!r}")
    source = read_source(path)
    selection = select_net(source, name)
    if building is not None and building.loaded is not None:
        if describe(selection.tree) != describe(building.loaded):
            refuse_other_address(building, path, name, selection)
        return find_code(address)
    refuse_other_net(net, builder, source, selection)
    running, saved = RunningNet(net, builder, building, home), SavedNet(source, selection, place)
    _compare_definitions(running, saved)
    _compare_values(running, saved)
    if other := find_replaced(running, saved):
        raise NetError(
            f"{place}: defines {other.name} more than once: that of {other.ran} runs here, but "
            f"loading the net uses that of {other.loaded}; give them different names, or run "
            f"{other.loaded} again, and build and train the net again"
        )
    return find_code(address)


def _compare_definitions(running: RunningNet, saved: SavedNet) -> None:
    """Check that a file has the functions and classes of a net, with their default arguments.

    Raises:
        NetError: It has not.
    """
    tree = saved.selection.tree
    defaults = read_defaults(saved, running.home)
    added = list_added(tree.body)
    for name, definitions in list_defined(tree).items():
        values = _find_values(running, name)
        if name in added:  # its name may mean the method of another class by now
            changed = [cls for cls in running.classes if read_class_name(cls) in added[name]]
            values = [read_names(cls).get(name) for cls in changed]
        for value in values:
            _refuse_other_definition(value, name, definitions, running, saved)
            if default := find_other_default(value, defaults):
                raise NetError(
                    f"{saved.place}: the default of {default[0]} is not {_shorten(default[1])} "
                    f"there, as it is here; {_find_remedy(saved.source)}"
                )


def _compare_values(running: RunningNet, saved: SavedNet) -> None:
    """Check that a file has the constants and the other values of a net.

    Raises:
        NetError: It has not.
    """
    place, selection, remedy = saved.place, saved.selection, _find_remedy(saved.source)
    if other := find_other_constant(running, saved):
        variable, value, is_now = other
        when = "as it is here" if is_now else "as it was when the net was built"
        raise NetError(
            f"{place}: {variable} is not {_shorten(value)} there, {when}; {remedy}; if other code "
            f"sets {variable}, too, set it by one assignment only"
        )
    defined = list_defined(selection.tree).values()
    used = names_used_by_all(node for nodes in defined for node in nodes) - {selection.name}
    own_cells = [node for node in selection.tree.body if not saved.source.cell_of(node).file]
    if never_run := find_never_run(own_cells, used, running.home):
        raise NetError(f"{place}: has another {never_run} than the one that runs here; {remedy}")


def _find_remedy(source: Source) -> str:
    return _RUN_AGAIN if source.path.suffix == NOTEBOOK else _START_AGAIN


def _is_of_torch(net: nn.Module) -> bool:
    return read_module(type(net)).startswith("torch.")


def _find_home(net: nn.Module, builder: object, path: Path) -> Mapping[str, object]:
    """Return the names in the module that a file is, or a notebook: the kernel has no file."""
    own = [] if _is_of_torch(net) else [find_namespace(type(net))]
    if builder is not None:
        own.append(find_namespace(builder))
    # Of what netlet has loaded, only some statements have run.
    named = [one for name, one in sys.modules.copy().items() if not name.startswith(SELECTED)]
    for names in (*own, *map(read_names, named)):
        file = names.get("__file__")
        if not is_a(file, str) or Path(file).name != path.name:
            continue
        if os.path.realpath(file) == os.path.realpath(path):
            return names
    kernels = [names for names in own if "__file__" not in names]
    if path.suffix != NOTEBOOK:
        kernels += own
    return next(iter(kernels), vars(sys.modules["__main__"]))


def _compare_with_module(net: nn.Module, builder: object, path: Path, address: str) -> None:
    """Check that a module has a name, and no other net under it, as far as its text shows.

    Raises:
        NetError: It has not.
    """
    place, _, name = address.rpartition(":")
    try:
        source = read_source(path)
    except UNREADABLE:
        return
    try:
        selection = select_net(source, name)
    except UNREADABLE:
        # A module may also define names in ways that its text does not show.
        known = split_number(name)[0]
        with contextlib.suppress(Exception):  # what its __getattr__ raises
            if binds_name(known, source.tree) or hasattr(sys.modules.get(place), known):
                return
        raise
    refuse_other_net(net, builder, source, selection)


def _refuse_edited_since_loading(net: nn.Module) -> None:
    """Check that files have the code that netlet has loaded the parts of a net from.

    Raises:
        NetError: One does not.
    """
    for _, part in list_modules(net):
        building = find_building(part)
        if building is None or building.loaded is None:
            continue
        try:
            now = select_net(read_source(Path(building.path)), building.name).tree
            same = describe(now) == describe(building.loaded)
        except UNREADABLE:
            continue
        if not same:
            raise NetError(
                f"{relative_path(building.path)}: has another {building.name} than the one that "
                "was loaded from there; load it again with netlet.nets.find_net, and train"
            )


def _find_values(running: RunningNet, name: str) -> list[object]:
    """Return the classes or the function of a name that a net consists of, or was built with."""
    named = [cls for cls in running.classes if read_class_name(cls) == name]
    if own := [cls for cls in named if find_namespace(cls) is running.home]:
        return [*own]
    building = None if name in running.read.called else running.own_building
    definitions = building.definitions if building else {}
    return [definitions.get(name, running.home.get(name))]


def _refuse_other_definition(
    value: object,
    name: str,
    definitions: Sequence[Definition],
    running: RunningNet,
    saved: SavedNet,
) -> None:
    """Check that a file has a definition as the cell has it that has run.

    Raises:
        NetError: It has another one.
    """
    ran = {describe(node) for node in find_ran(value, name)}
    if not ran or not ran.isdisjoint(map(describe, definitions)):
        return
    place, selection, remedy = saved.place, saved.selection, _RUN_AGAIN
    if len(selection.definitions) > 1:
        remedy = (
            f"name the definition that was trained, like {place}:{selection.name}[1], or {remedy}"
        )
    elif running.building is None and name != selection.name:
        remedy += f"; if {name} is defined again since, build the net with netlet.build"
    raise NetError(f"{place}: has another {name} than the one that runs here; {remedy}")


def _shorten(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."
