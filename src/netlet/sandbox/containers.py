"""The command line of Podman and Docker: an empty image, in which this machine's Python runs."""

from __future__ import annotations

import io
import os
import secrets
import subprocess
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from netlet.errors import SandboxError
from netlet.sandbox.limits import Limits
from netlet.sandbox.visible import find_trained_weights, view_of_system
from netlet.text import escape_controls

IMAGE = "localhost/netlet-sandbox:2"
_NOBODY = 65_534
_SMALL_BYTES = 65_536
_SPECIAL = (",", '"', "\n", "\r")  # in --mount, whose value is a line of CSV
_MOST = 4_096  # of files and processes, before the limits of the task itself


def build_command(
    program: str,
    command: Sequence[str],
    inputs: Mapping[str, Path],
    environment: Mapping[str, str],
    limits: Limits,
) -> list[str]:
    """Return the command that runs another one in a container; see ``CommandBuilder``."""
    user = os.geteuid() or _NOBODY
    words = [program, "run", "--rm", "--name", f"netlet-{os.getpid()}-{secrets.token_hex(8)}"]
    words += ["--interactive", "--network", "none", "--read-only", "--cap-drop", "ALL"]
    words += ["--security-opt", "no-new-privileges", "--user", f"{user}:{user}"]
    words += ["--memory", str(limits.memory_bytes), "--memory-swap", str(limits.memory_bytes)]
    words += ["--pids-limit", str(limits.processes), "--hostname", "sandbox", "--workdir", "/tmp"]
    words += ["--tmpfs", f"/tmp:rw,mode=1777,size={limits.folder_bytes}"]
    for folder in ("/run", "/var/tmp"):  # Podman makes them without a limit
        words += ["--tmpfs", f"{folder}:rw,mode=0700,size={_SMALL_BYTES}"]
    words += ["--shm-size", "16m"]
    words += ["--pull", "never", *_limit_words()]
    for name, value in environment.items():
        words += ["--env", f"{name}={value}"]
    view = view_of_system()
    sources = {path: path for path in view.folders if not path.startswith("/sys/")}
    # Not a memory-backed folder: Podman would copy the files below into it.
    for folder in find_trained_weights(view):
        weights = [str(file) for file in sorted(Path(folder).glob("*.safetensors"))]
        sources |= dict.fromkeys(weights, os.devnull)
    sources |= {inside: str(path) for inside, path in inputs.items()}
    for inside, source in sources.items():
        words += _mount(source, inside)
    return [*words, IMAGE, *command]


def _mount(source: str, inside: str) -> list[str]:
    """Return the option that shows a file or folder inside, read-only.

    Raises:
        SandboxError: Neither form of the option can have such a path.
    """
    both = source + inside
    if not any(mark in both for mark in _SPECIAL):
        return ["--mount", f"type=bind,source={source},target={inside},readonly"]
    if ":" not in both:
        return ["--volume", f"{source}:{inside}:ro"]
    shown = escape_controls(source if ":" in source else inside)
    raise SandboxError(
        f"the path {shown!r} has a colon beside a comma, a quotation mark or a line break, which "
        "Podman and Docker do not take; rename a folder of it, or install bubblewrap"
    )


def _limit_words() -> list[str]:
    """Return limits that any system allows: by default, Podman asks for more than some do."""
    import resource  # Linux only, as all of this

    words = []
    for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(kind)[1]
        most = _MOST if hard == resource.RLIM_INFINITY else min(hard, _MOST)
        words += ["--ulimit", f"{name}={most}:{most}"]
    return words


def make_image(program: str, time_limit_s: float) -> None:
    """Create the image, which holds nothing but the links of this system, unless it exists.

    Raises:
        OSError: The program cannot be started.
        SandboxError: It cannot create images.
        subprocess.TimeoutExpired: It does not answer.
    """
    found = subprocess.run(
        [program, "image", "inspect", IMAGE], capture_output=True, timeout=time_limit_s, check=False
    )
    if found.returncode == 0:
        return
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        for name in ("tmp", "proc", "dev", "sys", "task"):
            folder = tarfile.TarInfo(name)
            # Podman gives a memory-backed folder the permissions of the one in the image.
            folder.type, folder.mode = tarfile.DIRTYPE, 0o1777 if name == "tmp" else 0o755
            archive.addfile(folder)
        for path, target in view_of_system().links.items():
            link = tarfile.TarInfo(path.lstrip("/"))
            link.type, link.linkname = tarfile.SYMTYPE, target
            archive.addfile(link)
    made = subprocess.run(
        [program, "import", "-", IMAGE],
        input=content.getvalue(),
        capture_output=True,
        timeout=time_limit_s,
        check=False,
    )
    if made.returncode:
        lines = made.stderr.decode(errors="replace").strip().splitlines()
        raise SandboxError(
            lines[-1][:200] if lines else f"exit code {made.returncode}; is it running?", "missing"
        )
