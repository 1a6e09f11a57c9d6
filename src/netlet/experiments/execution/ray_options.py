"""What ``--on`` says about Ray; read without Ray."""

from __future__ import annotations

import re
from dataclasses import dataclass

from netlet.errors import TrainingError

_ADDRESS = re.compile(r"ray://([^/:\s]+|\[[0-9A-Fa-f:]+\]):\d{1,5}")
_NUMBER = re.compile(r"\d+|\d*\.\d+")
_FORMS = (
    "local, ray or ray://HOST:PORT, the last two perhaps followed by ,gpus=N or ,memory_gib=N or "
    ",code=send"
)


@dataclass(frozen=True)
class RayOptions:
    """Which cluster runs the tasks, and what each needs besides its processors.

    Attributes:
        address: ``ray://HOST:PORT``; None: what the environment variable ``RAY_ADDRESS`` names, and
            without it a Ray of its own on this machine.
        gpus: GPUs for each task, 0.5 if two share one.
        send_code: Whether to send this netlet to the nodes instead of using theirs.
        memory_gib: Memory that each task reserves. A node runs no more tasks than its memory has
            room for; Ray does not stop a task from using more than that.
    """

    address: str | None = None
    gpus: float = 0.0
    send_code: bool = False
    memory_gib: float = 0.0

    def resources(self, threads: int) -> dict[str, float]:
        """Return what a task with this number of threads reserves of its node, by Ray's names."""
        needed = {"CPU": threads, "GPU": self.gpus, "memory": round(self.memory_gib * 2**30)}
        return {name: amount for name, amount in needed.items() if amount}

    @staticmethod
    def parse(on: str) -> RayOptions:
        """Return the options in a text like ``ray://HOST:PORT,gpus=1``.

        Raises:
            TrainingError: It is none.
        """
        address, *settings = on.split(",")
        if address != "ray" and not _ADDRESS.fullmatch(address):
            alone = "takes no options" if address == "local" else "is not known"
            raise TrainingError(f"--on {on!r}: {address!r} {alone}; use {_FORMS}")
        amounts, send_code = {"gpus": 0.0, "memory_gib": 0.0}, False
        for setting in settings:
            key, _, value = setting.partition("=")
            if key in amounts and _NUMBER.fullmatch(value):
                amounts[key] = float(value)
            elif setting in ("code=send", "code=installed"):
                send_code = value == "send"
            else:
                raise TrainingError(f"--on {on!r}: {setting!r} is not known; use {_FORMS}")
        named = None if address == "ray" else address
        return RayOptions(named, amounts["gpus"], send_code, amounts["memory_gib"])
