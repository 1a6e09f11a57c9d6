"""Run a task in a sandbox, watch it, and read its answer."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from dataclasses import asdict
from typing import Any

from netlet.errors import SandboxError
from netlet.sandbox.limits import Limits
from netlet.sandbox.memory import memory_is_short
from netlet.sandbox.messages import HEAD_BYTES, PART, SIZE_BYTES, decode_size, encode_size
from netlet.sandbox.programs import SandboxProgram, find_program, run_without_sandbox
from netlet.sandbox.task import SandboxAnswer, SandboxTask
from netlet.sandbox.visible import package_folder
from netlet.sandbox.watch import count_memory, kill_all, list_descendants, offer_to_kill_first
from netlet.scratch import scratch_folder

_START = "from netlet.sandbox.inside import main; main()"
_LOOK_EVERY_S = 0.1
_PRIORITY = 5  # lower than that of the process that watches it
# Of the plain values in an answer: here, outside of the sandbox, their objects take up to twenty
# times as much memory.
_VALUES_BYTES = 16 << 20


def run_task(
    task: SandboxTask,
    program: SandboxProgram | None = None,
    stop: threading.Event | None = None,
) -> SandboxAnswer:
    """Run a function of netlet in a sandbox; task and answer can travel between machines.

    Args:
        task: The function, what it gets, and its limits.
        program: The sandbox program; None: the first that works on this machine.
        stop: An event after which the function is stopped.

    Raises:
        SandboxError: There is no sandbox program, a limit was exceeded, or there is no answer.
    """
    if task.files:
        with scratch_folder() as folder:
            try:
                return run_task(task.unpack(folder), program, stop)
            except SandboxError as error:  # may name files, as without a sandbox
                message = str(error).replace(str(folder), "")
                raise SandboxError(message, error.reason) from error
    start = time.perf_counter()
    program = program or (run_without_sandbox() if task.trust else find_program())
    answer = _run(task, program, stop or threading.Event())
    return dataclasses.replace(answer, seconds=time.perf_counter() - start)


def _run(task: SandboxTask, program: SandboxProgram, stop: threading.Event) -> SandboxAnswer:
    request = dict(task.request)
    if task.trust:
        request["places"] = {inside: str(path) for inside, path in task.inputs.items()}
    words = [task.function, json.dumps(asdict(task.limits)), json.dumps(request)]
    command = program.build(
        program.path,
        [sys.executable, "-P", "-s", "-c", _START, *words],
        dict(task.inputs),
        _environment(),
        task.limits,
    )
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE if task.later else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        # The code inside may read the variables of bubblewrap's own process. Containers need ours.
        env=_environment() if program.watched else None,
        start_new_session=True,
    )
    assert process.stdout is not None
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, process.pid, _PRIORITY)
    offer_to_kill_first(process.pid)
    try:
        return _Conversation(process, task.limits, program, stop).hold(task.later)
    finally:
        process.stdout.close()
        if process.stdin is not None:
            with contextlib.suppress(OSError):
                process.stdin.close()
        _end(process, program, command)


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL") if name in os.environ}
    return kept | {
        "PATH": "/usr/bin:/bin",
        "HOME": "/tmp",
        "USER": "nobody",
        "PYTHONPATH": package_folder(),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "NETLET_OFFLINE": "1",
    }


class _Conversation:
    """Reads what a process answers and writes what it gets for it, within limits."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        limits: Limits,
        program: SandboxProgram,
        stop: threading.Event,
    ) -> None:
        self._process, self._limits, self._program, self._stop = process, limits, program, stop
        self._next_look = time.monotonic()
        self._end = self._next_look + limits.wall_s
        self._content, self._read = bytearray(), 0  # what came and is unused; bytes in all

    def hold(self, later: tuple[bytes, ...]) -> SandboxAnswer:
        """Return the answer, after each of its parts was answered by the next content."""
        parts: list[bytes] = []
        while True:
            values, payload = self._receive()
            if values != PART:
                return SandboxAnswer(values, payload, tuple(parts))
            if len(parts) == len(later):
                raise _spoiled()
            parts.append(payload)
            content = later[len(parts) - 1]
            self._send(encode_size(len(content)))
            self._send(content)

    def _receive(self) -> tuple[dict[str, Any], bytes]:
        self._fill(HEAD_BYTES)
        values = decode_size(self._content[:SIZE_BYTES])
        whole = HEAD_BYTES + values + decode_size(self._content[SIZE_BYTES:HEAD_BYTES])
        if values > _VALUES_BYTES:
            raise _too_much()
        self._fill(whole)
        middle = HEAD_BYTES + values
        content = bytes(self._content[HEAD_BYTES:middle])
        payload = bytes(self._content[middle:whole])
        del self._content[:whole]
        return _parse_values(content, self._limits), payload

    def _fill(self, size: int) -> None:
        """Read until at least so many bytes are there."""
        assert self._process.stdout is not None
        reader = self._process.stdout.fileno()
        while len(self._content) < size:
            if self._read - len(self._content) + size > self._limits.answer_bytes:
                raise _too_much()
            self._check()
            if not select.select([reader], [], [], _LOOK_EVERY_S)[0]:
                continue
            part = os.read(reader, 1 << 20)
            if not part:
                raise _explain_end(self._process, self._program, self._limits)
            self._content += part
            self._read += len(part)

    def _send(self, content: bytes) -> None:
        """Write all of some bytes; code that does not read them is stopped by the time limit."""
        assert self._process.stdin is not None
        writer, left = self._process.stdin.fileno(), memoryview(content)
        os.set_blocking(writer, False)
        while left:
            self._check()
            if select.select([], [writer], [], _LOOK_EVERY_S)[1]:
                try:
                    left = left[os.write(writer, left) :]
                except BlockingIOError:
                    continue
                except OSError:
                    raise _explain_end(self._process, self._program, self._limits) from None

    def _check(self) -> None:
        """Check whether the task may go on, a few times a second.

        Raises:
            SandboxError: It may not.
        """
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + _LOOK_EVERY_S
        if self._stop.is_set():
            raise SandboxError("stopped; run the same command again", "stopped")
        if now > self._end:
            raise SandboxError(
                f"the code takes more than {self._limits.wall_s:g} s in the sandbox; look for an "
                "infinite loop",
                "time",
            )
        if memory_is_short():
            raise SandboxError(
                "stopped: the machine ran out of memory; close other programs", "machine"
            )
        if self._program.watched:
            _check_processes(list_descendants(self._process.pid), self._limits)


def _check_processes(running: list[int], limits: Limits) -> None:
    """Check what the processes inside use together.

    Raises:
        SandboxError: It is too much.
    """
    if len(running) > limits.processes + 3:  # bubblewrap's own, and the first Python
        raise SandboxError(
            f"the code starts more than {limits.processes} processes in the sandbox; inspect the "
            "code",
            "processes",
        )
    if count_memory(running) > limits.memory_bytes:
        raise SandboxError(limits.memory_problem, "memory")


def _parse_values(content: bytes, limits: Limits) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _spoiled() from error
    if not isinstance(values, dict):
        raise _spoiled()
    if values.get("reason") == "memory":
        raise SandboxError(limits.memory_problem, "memory")
    if "error" in values:
        raise SandboxError(str(values["error"])[:2_000], "failed")
    return values


def _spoiled() -> SandboxError:
    return SandboxError(
        "the code interfered with the result of the sandbox; inspect the code", "spoiled"
    )


def _too_much() -> SandboxError:
    return SandboxError("the code returned too much from the sandbox; inspect the code", "output")


def _explain_end(
    process: subprocess.Popen[bytes], program: SandboxProgram, limits: Limits
) -> SandboxError:
    try:
        code = process.wait(10)
    except subprocess.TimeoutExpired:
        return SandboxError(
            "the code interfered with the result of the sandbox; inspect the code", "spoiled"
        )
    if code == 128 + signal.SIGXCPU or code == -signal.SIGXCPU:
        return SandboxError(
            "the code takes too much processor time in the sandbox; make it faster", "time"
        )
    if code == 128 + signal.SIGKILL and not program.watched:
        return SandboxError(limits.memory_problem, "memory")
    number = -code if code < 0 else code - 128 if code > 128 else 0
    if code and not number:  # of the code, or of a sandbox program that could not start it
        return SandboxError(
            f"the sandbox ended without an answer (exit code {code}); try again, or inspect the "
            "code for calls that end the process",
            "ended",
        )
    how = f"signal {number}" if number else f"exit code {code}"
    return SandboxError(f"the code ended the sandbox ({how}); inspect the code", "ended")


def _end(process: subprocess.Popen[bytes], program: SandboxProgram, command: list[str]) -> None:
    """End the sandbox with everything in it."""
    if program.watched:
        kill_all(list_descendants(process.pid))
    elif "--name" in command:  # a container
        _call_client(program, command, "kill")
    with contextlib.suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if not program.watched and "--name" in command:
        # One that was created but not started is still there.
        _call_client(program, command, "rm", "--force")


def _call_client(program: SandboxProgram, command: list[str], *words: str) -> None:
    """Call Podman or Docker about the container of a command, whether it exists or not."""
    name = command[command.index("--name") + 1]
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        subprocess.run([program.path, *words, name], capture_output=True, timeout=20, check=False)
