"""One epoch as a stream of batches, cut from tensors in memory, without worker processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch

from netlet.data.augment import WarpParameters, draw_augmentation, drop_identity_ops, warp_images
from netlet.data.split import Split
from netlet.recipes import Recipe

# Augmenting several batches at once spreads the fixed cost of some twenty small operations; more
# images than this would fall out of a CPU's cache.
_IMAGES_AT_ONCE = 512
_CUDA_BYTES_AT_ONCE = 1 << 26  # of float32 images; a GPU is busy only with many


# Turns image indices and the augmentation drawn for them into a net's input.
Preparation = Callable[[torch.Tensor, Sequence[WarpParameters]], torch.Tensor]


def iterate_epoch(
    split: Split,
    recipe: Recipe,
    generator: torch.Generator,
    prepare: Preparation | None = None,
    strengths: Sequence[float] = (),
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield every image once, in a fresh random order, augmented and normalized.

    Args:
        split: The images, on the device where the batches are needed.
        recipe: The recipe, which has batch size, augmentation, mean and std.
        generator: A generator on the CPU; the only source of randomness.
        prepare: The function that augments and normalizes; by default :func:`eager_preparation`.
        strengths: For each batch, the share of the augmentation's full strength; none: all batches
            have the full one. They change neither the order of the images nor what is drawn.

    Yields:
        float32 images ``N C H W`` and int64 labels ``N``; the last batch may be smaller, or larger
        by one (see :func:`count_steps`).
    """
    order = torch.randperm(len(split), generator=generator).to(split.labels.device)
    prepare = prepare or eager_preparation(split, recipe)
    steps = count_steps(len(split), recipe.batch_size)
    sizes = [recipe.batch_size] * (steps - 1) + [len(split) - recipe.batch_size * (steps - 1)]
    by_image = None
    if strengths:
        by_batch = torch.tensor(strengths, dtype=torch.float64)
        by_image = by_batch.repeat_interleave(torch.tensor(sizes))
    ops = drop_identity_ops(recipe.augment)
    augmentation = draw_augmentation(ops, len(split), generator, by_image)
    at_once = max(1, _count_at_once(split) // recipe.batch_size)
    for i in range(0, steps, at_once):
        chunk = sizes[i : i + at_once]
        part = slice(i * recipe.batch_size, i * recipe.batch_size + sum(chunk))
        images = prepare(order[part], [parameters.select(part) for parameters in augmentation])
        yield from zip(images.split(chunk), split.labels[order[part]].split(chunk), strict=True)


def _count_at_once(split: Split) -> int:
    """Return how many images to prepare at once on the split's device."""
    if split.images.device.type == "cpu":
        return _IMAGES_AT_ONCE
    return max(_IMAGES_AT_ONCE, _CUDA_BYTES_AT_ONCE // (4 * math.prod(split.images.shape[1:])))


def eager_preparation(split: Split, recipe: Recipe) -> Preparation:
    """Return a function that augments and normalizes in eager PyTorch, on the split's device."""
    ops = drop_identity_ops(recipe.augment)

    def prepare(index: torch.Tensor, parameters: Sequence[WarpParameters]) -> torch.Tensor:
        return normalize(warp_images(split.images[index].float(), ops, parameters), recipe)

    return prepare


def count_steps(images: int, batch_size: int) -> int:
    """Return the number of batches in an epoch; a single leftover image joins the last full batch.

    Batch norm cannot compute a variance from a batch of one image.
    """
    single_leftover = images > batch_size > 1 and images % batch_size == 1
    return math.ceil(images / batch_size) - single_leftover


def normalize(images: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Turn gray levels 0 to 255 into a net's input ``(x / 255 - mean) / std``, float32."""
    return (images.float() / 255 - recipe.mean) / recipe.std
