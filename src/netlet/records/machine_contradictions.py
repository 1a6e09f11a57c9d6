"""Where a study contradicts itself in the machines that trained its seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from netlet.records.seed_result import SeedResult
    from netlet.records.study import Study


def contradictions_of_machines(seed: SeedResult, study: Study) -> Iterator[str]:
    """Yield what contradicts what in where a seed was trained."""
    machines, shared = seed.trained_on, study.shared_environment
    if any(machine in machines[:place] for place, machine in enumerate(machines)):
        yield "has a machine twice in trained_on"
    for name, value in seed.environment.items():
        if shared.get(name) == value:
            yield f"has environment.{name}, though it is that of the study"
