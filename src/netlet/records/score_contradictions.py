"""Where the mistakes and the calibration in a record contradict its score."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netlet.records.evaluation import CalibrationBin, Mistake

_CONFIDENCE_ROUNDING = 1e-4  # studies round confidences


def contradictions_of_errors(
    correct: int,
    total: int,
    classes: int,
    mistakes: Sequence[Mistake],
    calibration: Sequence[CalibrationBin],
) -> Iterator[str]:
    """Yield contradictions between a score, the mistakes and the calibration."""
    images = [mistake.image for mistake in mistakes]
    if len(set(images)) != len(images) or correct + len(images) != total:
        yield (
            f"has {correct:,} correct and {len(set(images)):,} wrong images in mistakes,"
            f" but total is {total:,}"
        )
    if images != sorted(images):
        yield "has mistakes that are not in the order of their images"
    if any(image >= total for image in images):
        yield "has a mistake on an image that is not in the split"
    if any(
        m.label >= classes or m.predicted >= classes or m.label == m.predicted for m in mistakes
    ):
        yield "has a mistake with an impossible label or prediction"
    yield from _contradictions_of_calibration(correct, total, classes, mistakes, calibration)


def _contradictions_of_calibration(
    correct: int,
    total: int,
    classes: int,
    mistakes: Sequence[Mistake],
    calibration: Sequence[CalibrationBin],
) -> Iterator[str]:
    n, near = len(calibration), _CONFIDENCE_ROUNDING
    if sum(one.images for one in calibration) != total:
        yield f"has a calibration over a different number of images than its total, {total:,}"
    if sum(one.correct for one in calibration) != correct:
        yield f"has a calibration with a different number of correct images than {correct:,}"
    # A net that has diverged has confidence 0; else one class is at least as likely as the mean.
    lowest = 1 / classes - near if classes else 0.0
    if any(mistake.confidence > 1 or 0 < mistake.confidence < lowest for mistake in mistakes):
        yield f"has a mistake whose confidence is none of the largest of {classes} probabilities"
    for k, one in enumerate(calibration):
        where = f"has a calibration whose bin {k}"
        if (one.low, one.high) != (k / n, (k + 1) / n):
            yield f"{where} is not the {k + 1}. of {n} equal parts of 0 to 1"
        if one.correct > one.images:
            yield f"{where} has {one.correct:,} correct of {one.images:,} images"
        if one.images == 0 and one.confidence != 0:
            yield f"{where} has a confidence, but no images"
        if one.images and not one.low - near <= one.confidence <= one.high + near:
            yield f"{where} has a mean confidence outside of the bin"
        wrong = one.images - one.correct
        inside = sum(one.low + near < m.confidence < one.high - near for m in mistakes)
        most = sum(one.low - near <= m.confidence <= one.high + near for m in mistakes)
        if not inside <= wrong <= most:
            yield f"{where} has {wrong:,} wrong images, but mistakes has {inside:,} of them"
