"""Analyze a net from a user's file in this process, or in a separate one with limits.

Everything that ``netlet check`` and ``netlet show`` need of a net passes through a ``Sandbox``.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from netlet.analysis import (
    TABLE_STYLES,
    ReceptiveField,
    Summary,
    cost_from_trace,
    receptive_field_from_trace,
    summary_from_trace,
    trace,
)
from netlet.budgets import ModelCost
from netlet.errors import NetError
from netlet.experiments.named import find_experiment
from netlet.nets import build, complete_address, full_address, is_user_code
from netlet.scratch import scratch_folder

TIME_LIMIT_S = 60
MEMORY_LIMIT_BYTES = 4 << 30  # beyond what PyTorch itself takes
_FILE_LIMIT_BYTES = 64 << 20
_ANSWER_LIMIT_BYTES = 16 << 20
_KEPT_VARIABLES = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "SYSTEMROOT", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class NetAnalysis:
    """What is known of a net without training it, as plain values."""

    cost: ModelCost
    summary: Summary
    receptive_field: ReceptiveField
    outputs: int | None  # number of logits; None if it returns none
    styled: str | None = None  # the table in another program's style, if one was asked for


class Sandbox(Protocol):
    """Something that loads, builds and runs a net, and returns plain values."""

    def analyze(
        self, net: str, shape: tuple[int, ...], classes: int | None, style: str | None = None
    ) -> NetAnalysis:
        """Return what is known of a net.

        Args:
            net: The name of the net, as the user typed it.
            shape: The shape of one image, ``C H W``.
            classes: The number of classes; None: the net's default.
            style: The program in whose style to print a table, of ``TABLE_STYLES``; None: of none.

        Raises:
            NetError: There is no such net, or it cannot be built or run.
        """


class SameProcess:
    """Runs the net's code here, with the user's rights."""

    def analyze(
        self, net: str, shape: tuple[int, ...], classes: int | None, style: str | None = None
    ) -> NetAnalysis:
        """Return what is known of a net; see :class:`Sandbox`."""
        entry = find_experiment(net).net
        module = build(entry.builder, None, shape, classes)
        traced = trace(module, shape)
        return NetAnalysis(
            cost_from_trace(traced),
            replace(summary_from_trace(traced), net=entry.name),
            receptive_field_from_trace(traced),
            traced.outputs,
            TABLE_STYLES[style](module, shape) if style else None,
        )


class LimitedProcess:
    """Runs the net's code in another process with limits, and only reads its answer.

    The process has a time and a memory limit, writes no large file, starts in an empty temporary
    folder without the user's environment, and is not connected to the terminal. It can still read
    the user's files and use the network, and it can give wrong numbers.
    """

    def __init__(self, time_limit_s: float = TIME_LIMIT_S) -> None:
        self._time_limit_s = time_limit_s

    def analyze(
        self, net: str, shape: tuple[int, ...], classes: int | None, style: str | None = None
    ) -> NetAnalysis:
        """Return what is known of a net; see :class:`Sandbox`."""
        from pydantic import TypeAdapter, ValidationError

        request = {
            "net": full_address(net),
            "shape": shape,
            "classes": classes,
            "style": style,
            "path": [os.path.abspath(folder) for folder in (*sys.path, "")],
        }
        answer = self._run(json.dumps(request), net)
        try:
            content = json.loads(answer)
            if "error" in content:
                raise NetError(str(content["error"]))
            found = TypeAdapter(NetAnalysis).validate_json(answer, strict=True)
        except (ValueError, ValidationError, RecursionError, TypeError) as error:
            raise NetError(f"{net}: its code spoiled the answer of the sandbox; read it") from error
        shown = complete_address(net) if is_user_code(net) else found.summary.net
        return replace(found, summary=replace(found.summary, net=shown))

    def _run(self, request: str, net: str) -> bytes:
        start = "from netlet.experiments.sandbox import answer_request; answer_request()"
        with scratch_folder() as folder:
            reader, writer = os.pipe()
            process = subprocess.Popen(
                [sys.executable, "-c", start, str(writer), request],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=folder,
                env=_reduced_environment(str(folder)),
                pass_fds=(writer,),
                start_new_session=True,
            )
            os.close(writer)
            try:
                return self._read(reader, process, net)
            finally:
                os.close(reader)
                _kill_group(process)

    def _read(self, reader: int, process: subprocess.Popen[bytes], net: str) -> bytes:
        """Read the answer, which is preceded by its length in eight bytes."""
        content, wanted = b"", 8
        end = time.monotonic() + self._time_limit_s
        while len(content) < wanted:
            left = end - time.monotonic()
            if left <= 0 or not select.select([reader], [], [], left)[0]:
                raise NetError(
                    f"{net}: takes more than {self._time_limit_s:g} s in the sandbox; look for a "
                    "loop that does not end"
                )
            part = os.read(reader, 1 << 16)
            if not part:
                code = process.wait(self._time_limit_s)
                how = f"signal {-code}" if code < 0 else f"exit code {code}"
                raise NetError(f"{net}: its code ended the sandbox ({how}); read it")
            content += part
            if wanted == 8 and len(content) >= 8:
                wanted = 8 + int.from_bytes(content[:8], "big")
                if wanted > _ANSWER_LIMIT_BYTES:
                    raise NetError(f"{net}: its code spoiled the answer of the sandbox; read it")
        return content[8:wanted]


def answer_request() -> None:
    """Analyze the net that the command line of this process names; write the answer to a pipe."""
    descriptor, request = int(sys.argv[1]), json.loads(sys.argv[2])
    sys.argv[1:] = []
    sys.path += [folder for folder in request["path"] if folder not in sys.path]
    _limit_resources()
    try:
        shape = tuple(request["shape"])
        found = SameProcess().analyze(request["net"], shape, request["classes"], request["style"])
        answer = json.dumps(asdict(found))
    except NetError as error:
        answer = json.dumps({"error": str(error)})
    except MemoryError:
        answer = json.dumps({"error": f"{request['net']}: takes more memory than the sandbox has"})
    except BaseException as error:
        answer = json.dumps({"error": f"{request['net']}: {type(error).__name__}: {error}"})
    content = answer.encode()
    with open(descriptor, "wb", closefd=False) as pipe:
        pipe.write(len(content).to_bytes(8, "big") + content)
    os._exit(0)


def _limit_resources() -> None:
    try:
        import resource
    except ImportError:  # Windows has none
        return
    limits = [
        (resource.RLIMIT_CPU, TIME_LIMIT_S),
        (resource.RLIMIT_FSIZE, _FILE_LIMIT_BYTES),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 256),
    ]
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            used = int(file.read().split()[0]) * resource.getpagesize()
        limits.append((resource.RLIMIT_AS, used + MEMORY_LIMIT_BYTES))
    except OSError:  # not on Linux
        pass
    for kind, limit in limits:
        _, hard = resource.getrlimit(kind)
        highest = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (highest, highest))


def _reduced_environment(folder: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    own = dict.fromkeys(("HOME", "TMPDIR", "TEMP", "TMP", "XDG_CACHE_HOME"), folder)
    return kept | own | {"OMP_NUM_THREADS": "1", "NETLET_OFFLINE": "1", "PYTHONUTF8": "1"}


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and those that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        process.kill()
    process.wait()
