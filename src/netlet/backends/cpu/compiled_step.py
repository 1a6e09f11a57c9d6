"""A net's training step and evaluation as compiled C, several times as fast as eager PyTorch."""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Sequence

import torch
from torch import nn

from netlet.backends.cpu.build_program import read_program
from netlet.backends.cpu.c_source import generate_c_source
from netlet.backends.cpu.errors import CompilationError, UnsupportedNetError
from netlet.backends.cpu.library import Trial, compile_library, data_pointer
from netlet.backends.cpu.parts.base import LANES, REGISTERS, Tensors
from netlet.backends.cpu.program import Program
from netlet.backends.cpu.program_check import check_program
from netlet.backends.cpu.self_check import CheckedStep, check_step
from netlet.backends.cpu.vectors import fit_vectors
from netlet.backends.loss import SoftTarget
from netlet.nets.copying import copy_net

_MAX_THREADS = 64  # as in numbers.c
# Evaluation keeps the maps of a whole batch, so large maps need small batches.
_EVALUATION_BYTES = 256 << 20


class _Tensors(ctypes.Structure):
    """``Tensors`` of layout.c."""

    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("weight", "bias", "gamma", "beta", "mean", "var")),
        *((name, ctypes.c_void_p) for name in ("d_weight", "d_bias", "d_gamma", "d_beta")),
        *((name, ctypes.c_float) for name in ("epsilon", "momentum", "dropout")),
        *((f"add_{name}", ctypes.c_int) for name in ("weight", "bias", "gamma", "beta")),
    ]


class CompiledStep:
    """Forward pass, loss and backward pass of a net, in a library compiled for it.

    The library reads and writes the net's parameters and buffers in place, so they must stay in the
    same memory.

    Args:
        net: On the CPU, float32, contiguous. Its training or evaluation mode is ignored.
        shape: The shape of one image, ``C H W``.
        images: The largest batch size; for evaluation alone, it is reduced if the maps are large.
        half: Let convolutions read bfloat16 if the processor supports it; they sum in float32.
        training: Compile the training step, too; without it there is only ``compute_logits``.
        threads: Number of threads that share a batch; by default as many as torch uses.
        with_teacher: Whether the loss of the training step reads the logits of a teacher.

    Attributes:
        images: The largest batch size.

    Raises:
        CompilationError: The net has operations that the backend lacks, or cannot be compiled here.
    """

    def __init__(
        self,
        net: nn.Module,
        shape: Sequence[int],
        images: int,
        *,
        half: bool,
        training: bool = True,
        threads: int | None = None,
        with_teacher: bool = False,
    ) -> None:
        program = read_program(net, shape)
        tensors = [*net.parameters(), *net.buffers()]
        if any(t.device.type != "cpu" or not t.is_contiguous() for t in tensors) or any(
            t.dtype != torch.float32 or not t.requires_grad for t in net.parameters()
        ):
            raise UnsupportedNetError(
                "its parameters are not all float32, contiguous and trainable on the CPU"
            )
        if half and LANES != 16:
            raise CompilationError("bfloat16 needs AVX-512, which PyTorch does not use here")
        if training:  # a net is evaluated with a step of its own, often
            check_program(net, shape)
        else:
            images = min(images, _batch_within(_EVALUATION_BYTES, program))
        self.images = images
        source = generate_c_source(
            program if half else fit_vectors(program),
            half=half,
            training=training,
            images=images,
            registers=REGISTERS,
            with_teacher=with_teacher,
        )

        own = threads or torch.get_num_threads()

        def bind(
            library: ctypes.CDLL, twin: nn.Module, twin_program: Program, count: int
        ) -> _BoundLibrary:
            return _BoundLibrary(
                library, twin_program, twin, shape, images, count, with_teacher=with_teacher
            )

        def check(library: ctypes.CDLL) -> None:
            # A cached library is used with other numbers of threads, too.
            other = 2 if own == 1 else 1
            counts = [own, *([other] if library.netlet_thread_count(other) == other else [])]
            checked = CheckedStep(
                net,
                tuple(shape),
                images,
                half,
                training,
                tuple(counts),
                check_in_float32 if half else None,
                with_teacher,
            )
            check_step(checked, functools.partial(bind, library))

        def check_in_float32() -> None:
            CompiledStep(
                net,
                shape,
                images,
                half=False,
                training=training,
                threads=threads,
                with_teacher=with_teacher,
            )

        def prepare_trial() -> Trial:
            twin = copy_net(net)
            twin_program = read_program(twin, shape)
            batch, labels = torch.zeros(images, *shape), torch.zeros(images, dtype=torch.int64)
            logits = torch.zeros(images, program.classes)
            soft = SoftTarget(logits, 0.5, 1.0) if with_teacher else None

            def call(library: ctypes.CDLL) -> None:
                bound = bind(library, twin, twin_program, 1)
                if training:
                    bound.compute_gradients(batch, labels, 0.0, 0, soft)
                bound.compute_logits(batch)

            return call

        self._bound = _BoundLibrary(
            compile_library(source, check, prepare_trial),
            program,
            net,
            shape,
            images,
            threads,
            with_teacher=with_teacher,
        )

    def compute_gradients(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        smoothing: float,
        seed: int,
        soft: SoftTarget | None = None,
    ) -> tuple[float, int]:
        """Write the gradients of the mean loss to the parameters; update the running statistics.

        Args:
            images: ``N C H W``, float32, contiguous.
            labels: ``N``, int64.
            smoothing: Label smoothing, 0 to 1.
            seed: The seed of the dropout masks.
            soft: What a teacher says of the images, if the step was compiled for one.

        Returns:
            The mean loss and the number of correct predictions.
        """
        return self._bound.compute_gradients(images, labels, smoothing, seed, soft)

    def compute_logits(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits ``N K`` of images ``N C H W``, in evaluation mode."""
        return self._bound.compute_logits(images)


def _batch_within(size: int, program: Program) -> int:
    """Return how many images, at least 16, have about so many bytes of maps."""
    copies = 3  # of each map, at most: sums, values and the input of a convolution
    return max(16, size // (copies * 4 * sum(part.shape.size for part in program.parts)))


class _BoundLibrary:
    """A library together with the tensors that it reads and writes."""

    def __init__(
        self,
        library: ctypes.CDLL,
        program: Program,
        net: nn.Module,
        shape: Sequence[int],
        images: int,
        threads: int | None,
        *,
        with_teacher: bool,
    ) -> None:
        class Net(ctypes.Structure):
            """``Net`` of layout.c."""

            _fields_ = [
                ("op", _Tensors * len(program.parts)),
                *(
                    (name, ctypes.c_void_p)
                    for name in ("head", "head_bias", "d_head", "d_head_bias", "memory")
                ),
                ("threads", ctypes.c_int),
            ]

        for parameter in net.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        self._library, self._shape, self._classes = library, tuple(shape), program.classes
        self._images, self._with_teacher = images, with_teacher
        self._program = program  # keeps the memory alive that the library points to
        self._net = Net()
        self._net.threads = min(threads or torch.get_num_threads(), images, _MAX_THREADS)
        if library.netlet_thread_count(self._net.threads) != self._net.threads:
            raise CompilationError(f"the system cannot start {self._net.threads} threads")
        library.netlet_arena_size.restype = ctypes.c_size_t
        # Initialized to zero, since the padding of feature maps is never written.
        self._memory = torch.zeros(
            library.netlet_arena_size(self._net.threads) + 64, dtype=torch.uint8
        )
        self._net.memory = (self._memory.data_ptr() + 63) // 64 * 64
        for pointers, part in zip(self._net.op, program.parts, strict=True):
            _set_pointers(pointers, part.tensors, part.dropout)
        _mark_shared(self._net.op, [part.tensors for part in program.parts])
        self._net.head, self._net.d_head = _pointers(program.end.weight)
        self._net.head_bias, self._net.d_head_bias = _pointers(program.end.bias)
        self._batch_counters = _list_batch_counters(net, program)

    def compute_gradients(
        self,
        images: torch.Tensor,
        labels: torch.Tensor,
        smoothing: float,
        seed: int,
        soft: SoftTarget | None = None,
    ) -> tuple[float, int]:
        loss, correct = ctypes.c_float(), ctypes.c_int64()
        assert (soft is not None) == self._with_teacher
        taught: list[object] = []
        if soft is not None:
            assert soft.logits.shape == (len(images), self._classes)
            assert soft.logits.dtype == torch.float32
            assert soft.logits.is_contiguous()
            numbers = map(ctypes.c_float, (soft.share, soft.temperature))
            taught = [ctypes.c_void_p(soft.logits.data_ptr()), *numbers]
        self._library.netlet_step(
            ctypes.byref(self._net),
            ctypes.c_void_p(self._image_pointer(images)),
            ctypes.c_void_p(labels.data_ptr()),
            len(images),
            ctypes.c_float(smoothing),
            ctypes.c_uint64(seed),
            ctypes.byref(loss),
            ctypes.byref(correct),
            *taught,
        )
        for counter in self._batch_counters:
            counter.add_(1)
        return loss.value, correct.value

    def compute_logits(self, images: torch.Tensor) -> torch.Tensor:
        logits = torch.empty(len(images), self._classes)
        self._library.netlet_scores(
            ctypes.byref(self._net),
            ctypes.c_void_p(self._image_pointer(images)),
            len(images),
            ctypes.c_void_p(logits.data_ptr()),
        )
        return logits

    def set_dropout(self, rates: Sequence[float]) -> None:
        """Set the dropout rate of each part."""
        for pointers, rate in zip(self._net.op, rates, strict=True):
            pointers.dropout = rate

    def _image_pointer(self, images: torch.Tensor) -> int:
        assert images.shape[1:] == self._shape
        assert images.dtype == torch.float32
        assert len(images) <= self._images
        assert images.is_contiguous()
        return images.data_ptr()


def _set_pointers(pointers: _Tensors, tensors: Tensors, dropout: float) -> None:
    """Point to the net's tensors that one part uses."""
    for name in ("weight", "bias", "gamma", "beta"):
        value, gradient = _pointers(getattr(tensors, name))
        setattr(pointers, name, value)
        setattr(pointers, f"d_{name}", gradient)
    pointers.mean, pointers.var = data_pointer(tensors.mean), data_pointer(tensors.var)
    pointers.epsilon, pointers.momentum = tensors.epsilon, tensors.momentum
    pointers.dropout = dropout


def _mark_shared(pointers: Sequence[_Tensors], tensors: Sequence[Tensors]) -> None:
    """Let parts add to the gradient of a tensor that another part has written before them.

    Gradients of norms are written backward, those of weights and biases in order at the end.
    """
    for names, order in ((("weight", "bias"), 1), (("gamma", "beta"), -1)):
        written: set[int] = set()
        for to, own in list(zip(pointers, tensors, strict=True))[::order]:
            for name in names:
                tensor = getattr(own, name)
                if tensor is not None:
                    setattr(to, f"add_{name}", int(id(tensor) in written))
                    written.add(id(tensor))


def _list_batch_counters(net: nn.Module, program: Program) -> list[torch.Tensor]:
    """Return the counters of batches, each as often as its norm runs in a step."""
    by_mean = {
        id(module.running_mean): module.num_batches_tracked
        for module in net.modules()
        if isinstance(module, nn.modules.batchnorm._BatchNorm)
    }
    counters = [by_mean.get(id(part.tensors.mean)) for part in program.parts if part.norm_values]
    return [counter for counter in counters if counter is not None]


def _pointers(parameter: torch.Tensor | None) -> tuple[int | None, int | None]:
    """Return the addresses of a parameter and its gradient; None for None."""
    return data_pointer(parameter), None if parameter is None else data_pointer(parameter.grad)
