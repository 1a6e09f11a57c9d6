"""Run a function in a sandbox, watch it, and read its answer."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from netlet.errors import SandboxError
from netlet.sandbox.limits import Limits
from netlet.sandbox.programs import SandboxProgram, find_program
from netlet.sandbox.visible import package_folder
from netlet.sandbox.watch import (
    count_memory,
    kill_all,
    list_descendants,
    memory_is_short,
    offer_to_kill_first,
)

_START = "from netlet.sandbox.inside import main; main()"
_LOOK_EVERY_S = 0.1
_PRIORITY = 5  # lower than that of the process that watches it
_HEAD_BYTES = 16  # the sizes of the two parts of an answer
# Of the plain values in an answer: here, outside of the sandbox, their objects take up to twenty
# times as much memory.
_VALUES_BYTES = 16 << 20


def run_task(
    function: str,
    request: Mapping[str, Any],
    inputs: Mapping[str, Path] | None = None,
    limits: Limits | None = None,
    program: SandboxProgram | None = None,
    stop: threading.Event | None = None,
) -> tuple[dict[str, Any], bytes]:
    """Run a function of netlet in a sandbox.

    Args:
        function: Its module and name, ``netlet.module:function``. It takes the request and returns
            values that JSON can hold, and bytes.
        request: Plain values for it.
        inputs: Files and folders by their absolute path inside, where they are read-only; everybody
            must be allowed to read them.
        limits: What it may use; the usual limits if None.
        program: The sandbox program; the first that works if None.
        stop: An event after which the function is stopped.

    Returns:
        The values and bytes, which untrusted code may have made up.

    Raises:
        SandboxError: There is no sandbox program, a limit was exceeded, or there is no answer.
    """
    limits = limits or Limits()
    program = program or find_program()
    words = [json.dumps(asdict(limits)), json.dumps(dict(request))]
    command = program.build(
        program.path,
        [sys.executable, "-P", "-s", "-c", _START, function, *words],
        dict(inputs or {}),
        _environment(),
        limits,
    )
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
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
        return _read_answer(process, limits, program, stop or threading.Event())
    finally:
        process.stdout.close()
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


def _read_answer(
    process: subprocess.Popen[bytes],
    limits: Limits,
    program: SandboxProgram,
    stop: threading.Event,
) -> tuple[dict[str, Any], bytes]:
    assert process.stdout is not None
    reader = process.stdout.fileno()
    content, wanted, values = bytearray(), _HEAD_BYTES, 0
    end = time.monotonic() + limits.wall_s
    while len(content) < wanted:
        if stop.is_set():
            raise SandboxError("was stopped; start again", "stopped")
        if time.monotonic() > end:
            raise SandboxError(
                f"takes more than {limits.wall_s:g} s in the sandbox; look for a loop that does "
                "not end",
                "time",
            )
        _check_use(process, limits, program)
        if not select.select([reader], [], [], _LOOK_EVERY_S)[0]:
            continue
        part = os.read(reader, 1 << 20)
        if not part:
            raise _explain_end(process, program)
        content += part
        if wanted == _HEAD_BYTES and len(content) >= wanted:
            values = int.from_bytes(content[:8], "big")
            wanted += values + int.from_bytes(content[8:16], "big")
        if max(wanted, len(content)) > limits.answer_bytes or values > _VALUES_BYTES:
            raise SandboxError("its code returned too much from the sandbox; read it", "output")
    middle = _HEAD_BYTES + int.from_bytes(content[:8], "big")
    return _parse_values(bytes(content[_HEAD_BYTES:middle])), bytes(content[middle:wanted])


def _parse_values(content: bytes) -> dict[str, Any]:
    try:
        values = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise SandboxError("its code spoiled the answer of the sandbox; read it", "spoiled") from (
            error
        )
    if not isinstance(values, dict):
        raise SandboxError("its code spoiled the answer of the sandbox; read it", "spoiled")
    if values.get("reason") == "memory":
        raise SandboxError("takes more memory than the sandbox has", "memory")
    if "error" in values:
        raise SandboxError(str(values["error"])[:2_000], "failed")
    return values


def _check_use(process: subprocess.Popen[bytes], limits: Limits, program: SandboxProgram) -> None:
    """Check what the processes inside use together.

    Raises:
        SandboxError: It is too much.
    """
    if memory_is_short():
        raise SandboxError("was stopped: the machine ran out of memory; free some", "machine")
    if not program.watched:
        return
    running = list_descendants(process.pid)
    if len(running) > limits.processes + 3:  # bubblewrap's own, and the first Python
        raise SandboxError(
            f"starts more than {limits.processes} processes in the sandbox; read its code",
            "processes",
        )
    if count_memory(running) > limits.memory_bytes:
        raise SandboxError("takes more memory than the sandbox has", "memory")


def _explain_end(process: subprocess.Popen[bytes], program: SandboxProgram) -> SandboxError:
    try:
        code = process.wait(10)
    except subprocess.TimeoutExpired:
        return SandboxError("its code closed the answer of the sandbox; read it", "spoiled")
    if code == 128 + signal.SIGXCPU or code == -signal.SIGXCPU:
        return SandboxError("takes too much processor time in the sandbox; shorten it", "time")
    if code == 128 + signal.SIGKILL and not program.watched:
        return SandboxError("takes more memory than the sandbox has", "memory")
    number = -code if code < 0 else code - 128 if code > 128 else 0
    how = f"signal {number}" if number else f"exit code {code}"
    return SandboxError(f"its code ended the sandbox ({how}); read it", "ended")


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
