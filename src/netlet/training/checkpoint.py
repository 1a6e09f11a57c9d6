"""Checkpoints: everything that a training needs to resume bit-for-bit after an epoch."""

from __future__ import annotations

import dataclasses
import io
import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netlet import records
from netlet.display import Displayed
from netlet.errors import TrainingError
from netlet.files import read_regular
from netlet.locks import lock_folder
from netlet.nets.tensor_files import load_as_data
from netlet.records import Epoch, Stretch
from netlet.records.upgrade import CHECKPOINT_FORMAT, upgrade_checkpoint
from netlet.training.state import TrainingState

MAX_CHECKPOINT_BYTES = 1 << 30


@dataclass(frozen=True)
class Checkpoint(Displayed):
    """A training after some epochs, or before the first.

    It contains no random state, since each epoch sets its own (see ``rng.py``), and no data and no
    recipe, which do not change.
    """

    epochs: tuple[Epoch, ...]
    net: Mapping[str, torch.Tensor]  # all parameters and buffers, persistent or not
    average: Mapping[str, torch.Tensor]  # empty if the recipe does not average
    optimizer: Mapping[str, Any]  # "steps" and "state"
    elapsed_s: float
    resumed_after: tuple[int, ...] = ()  # epochs after which the run was interrupted and resumed
    stretches: tuple[Stretch, ...] = ()  # which process trained which of the epochs
    started_at: str = ""  # UTC, ISO 8601: when the run began; older checkpoints lack it
    setting: Mapping[str, Any] = field(default_factory=dict)  # of the training; older ones lack it
    folder: Path | None = None  # that it has been loaded from; not saved

    @staticmethod
    def capture(
        state: TrainingState,
        epochs: tuple[Epoch, ...],
        elapsed_s: float,
        resumed_after: tuple[int, ...],
        stretches: tuple[Stretch, ...],
        started_at: str,
        setting: Mapping[str, Any],
    ) -> Checkpoint:
        """Copy everything that the next step will change to the CPU."""
        return Checkpoint(
            epochs=epochs,
            net=_copy_tensors(state.net),
            average=_copy_tensors(state.average.averaged_model),
            optimizer={
                "steps": state.optimizer.steps,
                "state": [
                    [tensor.detach().cpu().clone() for tensor in tensors]
                    for tensors in state.optimizer.state
                ],
            },
            elapsed_s=elapsed_s,
            resumed_after=resumed_after,
            stretches=stretches,
            started_at=started_at,
            setting=setting,
        )

    def restore(self, state: TrainingState) -> None:
        """Copy everything back into a new training state.

        Raises:
            TrainingError: The net is not the one that the checkpoint was made with.
        """
        _restore_tensors(state.net, self.net)
        _restore_tensors(state.average.averaged_model, self.average)
        state.optimizer.steps = self.optimizer["steps"]
        for current, saved in zip(state.optimizer.state, self.optimizer["state"], strict=True):
            for tensor, value in zip(current, saved, strict=True):
                tensor.copy_(value)

    def _facts(self) -> Mapping[str, object]:
        return {
            "epochs": len(self.epochs),
            "tensors": len(self.net),
            "elapsed_s": round(self.elapsed_s, 1),
        }


def checkpoint_to_bytes(checkpoint: Checkpoint, config: Mapping[str, Any]) -> bytes:
    """Return the content of a checkpoint file.

    Args:
        checkpoint: The state to save.
        config: The run's configuration as plain values, from which the run is resumed.
    """
    state = {
        field.name: getattr(checkpoint, field.name)
        for field in dataclasses.fields(checkpoint)
        if field.name != "folder"
    }
    for name in ("epochs", "stretches"):
        state[name] = [records.to_json_value(value) for value in state[name]]
    content = io.BytesIO()
    torch.save({"format": CHECKPOINT_FORMAT, "config": dict(config), "checkpoint": state}, content)
    return content.getvalue()


def load_checkpoint(folder: Path) -> tuple[Checkpoint, dict[str, Any]]:
    """Return the checkpoint in a run's folder and the run's configuration.

    The file is read as data only; no code in it is executed.

    Raises:
        TrainingError: There is no checkpoint, or it is not readable.
    """
    path = folder / records.CHECKPOINT_FILE
    _require_checkpoint(folder)
    content = read_regular(path, MAX_CHECKPOINT_BYTES, TrainingError)
    checkpoint, config = checkpoint_from_bytes(content, path)
    return dataclasses.replace(checkpoint, folder=folder), config


@contextmanager
def lock_unfinished(folder: Path) -> Iterator[None]:
    """Lock the folder of an interrupted run, before its checkpoint is loaded.

    Raises:
        TrainingError: There is no checkpoint.
        LockedError: Another process goes on with the run.
    """
    _require_checkpoint(folder)
    with lock_folder(folder, "netlet.fit"):
        yield


def _require_checkpoint(folder: Path) -> None:
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder; pass the folder of the run to resume")
    if not os.path.lexists(folder / records.CHECKPOINT_FILE):
        finished = (folder / records.RECORD).is_file()
        reason = (
            "the run is finished" if finished else f"no {records.CHECKPOINT_FILE}; start a new run"
        )
        raise TrainingError(f"{folder}: nothing to resume, {reason}")


def checkpoint_from_bytes(content: bytes, where: object) -> tuple[Checkpoint, dict[str, Any]]:
    """Return the checkpoint in the content of a file; see :func:`load_checkpoint`.

    Args:
        content: The content.
        where: The path of the file, for error messages.

    Raises:
        TrainingError: It is not readable.
    """
    try:
        found = upgrade_checkpoint(load_as_data(content))
        if found["format"] != CHECKPOINT_FORMAT:
            raise TrainingError(
                f"{where}: expected format {CHECKPOINT_FORMAT}, found {found['format']}; "
                "start a new run"
            )
        state = found["checkpoint"]
        state["epochs"] = records.epochs_from_json(state["epochs"])
        state["stretches"] = records.stretches_from_json(state["stretches"])
        return Checkpoint(**state), found["config"]
    except TrainingError:
        raise
    except Exception as error:  # torch.load raises many types on damaged files
        raise TrainingError(
            f"{where}: cannot be read as a checkpoint ({type(error).__name__}); start a new run"
        ) from error


def _named_tensors(module: nn.Module | None) -> Iterator[tuple[str, torch.Tensor]]:
    if module is None:
        return iter(())
    return itertools.chain(module.named_parameters(), module.named_buffers())


def _copy_tensors(module: nn.Module | None) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in _named_tensors(module)}


def _restore_tensors(module: nn.Module | None, saved: Mapping[str, torch.Tensor]) -> None:
    tensors = dict(_named_tensors(module))
    different = [
        name
        for name in sorted(tensors.keys() | saved.keys())
        if name not in tensors or name not in saved or tensors[name].shape != saved[name].shape
    ]
    if different:
        raise TrainingError(
            f"the net is not the one that this run started with ({different[0]} differs); "
            "restore the old net, or start a new run"
        )
    with torch.no_grad():
        for name, tensor in tensors.items():
            tensor.copy_(saved[name])
