"""Element-wise functions: an entry here is all that the compiled backend needs of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch.nn import functional as F

from netlet.backends.cpu.parts.base import Code, Part, Step


@dataclass(frozen=True)
class Function:
    """An element-wise function.

    Attributes:
        value: C expression of the function at the vector ``x``; see functions.c for what it can
            call. ``{0}``, ``{1}`` and so on stand for the function's parameters.
        derivative: Likewise, of its derivative.
        torch: The same function in PyTorch, of a tensor and the parameters.
    """

    value: str
    derivative: str
    torch: Callable[..., torch.Tensor]


FUNCTIONS: dict[str, Function] = {
    "relu": Function("relu_of(x)", "blend(x > 0.0f, constant(1), constant(0))", F.relu),
    "clamp": Function(
        "clamped(x, {0}, {1})",
        "blend((x >= {0}) & (x <= {1}), constant(1), constant(0))",
        torch.clamp,
    ),
    "hardtanh": Function(
        "clamped(x, {0}, {1})",
        "blend((x > {0}) & (x < {1}), constant(1), constant(0))",
        F.hardtanh,
    ),
    "leaky_relu": Function(
        "blend(x > 0.0f, x, {0} * x)",
        "blend(x > 0.0f, constant(1), constant({0}))",
        F.leaky_relu,
    ),
    # Also SELU: alpha, scale and scale of the input.
    "elu": Function(
        "{1} * blend(x > 0.0f, x, {0} * (exp_of({2} * x) - 1.0f))",
        "{1} * blend(x > 0.0f, constant(1), {0} * {2} * exp_of({2} * x))",
        lambda x, alpha, scale, input_scale: (
            scale * torch.where(x > 0, x, alpha * (input_scale * x.clamp(max=0)).expm1())
        ),
    ),
    "sigmoid": Function("sigmoid_of(x)", "sigmoid_of(x) * (1.0f - sigmoid_of(x))", torch.sigmoid),
    "tanh": Function("tanh_of(x)", "1.0f - tanh_of(x) * tanh_of(x)", torch.tanh),
    "silu": Function(
        "x * sigmoid_of(x)",
        "sigmoid_of(x) * (1.0f + x * (1.0f - sigmoid_of(x)))",
        F.silu,
    ),
    "gelu": Function("x * normal_cdf(x)", "normal_cdf(x) + x * normal_pdf(x)", F.gelu),
    "gelu_tanh": Function(
        "x * sigmoid_of(1.5957691f * (x + 0.044715f * x * x * x))",
        "sigmoid_of(1.5957691f * (x + 0.044715f * x * x * x)) * (1.0f + x * (1.0f - sigmoid_of("
        "1.5957691f * (x + 0.044715f * x * x * x))) * (1.5957691f + 0.21406459f * x * x))",
        lambda x: F.gelu(x, approximate="tanh"),
    ),
    "mish": Function(
        "x * mish_gate(x)",
        "mish_gate(x) + x * sigmoid_of(x) * (1.0f - mish_gate(x) * mish_gate(x))",
        F.mish,
    ),
    # Also with a factor {0} of its input; where that is larger than {1}, it is x.
    "softplus": Function(
        "blend({0} * x > {1}, x, softplus_of({0} * x) * (1.0f / {0}))",
        "blend({0} * x > {1}, constant(1), sigmoid_of({0} * x))",
        F.softplus,
    ),
    "celu": Function(
        "blend(x > 0.0f, x, {0} * (exp_of(x * (1.0f / {0})) - 1.0f))",
        "blend(x > 0.0f, constant(1), exp_of(x * (1.0f / {0})))",
        F.celu,
    ),
    # Of powers, only squares are lowered to it.
    "pow": Function("x * x", "2.0f * x", torch.pow),
    "abs": Function("blend(x < 0.0f, -x, x)", "sign_of(x)", torch.abs),
    "exp": Function("exp_of(x)", "exp_of(x)", torch.exp),
    "neg": Function("-x", "constant(-1)", torch.neg),
    "hardswish": Function(
        "x * clamped(x + 3.0f, 0, 6) * (1.0f / 6)",
        "blend(x < -3.0f, constant(0), blend(x > 3.0f, constant(1), x * (1.0f / 3) + 0.5f))",
        F.hardswish,
    ),
    "hardsigmoid": Function(
        "clamped(x + 3.0f, 0, 6) * (1.0f / 6)",
        "blend((x > -3.0f) & (x < 3.0f), constant(1.0f / 6), constant(0))",
        F.hardsigmoid,
    ),
}


@dataclass(frozen=True, eq=False)
class Elementwise(Part):
    """One of :data:`FUNCTIONS`.

    Attributes:
        function: Its name.
        parameters: The parameters of the function.
    """

    function: str = "relu"
    parameters: tuple[float, ...] = ()

    sources: ClassVar[tuple[str, ...]] = ("functions", "maps")

    def definitions(self, code: Code) -> str:
        """Return the function and its derivative in C."""
        function, k = FUNCTIONS[self.function], code.number
        numbers = [format_float(value) for value in self.parameters]
        return (
            f"#define FUNCTION_{k}(x) ({function.value.format(*numbers)})\n"
            f"#define DERIVATIVE_{k}(x) ({function.derivative.format(*numbers)})"
        )

    def forward(self, code: Code) -> str:
        """Return the function of one image."""
        return (
            f"const Input in = {code.read(0)};\n    elem *v = {code.output};\n    "
            f"FOR_MAP({self.shape.literal()}, const vec x = input_at(in, h, w, b);\n            "
            f"store(v + at, FUNCTION_{code.number}(x));)"
        )

    def backward(self, code: Code) -> str:
        """Return the gradient of the input."""
        dx = f"{code.workspace}.scratch"
        return (
            f"const Input in = {code.read(0)};\n    const elem *g = {code.gradient};\n    "
            f"float *dx = {dx};\n    "
            f"FOR_MAP({self.shape.literal()}, const vec x = input_at(in, h, w, b);\n            "
            f"*(vec *)(dx + at) = load(g + at) * (DERIVATIVE_{code.number}(x));)\n    "
            + code.pass_gradient(0, "dx")
        )

    def reference(self, inputs: Sequence[torch.Tensor], step: Step) -> torch.Tensor:
        """Return the output in PyTorch."""
        return FUNCTIONS[self.function].torch(inputs[0], *self.parameters)


def format_float(value: float) -> str:
    """Return a number as a C constant."""
    if value in (float("inf"), float("-inf")):
        return "INFINITY" if value > 0 else "-INFINITY"
    return f"{value:.9g}f" if "." in f"{value:.9g}" or "e" in f"{value:.9g}" else f"{value:.1f}f"
