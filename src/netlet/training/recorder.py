"""Write a run's folder: record, epochs, weights and checkpoint, each file atomically."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import nn

from netlet import records
from netlet.errors import NetletError, TrainingError
from netlet.files import create_folder_atomic, remove_unfinished, write_atomic
from netlet.locks import LOCK, lock_folder
from netlet.nets import is_user_code
from netlet.nets.weights import save_weights
from netlet.records import Epoch, Run
from netlet.text import quote_shell
from netlet.training.callbacks import Callback, Plan
from netlet.training.checkpoint import (
    CHECKPOINT_FILE,
    Checkpoint,
    checkpoint_to_bytes,
    save_checkpoint,
)


def clear_finished(folder: Path) -> None:
    """Remove what remains beside the record if a process died after it had written the record.

    Args:
        folder: The folder of a run whose record is complete; nothing happens if another process
            writes there.
    """
    if (folder / CHECKPOINT_FILE).exists() or (folder / LOCK).exists():
        with suppress(NetletError, OSError), lock_folder(folder, "netlet train"):
            (folder / CHECKPOINT_FILE).unlink(missing_ok=True)
            remove_unfinished(folder, older_than_s=0)


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

    Attributes:
        folder: Where the run is written; final once the training has started.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any] | None = None,
        *,
        resumed: bool = False,
        next_free_name: bool = False,
    ) -> None:
        self.folder = folder
        self._config = dict(config or {})
        self._resumed = resumed
        self._next_free_name = next_free_name
        self._metadata: dict[str, str] = {}
        self._lock = ExitStack()

    def _facts(self) -> Mapping[str, object]:
        return {"folder": str(self.folder), "resumed": self._resumed}

    @property
    def resume_command(self) -> str:
        """The command line that resumes the run.

        It names the net if that is the user's code, which runs only if the command line names it.
        """
        net = str(self._config.get("net", ""))
        named = [net] if is_user_code(net) else []
        return quote_shell("netlet", "train", *named, "--resume", self.folder)

    def on_start(self, plan: Plan) -> None:
        """Lock the folder of a resumed run, and remove what killed processes may have left.

        Raises:
            LockedError: Another process writes into the folder.
        """
        self._metadata = {"name": plan.name, "seed": str(plan.seed), "data": plan.data}
        if self._resumed:
            self._enter_lock()
            remove_unfinished(self.folder, older_than_s=0)  # nobody else writes there
        else:
            remove_unfinished(self.folder.parent, [CHECKPOINT_FILE])

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint; the first one creates the folder.

        Raises:
            TrainingError: The folder exists already, or cannot be written to.
        """
        if self._resumed or checkpoint.epochs:
            with self._explain_write_errors():
                save_checkpoint(checkpoint, self._config, self.folder)
        else:
            self._create_folder(checkpoint)

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        """Write the epochs and the weights so far."""
        self._write(epochs, net)

    def on_finish(self, run: Run, net: nn.Module) -> None:
        """Write the record, then remove the checkpoint: a folder with a record is complete."""
        self._write(run.epochs, net)
        with self._explain_write_errors():
            records.save_run(run, self.folder)
            (self.folder / CHECKPOINT_FILE).unlink(missing_ok=True)

    def on_end(self) -> None:
        """Release the folder."""
        self._lock.close()

    def _enter_lock(self) -> None:
        self._lock.enter_context(lock_folder(self.folder, "netlet train"))

    def _create_folder(self, checkpoint: Checkpoint) -> None:
        content = {CHECKPOINT_FILE: checkpoint_to_bytes(checkpoint, self._config)}
        first = self.folder
        numbered = (first.with_name(f"{first.name}-{k}") for k in itertools.count(2))
        for folder in itertools.chain([first], numbered):
            try:
                create_folder_atomic(folder, content)
            except OSError as error:
                # A file in the place of a parent folder raises FileExistsError as well.
                if isinstance(error, FileExistsError) and folder.exists():
                    if self._next_free_name:
                        continue
                    raise TrainingError(
                        f"{folder}: already exists; choose another folder"
                    ) from error
                raise TrainingError(
                    f"{folder}: cannot be created ({error.strerror}); choose another with --out"
                ) from error
            self.folder = folder
            self._enter_lock()
            return

    def _write(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        with self._explain_write_errors():
            save_weights(
                net, self.folder / records.WEIGHTS, self._metadata | {"epoch": str(len(epochs))}
            )
            write_atomic(
                self.folder / records.EPOCHS, records.epoch_lines(epochs, self._metadata["data"])
            )

    @contextmanager
    def _explain_write_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not (self.folder / CHECKPOINT_FILE).is_file():
                raise TrainingError(
                    f"{self.folder}: cannot be written to ({error.strerror}), and its checkpoint "
                    "is gone; start a new run"
                ) from error
            raise TrainingError(
                f"{self.folder}: cannot be written to ({error.strerror}); its earlier files are "
                f"intact, resume with '{self.resume_command}'"
            ) from error
