"""What people use in nets that no export knows, by its ATen name, and what would work in its place."""

from __future__ import annotations

RANDOM = frozenset(
    [
        "bernoulli",
        "feature_dropout",
        "native_dropout",
        "normal",
        "rand",
        "rand_like",
        "randint",
        "randn",
        "randn_like",
        "uniform",
    ]
)
_STEADY = "nn.BatchNorm2d, which is folded away, would"
INSTEAD = {
    "native_group_norm": ("GroupNorm or InstanceNorm", _STEADY),
    "native_layer_norm": ("LayerNorm", _STEADY),
    "_local_scalar_dense": (
        "reading a value back",
        "a net that does the same to every image would",
    ),
    "permute": ("permute", "maps in PyTorch's order, C H W, would"),
    "transpose": ("transpose", "maps in PyTorch's order, C H W, would"),
    "slice": ("slicing", "a convolution with fewer channels would"),
    "split": ("split", "a convolution of each part's own would"),
    "split_with_sizes": ("split", "a convolution of each part's own would"),
    "bmm": (
        "a product of maps (attention)",
        "convolutions, or multiplying element by element, would",
    ),
    "upsample_nearest2d": ("upsampling", "a net that only shrinks its maps would"),
    "upsample_bilinear2d": ("upsampling", "a net that only shrinks its maps would"),
    "pixel_shuffle": ("pixel_shuffle", "a strided convolution would"),
}
WOULD_WORK = (
    "convolutions, dense layers, batch norm, max and mean pooling, sums, products, concatenation and the usual "
    "activations would"
)
