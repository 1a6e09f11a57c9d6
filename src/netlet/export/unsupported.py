"""What no export supports, with what to use instead."""

from __future__ import annotations

from netlet.errors import ExportError

SUPPORTED = (
    "convolutions, linear layers, norms, pooling, interpolation, sums, products, concatenation, "
    "slices and the usual activations"
)
READS_VALUES = (
    "reading a tensor's value back into Python",
    "operations that are the same for every image",
)
RANDOM = (
    "an operation that is random in evaluation mode, too,",
    "one that computes the same for the same image, or draw numbers only if self.training",
)
READS_CHANGED_TENSOR = (
    "reading a tensor after an in-place operation on another view of it",
    "operations that are not in place",
)
_ROOT = ("a square root, as in RMSNorm,", "nn.LayerNorm or nn.BatchNorm2d")
_COMPARISON = ("a comparison, as for torch.where,", "torch.clamp, torch.maximum or an activation")
_PLAIN_DIVISION = ("division that rounds", "division without rounding_mode")
# Name of an operation: what it is, and what to use instead.
_ALTERNATIVES = {
    **dict.fromkeys(("eq", "ge", "gt", "le", "lt", "ne", "where"), _COMPARISON),
    "avg_pool3d": ("pooling over channels, as in LocalResponseNorm,", "nn.BatchNorm2d"),
    "matmul": (
        "a matrix product of feature maps, as in attention,",
        "linear layers, convolutions or element-wise products",
    ),
    "cat": (
        "concatenation with a constant",
        "feature_map + constant, or concatenate x[:, :1] * 0 + constant",
    ),
    "floor_divide": _PLAIN_DIVISION,
    "rsqrt": _ROOT,
    "sqrt": _ROOT,
    "trunc_divide": _PLAIN_DIVISION,
}


def find_alternative(name: str, why: str = "") -> tuple[str, str]:
    """Return what an operation is called in a message, and what to use instead.

    Args:
        name: The name of the operation.
        why: What is unusual about this call of it, if anything.
    """
    called = f"{name}, as it is called here ({why})," if why else name
    return _ALTERNATIVES.get(name, (called, SUPPORTED))


def unsupported(where: str, what: str, alternative: str) -> ExportError:
    """Return an error that names a layer, an operation and an alternative.

    Args:
        where: Path of the layer, or the net's name.
        what: The operation, with what is unusual about it.
        alternative: What to use instead.
    """
    return ExportError(f"{where}: {what} cannot be exported; use {alternative}")
