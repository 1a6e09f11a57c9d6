"""The folder of a run: record, epochs, weights and checkpoint, each file written atomically.

A folder with a record is complete; every other one has a checkpoint to resume from.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from netlet import records
from netlet.errors import NetletError, TrainingError
from netlet.files import create_folder_atomic, remove_unfinished, write_atomic
from netlet.locks import LOCK, lock_folder
from netlet.nets import is_user_code
from netlet.nets.addresses import short_address
from netlet.nets.origins import is_gone, locate_net
from netlet.records import Run
from netlet.text import quote_shell


def clear_finished(folder: Path) -> None:
    """Remove what remains beside the record if a process died after it had written the record.

    Args:
        folder: The folder of a run whose record is complete; nothing happens if another process
            writes there.
    """
    if (folder / records.CHECKPOINT_FILE).exists() or (folder / LOCK).exists():
        with suppress(NetletError, OSError), lock_folder(folder, "netlet train"):
            (folder / records.CHECKPOINT_FILE).unlink(missing_ok=True)
            remove_unfinished(folder, older_than_s=0)


class RunFolder:
    """The folder of a run that is being trained.

    Args:
        path: The folder. It is created together with its first checkpoint, so that every existing
            folder can be resumed.
        config: The run's configuration as plain values, for error messages.
        resumed: The folder exists, with what the run has written before. Lock it
            (:func:`netlet.locks.lock_folder`) before its checkpoint is loaded: another process may
            go on with the same run.
        next_free_name: Whether to use the next free ``NAME-2``, ``NAME-3``, ... if the folder
            exists.

    Attributes:
        path: Where the run is written; final once the first checkpoint is.
    """

    def __init__(
        self,
        path: Path,
        config: Mapping[str, Any],
        *,
        resumed: bool = False,
        next_free_name: bool = False,
    ) -> None:
        self.path = path
        self._config, self._resumed = config, resumed
        self._exists = resumed
        self._next_free_name = next_free_name
        self._lock = ExitStack()

    @property
    def resume_command(self) -> str:
        """What resumes the run: a command line, or a call if Python has started it.

        The command line names the net if that is the user's code, which runs only if it is named.
        """
        if not self._config:
            return f'netlet.fit(..., resume="{self.path}")'
        keys = ("net", "net_source", "source_digest")
        net, source, digest = (str(self._config.get(key, "")) for key in keys)
        if is_gone(source):  # it may have been moved with the run
            source = locate_net(net, digest, [self.path])
        named = [short_address(source)] if is_user_code(source) else []
        return quote_shell("netlet", "train", *named, "--resume", self.path)

    @property
    def exists(self) -> bool:
        """Whether the folder has been created, by the first checkpoint."""
        return self._exists

    def open(self) -> None:
        """Lock the folder of a resumed run, and remove what killed processes may have left.

        Raises:
            LockedError: Another process writes into the folder.
        """
        self._exists = self._resumed
        if self._resumed:
            self._enter_lock()
            remove_unfinished(self.path, older_than_s=0)  # nobody else writes there
        else:
            remove_unfinished(self.path.parent, [records.CHECKPOINT_FILE])

    def save_checkpoint(self, content: bytes) -> None:
        """Write the checkpoint; the first one creates the folder.

        Raises:
            TrainingError: The folder exists already, or cannot be written to.
        """
        if self._exists:
            with self._explain_write_errors():
                write_atomic(self.path / records.CHECKPOINT_FILE, content)
        else:
            self._create({records.CHECKPOINT_FILE: content})

    def save_epochs(self, lines: str, weights: bytes) -> None:
        """Write the lines of the epochs so far, and the weights after the last one.

        Raises:
            TrainingError: The folder cannot be written to.
        """
        with self._explain_write_errors():
            write_atomic(self.path / records.WEIGHTS, weights)
            write_atomic(self.path / records.EPOCHS, lines)

    def finish(self, run: Run, lines: str, weights: bytes) -> None:
        """Write the record, then remove the checkpoint.

        Args:
            run: The complete record.
            lines: The lines of its epochs.
            weights: Its final weights.

        Raises:
            TrainingError: The folder exists already, or cannot be written to.
        """
        if not self._exists:
            content = {records.WEIGHTS: weights, records.EPOCHS: lines.encode()}
            self._create(content | {records.RECORD: run.to_json().encode()})
            return
        self.save_epochs(lines, weights)
        with self._explain_write_errors():
            records.save_run(run, self.path)
            (self.path / records.CHECKPOINT_FILE).unlink(missing_ok=True)

    def close(self) -> None:
        """Release the folder."""
        self._lock.close()

    def _enter_lock(self) -> None:
        self._lock.enter_context(lock_folder(self.path, "netlet train"))

    def _create(self, content: Mapping[str, bytes]) -> None:
        first = self.path
        numbered = (first.with_name(f"{first.name}-{k}") for k in itertools.count(2))
        for folder in itertools.chain([first], numbered):
            try:
                create_folder_atomic(folder, content)
            except OSError as error:
                # A file in the place of a parent folder raises FileExistsError as well.
                if isinstance(error, FileExistsError) and folder.exists():
                    if self._next_free_name:
                        continue
                    unfinished = (folder / records.CHECKPOINT_FILE).is_file()
                    resume = f'pass resume="{folder}" to go on, '
                    raise TrainingError(
                        f"{folder}: already exists; {resume if unfinished else ''}choose another "
                        "folder, or pass next_free_name=True to have a number added to the name"
                    ) from error
                raise TrainingError(
                    f"{folder}: cannot be created ({error.strerror}); choose another with --out "
                    "(folder in Python)"
                ) from error
            self.path, self._exists = folder, True
            self._enter_lock()
            return

    @contextmanager
    def _explain_write_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if not (self.path / records.CHECKPOINT_FILE).is_file():
                raise TrainingError(
                    f"{self.path}: cannot be written to ({error.strerror}), and its checkpoint "
                    "is gone; start a new run"
                ) from error
            raise TrainingError(
                f"{self.path}: cannot be written to ({error.strerror}); its earlier files are "
                f"intact, resume with '{self.resume_command}'"
            ) from error
