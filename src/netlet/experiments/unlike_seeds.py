"""Say when a study goes on in another environment than its finished seeds were trained in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from netlet.backends import find_device
from netlet.errors import warn
from netlet.records import Study
from netlet.records.environments import find_differences
from netlet.training.environment import describe_environment

_OF_NETLET = ("netlet", "sources")  # what workers on other machines have from this one
# Workers change these by themselves; a difference is in the record.
_NOT_KNOWN_YET = ("settings", "compiler", "compiler_flags", "compiled_step")


def warn_of_other_environment(
    threads: int, finished: Mapping[int, Study], folder: Path, *, here: bool
) -> None:
    """Warn if the seeds to train may not get the bits that they had got with the finished ones.

    Args:
        threads: The number of CPU threads that each seed will have.
        finished: The finished seeds, each a study.
        folder: The folder of the study.
        here: Whether the seeds are trained on this machine.

    Warns:
        NetletWarning: With what differs, and from which seeds.
    """
    now = describe_environment(find_device())
    now = {key: now[key] for key in (now if here else _OF_NETLET) if key not in _NOT_KNOWN_YET}
    if here:
        now["threads"] = threads
    seeds: dict[tuple[str, ...], list[str]] = {}
    for number, study in sorted(finished.items()):
        differences = find_differences(study.environments()[number], now)
        seeds.setdefault(tuple(differences), []).append(str(number))
    for words, numbers in seeds.items():
        if words:
            those = f"seed{'s' * (len(numbers) > 1)} {', '.join(numbers)}"
            text = (
                f"{folder}: the other seeds train with {', '.join(words)}, unlike {those}, as the "
                "record will say; to train all alike, name another folder with --out (folder in "
                "Python)"
            )
            warn(text)
