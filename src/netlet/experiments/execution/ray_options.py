"""What ``--on`` says about Ray; read without Ray."""

from __future__ import annotations

import re
from dataclasses import dataclass

from netlet.errors import TrainingError

_ADDRESS = re.compile(r"ray://([^/:\s]+|\[[0-9A-Fa-f:]+\]):\d{1,5}")
_NUMBER = re.compile(r"\d+|\d*\.\d+")
_FORMS = "local, ray or ray://HOST:PORT, the last two perhaps followed by ,gpus=N or ,code=send"


@dataclass(frozen=True)
class RayOptions:
    """Which cluster runs the tasks, and what each needs besides its processors.

    Attributes:
        address: ``ray://HOST:PORT``; None: what the environment variable ``RAY_ADDRESS`` names, and
            without it a Ray of its own on this machine.
        gpus: GPUs for each task, 0.5 if two share one.
        send_code: Whether to send this netlet to the nodes instead of using theirs.
    """

    address: str | None = None
    gpus: float = 0.0
    send_code: bool = False

    @staticmethod
    def parse(on: str) -> RayOptions:
        """Return the options in a text like ``ray://HOST:PORT,gpus=1``.

        Raises:
            TrainingError: It is none.
        """
        address, *settings = on.split(",")
        if address != "ray" and not _ADDRESS.fullmatch(address):
            raise TrainingError(f"--on {on!r}: {address!r} is not known; use {_FORMS}")
        gpus, send_code = 0.0, False
        for setting in settings:
            key, _, value = setting.partition("=")
            if key == "gpus" and _NUMBER.fullmatch(value):
                gpus = float(value)
            elif setting in ("code=send", "code=installed"):
                send_code = value == "send"
            else:
                raise TrainingError(f"--on {on!r}: {setting!r} is not known; use {_FORMS}")
        return RayOptions(None if address == "ray" else address, gpus, send_code)
