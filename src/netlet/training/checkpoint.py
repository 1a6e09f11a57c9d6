"""Where a training stands between two epochs: enough to go on from there to the same bits."""

from __future__ import annotations

import copy
import dataclasses
import io
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from netlet import records
from netlet.errors import TrainingError
from netlet.files import write_whole
from netlet.records import Epoch
from netlet.training.averaging import WeightAverage
from netlet.training.optimizers import Optimizer

CHECKPOINT_FILE = "checkpoint.pt"
_FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """A training after some epochs, or before the first.

    RandomStreams needs no place in it (see ``chance.py``), and neither do data, net and recipe,
    which do not change.
    """

    epochs: tuple[Epoch, ...]
    net: Mapping[
        str, torch.Tensor
    ]  # parameters and all buffers, those that no weights file holds too
    average: Mapping[str, torch.Tensor]
    optimizer: Mapping[str, Any]
    elapsed_s: float
    resumed_after: tuple[
        int, ...
    ] = ()  # the numbers of epochs after which the run was taken up again

    @staticmethod
    def of(
        net: nn.Module,
        average: WeightAverage,
        descent: Optimizer,
        epochs: tuple[Epoch, ...],
        elapsed_s: float,
        resumed_after: tuple[int, ...],
    ) -> Checkpoint:
        """Copy everything that the next step will change."""
        return Checkpoint(
            epochs=epochs,
            net={name: tensor.detach().cpu().clone() for name, tensor in _named_tensors(net)},
            average={
                name: tensor.detach().cpu().clone() for name, tensor in _named_tensors(average.follower)
            },
            optimizer={"taken": descent.taken, "state": copy.deepcopy(descent.state)},
            elapsed_s=elapsed_s,
            resumed_after=resumed_after,
        )

    def restore(self, net: nn.Module, average: WeightAverage, descent: Optimizer) -> None:
        """Put everything back in place.

        Raises:
            TrainingError: The net is not the one that the run began with.
        """
        for module, kept in ((net, self.net), (average.follower, self.average)):
            now = dict(_named_tensors(module))
            changed = [
                name
                for name in sorted(now.keys() | kept.keys())
                if name not in now or name not in kept or now[name].shape != kept[name].shape
            ]
            if changed:
                raise TrainingError(
                    f"the net is not the one that this run began with ({changed[0]} differs); bring back the old one, "
                    "or begin anew"
                )
            with torch.no_grad():
                for name, tensor in now.items():
                    tensor.copy_(kept[name])
        descent.taken = self.optimizer["taken"]
        for mine, kept in zip(descent.state, self.optimizer["state"], strict=True):
            for tensor, value in zip(mine, kept, strict=True):
                tensor.copy_(value)


def save_checkpoint(checkpoint: Checkpoint, assignment: Mapping[str, Any], folder: Path) -> None:
    """Write a checkpoint into a run's folder, whole or not at all.

    Args:
        checkpoint: Where the training stands.
        assignment: What is being trained on what, in plain values, for whoever goes on with it.
        folder: The run's.

    Raises:
        OSError: The folder cannot be written to; an earlier checkpoint is unharmed.
    """
    write_whole(folder / CHECKPOINT_FILE, checkpoint_to_bytes(checkpoint, assignment))


def checkpoint_to_bytes(checkpoint: Checkpoint, assignment: Mapping[str, Any]) -> bytes:
    """The content of a checkpoint's file."""
    content = io.BytesIO()
    state = {
        field.name: getattr(checkpoint, field.name) for field in dataclasses.fields(checkpoint)
    }
    state["epochs"] = [records.to_json_value(epoch) for epoch in checkpoint.epochs]
    torch.save({"format": _FORMAT, "assignment": dict(assignment), "checkpoint": state}, content)
    return content.getvalue()


def load_checkpoint(folder: Path) -> tuple[Checkpoint, dict[str, Any]]:
    """The checkpoint in a run's folder and its assignment; nothing in it is ever executed.

    Raises:
        TrainingError: There is none, or it is not readable.
    """
    path = folder / CHECKPOINT_FILE
    if not folder.is_dir():
        raise TrainingError(f"{folder}: no such folder; name the folder of the run to go on with")
    if not path.is_file():
        whole = (folder / records.RECORD).is_file()
        why = "the run is finished" if whole else f"it holds no {CHECKPOINT_FILE}; begin anew"
        raise TrainingError(f"{folder}: nothing to resume, {why}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != _FORMAT:
            raise TrainingError(
                f"{path}: expected format {_FORMAT}, found {content['format']}; begin anew"
            )
        state = content["checkpoint"]
        state["epochs"] = records.epochs_from_json(state["epochs"])
        return Checkpoint(**state), content["assignment"]
    except TrainingError:
        raise
    except Exception as error:  # what torch raises on rubbish is anybody's guess
        raise TrainingError(
            f"{path}: cannot be read as a checkpoint ({type(error).__name__}); begin anew"
        ) from error


def _named_tensors(module: nn.Module | None) -> Iterator[tuple[str, torch.Tensor]]:
    return (
        iter(())
        if module is None
        else itertools.chain(module.named_parameters(), module.named_buffers())
    )
