"""The names of layers as people spell them: PyTorch's, the words of rules, and slips of the pen.

Budgets are read without PyTorch, so its names are listed here; a test compares the list with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from netlet.budgets.families import BY_WORD, FAMILIES, Family
from netlet.errors import did_you_mean
from netlet.text import count_slips

# Suggested first for an unknown kind of layer, in this order.
_COMMON = (
    *("Conv2d", "Linear", "BatchNorm2d", "MaxPool2d", "AvgPool2d", "AdaptiveAvgPool2d", "Dropout"),
    *("Dropout2d", "ReLU", "GELU", "SiLU", "Sigmoid", "Softmax", "LayerNorm", "GroupNorm"),
    *("ConvTranspose2d", "Flatten"),
)
_DIMENSIONS = """
AdaptiveAvgPool AdaptiveMaxPool AvgPool BatchNorm CircularPad ConstantPad Conv ConvTranspose Dropout
InstanceNorm LPPool LazyBatchNorm LazyConv LazyConvTranspose LazyInstanceNorm MaxPool MaxUnpool
ReflectionPad ReplicationPad ZeroPad
"""
_OTHERS = """
AdaptiveLogSoftmaxWithLoss AlphaDropout BCELoss BCEWithLogitsLoss Bilinear CELU CTCLoss
ChannelShuffle Container CosineEmbeddingLoss CosineSimilarity CrossEntropyLoss CrossMapLRN2d
DataParallel Dropout ELU Embedding EmbeddingBag FeatureAlphaDropout Flatten Fold FractionalMaxPool2d
FractionalMaxPool3d GELU GLU GRU GRUCell GaussianNLLLoss GroupNorm Hardshrink Hardsigmoid Hardswish
Hardtanh HingeEmbeddingLoss HuberLoss Identity KLDivLoss L1Loss LSTM LSTMCell LayerNorm LazyLinear
LeakyReLU Linear LinearCrossEntropyLoss LocalResponseNorm LogSigmoid LogSoftmax MSELoss
MarginRankingLoss Mish Module ModuleDict ModuleList MultiLabelMarginLoss MultiLabelSoftMarginLoss
MultiMarginLoss MultiheadAttention NLLLoss NLLLoss2d PReLU PairwiseDistance ParameterDict
ParameterList PixelShuffle PixelUnshuffle PoissonNLLLoss RMSNorm RNN RNNBase RNNCell RNNCellBase
RReLU ReLU ReLU6 SELU Sequential SiLU Sigmoid SmoothL1Loss SoftMarginLoss Softmax Softmax2d Softmin
Softplus Softshrink Softsign SyncBatchNorm Tanh Tanhshrink Threshold Transformer TransformerDecoder
TransformerDecoderLayer TransformerEncoder TransformerEncoderLayer TripletMarginLoss
TripletMarginWithDistanceLoss Unflatten Unfold Upsample UpsamplingBilinear2d UpsamplingNearest2d
"""
# The layers of torch.nn: common ones come first.
LAYERS = tuple(
    dict.fromkeys(
        [
            *_COMMON,
            *(f"{name}{dims}d" for name in _DIMENSIONS.split() for dims in (1, 2, 3)),
            *_OTHERS.split(),
        ]
    )
)
_SHORT = (
    ("normali[sz]ation", "norm"),
    ("convolution(al)?", "conv"),
    ("pooling", "pool"),
    ("average", "avg"),
    ("maximum", "max"),
)
_MIN_LETTERS = (5, 8)  # of a name in which one slip is seen, and two


def _squeeze(word: str) -> str:
    """Return a word so that its spellings are equal, like ``batchnorm``.

    Those are ``batch-normalisation`` and ``Batch Norm``, ``MaxPooling2D`` and ``max_pool2d``.
    """
    letters = _join(word)
    for pattern, short in _SHORT:
        letters = re.sub(pattern, short, letters)
    return letters


def _join(word: str) -> str:
    return re.sub(r"(?<=[a-z0-9])[\s_-]+(?=[a-z0-9])", "", word.lower())


_BY_LETTERS = {_squeeze(word): family for word, family in BY_WORD.items()}
_LAYER_OF = {name.lower(): name for name in LAYERS}
_CANDIDATES = {
    spelled(word): name
    for spelled in (_squeeze, _join)
    for word, name in (
        *((name, name) for name in LAYERS),
        *((word, family.name) for family in FAMILIES for word in family.aliases),
        *((family.name, family.name) for family in FAMILIES),
    )
}


def is_layer(name: str) -> bool:
    """Return whether torch.nn has a layer of a name; upper and lower case are alike."""
    return name.lower() in _LAYER_OF


def find_kind(word: str) -> Family | str | None:
    """Return what a word of a rule means: a family, or the name of a layer of torch.nn.

    Args:
        word: In any usual spelling: ``batch-normalisation``, ``fully connected``, ``max_pool2d``.

    Returns:
        None if it is neither.
    """
    if family := BY_WORD.get(word.lower()):
        return family
    if is_layer(word):
        return word
    letters = _squeeze(word)
    if letters.startswith("global"):  # Keras counts dimensions here: GlobalAveragePooling2D
        letters = re.sub(r"[123]d$", "", letters)
    return _BY_LETTERS.get(letters) or _LAYER_OF.get(letters)


def find_slip(word: str, in_net: Iterable[str] = ()) -> str:
    """Return the name that a word misspells, or nothing if none is close enough to be sure.

    Names that are made of another one, as ``Linear2``, ``MyConv2d`` and ``LayerNorm2d`` are, may be
    classes of a net.

    Args:
        word: That is not a kind of layer.
        in_net: Kinds of the net that is judged.
    """
    letters, joined = _squeeze(word), _join(word)
    if f"{letters}d" in _LAYER_OF:
        return _LAYER_OF[f"{letters}d"]
    if any(_is_made_of(word, name) for name in (*_LAYER_OF, *BY_WORD)):
        return ""
    found, fewest = "", len(_MIN_LETTERS) + 1
    for candidate, name in ({_squeeze(kind): kind for kind in in_net} | _CANDIDATES).items():
        allowed = sum(len(candidate) >= least for least in _MIN_LETTERS)
        near = [one for one in (letters, joined) if abs(len(candidate) - len(one)) <= allowed]
        slips = min((count_slips(one, candidate) for one in near), default=fewest)
        if slips <= allowed and slips < fewest:
            found, fewest = name, slips
    return found


def _is_made_of(word: str, part: str) -> bool:
    """Return whether a word is another one with something before or after it."""
    before, after = word[: -len(part)], word[len(part) :]
    made_before = word.lower().endswith(part) and word[len(before) : len(before) + 1].isupper()
    made_after = word.lower().startswith(part) and not after[:1].islower()
    return len(word) > len(part) and (made_before or made_after)


def suggest_kind(word: str, in_net: Iterable[str] = ()) -> str:
    """Return ``did you mean 'Conv2d'? ``, or nothing if no kind of layer is similar.

    Names that start with the word come first, then slips, then similar ones; common layers come
    before rare ones.

    Args:
        word: That is not a kind of layer.
        in_net: Kinds of the net that is judged.
    """
    in_net = list(in_net)
    candidates = [*_COMMON, *in_net, *LAYERS, *(family.name for family in FAMILIES)]
    prefixed = [name for name in candidates if name.lower().startswith(word.lower())]
    if prefixed and word:
        return f"did you mean {prefixed[0]!r}? "
    if slip := find_slip(word, in_net):
        return f"did you mean {slip!r}? "
    return did_you_mean(word, _COMMON) or did_you_mean(word, candidates)
