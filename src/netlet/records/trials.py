"""What a recipe was chosen by: a file with a line of JSON for each trial, as ``python -m search`` leaves it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from netlet.errors import RecordError


@dataclass(frozen=True)
class Trials:
    """Enough to tell later by which trials a choice was made."""

    file: str  # as it was named
    number: int
    sha256: str  # of the file

    def to_dict(self) -> dict[str, object]:
        """As JSON has it."""
        return dataclasses.asdict(self)


def read_trials(path: Path, fresh: Sequence[int]) -> Trials:
    """The trials in a file, none of which may have used the seeds that shall judge the choice.

    Args:
        path: A line of JSON for each trial; ``seed`` is its seed.
        fresh: Seeds that must be unused.

    Raises:
        RecordError: The file cannot be read as that, holds no trial, or a seed was used.
    """
    try:
        content = path.read_bytes()
        used = [int(json.loads(line)["seed"]) for line in content.decode().splitlines()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{path}: cannot be read as trials, a line of JSON each ({type(error).__name__}: {error})"
        ) from error
    if not used:
        raise RecordError(f"{path}: holds no trials")
    if spent := sorted(set(used) & set(fresh)):
        raise RecordError(
            f"{path}: seed {spent[0]} has served for a trial; take seeds from {max(used) + 1} on with --first-seed"
        )
    return Trials(path.as_posix(), len(used), hashlib.sha256(content).hexdigest())
