"""Why a receptive field is unknown, in words."""

from __future__ import annotations

from netlet.graph import Node
from netlet.graph.operations import Opaque

# Operations that a person knows by another name than PyTorch's dispatcher, by the start of theirs.
_IN_WORDS = {
    "_fft": "a Fourier transform",
    "fft": "a Fourier transform",
    "stft": "a Fourier transform",
    "istft": "a Fourier transform",
    "grid_sampler": "F.grid_sample",
    "cudnn_grid_sampler": "F.grid_sample",
    "col2im": "nn.Fold",
    "max_unpool": "max unpooling",
    "fractional_max_pool": "fractional max pooling",
    "scatter_add": "scatter_add",
    "embedding": "an embedding",
    "linalg": "linear algebra",
    "_linalg": "linear algebra",
    "_cdist": "pairwise distances",
    "mkldnn_rnn_layer": "a recurrent layer",
    "_thnn_fused": "a recurrent layer",
    "_cudnn_rnn": "a recurrent layer",
    "roi_align": "RoI align",
}


def why_unknown(node: Node) -> str:
    """Return why the receptive field after an operation is unknown.

    Args:
        node: The first operation on the way from the image after which it is.
    """
    operation = node.operation
    name = operation.name
    words = next((text for start, text in _IN_WORDS.items() if name.startswith(start)), "")
    called = f"{words} ({name})" if words and words.lower() != name.lower() else name
    reason = operation.why if isinstance(operation, Opaque) and operation.why else ""
    reason = reason or "netlet does not know which positions its result depends on"
    return f"{node.path or '(net)'} uses {called}, and {reason}"
