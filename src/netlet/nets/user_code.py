"""Finding a net by what a person types: a name of ours, ``path/to/file.py:Name`` or ``package.module:Name``."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from netlet.errors import NetError, did_you_mean
from netlet.nets.notation import is_notation, parse_notation
from netlet.nets.registry import NETS, NetEntry, recognize_parameter
from netlet.nets.script import list_definitions, select_statements


def find_net(name: str) -> NetEntry:
    """The net of that name.

    Args:
        name: A registered net; one written in a line (see ``notation.py``); or a class, function or
            module instance in a file or an importable module. Of a file, only those statements are
            run that the net needs (see ``slicing.py``).

    Raises:
        NetError: There is no such net, file or name in it; or its import fails; or it needs
            arguments.
    """
    if ":" in name:
        return _foreign(name)
    if name in NETS:
        return NETS[name]
    if is_notation(name):
        return parse_notation(name)
    hint = did_you_mean(name, NETS)
    raise NetError(
        f"no net {name!r}; {hint}'netlet list' shows ours, file.py:Name is somebody else's"
    )


def _foreign(address: str) -> NetEntry:
    place, _, attribute = address.rpartition(":")
    if not place:
        raise NetError(
            f"{address}: no file or module before the colon; write file.py:Name or package.module:Name"
        )
    with _one_line(address, "importing it failed"):
        target = _target(place, attribute, address)
    about = (inspect.getdoc(target) or "").strip().splitlines()
    line = about[0] if about else ""
    if isinstance(target, nn.Module):
        instance = target
        return NetEntry(address, lambda: instance, place, line)
    if not callable(target):
        raise NetError(
            f"{address}: is a {type(target).__name__}; name a class, a function or a net"
        )
    if needed := _needed_arguments(target):
        raise NetError(
            f"{address}: needs arguments ({', '.join(needed)}); give them defaults, "
            "or add a function without arguments that builds it"
        )

    def builder(**settings: Any) -> nn.Module:
        with _one_line(address, "building it failed"):
            made = target(**settings)
        if not isinstance(made, nn.Module):
            raise NetError(f"{address}: expected a torch.nn.Module, got a {type(made).__name__}")
        return made

    with contextlib.suppress(TypeError, ValueError):
        # What can be set is what the target itself takes.
        builder.__signature__ = inspect.signature(target)  # type: ignore[attr-defined]
    return NetEntry(address, builder, place, line)


def _target(place: str, attribute: str, address: str) -> object:
    """What the name after the colon stands for."""
    if not (place.endswith(".py") or "/" in place):
        module = importlib.import_module(place)
        if not hasattr(module, attribute):
            nets = [
                key
                for key, value in vars(module).items()
                if _is_net_class(value) and value.__module__ == place
            ]
            raise NetError(
                f"{address}: no {attribute!r} in {place}; its nets: {', '.join(nets) or 'none'}"
            )
        return getattr(module, attribute)
    path = Path(place)
    if not path.is_file():
        raise NetError(f"{address}: no file {path}")
    tree = ast.parse(path.read_bytes(), filename=str(path))
    needed = select_statements(attribute, tree)
    found = vars(_run(needed, path)) if needed else {}
    if attribute not in found:
        raise NetError(
            f"{address}: no {attribute!r} in {place}; it defines: {', '.join(list_definitions(tree)) or 'nothing'}"
        )
    return found[attribute]


def _run(tree: ast.Module, path: Path) -> ModuleType:
    """A module made of those statements of a file."""
    name = f"netlet_foreign_{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    # Registered, and its folder the first on the path, as when the file is run: dataclasses and
    # neighbours then work.
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        exec(compile(tree, str(path), "exec", dont_inherit=True), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        # Last from now on: what it imports later is found, and nothing of ours is shadowed.
        sys.path.remove(folder)
        sys.path.append(folder)
    return module


@contextlib.contextmanager
def _one_line(address: str, what: str) -> Iterator[None]:
    try:
        yield
    except NetError:
        raise
    except SystemExit as error:
        raise NetError(
            f"{address}: {what}: it exits (code {error.code}); guard that with __main__"
        ) from error
    except NameError as error:
        raise NetError(
            f"{address}: {what}: {_first_line(error)} by what the net needs of the file; as module:Name the whole file "
            "is run"
        ) from error
    except Exception as error:
        raise NetError(
            f"{address}: {what}: {type(error).__name__}: {_first_line(error)}"
        ) from error


def _is_net_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)


def _needed_arguments(target: object) -> list[str]:
    try:
        parameters = inspect.signature(target).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []
    return [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        and recognize_parameter(p.name) is None
    ]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"
