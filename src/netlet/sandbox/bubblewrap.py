"""The command line of bubblewrap."""

from __future__ import annotations

import functools
import os
import stat
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from netlet.sandbox.limits import Limits
from netlet.sandbox.visible import find_trained_weights, view_of_system

_SHARED_MEMORY_BYTES = 16 << 20


def build_command(
    program: str,
    command: Sequence[str],
    inputs: Mapping[str, Path],
    environment: Mapping[str, str],
    limits: Limits,
) -> list[str]:
    """Return the command that runs another one under bubblewrap; see ``CommandBuilder``."""
    view = view_of_system()
    words = [program, *_namespaces(program), "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        # The code inside becomes another user before it runs anything of the task.
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    words += ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
    for name, value in environment.items():
        words += ["--setenv", name, value]
    words += ["--proc", "/proc", "--dev", "/dev"]
    if _has_option(program, "--size"):  # 0.7 and later
        words += ["--size", str(_SHARED_MEMORY_BYTES), "--tmpfs", "/dev/shm"]
        words += ["--size", str(limits.folder_bytes), "--perms", "1777", "--tmpfs", "/tmp"]
    else:  # no folder can be written to: its size could not be limited
        words += ["--tmpfs", "/tmp"]
    words += ["--remount-ro", "/dev"]
    for path, target in view.links.items():
        words += ["--symlink", target, path]
    made: set[str] = {"/tmp"}
    sources = {path: path for path in view.folders}
    sources |= {inside: str(path) for inside, path in inputs.items()}
    for inside, source in sources.items():
        words += [*_parents(inside, made), "--ro-bind", source, inside]
    for folder in find_trained_weights(view):
        words += ["--perms", "0555", "--tmpfs", folder, "--remount-ro", folder]
    if not _has_option(program, "--size"):
        words += ["--remount-ro", "/tmp"]
    return [*words, "--remount-ro", "/", "--chdir", "/tmp", "--", *command]


def _namespaces(program: str) -> list[str]:
    words = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    words.append("--unshare-cgroup-try")
    if os.geteuid() == 0:
        # In a new user namespace root's files would stay readable: another user is better.
        return words
    # Others refuse more of them by a filter, too (namespaces.py).
    disable = ["--disable-userns"] if _can_disable_namespaces(program) else []
    return ["--unshare-user", *disable, *words]


def _parents(path: str, made: set[str]) -> list[str]:
    """Return what creates the folders above a path, so that every user may pass through them."""
    words = []
    for parent in reversed(PurePosixPath(path).parents[:-1]):
        if str(parent) not in made:
            made.add(str(parent))
            words += ["--perms", "0755", "--dir", str(parent)]
    made.add(path)
    return words


def _can_disable_namespaces(program: str) -> bool:
    """Return whether this program can keep the code from creating user namespaces.

    Version 0.8 and later can, unless the system's administrator has made it a setuid program.
    """
    try:
        setuid = os.stat(program).st_mode & stat.S_ISUID
    except OSError:
        return False
    return not setuid and _has_option(program, "--disable-userns")


@functools.cache
def _has_option(program: str, option: str) -> bool:
    try:
        done = subprocess.run([program, "--help"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return option.encode() in (done.stdout + done.stderr).split()
