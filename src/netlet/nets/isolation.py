"""Run a user's code without letting it change the process around it.

Every net from a user's file is loaded, built and analyzed inside :class:`Isolation`. It undoes
mistakes and simple tricks. It is not a sandbox: code in the same process can do what netlet can do.
"""

from __future__ import annotations

import contextlib
import gc
import os
import random
import signal
import sys
import threading
import traceback
import types
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np
import torch

from netlet.errors import NetError, warn
from netlet.nets.code_state import CodeState
from netlet.nets.compiled_nets import prepare_compiler

_SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGALRM", "SIGHUP", "SIGPIPE", "SIGCHLD")
    if hasattr(signal, name)
]
_MAX_LETTERS = 80  # of an exit code that a message repeats
_exit = os._exit
user_code_has_run = False  # threads and exit handlers of a user's code may be left


def note_user_code() -> None:
    """Note that code of a user's net is about to run in this process."""
    global user_code_has_run
    user_code_has_run = True


def exit_process(code: int) -> None:
    """End this process at once."""
    _exit(code)


class UserExitError(Exception):
    """A user's code tried to end the process."""


class Isolation:
    """A context in which a user's code runs.

    Afterwards standard streams, working directory, environment, signal handlers, warnings and the
    settings of PyTorch are as before, and so are the functions of netlet. What is not an
    ``Exception``, such as ``SystemExit``, becomes one; a real Ctrl-C stays what it is.

    Args:
        keep_random: Whether to restore the random generators, too.
        strict: Whether it is an error to replace functions of netlet.
        code: What to restore, to share it between several runs of one net, since remembering it
            takes milliseconds; by default the functions as they are on entering.
    """

    def __init__(
        self, *, keep_random: bool = True, strict: bool = False, code: CodeState | None = None
    ) -> None:
        self._keep_random, self._strict = keep_random, strict
        self._code = code
        self._interrupted = False
        self._undo: list[Callable[[], object]] = []

    def __enter__(self) -> Self:
        """Remember everything."""
        prepare_compiler()
        code = self._code or CodeState()
        # Bound now: the code could replace the methods of these classes.
        self._restore_code, self._restore_all = code.restore, self._restore
        self._remember_interpreter()
        self._remember_torch()
        self._remember_signals()
        setattr(os, "_exit", _refuse_exit)  # noqa: B010  # an assignment would have a wrong type
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        """Restore everything; turn the end of the process into an error."""
        os._exit = _exit
        replaced = self._restore_code()
        self._restore_all()
        if error is not None and not isinstance(error, Exception):
            if isinstance(error, KeyboardInterrupt) and self._interrupted:
                return
            # With the user's lines, which a message names.
            raise UserExitError(describe_exit(error)).with_traceback(error.__traceback__) from error
        if self._strict:
            _refuse_replaced(replaced)
        if replaced and error is None:
            warn(f"the net's file replaces {replaced[0]}; netlet put it back")

    def _restore(self) -> None:
        for undo in reversed(self._undo):
            with contextlib.suppress(Exception):
                undo()

    def _keep(self, change: Callable[..., object], *before: Any) -> None:
        self._undo.append(lambda: change(*before))

    def _remember_interpreter(self) -> None:
        for name in ("stdin", "stdout", "stderr", "excepthook", "displayhook", "argv"):
            self._keep(setattr, sys, name, getattr(sys, name))
        sys.argv = sys.argv[:1]  # its parse_args() must not read the options of netlet
        self._keep(_restore_path, list(sys.path))
        self._keep(_restore_environment, dict(os.environ))
        with contextlib.suppress(OSError):
            self._keep(os.chdir, os.getcwd())
        self._keep(_restore_filters, list(warnings.filters), warnings.showwarning)
        self._keep(sys.setrecursionlimit, sys.getrecursionlimit())
        self._keep(_restore_hook, sys.gettrace, sys.settrace, sys.gettrace())
        self._keep(_restore_hook, sys.getprofile, sys.setprofile, sys.getprofile())
        self._keep(gc.enable if gc.isenabled() else gc.disable)
        self._keep(lambda before: np.seterr(**before), np.geterr())

    def _remember_torch(self) -> None:
        self._keep(torch.set_num_threads, torch.get_num_threads())
        self._keep(torch.set_default_dtype, torch.get_default_dtype())
        self._keep(torch.set_grad_enabled, torch.is_grad_enabled())
        self._keep(torch.autograd.set_detect_anomaly, torch.is_anomaly_enabled())
        self._keep(torch.set_float32_matmul_precision, torch.get_float32_matmul_precision())
        self._keep(_restore_determinism, _determinism())
        for name in ("benchmark", "deterministic"):
            self._keep(setattr, torch.backends.cudnn, name, getattr(torch.backends.cudnn, name))
        self._keep(_restore_device, torch.get_default_device(), _count_modes())
        if self._keep_random:
            self._keep(torch.set_rng_state, torch.get_rng_state())
            self._keep(random.setstate, random.getstate())
            self._keep(np.random.set_state, np.random.get_state())

    def _remember_signals(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        for number in _SIGNALS:
            if (handler := signal.getsignal(number)) is not None:
                self._keep(signal.signal, number, handler)
        if hasattr(signal, "setitimer"):
            self._keep(signal.setitimer, signal.ITIMER_REAL, 0)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, number: int, frame: types.FrameType | None) -> None:
        self._interrupted = True
        raise KeyboardInterrupt


@contextlib.contextmanager
def guard_net(what: str) -> Iterator[None]:
    """Run a net while it trains or is scored, without letting it judge itself.

    An attempt to end the process is an error; so is replacing functions of netlet, which are put
    back. Unlike :class:`Isolation`, this leaves alone what the caller's own code may change.

    Args:
        what: The net, for the message.

    Raises:
        NetError: The net does one of these.
    """
    if os._exit is not _exit:  # within another guard
        yield
        return
    prepare_compiler()
    restore_code = CodeState().restore
    setattr(os, "_exit", _refuse_exit)  # noqa: B010  # an assignment would have a wrong type
    replaced: list[str] = []
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        # click and typer: the command line's own way to end, which no part of netlet below it uses.
        ends = not isinstance(error, Exception) or isinstance(error, UserExitError)
        if ends or type(error).__module__.partition(".")[0] in ("click", "typer"):
            raise NetError(f"{what}: {describe_exit(error)}") from error
        raise
    finally:
        os._exit = _exit
        replaced = restore_code()
    _refuse_replaced(replaced)


def describe_exit(error: BaseException) -> str:
    """Return what a user's code did, with the remedy.

    For instance ``its code calls sys.exit(3); remove that call``.
    """
    if isinstance(error, UserExitError):
        return str(error)
    if isinstance(error, SystemExit):
        frames = traceback.walk_tb(error.__traceback__)
        if any(frame.f_globals.get("__name__") == "argparse" for frame, _ in frames):
            return "its parse_args() ends the program; give every argument a default"
        return _describe_call("sys.exit", error.code)
    return f"its code raises {type(error).__name__}; remove that"


def _describe_call(function: str, code: object) -> str:
    shown = "" if code is None else "..."  # code of the user's would write other types
    if type(code) is int or type(code) is str:
        shown = repr(code)[:_MAX_LETTERS]
    return f"its code calls {function}({shown}); remove that call"


def _refuse_replaced(names: list[str]) -> None:
    if names:
        raise NetError(
            f"the net replaces {names[0]} while it runs, so nothing that netlet says about it "
            "would be true; remove that"
        )


def _refuse_exit(code: int = 0) -> None:
    raise UserExitError(_describe_call("os._exit", code))


def _restore_path(before: list[str]) -> None:
    """Keep folders that a user's code added, but behind all others, so that they shadow nothing."""
    sys.path[:] = before + [folder for folder in sys.path if folder not in before]


def _restore_hook(read: Callable[[], Any], write: Callable[[Any], None], before: Any) -> None:
    """Set a hook that was replaced: to set one again would end a profiler written in C."""
    if read() is not before:
        write(before)


def _restore_environment(before: dict[str, str]) -> None:
    if dict(os.environ) != before:
        os.environ.clear()
        os.environ.update(before)


def _restore_filters(filters: list[Any], show: Any) -> None:
    warnings.filters[:] = filters  # type: ignore[index]
    warnings.showwarning = show
    warnings._filters_mutated_lock_held() if hasattr(
        warnings, "_filters_mutated_lock_held"
    ) else warnings._filters_mutated()  # type: ignore[attr-defined]


def _determinism() -> tuple[bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def _restore_determinism(before: tuple[bool, bool]) -> None:
    if _determinism() != before:  # setting it imports PyTorch's compiler, which takes a second
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _count_modes() -> int:
    """Return how many contexts of PyTorch see its calls; one is that of the default device."""
    return torch._C._len_torch_function_stack()


def _restore_device(before: torch.device, modes: int) -> None:
    if torch.get_default_device() != before or _count_modes() != modes:
        # To set the CPU would put a context around every later call of PyTorch; None removes it.
        torch.set_default_device(None if before == torch.device("cpu") else before)
