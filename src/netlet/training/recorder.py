"""A run's folder: record, one line for each epoch, weights, checkpoint; nothing in it is ever half-written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from netlet import records
from netlet.errors import TrainingError
from netlet.files import UNFINISHED, make_whole, write_whole
from netlet.nets.weights import save_weights
from netlet.records import Epoch, Run
from netlet.training import checkpoint as checkpoints
from netlet.training.checkpoint import Checkpoint
from netlet.training.listeners import Listener, Plan


class Recorder(Listener):
    """Writes a run as it goes; what was written before an interruption stays, and the run can go on from there.

    Args:
        folder: Of the run. It appears with its first checkpoint in it, so that every folder there is can be resumed.
        assignment: What is trained on what, in plain values, for whoever resumes it.
        resumed: The folder is there already, with what the run wrote so far.
    """

    def __init__(self, folder: Path, assignment: Mapping[str, Any] | None = None, *, resumed: bool = False) -> None:
        self.folder = folder
        self._assignment = dict(assignment or {})
        self._resumed = resumed
        self._metadata: dict[str, str] = {}

    def started(self, plan: Plan) -> None:
        """Take notice, and sweep up what a killed process may have left half-written."""
        self._metadata = {"name": plan.name, "seed": str(plan.seed), "data": plan.data}
        if self._resumed:
            for leftover in self.folder.glob(f".*{UNFINISHED}"):
                leftover.unlink(missing_ok=True)

    def reached(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint; the first one makes the folder, before any work is done."""
        if self._resumed or checkpoint.epochs:
            with self._unharmed():
                checkpoints.save_checkpoint(checkpoint, self._assignment, self.folder)
            return
        try:
            make_whole(self.folder, {checkpoints.FILE: checkpoints.packed(checkpoint, self._assignment)})
        except FileExistsError as error:
            raise TrainingError(f"{self.folder}: is there already; name another folder") from error
        except OSError as error:
            raise TrainingError(f"{self.folder}: cannot be made ({error.strerror}); name another with --out") from error

    def epoch_ended(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """Write the epochs and the weights so far."""
        self._write(epochs, net)

    def finished(self, run: Run, net: nn.Module) -> None:
        """Write the record, last: where it is, the run is whole and its checkpoint is not needed any more."""
        self._write(run.epochs, net)
        with self._unharmed():
            records.save(run, self.folder)
            (self.folder / checkpoints.FILE).unlink(missing_ok=True)

    def _write(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        with self._unharmed():
            save_weights(net, self.folder / records.WEIGHTS, self._metadata | {"epoch": str(len(epochs))})
            write_whole(self.folder / records.EPOCHS, records.epoch_lines(epochs, self._metadata["data"]))

    @contextmanager
    def _unharmed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{self.folder}: cannot be written to ({error.strerror}); what it held before is unharmed, "
                f"'netlet train --resume {self.folder}' goes on from there"
            ) from error
