"""A function to run in a sandbox, and what it answers, as plain values."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from netlet.sandbox.limits import Limits


@dataclass(frozen=True, kw_only=True)
class SandboxTask:
    """A function of netlet, and what it gets.

    Attributes:
        function: Its module and name, ``netlet.module:function``. It takes the request and an
            :class:`~netlet.sandbox.messages.Exchange`; it returns values that JSON can hold, and
            bytes.
        request: Plain values for it.
        inputs: Files and folders of this machine by their absolute path inside, where they are
            read-only; everybody must be allowed to read them.
        files: Contents of files by their absolute path inside, for a task that runs on another
            machine.
        later: Contents that it gets one by one, each for a part of its answer: of none of them it
            knows anything before it has sent that part.
        limits: What it may use.
        trust: Whether to run it without a sandbox. The request then has the entry ``places``, the
            paths of the inputs by those that they have inside of a sandbox.
    """

    function: str
    request: Mapping[str, Any]
    inputs: Mapping[str, Path] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    later: tuple[bytes, ...] = ()
    limits: Limits = field(default_factory=Limits)
    trust: bool = False

    def pack(self) -> SandboxTask:
        """Return a task that needs no file of this machine: their contents travel with it.

        Raises:
            OSError: A file cannot be read.
        """
        files = dict(self.files)
        for inside, path in self.inputs.items():
            if path.is_dir():
                for file in sorted(path.rglob("*")):
                    if file.is_file():
                        name = file.relative_to(path).as_posix()
                        files[f"{inside}/{name}"] = file.read_bytes()
            else:
                files[inside] = path.read_bytes()
        return dataclasses.replace(self, inputs={}, files=files)

    def unpack(self, folder: Path) -> SandboxTask:
        """Return a task whose files are in an empty folder of this machine.

        Raises:
            OSError: They cannot be written.
        """
        for inside, content in self.files.items():
            path = folder.joinpath(*PurePosixPath(inside).parts[1:])
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o644)  # the user in the sandbox is another one
            for above in path.relative_to(folder).parents[:-1]:
                (folder / above).chmod(0o755)
        tops = {PurePosixPath(*PurePosixPath(inside).parts[:2]) for inside in self.files}
        inputs = {str(top): folder.joinpath(*top.parts[1:]) for top in tops}
        return dataclasses.replace(self, inputs={**self.inputs, **inputs}, files={})


@dataclass(frozen=True)
class SandboxAnswer:
    """What a function answered, which untrusted code may have made up.

    Attributes:
        values: Plain values.
        payload: Bytes.
        parts: The parts of the answer that were sent for the later contents, in order.
        seconds: The time that it took, in seconds.
    """

    values: dict[str, Any]
    payload: bytes
    parts: tuple[bytes, ...] = ()
    seconds: float = 0
