"""Write a run's folder as the training goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from netlet import records
from netlet.errors import TrainingError
from netlet.nets.weights import weights_to_bytes
from netlet.records import Epoch, Run
from netlet.training.callbacks import Callback, Plan
from netlet.training.checkpoint import Checkpoint, checkpoint_to_bytes
from netlet.training.run_folder import RunFolder


class EpochFiles:
    """Makes the content of the files that a run has after each epoch.

    Args:
        plan: The plan of the training.
    """

    def __init__(self, plan: Plan) -> None:
        self._data = plan.data
        self._metadata = {"name": plan.name, "seed": str(plan.seed), "data": plan.data}

    def lines(self, epochs: Sequence[Epoch]) -> str:
        """Return a line of JSON for each epoch."""
        return records.epoch_lines(epochs, self._data)

    def weights(self, epochs: Sequence[Epoch], net: nn.Module) -> bytes:
        """Return the weights of the net after the epochs, as safetensors."""
        return weights_to_bytes(net, self._metadata | {"epoch": str(len(epochs))})


class Recorder(Callback):
    """Writes a run during the training, so that it can be resumed after an interruption.

    Args:
        folder: The run's folder. It is created together with its first checkpoint, so that every
            existing folder can be resumed.
        config: The run's configuration as plain values; stored in the checkpoint.
        resumed: The folder exists, with what the run has written before. Lock it
            (:func:`netlet.locks.lock_folder`) before its checkpoint is loaded: another process may
            go on with the same run.
        next_free_name: Whether to use the next free ``NAME-2``, ``NAME-3``, ... if the folder
            exists.
    """

    def __init__(
        self,
        folder: Path | str,
        config: Mapping[str, Any] | None = None,
        *,
        resumed: bool = False,
        next_free_name: bool = False,
    ) -> None:
        self._config, self._resumed = dict(config or {}), resumed
        self._next_free_name = next_free_name
        self._run_folder = self._open(Path(folder))
        self._files: EpochFiles | None = None

    def _facts(self) -> Mapping[str, object]:
        return {"folder": str(self.folder), "resumed": self._resumed}

    @property
    def folder(self) -> Path:
        """Where the run is written; final once the training has started."""
        return self._run_folder.path

    @property
    def can_resume(self) -> bool:
        """Whether the run has been interrupted and has a checkpoint."""
        return (self.folder / records.CHECKPOINT_FILE).is_file()

    @property
    def resume_command(self) -> str:
        """What resumes the run: a command line, or a call if Python has started it.

        The command line names the net if that is the user's code, which runs only if it is named.
        """
        return self._run_folder.resume_command

    def prepare_new_run(self) -> None:
        """Record a new run, even if the recorder was to continue one."""
        self._resumed = False
        self._run_folder = self._open(self.folder)

    def prepare_resumed_run(self, config: Mapping[str, Any]) -> None:
        """Continue the run in the folder, even if the recorder was to record a new one.

        Args:
            config: The configuration of that run, which is kept.

        Raises:
            TrainingError: The recorder has another configuration.
        """
        if self._config and self._config != config:
            raise TrainingError(
                f"{self.folder}: the run was started with another config than the Recorder has; "
                "leave config out, or name another folder"
            )
        self._config, self._resumed = dict(config), True
        self._run_folder = self._open(self.folder)

    def _open(self, folder: Path) -> RunFolder:
        return RunFolder(
            folder, self._config, resumed=self._resumed, next_free_name=self._next_free_name
        )

    def on_start(self, plan: Plan) -> None:
        """Lock the folder of a resumed run, and remove what killed processes may have left.

        Raises:
            LockedError: Another process writes into the folder.
        """
        self._files = EpochFiles(plan)
        self._run_folder.open()

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint; the first one creates the folder.

        Raises:
            TrainingError: The folder exists already, or cannot be written to.
        """
        self._run_folder.save_checkpoint(checkpoint_to_bytes(checkpoint, self._config))

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """Write the epochs and the weights so far."""
        assert self._files is not None
        self._run_folder.save_epochs(self._files.lines(epochs), self._files.weights(epochs, net))

    def on_finish(self, run: Run, net: nn.Module) -> None:
        """Write the record, then remove the checkpoint: a folder with a record is complete."""
        assert self._files is not None
        lines, weights = self._files.lines(run.epochs), self._files.weights(run.epochs, net)
        self._run_folder.finish(run, lines, weights)

    def on_end(self) -> None:
        """Release the folder."""
        self._run_folder.close()
