"""Run a function on untrusted files where it sees and harms nothing else.

The function runs under bubblewrap, Podman or Docker: in a process of its own, without network,
without the user's files, with a read-only system and within limits. What it returns is data that
the caller checks.
"""

from netlet.sandbox.limits import Limits
from netlet.sandbox.programs import SandboxProgram, find_program, run_without_sandbox
from netlet.sandbox.run import run_task

__all__ = ["Limits", "SandboxProgram", "find_program", "run_task", "run_without_sandbox"]
