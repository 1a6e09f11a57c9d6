"""One epoch as a stream of batches: indexed tensors, no worker processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch

from netlet.data.augment import Draws, between, drawn, moved, moving
from netlet.data.dataset import Split
from netlet.native import NativeWarp, NotNative
from netlet.recipes import Recipe, Warp

# Augmenting many batches at once spreads the cost of some twenty small operations; more would fall out of the cache.
_IMAGES_AT_ONCE = 512


def epoch_of_batches(
    split: Split, recipe: Recipe, generator: torch.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Every image once, in an order drawn anew, augmented and normalised.

    Args:
        split: On the device where the batches shall be.
        recipe: Gives batch size, augmentation, mean and std.
        generator: On the CPU; the only source of chance.

    Yields:
        float32 images ``N C H W`` and int64 labels ``N``; the last batch may be smaller, or larger by one (see
        :func:`steps_of`).
    """
    order = torch.randperm(len(split), generator=generator).to(split.labels.device)
    draws = drawn(moving(recipe.augment), len(split), generator)
    prepared = _preparation(split, recipe)
    steps = steps_of(len(split), recipe.batch)
    sizes = [recipe.batch] * (steps - 1) + [len(split) - recipe.batch * (steps - 1)]
    at_once = max(1, _IMAGES_AT_ONCE // recipe.batch)
    for i in range(0, steps, at_once):
        chunk = sizes[i : i + at_once]
        part = slice(i * recipe.batch, i * recipe.batch + sum(chunk))
        images = prepared(order[part], [of_op.of(part) for of_op in draws])
        yield from zip(images.split(chunk), split.labels[order[part]].split(chunk), strict=True)


def _preparation(split: Split, recipe: Recipe) -> Callable[[torch.Tensor, Sequence[Draws]], torch.Tensor]:
    """What makes a net's input of an index and what each op drew: compiled, where that can be."""
    ops = moving(recipe.augment)
    if recipe.step != "eager":
        try:
            compiled = NativeWarp(split.images, ops, recipe.mean, recipe.std, [_spreads(op, split) for op in ops])
        except NotNative:
            pass
        else:
            return lambda index, draws: compiled(index, [(of_op.maps, of_op.points) for of_op in draws])
    return lambda index, draws: normalised(moved(split.images[index].float(), ops, draws), recipe)


def _spreads(op: Warp, split: Split) -> tuple[torch.Tensor, torch.Tensor] | None:
    h, w = split.images.shape[2:]
    return (between(op.elastic_points, h), between(op.elastic_points, w)) if op.elastic_px else None


def steps_of(images: int, batch: int) -> int:
    """How many batches an epoch has: a last image that would be alone joins the batch before.

    Of one image, batch norm knows no variance.
    """
    alone = images > batch > 1 and images % batch == 1
    return math.ceil(images / batch) - alone


def normalised(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Grey levels 0..255 to what a net is fed: ``(x / 255 - mean) / std``, float32, same shape."""
    return (images.float() / 255 - recipe.mean) / recipe.std
