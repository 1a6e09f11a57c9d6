"""Two studies beside each other: is the one better, or would other seeds, or other images, turn it round?"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from netlet.errors import RecordError
from netlet.records.study import Study
from netlet.stats.images import error_rates
from netlet.stats.seeds import ALIKE, mean_percent, seed_percents

SIGNIFICANCE = 0.05
# images that differ: below, all 2^n ways of their falling out are counted instead of trusting
# chi-square
_FEW = 16


@dataclass(frozen=True)
class SignificanceTest:
    """One way of asking whether a difference is chance."""

    name: str
    p: float | None  # two-sided; None: cannot be said
    interval: tuple[float, float] | None  # 95 %, of the difference in points
    about: str  # what it was found from, or why nothing can be said

    @property
    def shown(self) -> bool:
        """Whether chance alone would rarely do it."""
        return self.p is not None and self.p < SIGNIFICANCE


@dataclass(frozen=True)
class Comparison:
    """How ``b`` does beside ``a``, on the same images."""

    a: str
    b: str
    a_percent: float
    b_percent: float
    seeds: tuple[int, int]
    split: str
    total: int
    over_seeds: SignificanceTest
    over_images: SignificanceTest

    @property
    def difference(self) -> float:
        """Points by which the mean of ``b`` is above that of ``a``."""
        return self.b_percent - self.a_percent

    @property
    def shown(self) -> bool:
        """Whether the difference is beyond what other seeds and other images would bring."""
        return self.over_seeds.shown and self.over_images.shown

    @property
    def outcome(self) -> Literal["shown", "not shown", "cannot say"]:
        """In a word or two."""
        if self.shown:
            return "shown"
        return "cannot say" if self.over_seeds.p is None and self.over_images.shown else "not shown"

    @property
    def conclusion(self) -> str:
        """In a sentence."""
        better, worse = (self.b, self.a) if self.difference > 0 else (self.a, self.b)
        by = f"{better} is better than {worse} by {abs(self.difference):.3f} points"
        if self.shown:
            return f"{by}, beyond what other seeds or other images would bring"
        if self.outcome == "cannot say":
            return f"{by} on more images than chance would bring, but over seeds cannot say: {self.over_seeds.about}"
        if self.over_seeds.p is None:
            return f"no difference shown between {self.a} and {self.b}; over seeds cannot say: {self.over_seeds.about}"
        against = [
            what
            for test, what in ((self.over_seeds, "seeds"), (self.over_images, "images"))
            if not test.shown
        ]
        return f"no difference shown between {self.a} and {self.b}: other {' or '.join(against)} could turn it round"


def compare(a: Study, b: Study) -> Comparison:
    """Hold one study against another, paired over images, and over seeds where both have the same.

    Raises:
        RecordError: They were not scored on the same images, or one name stands for two nets.
    """
    if (a.data["name"], a.data["digest"]) != (b.data["name"], b.data["digest"]):
        raise RecordError(
            f"{a.name} was scored on {_data(a)}, {b.name} on {_data(b)}; compare studies of one data set"
        )
    if (a.split, a.total) != (b.split, b.total):
        raise RecordError(
            f"{a.name} was scored on {a.total:,} {a.split} images, {b.name} on {b.total:,} {b.split} images; "
            "compare studies of the same images"
        )
    if (a.net == b.net or a.name == b.name) and a.net_digest != b.net_digest:
        raise RecordError(
            f"{a.name} and {b.name} are called alike but are two different nets (digests "
            f"{a.net_digest[:8]} and {b.net_digest[:8]}); give one of them another name and study it again"
        )
    names = _labels(a, b)
    return Comparison(
        *names,
        mean_percent(a),
        mean_percent(b),
        (len(a.seeds), len(b.seeds)),
        a.split,
        a.total,
        _over_seeds(a, b),
        _over_images(a, b),
    )


def _over_seeds(a: Study, b: Study) -> SignificanceTest:
    """Student's t test of the seeds' accuracies, paired by seed where both have the same seeds, else Welch's."""
    from scipy import stats  # here, since it takes a while to import

    paired = [seed.seed for seed in a.seeds] == [seed.seed for seed in b.seeds]
    name = "paired t test over seeds" if paired else "Welch's t test over seeds"
    alone = [study.name for study in (a, b) if len(study.seeds) < 2]
    if alone:
        return SignificanceTest(name, None, None, f"one seed of {' and of '.join(alone)}")
    x, y = seed_percents(b), seed_percents(a)
    changing = (
        [p - q for p, q in zip(x, y, strict=True)]
        if paired
        else [p - x[0] for p in x] + [q - y[0] for q in y]
    )
    if max(changing) - min(changing) < ALIKE:
        return SignificanceTest(name, None, None, "no spread between seeds to measure by")
    found = stats.ttest_rel(x, y) if paired else stats.ttest_ind(x, y, equal_var=False)
    low, high = found.confidence_interval(0.95)
    about = f"{len(x)} pairs" if paired else f"{len(y)} seeds and {len(x)}"
    return SignificanceTest(name, float(found.pvalue), (float(low), float(high)), about)


def _over_images(a: Study, b: Study) -> SignificanceTest:
    """McNemar's test: exact for one seed each, else its form for clusters, an image with all its seeds being one.

    Durkalski et al., Analysis of clustered matched-pair data, Statistics in Medicine 22 (2003):
    with ``d`` the difference of an image's two error rates, ``(sum d)^2 / sum d^2`` is chi-square
    with one degree of freedom. Of one seed each it is McNemar's statistic. Where few images differ,
    the exact test of changed signs takes its place.
    """
    from scipy import stats

    differences = error_rates(a) - error_rates(b)  # positive: b is right more often
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    half = float(stats.norm.ppf(0.975)) * float(differences.std()) / math.sqrt(a.total)
    mean = float(differences.mean())
    # Of a handful of images the normal approximation says more than it knows.
    interval = (100 * (mean - half), 100 * (mean + half)) if gained + lost > _FEW else None
    about = f"{gained:,} images better, {lost:,} worse"
    if not gained + lost:
        return SignificanceTest("McNemar over images", 1.0, interval, "every image alike")
    if len(a.seeds) == len(b.seeds) == 1:
        p = float(stats.binomtest(gained, gained + lost).pvalue)
        return SignificanceTest("exact McNemar over images", p, interval, about)
    if gained + lost <= _FEW:
        differing = differences[differences != 0]
        signs = stats.permutation_test(
            (differing,),
            lambda x, axis: x.sum(axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=2**_FEW,
        )
        return SignificanceTest("signs over images, exact", float(signs.pvalue), None, about)
    statistic = float(differences.sum() ** 2 / (differences**2).sum())
    return SignificanceTest(
        "McNemar over images, seeds clustered", float(stats.chi2.sf(statistic, 1)), interval, about
    )


def _data(study: Study) -> str:
    return f"{study.data['name']} (digest {study.data['digest'][:8]})"


def _labels(a: Study, b: Study) -> tuple[str, str]:
    if a.name != b.name:
        return a.name, b.name
    if a.recipe["name"] != b.recipe["name"]:
        return f"{a.name} by {a.recipe['name']}", f"{b.name} by {b.recipe['name']}"
    return f"{a.name} (first)", f"{b.name} (second)"
