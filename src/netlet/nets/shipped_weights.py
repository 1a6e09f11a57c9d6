"""Trained weights shipped with the package, so that its best nets work without training."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

WEIGHTS_LICENSE = "MIT, like netlet"
WEIGHTS_FOLDER = Path(str(resources.files(__package__) / "trained"))


def list_shipped_weights() -> list[str]:
    """Return the names of the experiments whose weights are shipped with the package."""
    return sorted(path.stem for path in WEIGHTS_FOLDER.glob("*.safetensors"))


def find_shipped_weights(name: str) -> Path | None:
    """Return the file of an experiment's shipped weights, or None if there is none.

    A model card (``.md``) lies beside it.
    """
    path = WEIGHTS_FOLDER / f"{name}.safetensors"
    return path if path.is_file() else None
