"""What a study's images say of all images: would the same nets do as well on other images of this kind?"""

from __future__ import annotations

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from netlet.budgets import wilson
from netlet.records.study import Study

_ENOUGH_WRONG = 10  # images, for a variance between them to be worth its name


def error_rates(study: Study) -> NDArray[np.float64]:
    """The share of the seeds that get each held-out image wrong, one for each image of the split."""
    rates = np.zeros(study.total)
    for index, wrong in Counter(mistake.image for mistake in study.mistakes()).items():
        rates[index] = wrong / len(study.seeds)
    return rates


def interval_over_images(study: Study, confidence: float = 0.95) -> tuple[float, float]:
    """Between which percentages these nets' accuracy on images of this kind lies.

    All seeds see the same images, so their errors are no independent draws: this is Wilson's
    interval with as many images as would, drawn independently, give the variance found between
    images. Of one seed it is Wilson's interval; where few images are wrong, too few to find a
    variance, each image counts once, whatever the number of seeds.
    """
    rates = error_rates(study)
    share, variance = float(rates.mean()), float(rates.var())
    images = float(study.total)
    if np.count_nonzero(rates) >= _ENOUGH_WRONG:
        most = study.total * len(study.seeds)
        images = (
            min(study.total * share * (1 - share) / variance, most) if variance > 1e-12 else most
        )
    return wilson(1 - share, images, confidence)
