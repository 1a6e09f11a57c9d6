"""Random starts: a net begins with the weights of the best of several nets."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence

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
) -> Generator[None, None, None]:
    """Train several nets and give a net the weights of the best one.

    The first of them begins with the weights of the net, the others with those of seeds that are
    drawn from ``seed``, as are the seeds of all trainings. The best one classifies the most
    training images correctly, without augmentation; the images that are held out, or ``test``,
    have no influence.

    Args:
        net: The net, as ``netlet.build`` returned it.
        data: The data set on which the net is trained.
        recipe: The recipe of the net, which has random starts.
        seed: The seed of the run.
        name: The name of the run.
        device: The device to train on.
        callbacks: Objects that hear of the epochs of each start.

    Yields:
        Nothing, each time when the device has steps to do.

    Raises:
        RecipeError: The net cannot be built again with other initial weights, or has been changed.
        TrainingError: The training of a start fails.
    """
    count, origin = recipe.random_starts, find_origin(net)
    remedy = "pass what netlet.build(Net, seed=0) returns, unchanged, or set random_starts=1"
    if origin is None or origin.rebuild is None:
        raise RecipeError(
            f"random_starts={count} begins with other initial weights each time, so netlet must "
            f"build the net, without weights of yours; {remedy}"
        )
    own = recipe.replace(
        epochs=recipe.random_start_epochs or recipe.epochs, random_starts=1, random_start_epochs=0
    )
    most = -1
    best: dict[str, torch.Tensor] = {}
    for number, drawn in enumerate(RandomStreams(seed).draw_seeds(count), start=1):
        start = origin.rebuild(origin.seed if number == 1 else drawn)
        if number == 1 and not _is_same(start, net):
            raise RecipeError(
                f"random_starts={count} builds the net again, without what was changed after it "
                f"had been built; {remedy}"
            )

        def tell(
            callback: Callback, plan: Plan, epochs: Sequence[Epoch], number: int = number
        ) -> None:
            callback.on_random_start(number, count, plan, epochs)

        try:
            run = yield from train_beforehand(
                start,
                data,
                own,
                seed=drawn,
                name=name,
                device=device,
                callbacks=callbacks,
                tell=tell,
            )
        except TrainingError as error:
            raise TrainingError(f"random start {number} of {count}: {error}") from error
        if run.train_score.correct > most:
            most = run.train_score.correct
            best = {key: tensor.clone() for key, tensor in start.state_dict().items()}
    net.load_state_dict(best)


def _is_same(built: nn.Module, net: nn.Module) -> bool:
    """Return whether a net is equal to another in weights and layers, and shares none with it."""
    ours, theirs = _list_tensors(net), _list_tensors(built)
    return (
        repr(built) == repr(net)
        and ours.keys() == theirs.keys()
        and all(
            mine is not theirs[key]
            and mine.requires_grad == theirs[key].requires_grad
            and torch.equal(mine.cpu(), theirs[key])
            for key, mine in ours.items()
        )
    )


def _list_tensors(net: nn.Module) -> Mapping[str, torch.Tensor]:
    return {**dict(net.named_parameters()), **dict(net.named_buffers())}
