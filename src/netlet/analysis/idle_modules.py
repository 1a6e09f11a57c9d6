"""Modules that a net builds and does not run, as a person would name them.

Of modules without parameters only those of PyTorch are named, and only where no method of the net
mentions them: another method than ``forward`` may use a softmax, say.
"""

from __future__ import annotations

import dis
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import CodeType, FunctionType

from torch import nn
from torch.nn.modules.loss import _Loss

from netlet.analysis.module_rows import is_atomic
from netlet.analysis.ops import IdleModule, UnrunModule
from netlet.graph import Execution, ModuleRun
from netlet.nets.registered import list_modules, list_parameters

_LISTS = (nn.ModuleList, nn.ModuleDict)
# Modules that may well be built and not run.
_WITHOUT_USE = (nn.Identity, nn.Sequential, *_LISTS, _Loss)
# Names by which code finds modules that it does not mention.
_INDIRECT = {"__dict__", "_modules", "getattr", "vars"}
_INDIRECT |= {"children", "modules", "named_children", "named_modules"}


def find_idle_modules(
    modules: Mapping[str, nn.Module],
    root: ModuleRun,
    unused: Sequence[UnrunModule],
    run_in_training: Callable[[], Execution | None],
) -> tuple[IdleModule, ...]:
    """Return the modules that a net does not use; of nested ones only the outermost.

    Args:
        modules: Those of the net by path, as they were registered when it ran.
        root: Its run.
        unused: Modules with parameters of their own that have not been read.
        run_in_training: Returns a run of the net in training mode.
    """
    unread = {module.path: module.parameters or 0 for module in unused}
    idle = _outermost(modules, _find_used(modules, root, unread))
    found = []
    for path in idle:
        inside = sum(n for below, n in unread.items() if _is_within(below, path))
        if inside or _is_forgotten(modules, path):
            found.append(IdleModule(path, type(modules[path]).__name__, inside))
    found += [
        IdleModule(path, type(modules[path]).__name__, n)
        for path, n in unread.items()
        if not any(_is_within(path, module.path) for module in found)
    ]
    if not any(module.parameters for module in found):
        return tuple(found)
    training = run_in_training()
    in_training = {run.path for run in _iterate_runs(training.root)} if training else set()
    return tuple(
        IdleModule(
            module.path,
            module.kind,
            module.parameters,
            module.path in idle and any(_is_within(path, module.path) for path in in_training),
        )
        for module in found
    )


def _find_used(
    modules: Mapping[str, nn.Module], root: ModuleRun, unused: Mapping[str, int]
) -> set[str]:
    """Return the paths of modules that ran, whose parameters were read, or that hold such."""
    ran = {run.path: run for run in _iterate_runs(root)}
    atomic = [path for path, run in ran.items() if is_atomic(run.module)]
    used = set(ran)
    for path, module in modules.items():
        read = bool(list_parameters(module)) and not any(_is_within(p, path) for p in unused)
        if read or any(_is_within(path, above) for above in atomic):
            used.add(path)
    for path in list(used):
        used.update(_above(path))
    return used


def _outermost(modules: Mapping[str, nn.Module], used: set[str]) -> list[str]:
    idle = [path for path in modules if path and path not in used]
    return [path for path in idle if not any(above in idle for above in _above(path) if above)]


def _is_forgotten(modules: Mapping[str, nn.Module], path: str) -> bool:
    """Return whether a module without parameters can have no use in its net."""
    module, (holder, _, name) = modules[path], path.rpartition(".")
    parent = modules.get(holder)
    inside = [module for _, module in list_modules(module)]
    return (
        parent is not None
        and not isinstance(parent, _LISTS)
        and not type(parent).__module__.startswith("torch.nn.")
        and all(type(one).__module__.startswith("torch.nn.modules.") for one in inside)
        and not all(isinstance(one, _WITHOUT_USE) for one in inside)
        and not any(_mentions(code, name) for code in _list_code(type(parent)))
    )


def _mentions(code: CodeType, name: str) -> bool:
    """Return whether code reads an attribute of this name, or attributes that it does not name."""
    if _INDIRECT & {*code.co_names}:
        return True
    return any(
        step.opname in ("LOAD_ATTR", "LOAD_METHOD") and step.argval == name
        for step in dis.get_instructions(code)
    )


def _list_code(kind: type) -> Iterator[CodeType]:
    """Yield the code of all methods of a class of modules, with that inside of them."""
    for base in kind.__mro__:
        if base is nn.Module:
            return
        for value in vars(base).values():
            if isinstance(value, classmethod | staticmethod):
                value = value.__func__
            elif isinstance(value, property):
                value = value.fget
            if isinstance(value, FunctionType):
                yield from _nested_code(value.__code__)


def _nested_code(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested_code(constant)


def _iterate_runs(run: ModuleRun) -> Iterator[ModuleRun]:
    yield run
    for step in run.steps:
        if isinstance(step, ModuleRun):
            yield from _iterate_runs(step)


def _is_within(path: str, above: str) -> bool:
    return path == above or path.startswith(f"{above}.") or not above


def _above(path: str) -> list[str]:
    """Return the paths of all modules that hold a module, the net's last."""
    parts = path.split(".")
    return [".".join(parts[:n]) for n in range(len(parts) - 1, -1, -1)]
