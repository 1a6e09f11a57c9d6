"""Running statistics of batch norms, computed anew for the weights that are scored.

The statistics that batch norms keep during a training belong to weights that have changed since,
and their average is not that of the averaged weights.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from netlet.backends import select_augmentation
from netlet.data import Split, iterate_epoch
from netlet.recipes import Recipe
from netlet.training.rng import RandomStreams
from netlet.training.schedules import augmentation_strengths

# A few thousand images are enough (Wu and Johnson, arXiv:2105.07576). Large batches have nearly the
# statistics of all images.
_IMAGES, _BATCH = 10_000, 500


class BatchNormUpdate:
    """Computes the running statistics of a net's batch norms anew if the recipe asks for it.

    As in ``torch.optim.swa_utils.update_bn``, they are the means of the statistics of batches of
    training images. Apart from the batch norms, the net is in evaluation mode: dropout would change
    the variances. The images and their augmentation are the same in each call.

    Args:
        train: The training images, on the device of the net.
        recipe: The recipe, which has the kind of statistics and the augmentation.
        random: The random streams of the training.
        steps_per_epoch: The number of optimizer steps in one epoch.
    """

    def __init__(
        self, train: Split, recipe: Recipe, random: RandomStreams, steps_per_epoch: int
    ) -> None:
        self._train, self._recipe = train, recipe
        self._random, self._steps = random, steps_per_epoch

    @torch.no_grad()
    def apply(self, net: nn.Module, epoch: int) -> None:
        """Replace the running statistics of all batch norms that compute some in training.

        Args:
            net: The net with the weights to score. It sees images as they are augmented at the end
                of the epoch, or without augmentation. Batch norms that it does not run keep their
                statistics.
            epoch: The epoch that has ended, counted from 1.
        """
        if self._recipe.norm_statistics == "running":
            return
        with _train_batch_norms(net) as norms:
            if norms:
                for images in self._iterate_batches(epoch):
                    net(images)

    def _iterate_batches(self, epoch: int) -> Iterator[torch.Tensor]:
        """Yield batches of equal size, float32 ``N C H W``, normalized."""
        images = min(_IMAGES, len(self._train))
        batch = min(_BATCH, images)
        images -= images % batch
        recipe = self._recipe.replace(batch_size=batch)
        if recipe.norm_statistics == "plain":
            recipe = recipe.replace(augment=())
        generator = self._random.make_statistics_generator()
        chosen = torch.randperm(len(self._train), generator=generator)[:images]
        split = self._train.take(chosen.to(self._train.labels.device))
        strengths = augmentation_strengths(self._recipe, epoch, self._steps)[-1:]
        prepare = select_augmentation(split, recipe)
        steps = images // batch
        for prepared, _ in iterate_epoch(split, recipe, generator, prepare, strengths * steps):
            yield prepared


@contextmanager
def _train_batch_norms(net: nn.Module) -> Iterator[Sequence[_BatchNorm]]:
    """Let batch norms average the statistics of the batches that the net sees within the block.

    Those that stay in evaluation mode when the net is trained are left alone.
    """
    modes = {module: module.training for module in net.modules()}
    net.train()
    norms = [
        module
        for module in net.modules()
        if isinstance(module, _BatchNorm)
        and module.training
        and module.track_running_stats
        and all(isinstance(tensor, torch.Tensor) for tensor in _statistics(module))
    ]
    before = [(norm.momentum, [tensor.clone() for tensor in _statistics(norm)]) for norm in norms]
    net.eval()
    for norm in norms:
        norm.training, norm.momentum = True, None  # the mean of all batches
        norm.reset_running_stats()
    try:
        yield norms
    finally:
        for norm, (momentum, (mean, var, batches)) in zip(norms, before, strict=True):
            own_mean, own_var, counter = _statistics(norm)
            if not counter:  # it never ran
                own_mean.copy_(mean)
                own_var.copy_(var)
            counter.copy_(batches)  # of the training
            norm.momentum = momentum
        for module, mode in modes.items():
            module.training = mode


def _statistics(norm: _BatchNorm) -> list[torch.Tensor]:
    return [norm.running_mean, norm.running_var, norm.num_batches_tracked]  # type: ignore[list-item]
