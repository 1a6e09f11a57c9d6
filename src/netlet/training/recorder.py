"""A run's folder: record, one line for each epoch, weights, checkpoint; nothing in it is ever half-written."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from netlet import records
from netlet.errors import TrainingError
from netlet.files import make_whole, sweep, write_whole
from netlet.nets.weights import save_weights
from netlet.records import Epoch, Run
from netlet.training import checkpoint as checkpoints
from netlet.training.checkpoint import Checkpoint
from netlet.training.callbacks import Callback, Plan


class Recorder(Callback):
    """Writes a run as it goes; what was written before an interruption stays, and the run can go on from there.

    Args:
        folder: Of the run. It appears with its first checkpoint in it, so that every folder there
            is can be resumed.
        assignment: What is trained on what, in plain values, for whoever resumes it.
        resumed: The folder is there already, with what the run wrote so far.
        or_next: If a folder of that name is there, take the next free ``NAME-2``, ``NAME-3``, ...

    Attributes:
        folder: Where the run is written, once the training has begun.
    """

    def __init__(
        self,
        folder: Path,
        assignment: Mapping[str, Any] | None = None,
        *,
        resumed: bool = False,
        or_next: bool = False,
    ) -> None:
        self.folder = folder
        self._assignment = dict(assignment or {})
        self._resumed = resumed
        self._or_next = or_next
        self._metadata: dict[str, str] = {}

    def on_start(self, plan: Plan) -> None:
        """Take notice, and sweep up what a killed process may have left half-written."""
        self._metadata = {"name": plan.name, "seed": str(plan.seed), "data": plan.data}
        sweep(self.folder if self._resumed else self.folder.parent)

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint; the first one makes the folder, before any work is done."""
        if self._resumed or checkpoint.epochs:
            with self._unharmed():
                checkpoints.save_checkpoint(checkpoint, self._assignment, self.folder)
            return
        content = {checkpoints.CHECKPOINT_FILE: checkpoints.checkpoint_to_bytes(checkpoint, self._assignment)}
        first = self.folder
        for folder in itertools.chain(
            [first], (first.with_name(f"{first.name}-{k}") for k in itertools.count(2))
        ):
            try:
                make_whole(folder, content)
            except FileExistsError as error:
                if self._or_next and folder.exists():
                    continue
                raise TrainingError(f"{folder}: is there already; name another folder") from error
            except OSError as error:
                raise TrainingError(
                    f"{folder}: cannot be made ({error.strerror}); name another with --out"
                ) from error
            self.folder = folder
            return

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """Write the epochs and the weights so far."""
        self._write(epochs, net)

    def on_finish(self, run: Run, net: nn.Module) -> None:
        """Write the record, last: where it is, the run is whole and its checkpoint is not needed any more."""
        self._write(run.epochs, net)
        with self._unharmed():
            records.save_run(run, self.folder)
            (self.folder / checkpoints.CHECKPOINT_FILE).unlink(missing_ok=True)

    def _write(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        with self._unharmed():
            save_weights(
                net, self.folder / records.WEIGHTS, self._metadata | {"epoch": str(len(epochs))}
            )
            write_whole(
                self.folder / records.EPOCHS, records.epoch_lines(epochs, self._metadata["data"])
            )

    @contextmanager
    def _unharmed(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise TrainingError(
                f"{self.folder}: cannot be written to ({error.strerror}); what it held before is unharmed, "
                f"'netlet train --resume {self.folder}' goes on from there"
            ) from error
