"""Find a program that can run untrusted code: bubblewrap first, then Podman or Docker."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from netlet.errors import SandboxError
from netlet.sandbox import bubblewrap, containers
from netlet.sandbox.limits import TRUSTED, Limits

_PROBE_S = 30
_INSTALL = (
    "install bubblewrap, for example with 'sudo apt-get install bubblewrap' or 'sudo dnf install "
    "bubblewrap'"
)
_ALLOW_NAMESPACES = (
    "allow unprivileged user namespaces, which bubblewrap usually needs, or set up Docker"
)


class CommandBuilder(Protocol):
    """A function that returns the command that runs another one in a sandbox."""

    def __call__(
        self,
        program: str,
        command: Sequence[str],
        inputs: Mapping[str, Path],
        environment: Mapping[str, str],
        limits: Limits,
    ) -> list[str]:
        """Return the command.

        Args:
            program: The path of the sandbox program.
            command: The command to run inside.
            inputs: Files and folders of this machine by their path inside, read-only.
            environment: All variables that the command gets.
            limits: What it may use.
        """


@dataclass(frozen=True)
class SandboxProgram:
    """A program that works on this machine.

    Attributes:
        name: ``bubblewrap``, ``Podman`` or ``Docker``.
        path: The path of the program.
        build: The function that returns its command.
        watched: Whether its processes are children of ours, which netlet can count.
    """

    name: str
    path: str
    build: CommandBuilder
    watched: bool


@functools.cache
def find_program() -> SandboxProgram:
    """Return the first sandbox program on the PATH that works here.

    Raises:
        SandboxError: There is none; the message says how to get one.
    """
    if sys.platform != "linux":  # the sandbox runs this machine's Python
        raise SandboxError(
            "the sandbox for untrusted code needs Linux; use a Linux machine or virtual machine",
            "missing",
        )
    problems = {}
    for program in _candidates():
        if problem := _try(program):
            problems[program.name] = f"{program.name} does not work ({problem})"
        else:
            return program
    found = "; ".join(problems.values()) or "no bubblewrap, Podman or Docker is on the PATH"
    remedy = _ALLOW_NAMESPACES if "bubblewrap" in problems else _INSTALL
    raise SandboxError(f"there is no sandbox for untrusted code: {found}; {remedy}", "missing")


def run_without_sandbox() -> SandboxProgram:
    """Return what runs trusted code: a process of its own with limits, and no sandbox."""

    def build(
        program: str,
        command: Sequence[str],
        inputs: Mapping[str, Path],
        environment: Mapping[str, str],
        limits: Limits,
    ) -> list[str]:
        variables = {**environment, "HOME": os.path.expanduser("~"), TRUSTED: "1"}
        return [program, "-i", *(f"{name}={value}" for name, value in variables.items()), *command]

    return SandboxProgram("no sandbox", shutil.which("env") or "env", build, Path("/proc").is_dir())


def _candidates() -> list[SandboxProgram]:
    found = []
    if path := shutil.which("bwrap"):
        found.append(SandboxProgram("bubblewrap", path, bubblewrap.build_command, True))
    for name, title in (("podman", "Podman"), ("docker", "Docker")):
        if path := shutil.which(name):
            found.append(SandboxProgram(title, path, containers.build_command, False))
    return found


def _try(program: SandboxProgram) -> str:
    """Return why a program does not work here, in one line; empty if it does."""
    try:
        if not program.watched:
            containers.make_image(program.path, _PROBE_S)
        command = program.build(
            program.path,
            [sys.executable, "-I", "-S", "-c", "print(6 * 7)"],
            {},
            {"PATH": "/usr/bin:/bin"},
            Limits(),
        )
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_PROBE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {_PROBE_S} s"
    except (OSError, SandboxError) as error:
        return str(error)
    if done.returncode == 0 and done.stdout.strip() == b"42":
        return ""
    lines = done.stderr.decode(errors="replace").strip().splitlines()
    return lines[-1][:200] if lines else f"exit code {done.returncode}"
