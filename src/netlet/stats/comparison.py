"""Comparison of two studies: is one better beyond the chance of seeds and the chance of images?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Literal

from netlet.display import Displayed, Plotted
from netlet.errors import RecordError, check_argument
from netlet.records.data_contradictions import CLASS_NAMES, find_held_out
from netlet.records.study import Study
from netlet.stats.images import error_rates
from netlet.stats.labels import Places, distinguish_names
from netlet.stats.seeds import ALIKE, clip_points, mean_percent, seed_percents
from netlet.stats.training_differences import (
    TrainingDifference,
    find_training_differences,
    training_differences_text,
)

SIGNIFICANCE = 0.05
# Up to this many differing images, all 2^n assignments of signs are counted instead of using the
# chi-square approximation.
_FEW = 16


@dataclass(frozen=True)
class SignificanceTest(Displayed):
    """A significance test of the difference between two studies."""

    name: str
    p: float | None  # two-sided; None: the test cannot be computed
    interval: tuple[float, float] | None  # 95%, of the difference in points
    about: str  # sample sizes, or why the test cannot be computed

    @property
    def significant(self) -> bool:
        """Whether ``p`` is below 0.05."""
        return self.p is not None and self.p < SIGNIFICANCE


@dataclass(frozen=True)
class Comparison(Plotted):
    """The difference in accuracy of two studies, ``b`` minus ``a``, on the same images."""

    a: str
    b: str
    a_percent: float
    b_percent: float
    seeds: tuple[int, int]
    split: str
    total: int
    over_seeds: SignificanceTest
    over_images: SignificanceTest
    training_differences: tuple[TrainingDifference, ...] = ()
    studies: tuple[Study, Study] | None = field(default=None, repr=False, compare=False)

    def _facts(self) -> Mapping[str, object]:
        return {
            "a": self.a,
            "b": self.b,
            "a_percent": round(self.a_percent, 3),
            "b_percent": round(self.b_percent, 3),
            "difference": round(self.difference, 3),
            "seeds": self.seeds,
            "outcome": self.outcome,
            **({"trained_differently": len(found)} if (found := self.training_differences) else {}),
        }

    @property
    def difference(self) -> float:
        """Mean accuracy of ``b`` minus that of ``a``, in percentage points."""
        return self.b_percent - self.a_percent

    @property
    def significant(self) -> bool:
        """Whether the difference is significant over seeds and over images."""
        return self.over_seeds.significant and self.over_images.significant

    @property
    def outcome(self) -> Literal["significant", "not significant", "undecided"]:
        """The result of both tests together; undecided if one seed leaves only the images."""
        if self.significant:
            return "significant"
        undecided = self.over_seeds.p is None and self.over_images.significant
        return "undecided" if undecided else "not significant"

    @property
    def conclusion(self) -> str:
        """The result of both tests together, as a sentence without a period."""
        better, worse = (self.b, self.a) if self.difference > 0 else (self.a, self.b)
        by = f"{better} is better than {worse} by {abs(self.difference):.3f} points"
        if self.significant:
            return f"{by}, significant over seeds and over images"
        undecided = f"undecided over seeds ({self.over_seeds.about})"
        if self.outcome == "undecided":
            points = f"{abs(self.difference):.3f} points"
            return f"{better} is {points} above {worse}, significant over images; {undecided}"
        none = f"no significant difference between {self.a} and {self.b}"
        if self.over_seeds.p is None:
            return f"{none} over images; {undecided}"
        chance = [
            name
            for test, name in ((self.over_seeds, "seeds"), (self.over_images, "images"))
            if not test.significant
        ]
        return f"{none} over {' or '.join(chance)}"

    @property
    def training_note(self) -> str:
        """In what the studies were trained unequally, in one line; empty if in nothing."""
        return training_differences_text((self.a, self.b), self.training_differences)


def compare(a: Study, b: Study, *, places: Sequence[Places] = ()) -> Comparison:
    """Compare two studies that were scored on the same images.

    The test over images is paired; the test over seeds is paired if both have the same seeds.
    Studies of one name are told apart by their recipes if they have one net, else by their folders
    or as the first and the second.

    Args:
        a: The first study.
        b: The second study.
        places: The folders of each; empty if they are not known.

    Raises:
        RecordError: The studies were scored on different images.
    """
    for study in (a, b):
        check_argument(study, Study)
    differences = find_training_differences(a, b)
    a, b = distinguish_names((a, b), places)
    refuse_other_images(a, b)
    return Comparison(
        a.name,
        b.name,
        mean_percent(a),
        mean_percent(b),
        (len(a.seeds), len(b.seeds)),
        a.split,
        a.total,
        _over_seeds(a, b),
        _over_images(a, b),
        differences,
        (a, b),
    )


def refuse_other_images(a: Study, b: Study) -> None:
    """Check that two studies were scored on the same images.

    Raises:
        RecordError: They were not.
    """
    if not _same_images(a, b):
        raise RecordError(
            f"{a.name} was scored on {_name_data(a)}, {b.name} on {_name_data(b)}; compare "
            "studies of one data set, scored on the same images"
        )
    if (a.split, a.total) != (b.split, b.total):
        raise RecordError(
            f"{a.name} was scored on {a.total:,} {a.split} images, {b.name} on {b.total:,} "
            f"{b.split} images; compare studies that were scored on the same images"
        )
    if not _same_class_sizes(a, b):
        raise RecordError(
            f"{a.name} and {b.name} were scored on {a.total:,} {a.split} images of "
            f"{_name_data(a)}, but not on as many of each class; compare studies that were scored "
            "on the same images"
        )


def _over_seeds(a: Study, b: Study) -> SignificanceTest:
    """Return a t test of the seeds' accuracies: paired for equal seeds, else Welch's."""
    paired = [seed.seed for seed in a.seeds] == [seed.seed for seed in b.seeds]
    name = "paired t test over seeds" if paired else "Welch's t test over seeds"
    single = [study.name for study in (a, b) if len(study.seeds) < 2]
    if single:
        return SignificanceTest(name, None, None, f"only one seed of {' and of '.join(single)}")
    x, y = seed_percents(b), seed_percents(a)
    changing = (
        [p - q for p, q in zip(x, y, strict=True)]
        if paired
        else [p - x[0] for p in x] + [q - y[0] for q in y]
    )
    if max(changing) - min(changing) < ALIKE:
        return SignificanceTest(name, None, None, _explain_no_variation(a, b, paired=paired))
    from scipy import stats  # slow to import

    result = stats.ttest_rel(x, y) if paired else stats.ttest_ind(x, y, equal_var=False)
    low, high = result.confidence_interval(0.95)
    about = f"{len(x)} pairs of seeds" if paired else f"{len(y)} and {len(x)} seeds"
    common = {seed.seed for seed in a.seeds} & {seed.seed for seed in b.seeds}
    if common and not paired:
        about += f", {len(common)} of them in both (the test is paired if all are)"
    return SignificanceTest(name, float(result.pvalue), clip_points(float(low), float(high)), about)


def _explain_no_variation(a: Study, b: Study, *, paired: bool) -> str:
    if not paired:
        return "the seeds do not vary"
    if [seed.weights_digest for seed in a.seeds] == [seed.weights_digest for seed in b.seeds]:
        return "the weights are the same, seed by seed"
    return "the differences between the seeds do not vary"


def _over_images(a: Study, b: Study) -> SignificanceTest:
    """Return McNemar's test over images.

    For one seed each it is the exact test. For several seeds, an image with all its seeds is one
    cluster (Durkalski et al., Analysis of clustered matched-pair data, Statistics in Medicine 22,
    2003): with ``d`` the difference of an image's two error rates, ``(sum d)^2 / sum d^2`` is
    chi-square distributed with one degree of freedom; for one seed each this is McNemar's
    statistic. If few images differ, an exact permutation test of the signs replaces it.
    """
    differences = error_rates(a) - error_rates(b)  # positive: b is right more often
    gained, lost = int((differences > 0).sum()), int((differences < 0).sum())
    half = NormalDist().inv_cdf(0.975) * float(differences.std()) / math.sqrt(a.total)
    mean = float(differences.mean())
    # The normal approximation is invalid for a handful of images.
    whole = clip_points(100 * (mean - half), 100 * (mean + half))
    interval = whole if gained + lost > _FEW else None
    about = f"{b.name} better on {gained:,} images, worse on {lost:,}"
    if not gained + lost:
        return SignificanceTest("McNemar test over images", 1.0, interval, "no image differs")
    if len(a.seeds) == len(b.seeds) == 1:
        from scipy import stats

        p = float(stats.binomtest(gained, gained + lost).pvalue)
        return SignificanceTest("exact McNemar test over images", p, interval, about)
    if gained + lost <= _FEW:
        differing = differences[differences != 0]
        if len(differing) == 1:  # either sign is as far from zero; scipy refuses a single value
            return SignificanceTest("exact permutation test over images", 1.0, None, about)
        from scipy import stats

        signs = stats.permutation_test(
            (differing,),
            lambda x, axis: x.sum(axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=2**_FEW,
        )
        return SignificanceTest(
            "exact permutation test over images", float(signs.pvalue), None, about
        )
    statistic = float(differences.sum() ** 2 / (differences**2).sum())
    from scipy.special import chdtrc  # the upper tail of the chi-square distribution

    p = float(chdtrc(1, statistic))
    return SignificanceTest("clustered McNemar test over images", p, interval, about)


def _same_images(a: Study, b: Study) -> bool:
    """Return whether the studies were scored on the same images, whatever they were trained on.

    A data set of one's own has a checksum of its test images alone. Held-out images are those of
    one data set only, and of one draw or fold. The order of the classes plays no part.
    """
    of_a, of_b = ({**study.data["checksums"], CLASS_NAMES: ""} for study in (a, b))
    if of_a == of_b:
        return True
    return a.split == b.split == "test" and of_a.get("test", "") == of_b.get("test")


def _same_class_sizes(a: Study, b: Study) -> bool:
    """Return whether the studies were scored on as many images of each class.

    The classes may be in another order, as earlier versions then held out other images, or have
    other names.
    """
    renamed = set(a.data["class_names"]) != set(b.data["class_names"])
    counts = []
    for study in (a, b):
        sizes = zip(study.data["class_names"], study.class_sizes, strict=True)
        counts.append(sorted(("" if renamed else name, size) for name, size in sizes if size))
    return counts[0] == counts[1]


def _name_data(study: Study) -> str:
    name = ", ".join(filter(None, (study.data["name"], find_held_out(study.data))))
    return f"{name} (digest {study.data['digest'][:8]})"
