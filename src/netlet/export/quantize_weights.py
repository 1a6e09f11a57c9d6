"""The integers of a convolution: its weights, and how its sums become bytes.

A sum of products ``S`` with its bias becomes a byte by one multiplication of 16-bit numbers::

    q = min(max(min(S >> shift, 32767) * multiplier >> 16, low), high)    (0 if S is negative)

The zero point of the output and the half that rounds are part of the bias. The scale of a
channel's weights is chosen so that its multiplier is an integer: the multiplier is exact. With at
least 8 units of ``S >> shift`` for a unit of ``q``, what the shift cuts off changes few results.

A depthwise convolution with a small window has so few products that its sums fit 16 bits, if its
weights are small enough. Processors then multiply and add twice as many numbers at once::

    q = min(max((S * multiplier >> 16) + offset, low), high)              (0 <= S < 65536)
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from netlet.errors import ExportError
from netlet.export.inference_graph import Convolution, Floats

if TYPE_CHECKING:
    import torch

QMAX = 255  # the largest integer of a feature map
WEIGHT_MAX = 127
PRODUCT_SHIFT = 16  # by which the product of a sum and a multiplier is shifted
# The shift leaves at least 2**16 / 8192 = 8 units for one of the output. Below the least
# multiplier, the largest 16-bit number would not reach the largest output.
_LARGEST_MULTIPLIER, _LEAST_MULTIPLIER = 2**13, 2**9
_MAX_SHIFT = 14
# How many times coarser than its range needs an output may become for the sake of saturated
# channels. Measured on a net in which one channel is up to 10,000 times as steep as the others,
# half of it changed 1.6 times as many predictions.
_COARSEST = 8.0
# Sums of a narrow convolution: 255 times the largest sum of weights, and a bias that may be chosen
# to within one unit of the output, fit 16 bits.
_NARROW_WINDOW = 16  # elements; with more of them, each weight would have few bits
_NARROW_WEIGHTS = 254  # the largest sum of absolute weights
_LEAST_NARROW_MULTIPLIER = 2**7
_LARGEST_OFFSET = 2**13 + QMAX  # beyond, every result is clamped


@dataclass(frozen=True)
class QuantParams:
    """Scale and zero point of a feature map."""

    scale: float
    zero_point: int

    def quantize(self, value: float) -> int:
        """Return the nearest integer for a real number, saturated to 0..255."""
        scaled = value / self.scale + self.zero_point
        return math.floor(min(max(scaled, 0.0), QMAX) + 0.5)

    def round(self, values: torch.Tensor) -> torch.Tensor:
        """Return real numbers as the nearest ones that an integer stands for."""
        steps = (values / self.scale).round() + self.zero_point
        return (steps.clamp(0, QMAX) - self.zero_point) * self.scale


@dataclass(frozen=True)
class Multipliers:
    """Integer rescaling factors: ``round(sum * value / 2**shift)``; see above for convolutions."""

    values: NDArray[np.int32]  # one per channel or per input
    shift: int


@dataclass(frozen=True)
class ConvolutionIntegers:
    """The integers of a convolution whose output are bytes."""

    weight: NDArray[np.int8]
    bias: NDArray[np.int32]
    multipliers: Multipliers
    offsets: NDArray[np.int32] | None = None  # None: they are part of the bias


def has_narrow_sums(layer: Convolution) -> bool:
    """Return whether the sums of a convolution fit 16 bits without costing much accuracy."""
    return layer.is_depthwise and math.prod(layer.window) <= _NARROW_WINDOW


def limit_slopes(
    layer: Convolution, read: QuantParams, output: QuantParams, low: Floats, high: Floats
) -> Convolution:
    """Return a clamped convolution in which no channel with both bounds costs the others most bits.

    One scale for all channels has to be coarse enough for the steepest (:func:`widen_output`).
    Where a ReLU6 or Hardtanh follows, such a channel need not have larger values than the others,
    which would be left hardly any levels. If its values reach both bounds, it is made less steep,
    around the middle between them: values between the bounds and close to them change. This costs
    little if most values are far beyond the bounds, but much if many are not, such as those of a
    constant background. A channel that does not change at all stays as it is.

    Args:
        layer: The convolution.
        read: Parameters of its input.
        output: Parameters of its output, from the range of its values.
        low: The smallest value of each channel of its output.
        high: The largest.

    Returns:
        The layer itself if no channel is too steep.
    """
    bounds = np.array(layer.clamp, np.float32)  # as they are among the values
    saturated = (low == high) | ((low <= bounds[0]) & (high >= bounds[1]))
    units, limit = _finest_units(layer, read), _COARSEST * output.scale
    if not np.isfinite(bounds).all() or not (saturated & (units > limit)).any():
        return layer
    factor = np.where(saturated, limit / np.maximum(units, limit), 1.0)
    bias = layer.bias * factor + (1 - factor) * (low + high) / 2
    weight = layer.weight * factor[:, None, None, None]
    dtype = layer.weight.dtype
    return dataclasses.replace(layer, weight=weight.astype(dtype), bias=bias.astype(dtype))


def widen_output(layer: Convolution, read: QuantParams, output: QuantParams) -> QuantParams:
    """Return the parameters of the output, coarser if a unit of a sum were many of its own."""
    least = float(_finest_units(layer, read).max())
    if output.scale >= least:
        return output
    return QuantParams(least, round(output.zero_point * output.scale / least))


def _finest_units(layer: Convolution, read: QuantParams) -> Floats:
    """Return the finest unit of the output that each channel can have."""
    scale = _narrow_scales(layer) if has_narrow_sums(layer) else natural_scales(layer, read)
    units: Floats = read.scale * scale * 2.0**PRODUCT_SHIFT / (_LARGEST_MULTIPLIER - 64)
    return units


def quantize_wide(
    layer: Convolution, read: QuantParams, output: QuantParams
) -> ConvolutionIntegers:
    """Quantize a convolution with 32-bit sums.

    Args:
        layer: The convolution.
        read: Parameters of its input.
        output: Parameters of its output, from :func:`widen_output`.

    Raises:
        ExportError: A sum does not fit 32 bits.
    """
    ratio = read.scale * natural_scales(layer, read) / output.scale
    exponent = math.frexp(float(ratio.max()))[1]  # the largest ratio is below 2**exponent
    shift = min(
        max(math.frexp(_LARGEST_MULTIPLIER)[1] - 1 - PRODUCT_SHIFT - exponent, 0), _MAX_SHIFT
    )
    multipliers = np.maximum(np.ceil(ratio * 2.0 ** (shift + PRODUCT_SHIFT)), _LEAST_MULTIPLIER)
    scale = multipliers * 2.0 ** -(shift + PRODUCT_SHIFT) * output.scale / read.scale
    weight, bias = round_weights(layer, read, scale)
    bias += (output.zero_point + 0.5) * 2.0 ** (shift + PRODUCT_SHIFT) / multipliers
    bias += (2**shift - 1) / 2  # the mean of what the shift cuts off
    return ConvolutionIntegers(
        weight,
        check_sums(layer, weight, np.rint(bias)),
        Multipliers(multipliers.astype(np.int32), shift),
    )


def quantize_narrow(
    layer: Convolution, read: QuantParams, output: QuantParams
) -> ConvolutionIntegers:
    """Quantize a depthwise convolution whose sums fit 16 bits; see :func:`quantize_wide`."""
    taps = layer.weight.astype(np.float64).reshape(len(layer.weight), -1)
    # The scale of the weights per unit of a multiplier.
    unit = 2.0**-PRODUCT_SHIFT * output.scale / read.scale
    multipliers = np.maximum(np.ceil(_narrow_scales(layer) / unit), _LEAST_NARROW_MULTIPLIER)
    while True:
        weight = _round_to_sum(taps / (multipliers * unit)[:, None])
        too_large = np.abs(weight).sum(1) > _NARROW_WEIGHTS
        too_large |= np.abs(weight).max(1) > WEIGHT_MAX
        if not too_large.any():
            break
        multipliers[too_large] += 1
    per_unit = 2.0**PRODUCT_SHIFT / multipliers  # of a sum for one unit of the output
    constant = layer.bias / (read.scale * multipliers * unit) - read.zero_point * weight.sum(1)
    constant += (output.zero_point + 0.5) * per_unit
    # Part of the constant is added to the sum, and the rest, whole units, to the output.
    most = 2**PRODUCT_SHIFT - 1 - QMAX * np.maximum(weight, 0).sum(1)
    offsets = np.ceil((constant - most) / per_unit)
    bias = np.rint(constant - offsets * per_unit)
    return ConvolutionIntegers(
        weight.astype(np.int8).reshape(layer.weight.shape),
        bias.astype(np.int32),
        Multipliers(multipliers.astype(np.int32), 0),
        np.clip(offsets, -_LARGEST_OFFSET, _LARGEST_OFFSET).astype(np.int32),
    )


def natural_scales(layer: Convolution, read: QuantParams) -> Floats:
    """Return the scale of each channel's weights with which the largest is 127."""
    weight, bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
    # In a channel with tiny weights and a large bias, the bias sets the scale: it fits 32 bits.
    scales: Floats = np.maximum(
        np.abs(weight).max((1, 2, 3)) / WEIGHT_MAX, np.abs(bias) / (read.scale * 2.0**29)
    )
    return scales


def round_weights(
    layer: Convolution, read: QuantParams, scale: Floats
) -> tuple[NDArray[np.int8], NDArray[np.float64]]:
    """Return the weights, and the bias for inputs without their zero point subtracted."""
    weight = np.rint(layer.weight.astype(np.float64) / scale[:, None, None, None]).astype(np.int8)
    bias = layer.bias.astype(np.float64) / (read.scale * scale)
    return weight, bias - read.zero_point * weight.sum((1, 2, 3), dtype=np.int64)


def check_sums(
    layer: Convolution, weight: NDArray[np.int8], bias: NDArray[np.float64]
) -> NDArray[np.int32]:
    """Return the bias as 32-bit integers.

    Raises:
        ExportError: A sum does not fit 32 bits.
    """
    sums = np.abs(bias) + QMAX * np.abs(weight.astype(np.int64)).sum((1, 2, 3))
    if sums.max() >= 2**31:
        raise ExportError(
            f"{layer.name}: its sums do not fit 32 bits; export without --int8 (int8 in Python), "
            "or use a smaller window"
        )
    return np.rint(bias).astype(np.int32)


def _narrow_scales(layer: Convolution) -> Floats:
    magnitudes = np.abs(layer.weight.astype(np.float64)).reshape(len(layer.weight), -1)
    scales: Floats = np.maximum(magnitudes.sum(1) / _NARROW_WEIGHTS, magnitudes.max(1) / WEIGHT_MAX)
    return scales


def _round_to_sum(rows: NDArray[np.float64]) -> NDArray[np.int64]:
    """Round numbers so that the sum of each row is rounded, too.

    Neighboring pixels are alike, so that errors of weights with a sum near zero cancel.
    """
    rounded = np.rint(rows)
    missing = np.rint(rows.sum(1) - rounded.sum(1))
    sign = np.sign(missing)[:, None]
    # The numbers that were rounded farthest in the other direction come first.
    rank = np.argsort(np.argsort(-sign * (rows - rounded), axis=1, kind="stable"), axis=1)
    return (rounded + np.where(rank < np.abs(missing)[:, None], sign, 0)).astype(np.int64)
