"""What happens while the seeds of a study are trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class WorkerEvent:
    """Something that happened in a worker."""

    worker: int  # from 0
    seed: int
    epochs: int = 0  # completed
    total_epochs: int = 0
    score: str = ""  # after the last completed epoch
    epoch_share: float = 0.0  # of the running epoch, 0 to 1; told every few seconds
    loss: float | None = None  # of the last batch, within an epoch
    finished: bool = False
    error: str = ""  # why this seed could not be finished
    # A line of JSON for each epoch so far, as in epochs.jsonl; with each checkpoint and at the end.
    lines: str = field(default="", repr=False)


OnEvent = Callable[[WorkerEvent], None]
