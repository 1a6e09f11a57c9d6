"""Record a training in the folder that ``resume`` names, from its beginning or a checkpoint."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from netlet.errors import TrainingError
from netlet.training.callbacks import Callback
from netlet.training.checkpoint import Checkpoint, load_checkpoint, lock_unfinished
from netlet.training.recorder import Recorder


@contextmanager
def record_in(
    folder: Path, callbacks: Sequence[Callback]
) -> Iterator[tuple[Checkpoint | None, Recorder, Sequence[Callback]]]:
    """Lock a folder with a checkpoint while its run goes on.

    Args:
        folder: The folder.
        callbacks: The callbacks of the training. A ``Recorder`` among them records the run.

    Yields:
        The checkpoint, None if there is no such folder; the recorder; and the callbacks with it.

    Raises:
        TrainingError: There is no checkpoint in the folder, or the recorder among the callbacks has
            another folder or another configuration than the run.
        LockedError: Another process goes on with the run.
    """
    given = [one for one in callbacks if isinstance(one, Recorder)]
    own = [one for one in given if one.folder.resolve() == folder.resolve()]
    if given and not own:
        raise TrainingError(
            f"resume is {folder}, but the Recorder has {given[0].folder}; leave one of them out"
        )
    recorder = own[0] if own else Recorder(folder)
    callbacks = callbacks if own else (*callbacks, recorder)
    if not os.path.lexists(folder):  # nothing has been trained yet
        recorder.prepare_new_run()
        yield None, recorder, callbacks
        return
    with lock_unfinished(folder):
        checkpoint, config = load_checkpoint(folder)
        recorder.prepare_resumed_run(config)
        yield checkpoint, recorder, callbacks
