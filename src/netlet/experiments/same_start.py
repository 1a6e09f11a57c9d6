"""Say when all seeds begin with the same initial weights."""

from __future__ import annotations

from collections.abc import Sequence

from netlet.errors import warn
from netlet.experiments.config import load_experiment
from netlet.nets import build, is_user_code, weights_digest
from netlet.records import RunConfig


def warn_of_same_start(config: RunConfig, seeds: Sequence[int]) -> None:
    """Warn if the initial weights do not depend on the seed.

    Those of a net that a file has built already do not, nor do those of a function that sets a
    seed of its own or loads weights.

    Args:
        config: The run to train; the code that it names is run.
        seeds: Seeds that somebody may compare, at least two; with fewer there is nothing to say.

    Warns:
        NetletWarning: They are the same for the first two seeds.
    """
    if len(seeds) < 2 or not is_user_code(config.net_source):
        return
    shape, classes = config.data["shape"], config.data.get("classes")
    classes = classes if isinstance(classes, int) else None
    try:
        builder = load_experiment(config, trust=True).net.builder
        first, second = (weights_digest(build(builder, s, shape, classes)) for s in seeds[:2])
    except Exception:  # the training says why the net cannot be built
        return
    if first == second:
        warn(
            f"{config.net}: its initial weights are the same for each seed, so the spread over "
            "seeds does not include the initialization; to include it, name a class or a function "
            "that draws new initial weights"
        )
