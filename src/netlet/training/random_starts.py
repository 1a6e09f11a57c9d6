"""Random starts: a net begins with the weights of the best of several nets."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from netlet.data import Dataset
from netlet.errors import RecipeError, TrainingError
from netlet.nets.first_weights import find_origin
from netlet.recipes import Recipe
from netlet.records import Epoch
from netlet.training.beforehand import train_beforehand
from netlet.training.callbacks import Callback, Plan
from netlet.training.rng import RandomStreams


def choose_start(
    net: nn.Module,
    data: Dataset,
    recipe: Recipe,
    seed: int,
    name: str,
    device: torch.device,
    callbacks: Sequence[Callback],
) -> None:
    """Train several nets and give a net the weights of the best one.

    The first of them begins with the weights of the net, the others with those of seeds that are
    drawn from ``seed``. The best one classifies the most training images correctly, without
    augmentation; the images that are held out, or ``test``, have no influence.

    Args:
        net: The net, as ``netlet.build`` returned it.
        data: The data set on which the net is trained.
        recipe: The recipe of the net, which has random starts.
        seed: The seed of the run.
        name: The name of the run.
        device: The device to train on.
        callbacks: Objects that hear of the epochs of each start.

    Raises:
        RecipeError: The net cannot be built again with other initial weights.
        TrainingError: The training of a start fails.
    """
    count, origin = recipe.random_starts, find_origin(net)
    if origin is None:
        raise RecipeError(
            f"random_starts={count} begins with other initial weights each time, so netlet must "
            "build the net, without weights of yours; pass what netlet.build(Net, seed=0) returns, "
            "or set random_starts=1"
        )
    own = recipe.replace(
        epochs=recipe.random_start_epochs or recipe.epochs, random_starts=1, random_start_epochs=0
    )
    most, best = -1, net.state_dict()
    seeds = (origin.seed, *RandomStreams(seed).draw_seeds(count - 1))
    for number, start_seed in enumerate(seeds, start=1):
        start = origin.rebuild(start_seed)
        if start is net:
            raise RecipeError(
                f"random_starts={count} needs new nets, but the builder returns the same net each "
                "time; pass a function that builds one"
            )

        def tell(plan: Plan, epochs: Sequence[Epoch], number: int = number) -> None:
            for callback in callbacks:
                callback.on_random_start(number, count, plan, epochs)

        try:
            run = train_beforehand(
                start,
                data,
                own,
                seed=start_seed,
                name=name,
                device=device,
                tell=tell,
            )
        except TrainingError as error:
            raise TrainingError(f"random start {number} of {count}: {error}") from error
        if run.train_score.correct > most:
            most, best = run.train_score.correct, start.state_dict()
    net.load_state_dict(best)
