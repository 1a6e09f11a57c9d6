"""The trials by which a net and a recipe were chosen: a file with one line of JSON for each."""

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
    """Identifies the trials by which a choice was made."""

    file: str  # path as the user typed it
    number: int
    sha256: str  # of the file

    def to_dict(self) -> dict[str, object]:
        """Return the fields as JSON stores them."""
        return dataclasses.asdict(self)


def read_trials(path: Path, new_seeds: Sequence[int]) -> Trials:
    """Read a file of trials and check that none of them used certain seeds.

    Args:
        path: A file with one line of JSON for each trial; ``seed`` is its seed.
        new_seeds: The seeds that will be used to measure what the trials chose.

    Raises:
        RecordError: The file cannot be read or holds no trials, or a trial used one of the seeds.
    """
    try:
        content = path.read_bytes()
        used = [int(json.loads(line)["seed"]) for line in content.decode().splitlines()]
    except FileNotFoundError as error:
        raise RecordError(
            f"{path}: no such file; name the file that 'netlet search' wrote"
        ) from error
    except OSError as error:
        raise RecordError(f"{path}: cannot be read as trials ({error.strerror})") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RecordError(
            f"{path}: cannot be read as trials, one line of JSON each"
            f" ({type(error).__name__}: {error})"
        ) from error
    if not used:
        raise RecordError(f"{path}: holds no trials")
    if reused := sorted(set(used) & set(new_seeds)):
        raise RecordError(
            f"{path}: a trial used seed {reused[0]} already;"
            f" start from seed {max(used) + 1} with --first-seed"
        )
    return Trials(path.as_posix(), len(used), hashlib.sha256(content).hexdigest())
