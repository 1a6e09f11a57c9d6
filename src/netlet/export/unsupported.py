"""Operations that no export supports, by their ATen names, with what to use instead."""

from __future__ import annotations

RANDOM_OPERATIONS = frozenset(
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
_BATCH_NORM = "nn.BatchNorm2d, which is folded into the convolution before it"
_OWN_CONVOLUTIONS = "a convolution for each part"
_CONVOLUTIONS_ONLY = "convolutions and strides, which never enlarge a feature map"
# ATen name: what the operation is, and what to use instead.
ALTERNATIVES = {
    "native_group_norm": ("GroupNorm or InstanceNorm", _BATCH_NORM),
    "native_layer_norm": ("LayerNorm", _BATCH_NORM),
    "_local_scalar_dense": (
        "reading a tensor's value back into Python",
        "operations that are the same for every image",
    ),
    "permute": ("permute", "feature maps in PyTorch's order, C H W"),
    "transpose": ("transpose", "feature maps in PyTorch's order, C H W"),
    "slice": ("slicing", "a convolution with fewer channels"),
    "split": ("split", _OWN_CONVOLUTIONS),
    "split_with_sizes": ("split", _OWN_CONVOLUTIONS),
    "bmm": (
        "a matrix product of two feature maps (attention)",
        "convolutions or element-wise products",
    ),
    "upsample_nearest2d": ("upsampling", _CONVOLUTIONS_ONLY),
    "upsample_bilinear2d": ("upsampling", _CONVOLUTIONS_ONLY),
    "pixel_shuffle": ("pixel_shuffle", "a strided convolution"),
}
SUPPORTED = (
    "convolutions, linear layers, batch norm, max and mean pooling, sums, products, concatenation "
    "and the usual activations"
)
