"""Families of operations: what the words of a budget's rules mean, however a net writes it."""

from __future__ import annotations

from dataclasses import dataclass

_LAYERS = frozenset(
    (
        *("Dropout", "ELU", "Flatten", "GELU", "GroupNorm", "Hardswish", "LayerNorm", "LeakyReLU"),
        *("Linear", "Mish", "PReLU", "ReLU", "ReLU6", "SELU", "SiLU", "Sigmoid", "Softmax", "Tanh"),
    )
)


@dataclass(frozen=True)
class Family:
    """What a word of a rule means.

    Attributes:
        name: The word, as messages write it.
        meaning: What counts, in one line.
        example: What would satisfy a rule that requires it; empty if it is only ever forbidden.
        aliases: Other words for it, in lower case.
    """

    name: str
    meaning: str
    example: str
    aliases: tuple[str, ...] = ()

    @property
    def layer(self) -> bool:
        """Whether torch.nn has a layer of this name."""
        return self.name in _LAYERS


# The family of every convolution and linear layer, by which distances are counted.
LAYER = "layer"
BIAS = "bias"
CONVOLUTION_BIAS = "bias in convolutions"
LINEAR_BIAS = "bias in linear layers"
DROPOUT = "Dropout"
RATE_IS_ZERO = "its rate is 0"  # why a dropout is none
ANY_ACTIVATION = "activation"
ANY_NORM = "norm"
CONVOLUTION = "convolution"
POOLING = "pooling"
GLOBAL_POOLINGS = ("GAP", "GMP")
# Of poolings that leave a single position, although they do not read the whole map.
TO_ONE_PLACE = "pooling to one place"

FAMILIES: tuple[Family, ...] = (
    Family(
        "GAP",
        "the mean over the whole map: adaptive pooling to 1x1, AvgPool2d of the map's size, "
        "mean((2, 3)), two means in a row, a sum divided by the number of positions (height x "
        "width); on the way to the prediction, not to scale or shift a map",
        "nn.AdaptiveAvgPool2d(1) or x.mean((2, 3))",
        ("global average pooling", "global average pool", "global avg pooling", "globalavgpool"),
    ),
    Family(
        "GMP",
        "the maximum over the whole map, written in any of the same ways",
        "nn.AdaptiveMaxPool2d(1) or x.amax((2, 3))",
        ("global max pooling", "global max pool", "global maximum pooling", "globalmaxpool"),
    ),
    Family(
        DROPOUT,
        "element, channel or alpha dropout that is active in training, as a module or a function, "
        "with a rate above 0",
        "nn.Dropout(0.05) or F.dropout(x, 0.05, self.training)",
    ),
    Family(
        "BatchNorm",
        "batch norm of any number of dimensions, as a module or a function",
        "nn.BatchNorm2d(channels)",
        ("batch norm", "batch normalization", "batchnormalization", "bn"),
    ),
    Family("LayerNorm", "layer norm", "nn.LayerNorm(sizes)", ("layer norm",)),
    Family("GroupNorm", "group norm", "nn.GroupNorm(groups, channels)", ("group norm",)),
    Family("InstanceNorm", "instance norm", "nn.InstanceNorm2d(channels)", ("instance norm",)),
    Family(
        ANY_NORM,
        "any norm: batch, layer, group, instance, RMS or local response norm",
        "nn.BatchNorm2d(channels)",
        ("normalization", "normalisation"),
    ),
    Family(
        CONVOLUTION,
        "a convolution of any number of dimensions and any kernel, transposed ones included",
        "nn.Conv2d(channels, channels, 3)",
        ("conv",),
    ),
    Family(
        "depthwise convolution",
        "a convolution in which each channel has a kernel of its own",
        "nn.Conv2d(channels, channels, 3, groups=channels)",
        ("depthwise conv",),
    ),
    Family(
        "dilated convolution",
        "a convolution with a dilation above 1",
        "nn.Conv2d(channels, channels, 3, dilation=2)",
        ("dilated conv", "atrous convolution"),
    ),
    Family(
        "strided convolution",
        "a convolution with a stride above 1, not transposed",
        "nn.Conv2d(channels, channels, 3, stride=2)",
        ("strided conv",),
    ),
    Family(
        "transposed convolution",
        "a transposed convolution",
        "nn.ConvTranspose2d(channels, channels, 2, stride=2)",
        ("transposed conv",),
    ),
    Family(
        "Linear",
        "a dense layer: nn.Linear, F.linear, or a product of features and a weight matrix; "
        "no convolution, not even a 1x1 one",
        "nn.Linear(features, 10)",
        ("fc", "dense", "fully connected", "linear layer", "dense layer", "fully connected layer"),
    ),
    Family(
        LAYER,
        "a convolution or a linear layer",
        "nn.Conv2d(channels, channels, 3)",
        ("layers", "layer with weights"),
    ),
    Family(
        BIAS,
        "a convolution or a linear layer with a bias, including one added by hand; the shift of a "
        "norm does not count",
        "nn.Conv2d(channels, channels, 3, bias=True)",
        ("biases",),
    ),
    Family(
        CONVOLUTION_BIAS,
        "a convolution with a bias, including one added by hand; linear layers may have one",
        "nn.Conv2d(channels, channels, 3, bias=True)",
        (
            *("bias in convolution", "bias in conv2d", "convolution bias", "biased convolution"),
            *("convolution with bias", "convolutions with bias", "conv2d with bias"),
            *("convolution layer with bias", "convolution layers with bias"),
        ),
    ),
    Family(
        LINEAR_BIAS,
        "a linear layer with a bias, including one added by hand; convolutions may have one",
        "nn.Linear(features, 10, bias=True)",
        (
            *("bias in linear", "linear bias", "linear with bias"),
            *("linear layer with bias", "linear layers with bias"),
        ),
    ),
    Family(
        "MaxPool",
        "any max pooling: of windows, adaptive or over the whole map, of any number of dimensions",
        "nn.MaxPool2d(2)",
        ("max pool", "max pooling", "maxpooling"),
    ),
    Family(
        "AvgPool",
        "any average pooling: of windows, adaptive or over the whole map",
        "nn.AvgPool2d(2)",
        ("avg pool", "average pooling", "avg pooling", "average pool"),
    ),
    Family(
        POOLING,
        "max or average pooling of windows that leaves a map larger than 1x1, so neither GAP nor "
        "GMP",
        "nn.MaxPool2d(2)",
        ("pool",),
    ),
    Family(
        ANY_ACTIVATION,
        "any element-wise activation, as a module, a function or a method",
        "nn.ReLU()",
        ("non-linearity", "non-linear activation", "activation function"),
    ),
    Family("ReLU", "relu, also in place, and clamp(min=0)", "nn.ReLU() or F.relu(x)"),
    Family("ReLU6", "relu6, hardtanh or clamp from 0 to 6", "nn.ReLU6()"),
    Family("LeakyReLU", "leaky_relu", "nn.LeakyReLU()", ("leaky relu",)),
    Family("PReLU", "prelu", "nn.PReLU()"),
    Family("ELU", "elu", "nn.ELU()"),
    Family("SELU", "selu", "nn.SELU()"),
    Family("GELU", "gelu, exact or approximate", "nn.GELU()"),
    Family("SiLU", "silu, also called swish", "nn.SiLU()", ("swish",)),
    Family("Mish", "mish", "nn.Mish()"),
    Family("Hardswish", "hardswish", "nn.Hardswish()"),
    Family("Sigmoid", "sigmoid", "nn.Sigmoid()"),
    Family("Tanh", "tanh", "nn.Tanh()"),
    Family(
        "Softmax",
        "softmax or log_softmax",
        "F.log_softmax(x, 1)",
        ("log_softmax", "log softmax"),
    ),
    Family(
        "Flatten",
        "a map larger than 1x1 laid out as one vector, by flatten, view or reshape",
        "nn.Flatten()",
    ),
    Family(
        "residual connection",
        "a sum of two values that the net has computed",
        "x + block(x)",
        ("residual", "skip connection"),
    ),
    Family(
        "concatenation",
        "values joined by cat or stack",
        "torch.cat([x, y], 1)",
        ("concat", "cat"),
    ),
)

BY_WORD = {
    word + plural: family
    for family in FAMILIES
    for word in (family.name.lower(), *family.aliases)
    for plural in ("", "s")
}
