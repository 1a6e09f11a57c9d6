"""TensorBoard's event files, written by ``torch.utils.tensorboard``."""

from __future__ import annotations

from collections.abc import Mapping

from netlet.training.logs.values import LoggedRun

FOLDER = "tensorboard"  # in the folder of a run


class TensorBoardLog:
    """Writes the event files of one run into the folder ``tensorboard`` of the run's folder.

    Args:
        run: The run.
    """

    def __init__(self, run: LoggedRun) -> None:
        from torch.utils.tensorboard import SummaryWriter
        from torch.utils.tensorboard.summary import hparams

        folder = run.folder / FOLDER
        # If the run was resumed, all epochs are written again, in place of the earlier ones.
        purged = 1 if folder.exists() else None
        self._writer = SummaryWriter(str(folder), purge_step=purged)
        assert self._writer.file_writer is not None
        for summary in hparams(dict(run.settings), {}):
            self._writer.file_writer.add_summary(summary)
        self.place = str(folder)

    def write(self, epoch: int, values: Mapping[str, float]) -> None:
        """Write the values of an epoch, so that they are on the disk."""
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, epoch)
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()
