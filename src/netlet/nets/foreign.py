"""Finding a net by what a person types: a name of ours, ``path/to/file.py:Name`` or ``package.module:Name``."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
from pathlib import Path
from types import ModuleType

from torch import nn

from netlet.errors import NetError, did_you_mean
from netlet.nets.registry import NETS, NetEntry


def find_net(name: str) -> NetEntry:
    """The net of that name.

    Args:
        name: A registered net, or a class, function or module instance in a file or an importable module.

    Raises:
        NetError: There is no such net, file or name in it; or its import fails; or it needs arguments.
    """
    if ":" in name:
        return _foreign(name)
    if name in NETS:
        return NETS[name]
    hint = did_you_mean(name, NETS)
    raise NetError(f"no net {name!r}; {hint}'netlet list' shows ours, file.py:Name is somebody else's")


def _foreign(address: str) -> NetEntry:
    place, _, attribute = address.rpartition(":")
    module = _module(place, address)
    target = getattr(module, attribute, None) if attribute else None
    if target is None:
        nets = [
            key for key, value in vars(module).items() if _is_net_class(value) and value.__module__ == module.__name__
        ]
        there = f"; its nets: {', '.join(nets)}" if nets else ""
        raise NetError(f"{address}: no {attribute!r} in {place}{there}")
    about = (inspect.getdoc(target) or "").strip().splitlines()
    line = about[0] if about else ""
    if isinstance(target, nn.Module):
        instance = target
        return NetEntry(address, lambda: instance, place, line)
    if not callable(target):
        raise NetError(f"{address}: is a {type(target).__name__}; name a class, a function or a net")
    needed = _needed_arguments(target)
    if needed:
        raise NetError(
            f"{address}: needs arguments ({', '.join(needed)}); give them defaults, "
            "or add a function without arguments that builds it"
        )

    def builder() -> nn.Module:
        try:
            made = target()
        except Exception as error:
            raise NetError(f"{address}: building it failed: {type(error).__name__}: {_first_line(error)}") from error
        if not isinstance(made, nn.Module):
            raise NetError(f"{address}: expected a torch.nn.Module, got a {type(made).__name__}")
        return made

    return NetEntry(address, builder, place, line)


def _module(place: str, address: str) -> ModuleType:
    if not place:
        raise NetError(f"{address}: no file or module before the colon; write file.py:Name or package.module:Name")
    try:
        if place.endswith(".py") or "/" in place:
            return _from_file(Path(place), address)
        return importlib.import_module(place)
    except NetError:
        raise
    except SystemExit as error:
        raise NetError(
            f"{address}: its file exits when imported (code {error.code}); guard that with __main__"
        ) from error
    except Exception as error:
        raise NetError(f"{address}: importing it failed: {type(error).__name__}: {_first_line(error)}") from error


def _from_file(path: Path, address: str) -> ModuleType:
    if not path.is_file():
        raise NetError(f"{address}: no file {path}")
    name = f"netlet_foreign_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NetError(f"{address}: {path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Registered, and its folder on the path, as when the file is run: dataclasses and neighbours then work.
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    if folder not in sys.path:
        sys.path.append(folder)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _is_net_class(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, nn.Module)


def _needed_arguments(target: object) -> list[str]:
    try:
        parameters = inspect.signature(target).parameters.values()  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else "no message"
