"""Run a function on untrusted files where it sees and harms nothing else.

The function runs under bubblewrap, Podman or Docker: in a process of its own, without network,
without the user's files, with a read-only system and within limits. What it returns is data that
the caller checks.
"""

from netlet.sandbox.limits import Limits
from netlet.sandbox.memory import count_fitting
from netlet.sandbox.messages import Exchange
from netlet.sandbox.programs import SandboxProgram, find_program
from netlet.sandbox.run import run_task
from netlet.sandbox.task import SandboxAnswer, SandboxTask

__all__ = [
    "Exchange",
    "Limits",
    "SandboxAnswer",
    "SandboxProgram",
    "SandboxTask",
    "count_fitting",
    "find_program",
    "run_task",
]
