"""Where a record contradicts itself in its digests: those of weights, sources and trials."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from netlet.records.json_file import shorten

if TYPE_CHECKING:
    from netlet.records.seed_result import SeedResult
    from netlet.records.study import Study

_DIGEST = re.compile(r"[0-9a-f]{64}")


def contradictions_of_digest(name: str, digest: str) -> Iterator[str]:
    """Yield that a digest is none.

    Args:
        name: The field that has it.
        digest: Its value.
    """
    if not _DIGEST.fullmatch(digest):
        yield f"{name} is {shorten(digest)}, which is not a SHA-256 (64 hexadecimal digits)"


def contradictions_of_seed_weights(seed: SeedResult, study: Study) -> Iterator[str]:
    """Yield what contradicts what in the weights that a seed began and ended with."""
    yield from contradictions_of_digest("weights_digest", seed.weights_digest)
    if own := seed.initial_weights_digest:
        yield from contradictions_of_digest("initial_weights_digest", own)
        if study.initial_weights_digest:
            yield "has an initial_weights_digest, and the study has one, too"
    elif any(other.initial_weights_digest for other in study.seeds):
        yield "has no initial_weights_digest, unlike other seeds"
