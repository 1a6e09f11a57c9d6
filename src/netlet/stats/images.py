"""Uncertainty over images: how accurate would the same nets be on other images of this kind?"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from netlet.budgets import wilson
from netlet.records.study import Study

_MIN_WRONG_IMAGES = 10  # fewer give no usable estimate of the variance between images


def error_rates(study: Study) -> NDArray[np.float64]:
    """Return the share of seeds that misclassify each held-out image, one value for each image."""
    rates = np.zeros(study.total)
    for index, wrong in Counter(mistake.image for mistake in study.mistakes()).items():
        rates[index] = wrong / len(study.seeds)
    return rates


def interval_over_images(study: Study, confidence: float = 0.95) -> tuple[float, float]:
    """Return the confidence interval of these nets' accuracy on images of this kind, in percent.

    All seeds are scored on the same images, so their errors are not independent. This is Wilson's
    interval for the number of independent images that would give the observed variance between
    images (the effective sample size). For one seed it is Wilson's interval. If fewer than ten
    images are wrong, the variance cannot be estimated, and each image counts once.
    """
    rates = error_rates(study)
    share, variance = float(rates.mean()), float(rates.var())
    images = float(study.total)
    if np.count_nonzero(rates) >= _MIN_WRONG_IMAGES:
        most = study.total * len(study.seeds)
        images = (
            min(study.total * share * (1 - share) / variance, most) if variance > 1e-12 else most
        )
    return wilson(1 - share, images, confidence)
