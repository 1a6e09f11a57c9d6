"""Trained weights that come with the package, so that its best nets answer without a training."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

WEIGHTS_LICENSE = "MIT, as netlet's"
WEIGHTS_FOLDER = Path(str(resources.files(__package__) / "trained"))


def list_shipped_weights() -> list[str]:
    """The experiments whose weights come with the package."""
    return sorted(path.stem for path in WEIGHTS_FOLDER.glob("*.safetensors"))


def find_shipped_weights(name: str) -> Path | None:
    """The file of an experiment's weights, a card (``.md``) beside it; None if there is none."""
    path = WEIGHTS_FOLDER / f"{name}.safetensors"
    return path if path.is_file() else None
