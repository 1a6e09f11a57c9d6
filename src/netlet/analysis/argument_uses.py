"""What an operation does with each of its tensors: which hold weights, and which pick or mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch

# The arguments that may hold weights, the most likely one last.
WEIGHT_ARGUMENTS = {
    **dict.fromkeys(("convolution", "_convolution", "linear"), ("bias", "weight")),
    **dict.fromkeys(("mm", "bmm"), ("self", "mat2")),
    "mv": ("self", "vec"),
    "dot": ("self", "tensor"),
    "matmul": ("self", "other"),
    "addmm": ("self", "mat1", "mat2"),
    "baddbmm": ("self", "batch1", "batch2"),
    "addmv": ("self", "mat", "vec"),
    "embedding": ("weight",),
}
INDEXING = {"index", "index_select", "gather", "take", "take_along_dim", "embedding", "scatter"}
INDEXING |= {"index_put", "_unsafe_index", "masked_fill", "where", "masked_scatter", "index_add"}
INDEXING |= {"_pack_padded_sequence"}
# A buffer that is added is a position or a mask; one that is multiplied is a weight.
_ADDING = {"add", "sub", "rsub", "cat", "stack", "copy", "eq", "ne", "lt", "le", "gt", "ge"}


def is_no_weight(operation: str, argument: str, buffer: torch.Tensor) -> bool:
    """Return whether an operation uses a buffer as statistics, a position, a mask or an index."""
    statistics = argument in ("running_mean", "running_var")
    mask = operation in _ADDING | INDEXING or "scaled_dot_product" in operation
    return statistics or mask or not (buffer.is_floating_point() or buffer.is_complex())


def is_noise(random: torch.Tensor, shapes: Sequence[torch.Size], images: int) -> bool:
    """Return whether there is a random number for each value from the input, or for each image.

    Args:
        random: The random numbers.
        shapes: Of the values that they are combined with.
        images: In the batch.
    """
    for_each_image = random.shape[:1] == (images,)
    return any(
        shape == random.shape
        or (for_each_image and shape[:1] == (images,) and len(shape) == random.dim())
        for shape in shapes
    )
