"""Multiply-adds of the calls of a run, for one image."""

from __future__ import annotations

from netlet.analysis.multiply_adds import count_multiply_adds
from netlet.graph import BATCH, Execution, FunctionCall


def count_calls(execution: Execution, larger: Execution | None) -> dict[FunctionCall, int | None]:
    """Return the multiply-adds of each call in a run for one image; None if they are unknown.

    Most products are computed for every image; a product of weights is computed once for all of
    them, also if a batch has only one image. Which is which shows in a larger batch.

    Args:
        execution: The run, on ``BATCH`` images.
        larger: A run of the same net on one image more; None if it does not run on that.
    """
    calls = list(execution.root.calls())
    others = [] if larger is None else list(larger.root.calls())
    if [call.function for call in calls] != [call.function for call in others]:
        return {call: _guess_share(call, _count(call)) for call in calls}
    return {
        call: _find_share(call, _count(call), _count(other))
        for call, other in zip(calls, others, strict=True)
    }


def _count(call: FunctionCall) -> int | None:
    """Return the multiply-adds of a call for all images of its batch."""
    if call.operation is None:
        return 0
    return count_multiply_adds(call.operation, call.input_shapes, call.output_shape)


def _find_share(call: FunctionCall, count: int | None, larger: int | None) -> int | None:
    """Return the count for one image from those for ``BATCH`` images and for one more."""
    if count is None or larger is None:
        return None
    for_each = larger - count
    for_all = count - BATCH * for_each
    if for_each >= 0 and for_all >= 0:
        return for_all + for_each
    if larger * BATCH**2 == count * (BATCH + 1) ** 2:  # every image with every other
        return count // BATCH**2
    return _guess_share(call, count)


def _guess_share(call: FunctionCall, count: int | None) -> int | None:
    """Return the count for one image from that for ``BATCH`` images."""
    if count is None or (call.constant and BATCH not in call.output_shape[:1]):
        return count
    return count // BATCH
