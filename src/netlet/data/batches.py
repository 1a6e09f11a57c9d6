"""One epoch as a stream of batches: indexed tensors, no worker processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch

from netlet.data.augment import WarpParameters, draw_augmentation, warp_images, drop_identity_ops
from netlet.data.dataset import Split
from netlet.recipes import Recipe

# Augmenting many batches at once spreads the cost of some twenty small operations; more would fall
# out of the cache.
_IMAGES_AT_ONCE = 512


# From the images' index and what each op drew for them to a net's input.
Preparation = Callable[[torch.Tensor, Sequence[WarpParameters]], torch.Tensor]


def iterate_epoch(
    split: Split, recipe: Recipe, generator: torch.Generator, prepare: Preparation | None = None
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Every image once, in an order drawn anew, augmented and normalized.

    Args:
        split: On the device where the batches shall be.
        recipe: Gives batch size, augmentation, mean and std.
        generator: On the CPU; the only source of randomness.
        prepare: Augments and normalizes; :func:`prepare_eagerly` if not given.

    Yields:
        float32 images ``N C H W`` and int64 labels ``N``; the last batch may be smaller, or larger
        by one (see :func:`steps_of`).
    """
    order = torch.randperm(len(split), generator=generator).to(split.labels.device)
    draws = draw_augmentation(drop_identity_ops(recipe.augment), len(split), generator)
    prepare = prepare or eager_preparation(split, recipe)
    steps = count_steps(len(split), recipe.batch_size)
    sizes = [recipe.batch_size] * (steps - 1) + [len(split) - recipe.batch_size * (steps - 1)]
    at_once = max(1, _IMAGES_AT_ONCE // recipe.batch_size)
    for i in range(0, steps, at_once):
        chunk = sizes[i : i + at_once]
        part = slice(i * recipe.batch_size, i * recipe.batch_size + sum(chunk))
        images = prepare(order[part], [parameters.select(part) for parameters in draws])
        yield from zip(images.split(chunk), split.labels[order[part]].split(chunk), strict=True)


def eager_preparation(split: Split, recipe: Recipe) -> Preparation:
    """Augmentation and normalization by PyTorch, wherever the split lies."""
    ops = drop_identity_ops(recipe.augment)
    return lambda index, draws: normalize(warp_images(split.images[index].float(), ops, draws), recipe)


def count_steps(images: int, batch: int) -> int:
    """How many batches an epoch has: a last image that would be alone joins the batch before.

    Of one image, batch norm knows no variance.
    """
    alone = images > batch > 1 and images % batch == 1
    return math.ceil(images / batch) - alone


def normalize(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Gray levels 0..255 to what a net is fed: ``(x / 255 - mean) / std``, float32, same shape."""
    return (images.float() / 255 - recipe.mean) / recipe.std
