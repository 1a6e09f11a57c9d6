"""A net's training step and its scores, compiled: the same as PyTorch's, several times as fast."""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional as F

from netlet.backends.cpu.c_source import generate_c_source
from netlet.backends.cpu.chain import Chain, UnsupportedNetError, read_chain
from netlet.backends.cpu.library import CompilationError, compile_library, data_pointer

_CHECKED_IMAGES = 16
_CHECK_ATTEMPTS = 5  # of weights that a new library is tried with, until it agrees with PyTorch for one
_MAX_THREADS = 64  # as in numbers.c
_MIN_COSINE = 0.9  # cosine between two gradients; bfloat16 alone stays above 0.98


class _Tensors(ctypes.Structure):
    """``Tensors`` of layout.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "gamma", "beta", "mean", "var")),
        *((name, ctypes.c_void_p) for name in ("d_weight", "d_bias", "d_gamma", "d_beta")),
        *((name, ctypes.c_float) for name in ("epsilon", "momentum", "dropout")),
    ]


class CompiledStep:
    """Forward, loss and backward of a chain on the CPU, by a library that was compiled for it.

    The net's parameters and buffers are read and moved where they lie: they must not be put
    elsewhere meanwhile.

    Args:
        net: On the CPU, float32, contiguous; in evaluation or training mode, as it does not matter
            here.
        shape: Of one image, ``C H W``.
        images: The largest batch.
        half: Let convolutions read bfloat16, where the machine multiplies it; sums are float32.
        threads: That share a batch; none: as many as torch uses.

    Raises:
        CompilationError: The net is no chain, or cannot be compiled here.
    """

    def __init__(
        self,
        net: nn.Module,
        shape: Sequence[int],
        images: int,
        *,
        half: bool,
        threads: int | None = None,
    ) -> None:
        try:
            chain = read_chain(net, shape)
        except UnsupportedNetError as why:
            raise CompilationError(str(why)) from why
        tensors = [*net.parameters(), *net.buffers()]
        if any(t.device.type != "cpu" or not t.is_contiguous() for t in tensors) or any(
            t.dtype != torch.float32 or not t.requires_grad for t in net.parameters()
        ):
            raise CompilationError(
                "its parameters are not all float32, contiguous and trainable on the CPU"
            )
        wide = torch.backends.cpu.get_cpu_capability() == "AVX512"
        source = generate_c_source(chain, half=half, images=images, registers=30 if wide else 6)

        def accepted(library: ctypes.CDLL) -> None:
            # Of weights that are the same for every run: one seed must not train otherwise than
            # another, nor otherwise for having been the first. A draw may be unlucky in bfloat16; a
            # library that is wrong is wrong for all.
            for draw in range(_CHECK_ATTEMPTS):
                twin = _reinitialized_copy(net, draw)
                bound = _BoundLibrary(library, read_chain(twin, shape), twin, shape, images, threads)
                try:
                    _check_against_pytorch(twin, bound, min(images, _CHECKED_IMAGES))
                    break
                except CompilationError:
                    if draw == _CHECK_ATTEMPTS - 1:
                        raise

        self._bound = _BoundLibrary(compile_library(source, accepted), chain, net, shape, images, threads)

    def gradients(
        self, images: torch.Tensor, labels: torch.Tensor, smoothing: float, seed: int
    ) -> tuple[float, int]:
        """Leave the gradients of the mean loss in the parameters' ``grad``, and move the running statistics.

        Args:
            images: ``N C H W``, float32, contiguous.
            labels: ``N``, int64.
            smoothing: Of the labels.
            seed: Of the dropout.

        Returns:
            The mean loss, and how many images were right.
        """
        return self._bound.gradients(images, labels, smoothing, seed)

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        """Logits ``N K`` of images ``N C H W``, in evaluation mode."""
        return self._bound.scores(images)


class _BoundLibrary:
    """A library and the tensors that it works on."""

    def __init__(
        self,
        library: ctypes.CDLL,
        chain: Chain,
        net: nn.Module,
        shape: Sequence[int],
        images: int,
        threads: int | None,
    ) -> None:
        class Net(ctypes.Structure):
            """``Net`` of layout.c."""

            _fields_ = [
                ("stage", _Tensors * len(chain.stages)),
                *(
                    (name, ctypes.c_void_p)
                    for name in ("head", "head_bias", "d_head", "d_head_bias", "memory")
                ),
                ("threads", ctypes.c_int),
            ]

        for parameter in net.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self._library, self._shape, self._classes = library, tuple(shape), chain.classes
        self._chain = chain  # what is pointed to must live
        self._net = Net()
        self._net.threads = min(threads or torch.get_num_threads(), images, _MAX_THREADS)
        if library.netlet_thread_count(self._net.threads) != self._net.threads:
            raise CompilationError(f"OpenMP does not give {self._net.threads} threads")
        library.netlet_arena_size.restype = ctypes.c_size_t
        # Zeros, since the edges of padded maps are never written.
        self._memory = torch.zeros(library.netlet_arena_size(self._net.threads) + 64, dtype=torch.uint8)
        self._net.memory = (self._memory.data_ptr() + 63) // 64 * 64
        for place, stage in zip(self._net.stage, chain.stages, strict=True):
            conv, norm = stage.conv, stage.norm
            place.weight, place.bias = data_pointer(conv.weight), data_pointer(conv.bias)
            place.d_weight, place.d_bias = _gradient_pointer(conv.weight), _gradient_pointer(conv.bias)
            place.dropout = stage.dropout
            if norm is not None:
                place.gamma, place.beta = data_pointer(norm.weight), data_pointer(norm.bias)
                place.d_gamma, place.d_beta = _gradient_pointer(norm.weight), _gradient_pointer(norm.bias)
                place.mean, place.var = data_pointer(norm.running_mean), data_pointer(norm.running_var)
                place.epsilon, place.momentum = norm.eps, norm.momentum
        if chain.head is not None:
            self._net.head, self._net.d_head = (
                data_pointer(chain.head.weight),
                _gradient_pointer(chain.head.weight),
            )
            self._net.head_bias, self._net.d_head_bias = (
                data_pointer(chain.head.bias),
                _gradient_pointer(chain.head.bias),
            )
        self._counters = [
            stage.norm.num_batches_tracked
            for stage in chain.stages
            if stage.norm is not None and stage.norm.num_batches_tracked is not None
        ]

    def gradients(
        self, images: torch.Tensor, labels: torch.Tensor, smoothing: float, seed: int
    ) -> tuple[float, int]:
        loss, correct = ctypes.c_float(), ctypes.c_int64()
        self._library.netlet_step(
            ctypes.byref(self._net),
            ctypes.c_void_p(self._images(images)),
            ctypes.c_void_p(labels.data_ptr()),
            len(images),
            ctypes.c_float(smoothing),
            ctypes.c_uint64(seed),
            ctypes.byref(loss),
            ctypes.byref(correct),
        )
        if self._counters:
            torch._foreach_add_(self._counters, 1)
        return loss.value, correct.value

    def scores(self, images: torch.Tensor) -> torch.Tensor:
        logits = torch.empty(len(images), self._classes)
        self._library.netlet_scores(
            ctypes.byref(self._net),
            ctypes.c_void_p(self._images(images)),
            len(images),
            ctypes.c_void_p(logits.data_ptr()),
        )
        return logits

    def _images(self, images: torch.Tensor) -> int:
        assert images.shape[1:] == self._shape
        assert images.dtype == torch.float32
        assert images.is_contiguous()
        return images.data_ptr()


def _gradient_pointer(parameter: torch.Tensor | None) -> int | None:
    return None if parameter is None else data_pointer(parameter.grad)


def _reinitialized_copy(net: nn.Module, seed: int) -> nn.Module:
    """A copy whose layers have the weights that torch would give them."""
    twin = copy.deepcopy(net)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module in twin.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
                module.reset_parameters()
    return twin


def _check_against_pytorch(twin: nn.Module, bound: _BoundLibrary, n: int) -> None:
    """Hold a library's loss, gradients and scores against PyTorch's, on noise.

    Raises:
        CompilationError: They differ.
    """
    random = torch.Generator().manual_seed(0)
    images = torch.randn(n, *bound._shape, generator=random)
    labels = torch.randint(bound._classes, (n,), generator=random)
    reference = copy.deepcopy(twin).train()
    for module in reference.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    for place in bound._net.stage:
        place.dropout = 0.0
    reference.zero_grad()
    loss = F.cross_entropy(reference(images).flatten(1), labels)
    loss.backward()
    found, _ = bound.gradients(images, labels, 0.0, 0)
    if not abs(found - loss.item()) < 0.05 * loss.item():
        raise CompilationError(
            f"compiled, its loss was {found:.4g} where PyTorch's is {loss.item():.4g}"
        )
    for (name, mine), theirs in zip(twin.named_parameters(), reference.parameters(), strict=True):
        assert mine.grad is not None
        assert theirs.grad is not None
        # What is zero but for rounding has no direction.
        if (
            theirs.grad.norm() > 1e-5
            and F.cosine_similarity(mine.grad.flatten(), theirs.grad.flatten(), 0) < _MIN_COSINE
        ):
            raise CompilationError(f"compiled, the gradient of {name} was not PyTorch's")
    reference.eval()
    with torch.no_grad():
        expected = reference(images).flatten(1)
    scores = bound.scores(images)
    # Log-probabilities are logits less a number for each image.
    centered = (scores - scores.mean(1, keepdim=True)) - (expected - expected.mean(1, keepdim=True))
    if not centered.abs().max() < 0.05 * max(1.0, float(expected.abs().max())):
        raise CompilationError("compiled, its scores were not PyTorch's")
