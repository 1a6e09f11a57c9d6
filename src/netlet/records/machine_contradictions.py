"""Where a study contradicts itself in the machines that trained its seeds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NotRequired, get_origin, get_type_hints

from netlet.records.values import Environment

if TYPE_CHECKING:
    from netlet.records.seed_result import SeedResult
    from netlet.records.study import Study

# Not by __required_keys__, which has all keys where annotations are postponed.
_ALWAYS_KNOWN = {
    name
    for name, kind in get_type_hints(Environment, include_extras=True).items()
    if get_origin(kind) is not NotRequired and name != "cores"
}


def contradictions_of_machines(seed: SeedResult, study: Study) -> Iterator[str]:
    """Yield what contradicts what in where a seed was trained."""
    machines, shared = seed.trained_on, study.shared_environment
    if any(machine in machines[:place] for place, machine in enumerate(machines)):
        yield "has a machine twice in trained_on"
    for name, value in seed.environment.items():
        known = shared.get(name)
        if value is None and name in _ALWAYS_KNOWN:
            yield f"has no environment.{name}"
        elif value is not None and known is not None and type(value) is not type(known):
            yield f"has environment.{name} of another type than the study"
        elif known == value:
            yield f"has environment.{name}, though it is that of the study"
