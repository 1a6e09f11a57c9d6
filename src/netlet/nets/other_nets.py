"""Refuse the address of another net than the one that is trained."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import FunctionType

from torch import nn

from netlet.errors import NetError
from netlet.nets.built_nets import Building
from netlet.nets.cells import Source
from netlet.nets.definitions import Selection, split_number
from netlet.nets.used_functions import is_of_library, list_functions
from netlet.nets.user_imports import is_installed
from netlet.text import relative_path

_KINDS = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
_WRAPPED = {"module"}, {"_orig_mod"}  # parts of DataParallel and averaged weights, torch.compile


def refuse_other_net(net: nn.Module, builder: object, source: Source, selection: Selection) -> None:
    """Check that the class of a net or the function that has built it may be what a name means.

    A name may stand for a variable, and a function may call another one; then this is not known.

    Args:
        net: The net.
        builder: The class or function that has built it, if that is known.
        source: The file.
        selection: The statements of the net that is named.

    Raises:
        NetError: The name means another class or function.
    """
    name = selection.name
    net = unwrap_net(net)
    # Beside these, a class may have bases like Generic.
    kinds = [kind for kind in type(net).__mro__ if issubclass(kind, nn.Module)]
    kinds = [kind for kind in kinds if not kind.__module__.startswith("torch.")]
    classes = [kind.__name__ for kind in kinds]
    own = classes[0] if classes else ""
    built_by = str(getattr(builder, "__name__", "")).replace("<lambda>", "")
    if name == own or (name == built_by and (own or isinstance(builder, FunctionType))):
        return
    bound = find_definitions(selection)
    defined = {node.name for node in source.body if isinstance(node, _KINDS)}
    needed = {node.name for node in selection.tree.body if isinstance(node, _KINDS)}
    trained = ""
    if bound and isinstance(bound[-1], ast.ClassDef):
        # PyTorch and others make subclasses of their own, which no file defines, and so may
        # decorators.
        is_decorated = bool(bound[-1].decorator_list) and "<locals>" in type(net).__qualname__
        is_other = own in defined or (_has_methods(type(net)) and not is_decorated)
        if own and (name not in classes or is_other):
            trained = own
        elif not own and built_by in defined and built_by != name:
            trained = built_by
        elif not own and _is_built_of_torch(net) and _makes_itself(bound[-1], selection):
            raise NetError(
                f"{source.path}: {name} is not the net that is trained, which is "
                f"{type(net).__name__}; write a function that builds it, and pass its name, as in "
                f"net_name='{source.path}:FUNCTION'"
            )
    elif bound and built_by in defined - needed:
        trained = built_by
    if not trained:
        return
    what = f"{source.path}: {name} is not the net that is trained, which is {trained}"
    place = str(source.path) if trained in defined else _find_place(kinds[0])
    if not place:
        raise NetError(
            f"{what}, of a class inside a function; write a function that builds it, and pass its "
            "name, as in net_name='FILE:FUNCTION'"
        )
    raise NetError(f"{what}; pass net_name='{place}:{trained}'")


def _is_built_of_torch(net: nn.Module) -> bool:
    """Return whether a net and its parts are of classes that PyTorch has for building nets."""
    return all(type(part).__module__.startswith("torch.nn.modules.") for part in net.modules())


def _makes_itself(node: ast.ClassDef, selection: Selection) -> bool:
    """Return whether what a class makes is surely of this class."""
    nodes = list(ast.walk(selection.tree))
    has_other = any(isinstance(one, _KINDS) and one.name == "__new__" for one in nodes)
    return not (has_other or node.decorator_list or node.keywords)


def unwrap_net(net: nn.Module) -> nn.Module:
    """Return what a wrapper of PyTorch's holds, such as ``DataParallel``; otherwise the net."""
    parts = dict(net.named_children())
    while type(net).__module__.startswith("torch.") and parts.keys() in _WRAPPED:
        net = next(iter(parts.values()))
        parts = dict(net.named_children())
    return net


def _find_place(cls: type) -> str:
    """Return what stands before the name of a class in its address, as far as it is known.

    Nothing if it has none, since it is defined inside a function.
    """
    if "<locals>" in cls.__qualname__:
        return ""
    file = getattr(sys.modules.get(cls.__module__), "__file__", None)
    return cls.__module__ if isinstance(file, str) and is_installed(Path(file)) else "FILE"


def _has_methods(cls: type) -> bool:
    """Return whether a class of a user's has functions of its own."""
    return any(not is_of_library(function) for function in list_functions(cls))


def find_definitions(selection: Selection) -> list[_KINDS]:
    """Return the classes and functions that the name of a net means; none for a variable."""
    nodes = [node for node in selection.tree.body if isinstance(node, _KINDS)]
    return [node for node in nodes if node.name == selection.name]


def refuse_other_address(
    building: Building, path: Path, attribute: str, selection: Selection
) -> None:
    """Check that the name of a net is that by which netlet has loaded it.

    Args:
        building: How it was built.
        path: The file in its address.
        attribute: The name there. ``Net`` may be ``Net[2]``.
        selection: The statements of the net that is named.

    Raises:
        NetError: It is another one.
    """
    (name, number), (own, own_number) = split_number(attribute), split_number(building.name)
    is_own = path.resolve() == Path(building.path)
    if is_own and name == own and (number == own_number or None in (number, own_number)):
        return
    if not is_own and not find_definitions(selection):
        return
    trained = f"{relative_path(building.path)}:{building.name}"
    raise NetError(
        f"{path}: {attribute} is not the net that is trained, which was loaded from {trained}; "
        f"pass net_name={trained!r}"
    )
