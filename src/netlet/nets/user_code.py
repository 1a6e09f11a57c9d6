"""Find a net: a registered name, notation, ``path/to/file.py:Name`` or ``package.module:Name``."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import random
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from netlet.errors import NetError, check_type, did_you_mean, first_line
from netlet.nets.addresses import complete_address, explain_path, full_address, is_user_code
from netlet.nets.built_nets import Building, remember_building, unwrap_builder
from netlet.nets.class_slips import explain_building
from netlet.nets.compiled_nets import unwrap_all
from netlet.nets.definitions import Selection, note_definitions
from netlet.nets.device_errors import describe_device_error
from netlet.nets.isolation import Isolation, UserExitError, note_user_code
from netlet.nets.name_errors import explain_name_error
from netlet.nets.net_code import find_code, is_file_address
from netlet.nets.notation import is_notation, parse_notation
from netlet.nets.notebook_files import NOTEBOOK
from netlet.nets.registry import NETS, NetEntry, recognize_parameter
from netlet.nets.run_source import load_from_file
from netlet.nets.sources import locate_error
from netlet.nets.surroundings import Surroundings, enter_surroundings, read_surroundings
from netlet.nets.unaffected_nets import suggest_unaffected
from netlet.nets.user_imports import imports_of_module

_loading_now: ContextVar[bool] = ContextVar("loading_now", default=False)
_SEED_OF_TORCH = 67280421310721  # of the generator of a new process
_NO_INPUT = "EOF when reading a line"  # of input() without a terminal
_OTHER_FRAMEWORKS = ("flax", "jax", "keras", "mxnet", "paddle", "tensorflow")


def comes_with_netlet(entry: NetEntry) -> bool:
    """Return whether a net is one of netlet's own or one in notation, and not somebody's code."""
    module = str(getattr(entry.builder, "__module__", ""))
    return not is_user_code(entry.name) and module.startswith(f"{__package__}.")


def find_net(name: str, *, trusted: bool = True) -> NetEntry:
    """Return the net with this name.

    Args:
        name: A registered net; notation (see ``notation.py``); a class, function or module
            instance in a file or an importable module; or a file with a single net. Of a file, only
            the statements that the net depends on are run (see ``needed_statements.py``).
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
            kind = "file" if is_file_address(address.rpartition(":")[0]) else "module"
            raise NetError(
                f"{address}: loading this net would run the code in this {kind}; "
                "if you trust it, pass --trust (trust=True in Python)"
            )
        return _load_user_net(complete_address(name))
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


def _load_user_net(address: str) -> NetEntry:
    place, _, attribute = address.rpartition(":")
    if not place:
        raise NetError(
            f"{address}: no file or module before the colon; "
            "write file.py:Name or package.module:Name"
        )
    note_user_code()
    code = find_code(address)
    target, selection, changes = _import_target(place, attribute, address)
    building = Building(None if isinstance(target, nn.Module) else unwrap_builder(target))
    if selection is not None:
        path, tree = str(Path(place).resolve()), selection.tree
        building = replace(building, path=path, name=attribute, loaded=tree)
    shown = address if selection is None else _describe_choice(address, selection)
    docstring = (inspect.getdoc(target) or "").strip().splitlines()
    about = docstring[0] if docstring else ""
    if isinstance(target, nn.Module):
        instance = target
        remember_building(instance, building)
        return NetEntry(address, lambda: instance, place, about, code)
    if not callable(target):
        raise NetError(f"{shown}: is a {type(target).__name__}; name a class, a function or a net")
    if required := _required_arguments(target):
        raise NetError(
            f"{shown}: has required arguments ({', '.join(required)}); give them defaults, "
            "or add a function without arguments that builds the net"
        )

    def builder(**settings: Any) -> nn.Module:
        with _one_line_errors(address, "building it failed", target=target):
            enter_surroundings(*changes)
            net = unwrap_all(target(**settings))
        if not isinstance(net, nn.Module):
            kind = type(net).__name__
            remedy = f"; write class {kind}(nn.Module)" if isinstance(target, type) else ""
            remedy = "; let it return the net, or name another function" if net is None else remedy
            raise NetError(f"{shown}: expected a torch.nn.Module, got a {kind}{remedy}")
        remember_building(net, building)
        return net

    with contextlib.suppress(TypeError, ValueError):
        # The registry reads from the signature which arguments it can pass.
        builder.__signature__ = inspect.signature(target)  # type: ignore[attr-defined]
    return NetEntry(address, builder, place, about, code)


def _import_target(
    place: str, attribute: str, address: str
) -> tuple[object, Selection | None, tuple[Surroundings, Surroundings]]:
    """Return the object that an address names, and what was run of its file.

    The last value is what held around the file before it ran, and what after.

    Raises:
        NetError: It cannot be imported. Other nets of its file are named if they can.
    """
    try:
        with _one_line_errors(address, "importing it failed", keep_random=True), _loading():
            _begin_random_numbers()
            before = read_surroundings()
            target, selection = _resolve_target(place, attribute, address)
            return unwrap_all(target), selection, (before, read_surroundings())
    except NetError as error:
        others = suggest_unaffected(address, error.__cause__ or error)
        if not others:
            raise
        raise NetError(f"{error}{others}") from error


def _begin_random_numbers() -> None:
    """Let random numbers begin as in a new process: a file gives the same net each time."""
    torch.default_generator.manual_seed(_SEED_OF_TORCH)
    random.seed(0)
    np.random.seed(0)


@contextlib.contextmanager
def _loading() -> Iterator[None]:
    token = _loading_now.set(True)
    try:
        yield
    finally:
        _loading_now.reset(token)


def refuse_while_loading() -> None:
    """Check that no net is being loaded: commands that need only its code train nothing.

    Raises:
        NetError: One is.
    """
    if _loading_now.get():
        raise NetError(
            "this trains a net, but a net is only loaded here; write the values that it is made of "
            "as arguments with defaults, or into statements without training"
        )


def _describe_choice(address: str, selection: Selection) -> str:
    """Return an address with the cell of its net, and say which of several definitions counts."""
    note_definitions(address, selection)
    chosen = selection.chosen
    if chosen is None or not (chosen.cell.number or chosen.cell.file):
        return address
    return f"{address} in {chosen.cell}"


def _resolve_target(place: str, attribute: str, address: str) -> tuple[object, Selection | None]:
    """Return the object that an address names, and what was run of its file."""
    if is_file_address(place):
        try:
            return load_from_file(Path(place), attribute)
        except NetError as error:
            if str(error).startswith(f"{place}: "):
                raise
            where = locate_error(error).removeprefix(f"{Path(place).name}, ")
            raise NetError(f"{address}: {f'{where}: ' if where else ''}{error}") from error
    try:
        with imports_of_module():
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
    return getattr(module, attribute), None


@contextlib.contextmanager
def _one_line_errors(
    address: str, what: str, *, keep_random: bool = False, target: object = None
) -> Iterator[None]:
    """Turn every exception of a user's code into a one-line NetError.

    Args:
        address: The address of the net.
        what: What fails, for the message.
        target: The class or function that builds the net, if that is what fails.
        keep_random: As of :class:`Isolation`. When a net is built, its weights may depend on the
            random generators, and then the next ones on their state.
    """
    try:
        with Isolation(keep_random=keep_random):
            yield
    except NetError:
        raise
    except UserExitError as error:
        reason = str(error)
        if target is None and "remove" in reason:  # it is being imported
            reason += ', or put it below if __name__ == "__main__"'
        raise NetError(_describe_failure(address, what, error, reason)) from error
    except NameError as error:
        reason = explain_name_error(error)
        raise NetError(_describe_failure(address, what, error, reason)) from error
    except ImportError as error:
        reason = f"{type(error).__name__}: {first_line(error, otherwise='no message')}"
        in_file = is_file_address(address.rpartition(":")[0])
        if "relative import" in str(error) and not in_file:
            reason += "; write it as path/to/file.py:Name"
        elif isinstance(error, ModuleNotFoundError) and in_file:
            reason += f"; {_remedy_for_missing(error.name or '')}"
        raise NetError(_describe_failure(address, what, error, reason)) from error
    except Exception as error:
        reason = (
            describe_device_error(error)
            or explain_building(error, target)
            or f"{type(error).__name__}: {first_line(error, otherwise='no message')}"
        )
        if isinstance(error, FileNotFoundError):
            reason += _remedy_for_missing_file(str(error.filename), address)
        elif isinstance(error, EOFError) and str(error) == _NO_INPUT:
            reason += "; input() gets no answer here: write the value into the code"
        raise NetError(_describe_failure(address, what, error, reason)) from error


def _remedy_for_missing_file(name: str, address: str) -> str:
    """Return what finds a file that code looks for in another folder than its own.

    Args:
        name: The path in the code.
        address: The address of the net.
    """
    code = Path(address.rpartition(":")[0])
    if not is_file_address(str(code)) or not (code.parent / name).exists():
        return ""
    written = "" if code.suffix == NOTEBOOK else f"write Path(__file__).parent / {name!r}, or "
    return f"; it lies beside {code.name}: {written}run in {code.parent.resolve()}"


def _describe_failure(address: str, what: str, error: BaseException, reason: str) -> str:
    file = Path(address.rpartition(":")[0]).name
    where = locate_error(error).removeprefix(f"{file}, ")  # the address names the file already
    return f"{address}: {what}{f' in {where}' if where else ''}: {reason}"


def _remedy_for_missing(module: str) -> str:
    package = module.partition(".")[0]
    if package in _OTHER_FRAMEWORKS:
        return "netlet runs nets of PyTorch only; write the net with torch.nn"
    return (
        f"if {package}.py is your own, put it beside the net's file; otherwise install the package "
        "where netlet runs, or write the net without it"
    )


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
