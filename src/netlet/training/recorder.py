"""A run's folder: the record, one line for each epoch, the weights; nothing in it is ever half-written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from netlet import records
from netlet.errors import TrainingError
from netlet.files import write_whole
from netlet.nets.weights import save_weights
from netlet.records import Epoch, Run
from netlet.training.listeners import Listener, Plan


class Recorder(Listener):
    """Writes a run as it goes; what was written before an interruption stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._metadata: dict[str, str] = {}

    def started(self, plan: Plan) -> None:
        """Make the folder, so that one that cannot be written to is found out before the work."""
        try:
            self.folder.mkdir(parents=True, exist_ok=False)
        except FileExistsError as error:
            raise TrainingError(f"{self.folder}: is there already; name another folder") from error
        except OSError as error:
            raise TrainingError(f"{self.folder}: cannot be made ({error.strerror}); name another with --out") from error
        self._metadata = {"name": plan.name, "seed": str(plan.seed)}

    def epoch_ended(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """Write the epochs and the weights so far."""
        self._write(epochs, net)

    def finished(self, run: Run, net: nn.Module) -> None:
        """Write the record, last: where it is, the run is whole."""
        self._write(run.epochs, net)
        records.save(run, self.folder)

    def _write(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        try:
            save_weights(net, self.folder / records.WEIGHTS, self._metadata | {"epoch": str(len(epochs))})
            write_whole(self.folder / records.EPOCHS, records.epoch_lines(tuple(epochs)))
        except OSError as error:
            raise TrainingError(
                f"{self.folder}: cannot be written to ({error.strerror}); what it held before is unharmed"
            ) from error
