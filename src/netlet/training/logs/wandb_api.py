"""Weights & Biases, and trackio, whose Python package has the same functions."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from typing import Any

from netlet.training.logs.values import LoggedRun

PROJECT = "netlet"


class WandbLog:
    """Logs one run by a package with the functions of ``wandb``.

    Several runs can be open at the same time.

    Args:
        run: The run.
        package: ``wandb`` or ``trackio``.
    """

    def __init__(self, run: LoggedRun, package: str = "wandb") -> None:
        module = importlib.import_module(package)
        options: dict[str, Any] = {}
        if package == "wandb":
            run.folder.mkdir(parents=True, exist_ok=True)
            settings = module.Settings(console="off", silent=True)
            options = {"dir": str(run.folder), "reinit": "create_new", "settings": settings}
            if mode := os.environ.get("WANDB_MODE"):  # wandb reads it when it is imported only
                options["mode"] = mode
        self._run = module.init(
            project=PROJECT,
            name=run.name,
            group=run.group,
            config={**run.settings, "folder": str(run.folder)},
            **options,
        )
        self.place = f"{package}, project {PROJECT}, run {self._run.name}"

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Log the values of an epoch."""
        self._run.log(dict(values), step=epoch)

    def close(self) -> None:
        """Finish the run."""
        self._run.finish()
