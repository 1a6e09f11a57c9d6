"""In what machine and software of a study's seeds differ, in words."""

from __future__ import annotations

from netlet.records.environments import find_differences
from netlet.records.study import Study
from netlet.text import count_noun


def format_threads(study: Study) -> str:
    """Return with how many threads the seeds were trained: ``1 thread``, ``1 or 2 threads``."""
    *fewer, most = sorted({one["threads"] for one in study.environments().values()})
    return "".join(f"{number} or " for number in fewer) + count_noun(most, "thread")


def count_environments(study: Study) -> int:
    """Return the number of environments that may give other bits, in which seeds were trained."""
    return len({tuple(words) for words in _differences(study).values()})


def summarize_environments(study: Study) -> list[str]:
    """Return a line for each environment besides that of the lowest seed; none if all are alike."""
    seeds: dict[tuple[str, ...], list[str]] = {}
    for number, words in _differences(study).items():
        seeds.setdefault(tuple(words), []).append(str(number))
    return [
        f"not trained alike: seed{'s' * (len(numbers) > 1)} {', '.join(numbers)} with "
        f"{', '.join(words)}"
        for words, numbers in seeds.items()
        if words
    ]


def _differences(study: Study) -> dict[int, list[str]]:
    """Return in what the environment of each seed differs from that of the lowest one."""
    shared = study.shared_environment
    return {
        number: find_differences(shared, environment)
        for number, environment in study.environments().items()
    }
