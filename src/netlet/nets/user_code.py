"""Find a net: a registered name, notation, ``path/to/file.py:Name`` or ``package.module:Name``."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from netlet.errors import NetError, check_type, did_you_mean
from netlet.files import read_regular
from netlet.nets.isolation import Isolation, UserExitError, note_user_code
from netlet.nets.name_errors import SELECTED, explain_name_error
from netlet.nets.notation import is_notation, parse_notation
from netlet.nets.registry import NETS, NetEntry, recognize_parameter
from netlet.nets.script import list_definitions, select_statements

_MAX_BYTES = 1 << 24  # of a file of source code


def is_user_code(name: str) -> bool:
    """Return whether finding a net of this name runs code that does not come with netlet."""
    return ":" in name


def comes_with_netlet(entry: NetEntry) -> bool:
    """Return whether a net is one of netlet's own or one in notation, and not somebody's code."""
    module = str(getattr(entry.builder, "__module__", ""))
    return not is_user_code(entry.name) and module.startswith(f"{__package__}.")


def find_net(name: str, *, trusted: bool = True) -> NetEntry:
    """Return the net with this name.

    Args:
        name: A registered net; notation (see ``notation.py``); or a class, function or module
            instance in a file or an importable module. Of a file, only the statements that the net
            depends on are run (see ``script.py``).
        trusted: Whether the user named it. A name that only a record or a ladder holds is data,
            and no code is run for it.

    Raises:
        NetError: The name stands for code and is not trusted; the net, the file or the name in it
            does not exist; importing it fails; or the net has required arguments.
    """
    check_type(name, str, "the name of a net", "a name like 'swift'")
    if is_user_code(name):
        if not trusted:
            address = full_address(name)
            kind = "file" if _is_file(address.rpartition(":")[0]) else "module"
            raise NetError(
                f"{address}: loading this net would run the code in this {kind}; "
                "if you trust it, pass --trust (trust=True in Python)"
            )
        return _load_user_net(name)
    if name in NETS:
        return NETS[name]
    if is_notation(name):
        return parse_notation(name)
    if wrong_path := explain_path(name):
        raise NetError(wrong_path)
    hint = did_you_mean(name, NETS)
    raise NetError(
        f"no net {name!r}; {hint}'netlet list' shows the built-in nets, and file.py:Name names one "
        "of your own"
    )


def full_address(name: str) -> str:
    """Return ``file.py:Name`` with an absolute path, and any other address as it is."""
    place, _, attribute = name.rpartition(":")
    return f"{Path(place).resolve()}:{attribute}" if _is_file(place) else name


def explain_path(name: str) -> str | None:
    """Return why a path is not the name of a net, and what to name instead.

    Args:
        name: The name that was given, without a colon. No code of a Python file is run.

    Returns:
        The error message; None if this is no path.
    """
    if name.endswith(".py"):
        return _explain_python_file(name)
    if os.path.isdir(name) or os.path.isfile(name):
        kind = "folder" if os.path.isdir(name) else "file"
        return f"{name}: is a {kind}, not a net; name one from 'netlet list', or file.py:Name"
    if "/" in name:
        return f"{name}: no such folder; 'netlet runs' lists your runs"
    return None


def _explain_python_file(name: str) -> str:
    if not os.path.isfile(name):
        return f"{name}: no such file; check its name, and write it as {name}:Name"
    try:
        tree = ast.parse(read_regular(Path(name), _MAX_BYTES, NetError), filename=name)
    except (SyntaxError, ValueError) as error:
        return f"{name}: is not valid Python ({_first_line(error)}); repair it"
    if not (defined := list_definitions(tree)):
        return f"{name}: defines no class or function; add one that is or builds a net"
    return (
        f"{name}: name the net in this file, for example {name}:{defined[0]}; "
        f"it defines: {', '.join(defined)}"
    )


def _is_file(place: str) -> bool:
    """Return whether the part before the colon names a file, and not a module."""
    return place.endswith(".py") or "/" in place


def _load_user_net(address: str) -> NetEntry:
    place, _, attribute = address.rpartition(":")
    if not place:
        raise NetError(
            f"{address}: no file or module before the colon; "
            "write file.py:Name or package.module:Name"
        )
    note_user_code()
    with _one_line_errors(address, "importing it failed"):
        target = _resolve_target(place, attribute, address)
    docstring = (inspect.getdoc(target) or "").strip().splitlines()
    about = docstring[0] if docstring else ""
    if isinstance(target, nn.Module):
        instance = target
        return NetEntry(address, lambda: instance, place, about)
    if not callable(target):
        raise NetError(
            f"{address}: is a {type(target).__name__}; name a class, a function or a net"
        )
    if required := _required_arguments(target):
        raise NetError(
            f"{address}: has required arguments ({', '.join(required)}); give them defaults, "
            "or add a function without arguments that builds the net"
        )

    def builder(**settings: Any) -> nn.Module:
        with _one_line_errors(address, "building it failed"):
            net = target(**settings)
        if not isinstance(net, nn.Module):
            raise NetError(f"{address}: expected a torch.nn.Module, got a {type(net).__name__}")
        return net

    with contextlib.suppress(TypeError, ValueError):
        # The registry reads from the signature which arguments it can pass.
        builder.__signature__ = inspect.signature(target)  # type: ignore[attr-defined]
    return NetEntry(address, builder, place, about)


def _resolve_target(place: str, attribute: str, address: str) -> object:
    """Return the object that an address names."""
    if _is_file(place):
        return _load_from_file(Path(place), attribute, address)
    try:
        module = importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != place.split(".")[0]:
            raise
        raise NetError(
            f"{address}: importing it failed: ModuleNotFoundError: {error}; write file.py:Name, or "
            "the name of a module that can be imported"
        ) from error
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


def _load_from_file(path: Path, attribute: str, address: str) -> object:
    if not path.is_file():
        raise NetError(f"{address}: no file {path}; check its name")
    tree = ast.parse(read_regular(path, _MAX_BYTES, NetError), filename=str(path))
    selected = select_statements(attribute, tree)
    found = vars(_run_module(selected, path)) if selected else {}
    if attribute not in found:
        defined = ", ".join(list_definitions(tree)) or "nothing"
        raise NetError(f"{address}: no {attribute!r} in {path}; it defines: {defined}")
    return found[attribute]


def _run_module(tree: ast.Module, path: Path) -> ModuleType:
    """Run statements of a file as a module and return it."""
    name = f"{SELECTED}{path.stem}"
    module = ModuleType(name)
    module.__file__ = str(path)
    # The module is registered and its folder put first on the path, as when Python runs the file:
    # dataclasses and imports of neighboring files need this.
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        exec(compile(tree, str(path), "exec", dont_inherit=True), vars(module))
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        # Moved to the end: later imports by the net still work, and no other module is shadowed.
        sys.path.remove(folder)
        sys.path.append(folder)
    return module


@contextlib.contextmanager
def _one_line_errors(address: str, what: str) -> Iterator[None]:
    """Turn every exception of a user's code into a one-line NetError."""
    # The weights may depend on the random generators, and then the next ones on their state.
    try:
        with Isolation(keep_random="import" in what):
            yield
    except NetError:
        raise
    except UserExitError as error:
        raise NetError(f"{address}: {what}: {error}; guard that with __main__") from error
    except NameError as error:
        raise NetError(f"{address}: {what}: {explain_name_error(error)}") from error
    except Exception as error:
        raise NetError(
            f"{address}: {what}: {type(error).__name__}: {_first_line(error)}"
        ) from error


def _is_net_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)


def _required_arguments(target: object) -> list[str]:
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
