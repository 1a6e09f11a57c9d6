"""What records show: the statistics against scipy and sums by hand, and an analysis that follows the figures."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from helpers import make_seed_result, make_study
from scipy import stats as scipy_stats

from netlet import budgets, stats
from netlet.budgets import Score
from netlet.errors import RecordError
from netlet.recipes import AUGMENTS, QUICK
from netlet.records import Mistake, SeedResult, Study, to_json_value

BUDGET = to_json_value(
    budgets.Budget(name="bar", dataset="mnist", params_below=10, accuracy_at_least=99.0)
)


def wrong(seed: SeedResult, *images: int) -> SeedResult:
    """The same seed with just these images wrong, of as many as it had."""
    total = seed.correct + len(seed.mistakes)
    mistakes = tuple(Mistake(image, image % 10, (image + 1) % 10, 0.75) for image in images)
    correct = total - len(images)
    return dataclasses.replace(
        seed,
        correct=correct,
        correct_by_epoch=(*seed.correct_by_epoch[:-1], correct),
        mistakes=mistakes,
    )


def test_one_seed_says_nothing_of_seeds_and_wilsons_interval_of_images() -> None:
    alone = make_study(make_seed_result(0, 990))
    assert stats.sd_points(alone) is None
    assert stats.interval_over_seeds(alone) is None
    assert stats.p_value_mean_above(alone, 98) is None
    assert stats.interval_over_images(alone) == pytest.approx(Score("test", 990, 1_000).interval())


def test_one_sided_p_of_the_mean_is_scipys() -> None:
    found = make_study(make_seed_result(0, 990), make_seed_result(1, 994), make_seed_result(2, 995))
    theirs = scipy_stats.ttest_1samp([99.0, 99.4, 99.5], 99.0, alternative="greater").pvalue
    assert stats.p_value_mean_above(found, 99.0) == pytest.approx(theirs)
    # By hand: t = 0.3 / (sqrt(0.07) / sqrt(3)) = 1.9640 with two degrees of freedom; P = (1 - t /
    # sqrt(t^2 + 2)) / 2.
    t = 0.3 / math.sqrt(0.07 / 3)
    assert stats.p_value_mean_above(found, 99.0) == pytest.approx(
        (1 - t / math.sqrt(t * t + 2)) / 2
    )
    assert stats.p_value_mean_above(found, 99.9) > 0.9  # type: ignore[operator]
    alike = make_study(
        make_seed_result(0, 990), make_seed_result(1, 990)
    )  # no spread to measure by
    assert stats.p_value_mean_above(alike, 98) is None
    assert stats.interval_over_seeds(alike) is None
    assert "over seeds: unknown, all seeds have the same accuracy" in stats.study_text(alike)
    high = stats.interval_over_seeds(
        make_study(make_seed_result(0, 1_000), make_seed_result(1, 1_000), make_seed_result(2, 990))
    )
    assert high is not None
    assert high[1] == 100


def test_errors_are_pooled_by_image() -> None:
    found = make_study(
        wrong(make_seed_result(0, 990), 1, 2, 3), wrong(make_seed_result(1, 990), 3, 4)
    )
    rates = stats.error_rates(found)
    assert {int(image): float(rates[image]) for image in rates.nonzero()[0]} == {
        1: 0.5,
        2: 0.5,
        3: 1.0,
        4: 0.5,
    }
    assert stats.study_to_json(found)["result"]["seeds_wrong_by_image"] == {1: 1, 2: 1, 3: 2, 4: 1}
    assert "4 images are misclassified by at least one seed, 1 by both" in stats.study_text(found)


def test_other_images_as_many_seeds_on_the_same_images_add_nothing() -> None:
    one, same = (
        make_study(make_seed_result(0, 990)),
        make_study(make_seed_result(0, 990), make_seed_result(1, 990), make_seed_result(2, 990)),
    )
    assert stats.interval_over_images(same) == pytest.approx(stats.interval_over_images(one))
    apart = make_study(
        make_seed_result(0, 990),
        make_seed_result(1, 990, first=300),
        make_seed_result(2, 990, first=600),
    )
    low, high = stats.interval_over_images(apart)
    assert high - low < stats.interval_over_images(one)[1] - stats.interval_over_images(one)[0]
    perfect = make_study(
        make_seed_result(0, 1_000), make_seed_result(1, 1_000), make_seed_result(2, 1_000)
    )
    assert stats.interval_over_images(perfect) == pytest.approx(
        Score("test", 1_000, 1_000).interval()
    )
    once = make_study(
        make_seed_result(0, 999), make_seed_result(1, 1_000), make_seed_result(2, 1_000)
    )
    assert stats.interval_over_images(once)[0] < stats.interval_over_images(perfect)[0]
    # Each image wrong for one of two seeds: no variance between images, and still not surer than
    # independent draws.
    halves = make_study(make_seed_result(0, 500), make_seed_result(1, 500, first=500))
    assert stats.interval_over_images(halves) == pytest.approx(
        Score("test", 1_000, 2_000).interval()
    )


def test_two_studies_of_one_name_are_told_apart() -> None:
    a, b = (make_study(wrong(make_seed_result(0, 990), k), name="a", net="a") for k in range(2))
    found = stats.compare(a, b)
    assert found.over_seeds.about == "only one seed of a (first) and of a (second)"
    assert found.training_note == ""
    assert [one.name for one in found.studies or ()] == ["a (first)", "a (second)"]  # in its plot


def test_two_versions_of_a_net_are_told_apart_by_their_folders_and_digests() -> None:
    a = make_study(make_seed_result(0, 990), name="a", net="m.py:a", source_digest="1" * 64)
    layers = dataclasses.replace(a, summary={"net": "Net", "rows": []}, source_digest="2" * 64)
    code = dataclasses.replace(a, source_digest="2" * 64)
    unknown = dataclasses.replace(a, source_digest="")
    digests = f"{a.net_digest[:8]} / {layers.net_digest[:8]}"
    places = (["runs/v1"], ["runs/v2"])
    for other, note in (
        (layers, f"net (digest) {digests}"),
        (code, "code of the net (digest) 11111111 / 22222222"),
        (unknown, ""),
    ):
        found = stats.compare(a, other, places=places)
        assert (found.a, found.b) == ("a (v1)", "a (v2)")
        assert found.training_note == (
            f"trained differently (a (v1) / a (v2)): {note}" * bool(note)
        )
        named = dataclasses.replace(other, name="b")  # an own name, as in Python
        assert stats.compare(a, named).training_note[-len(note) :] == note
    elsewhere = dataclasses.replace(layers, net="m.py:b")
    assert stats.compare(a, elsewhere).training_note.endswith(digests)
    assert stats.compare(a, dataclasses.replace(elsewhere, name="b")).training_note == ""
    assert stats.describe_changes(code, a) == "Changed: the code of the net."


@pytest.mark.parametrize(
    ("places", "labels"),
    [
        ([["runs/v1"], ["runs/v2"], ["v2"]], ["runs/v1", "runs/v2", "v2"]),
        ([["v1/s0", "v1/s1"], ["v2/s0"], ["v3"]], ["v1", "v2/s0", "v3"]),
        ([["r/a"], ["r/b", "r/c"], ["r/d"]], ["a", "b and 1 more", "d"]),
        ([["r"], ["r"], ["s"]], ["1", "2", "3"]),
        ([], ["1", "2", "3"]),
    ],
)
def test_studies_of_two_nets_are_labeled_by_their_folders(
    places: list[list[str]], labels: list[str]
) -> None:
    study = make_study(make_seed_result(0, 990), name="a")
    other = dataclasses.replace(study, summary={"net": "Net", "rows": []})
    quick = dataclasses.replace(study, recipe={**study.recipe, "name": "plain"})
    alone = dataclasses.replace(study, name="b")
    found = stats.distinguish_names([study, other, quick, alone], places and [*places, places[0]])
    assert [one.name for one in found[:3]] == [f"a ({label})" for label in labels]
    assert found[3].name == "b"
    taken = dataclasses.replace(study, name=f"a ({labels[0]})")  # as somebody may call it
    given = [*places[:2], ["x"]] if places else []
    names = [one.name for one in stats.distinguish_names([study, other, taken], given)]
    assert len({*names}) == 3


def test_two_single_seeds_are_compared_by_the_exact_mcnemar_test() -> None:
    a = make_study(wrong(make_seed_result(0, 990), *range(12)), name="a", net="a")
    b = make_study(wrong(make_seed_result(0, 990), 0, 1, 2, 50), name="b", net="b")
    found = stats.compare(a, b)
    # b is right on 9 images that a misses and wrong on 1: P = 2 (C(10,0) + C(10,1)) / 2^10.
    assert found.over_images.p == pytest.approx(2 * 11 / 1024)
    assert found.over_images.p == pytest.approx(scipy_stats.binomtest(9, 10).pvalue)
    assert found.over_images.about == "b better on 9 images, worse on 1"
    assert found.over_seeds.p is None
    assert not found.significant
    assert "undecided over seeds (only one seed of a and of b)" in found.conclusion
    assert found.difference == pytest.approx(0.8)


def test_studies_are_compared_over_seeds_and_over_images() -> None:
    a = make_study(
        make_seed_result(0, 970),
        make_seed_result(1, 972),
        make_seed_result(2, 968),
        name="a",
        net="a",
    )
    b = make_study(
        make_seed_result(0, 990),
        make_seed_result(1, 991),
        make_seed_result(2, 991),
        name="b",
        net="b",
    )
    found = stats.compare(a, b)
    assert found.over_seeds.name == "paired t test over seeds"
    assert found.over_seeds.p == pytest.approx(
        scipy_stats.ttest_rel([99.0, 99.1, 99.1], [97.0, 97.2, 96.8]).pvalue
    )
    # Clustered McNemar by hand: d = (wrong for a - wrong for b) / 3 of each image.
    d = [
        (sum(i < 1_000 - n for n in (970, 972, 968)) - sum(i < 1_000 - n for n in (990, 991, 991)))
        / 3
        for i in range(40)
    ]
    statistic = sum(d) ** 2 / sum(x * x for x in d)
    assert found.over_images.p == pytest.approx(scipy_stats.chi2.sf(statistic, 1))
    assert found.significant
    assert found.conclusion.startswith(
        "b is better than a by 2.067 points, significant over seeds and"
    )
    back = stats.compare(b, a)
    assert back.conclusion == found.conclusion
    assert back.over_images.p == found.over_images.p


def test_other_seeds_are_compared_by_welchs_test() -> None:
    a = make_study(
        make_seed_result(0, 970),
        make_seed_result(1, 972),
        make_seed_result(2, 968),
        name="a",
        net="a",
    )
    b = make_study(make_seed_result(5, 990), make_seed_result(6, 991), name="b", net="b")
    found = stats.compare(a, b).over_seeds
    theirs = scipy_stats.ttest_ind([99.0, 99.1], [97.0, 97.2, 96.8], equal_var=False)
    assert found.p == pytest.approx(theirs.pvalue)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_clustered_mcnemar_of_one_seed_each_is_mcnemars_statistic() -> None:
    # (b - c)^2 / (b + c), with 9 and 1; the clustered form must come to it when clusters are single
    # pairs.
    d = np.array([1.0] * 9 + [-1.0])
    assert d.sum() ** 2 / (d**2).sum() == pytest.approx((9 - 1) ** 2 / (9 + 1))


def test_few_differing_images_are_counted_out_exactly() -> None:
    a = make_study(
        *(wrong(make_seed_result(s, 990), 1, 2, 3, 4) for s in range(3)), name="a", net="a"
    )
    b = make_study(*(wrong(make_seed_result(s, 990)) for s in range(3)), name="b", net="b")
    found = stats.compare(a, b).over_images
    assert found.name == "exact permutation test over images"
    assert found.p == pytest.approx(
        2 / 2**4
    )  # all four the same way, of sixteen ways; chi-square would say 0.0455
    assert found.interval is None


def test_a_few_seeds_of_the_same_kind_show_no_difference() -> None:
    a = make_study(
        make_seed_result(0, 990),
        make_seed_result(1, 992),
        make_seed_result(2, 991),
        name="a",
        net="a",
    )
    b = make_study(
        make_seed_result(0, 991, first=5),
        make_seed_result(1, 990, first=5),
        make_seed_result(2, 993, first=5),
        name="b",
        net="b",
    )
    found = stats.compare(a, b)
    assert not found.significant
    assert found.conclusion == "no significant difference between a and b over seeds or images"
    same = stats.compare(a, dataclasses.replace(a, name="c", net="c"))
    assert (same.over_seeds.p, same.over_images.p) == (None, 1.0)
    assert same.over_seeds.about == "the weights are the same, seed by seed"
    trained_again = tuple(
        dataclasses.replace(seed, weights_digest=f"{seed.seed + 9:064x}") for seed in a.seeds
    )
    as_good = stats.compare(a, dataclasses.replace(a, name="d", net="d", seeds=trained_again))
    assert as_good.over_seeds.about == "the differences between the seeds do not vary"
    assert same.conclusion.startswith("no significant difference between a and c")


def test_what_cannot_be_compared_is_refused() -> None:
    a, b = (
        make_study(make_seed_result(0, 990), name="a", net="a"),
        make_study(make_seed_result(0, 991), name="b", net="b"),
    )
    changes = {"name": "scribble", "digest": "e" * 64, "checksums": {"test": "f" * 64}}
    other = dataclasses.replace(b, data=b.data | changes)
    with pytest.raises(
        RecordError,
        match=r"a was scored on mnist \(digest 34ce283f\), b on scribble \(digest eeeeeeee\)",
    ):
        stats.compare(a, other)
    with pytest.raises(
        RecordError, match="a was scored on 1,000 test images, b on 1,000 val images"
    ):
        stats.compare(a, dataclasses.replace(b, split="val"))


def test_studies_of_the_same_test_images_are_compared_whatever_they_are_called() -> None:
    a = make_study(make_seed_result(0, 990), name="a", net="a")
    b = make_study(make_seed_result(0, 991), name="b", net="b")
    renamed = dataclasses.replace(b, data=b.data | {"name": "signs.npz"})
    assert stats.compare(a, renamed).training_note == ""

    def on(study: Study, train: str, test: str) -> Study:
        checksums = {"train": train * 64, "test": test * 64}
        return dataclasses.replace(
            study, data=study.data | {"checksums": checksums, "digest": (train + test) * 32}
        )

    found = stats.compare(on(a, "a", "c"), on(b, "b", "c"))
    assert found.training_note == (
        "trained differently (a / b): checksum of training images aaaaaaaa / bbbbbbbb"
    )
    for other in (on(b, "a", "d"), b):
        with pytest.raises(RecordError, match="compare studies of one data set"):
            stats.compare(on(a, "a", "c"), other)
    held_out = [
        dataclasses.replace(on(study, train, "c"), split="val")
        for study, train in ((a, "a"), (b, "b"))
    ]
    with pytest.raises(RecordError, match="compare studies of one data set"):
        stats.compare(*held_out)


def test_the_mean_of_a_study_is_judged_not_its_best_seed() -> None:
    found = make_study(
        make_seed_result(0, 989, verdict="FAIL"), make_seed_result(1, 990), budget=BUDGET
    )
    verdict = stats.study_verdict(found)
    assert verdict is not None
    assert verdict.state == "FAIL"
    assert "1,979 of 2,000 test images" in str(verdict)
    assert stats.study_verdict(dataclasses.replace(found, seeds=found.seeds[1:])).state == "PASS"  # type: ignore[union-attr]
    held = BUDGET | {"held_for_last": 2}
    # The last epoch keeps the bar, the one before it does not.
    assert (
        stats.study_verdict(make_study(make_seed_result(0, 990, best=980), budget=held)).state
        == "FAIL"
    )  # type: ignore[union-attr]
    on_val = dataclasses.replace(found, split="val")
    assert stats.study_verdict(on_val).state == "NOT YET"  # type: ignore[union-attr]
    assert stats.study_verdict(make_study(make_seed_result(0, 990))) is None


def test_the_gap_and_its_uncertainty_by_hand() -> None:
    found = stats.generalization_gap(
        make_study(
            make_seed_result(0, 980, train_correct=600), make_seed_result(1, 980, train_correct=597)
        )
    )
    assert found.points == pytest.approx(99.75 - 98.0)
    assert found.share == pytest.approx(1.75 / 2)
    seeds = (
        12.7062 * np.std([2.0, 1.5], ddof=1) / math.sqrt(2)
    )  # Student's t with one degree of freedom
    images = 1.959964 * 100 * math.sqrt(0.98 * 0.02 / 1_000 + 0.9975 * 0.0025 / 600)
    assert found.points - found.low == pytest.approx(math.hypot(seeds, images), rel=1e-4)


@pytest.mark.parametrize(
    ("recipes", "labels"),
    [
        (("quick", "steady with epochs=1"), ["quick", "steady"]),
        (("plain with a=1, b=2", "plain with a=1, b=3"), ["b=2", "b=3"]),
        (("plain", "plain with epochs=2"), ["plain", "plain with epochs=2"]),
        (("a with x=1, y=2", "a with x=1, y=3", "b with x=1"), ["a with y=2", "a with y=3", "b"]),
        (("a with 1, 2, 3, 4", "a with 5, 6, 7, 8"), ["1, 2, 3", "5, 6, 7"]),
        (("a with b=1, c=2", "a with c=2, b=1"), ["a with b=1, c=2", "a with c=2, b=1"]),
        (("a", "a"), ["a", "a"]),
    ],
)
def test_studies_are_labeled_by_what_differs_in_their_recipes(
    recipes: tuple[str, ...], labels: list[str]
) -> None:
    study = make_study(make_seed_result(0, 990))
    studies = [
        dataclasses.replace(study, recipe={**study.recipe, "name": name}) for name in recipes
    ]
    assert stats.label_by_recipes(studies) == labels
    compared = stats.compare(studies[0], studies[-1])
    assert compared.a.startswith("swift (")
    assert compared.a != compared.b


def test_no_interval_of_a_difference_exceeds_100_points() -> None:
    low, high = (make_seed_result(s, 100 + 800 * s, train_correct=60 + 480 * s) for s in (0, 1))
    gap = stats.generalization_gap(
        make_study(
            make_seed_result(0, 100, train_correct=600), make_seed_result(1, 900, train_correct=60)
        )
    )
    assert (gap.low, gap.high) == (-100, 100)
    falling = make_study(make_seed_result(0, 900), make_seed_result(1, 500), name="falling")
    compared = stats.compare(make_study(low, high), falling)
    assert compared.over_seeds.interval == (-100, 100)
    few = make_study(make_seed_result(0, 0, total=30), name="few")
    most = make_study(make_seed_result(0, 29, total=30), name="most")
    images = stats.compare(few, most).over_images.interval
    assert images is not None
    assert 80 < images[0] < images[1] == 100


OVER = make_study(
    *(
        make_seed_result(s, 9_700 + s, total=10_000, train_correct=600, running=600)
        for s in range(3)
    ),
    budget=BUDGET,
    name="over",
)
UNDER = make_study(
    *(
        make_seed_result(s, 9_700 + s, total=10_000, train_correct=582, running=580)
        for s in range(3)
    ),
    budget=BUDGET,
    name="under",
)
FINE = make_study(
    *(
        make_seed_result(s, 9_950 + s * s, total=10_000, train_correct=598, running=590)
        for s in range(3)
    ),
    budget=BUDGET,
    name="fine",
)


def test_over_fitting_under_fitting_and_neither_are_told_apart() -> None:
    assert [stats.diagnose(s) for s in (OVER, UNDER, FINE)] == [
        "overfitting",
        "underfitting",
        "balanced",
    ]
    assert stats.diagnose(make_study(make_seed_result(0, 105, train_correct=61))) == "at chance"
    by_heart = make_study(make_seed_result(0, 105, train_correct=600))
    assert stats.diagnose(by_heart) == "overfitting"
    lopsided = make_study(
        make_seed_result(0, 900, train_correct=540), class_sizes=(900, *(0,) * 8, 100)
    )
    assert stats.diagnose(lopsided) == "at chance"  # always the larger class
    assert stats.diagnose(make_study(make_seed_result(0, 1_000, train_correct=600))) == "balanced"
    # A gap that two far seeds cannot tell from none, nor from all of the error.
    apart = make_study(
        make_seed_result(0, 9_700, total=10_000, train_correct=600),
        make_seed_result(1, 9_780, total=10_000, train_correct=600),
        budget=BUDGET,
    )
    assert stats.diagnose(apart) == "unclear"
    assert stats.analyze_study(apart)[0].startswith(
        "Unclear whether overfitting or underfitting: accuracy is 100.00% on the training images"
    )
    texts = [stats.analyze_study(s) for s in (OVER, UNDER, FINE)]
    assert texts[0][0].startswith(
        "Overfitting: accuracy is 100.00% on the training images (without augmentation) and 97.01%"
    )
    assert (
        "regularization, augmentation or a smaller net would help more than capacity" in texts[0][0]
    )
    assert texts[1][0].startswith(
        "Underfitting: accuracy is 97.00% on the training images (without augmentation) and 97.01%"
    )
    assert (
        "capacity, or longer or better training, would help more than regularization" in texts[1][0]
    )
    assert texts[2][0].startswith("Balanced, neither overfitting nor underfitting: ")
    assert len({text[0] for text in texts}) == 3


@pytest.mark.parametrize("name", ["code_1", "Final network", "x"])
def test_the_analysis_does_not_depend_on_a_name(name: str) -> None:
    for s in (OVER, UNDER, FINE):
        assert stats.analyze_study(dataclasses.replace(s, name=name)) == stats.analyze_study(s)


def test_training_below_test_is_explained_where_something_hinders_training() -> None:
    hindered = dataclasses.replace(
        UNDER, recipe=to_json_value(QUICK.replace(epochs=2))
    )  # augmented
    assert any(
        "lower than on the test images. It is measured with augmentation and does" in t
        for t in stats.analyze_study(hindered)
    )
    bare = dataclasses.replace(UNDER, recipe=to_json_value(QUICK.replace(epochs=2, augment=())))
    assert not any("accuracy during training" in text for text in stats.analyze_study(bare))


def test_a_bar_of_another_data_set_is_no_bar() -> None:
    other = dataclasses.replace(FINE, data=FINE.data | {"name": "fashion_mnist"})
    assert stats.target_percent(other) is None
    assert stats.reaches_target(other) is None
    assert "the target" not in " ".join(stats.analyze_study(other))
    assert stats.study_verdict(other).state == "NOT JUDGED"  # type: ignore[union-attr]
    seeds = tuple(dataclasses.replace(seed, verdict="NOT JUDGED") for seed in other.seeds)
    unjudged = dataclasses.replace(other, seeds=seeds)
    assert stats.count_passing_seeds(unjudged) is None
    assert "mean of the seeds: NOT JUDGED" in stats.study_text(unjudged)
    assert "pass;" not in stats.study_text(unjudged)
    assert "pass;" in stats.study_text(FINE)


def test_what_is_said_of_bar_capacity_and_the_best_epoch() -> None:
    fine, over = " ".join(stats.analyze_study(FINE)), " ".join(stats.analyze_study(OVER))
    assert (
        "reaches the target accuracy (at least 99%); it is significantly above 99% (one-sided p < 0.001)"
        in fine
    )
    assert "misses the target accuracy (at least 99%)" in over
    assert "The net has 3 parameters; the limit of fewer than 10 leaves 6." in fine
    large = dataclasses.replace(FINE, cost=FINE.cost | {"parameters": 25})
    assert "25 parameters, 2.5 times the limit of fewer than 10." in " ".join(
        stats.analyze_study(large)
    )
    chosen = make_study(make_seed_result(0, 9_950, total=10_000, best=9_960), budget=BUDGET)
    assert (
        "reaches 99.60%, 0.10 points above the last epoch; choosing an epoch by its test accuracy would bias the result"
        in " ".join(stats.analyze_study(chosen))
    )
    assert "one seed says nothing about other seeds" in " ".join(stats.analyze_study(chosen))
    barely = make_study(
        *(make_seed_result(s, 9_900 + 3 * (s - 1), total=10_000) for s in range(3)), budget=BUDGET
    )
    assert "is not significantly above 99% (one-sided p = 0.500)" in " ".join(
        stats.analyze_study(barely)
    )
    text = stats.study_text(barely)
    assert "mean of the seeds: PASS\nthe mean is not significantly above 99% (one-sided t" in text
    assert "p = 0.500; null hypothesis: the expected accuracy is at most 99%)" in text
    assert "the mean is significantly above 99%" in stats.study_text(FINE)


def test_what_changed_since_the_step_before_and_whether_it_matters() -> None:
    before = dataclasses.replace(
        UNDER, net="small", recipe=to_json_value(QUICK.replace(epochs=2, augment=()))
    )
    rows = [*FINE.summary["rows"], FINE.summary["rows"][0] | {"name": "1", "kind": "BatchNorm2d"}]
    after = dataclasses.replace(
        FINE,
        net="large",
        summary={"net": "Net", "rows": rows},
        cost=FINE.cost | {"parameters": 5},
    )
    told = stats.analyze_study(after, before)
    assert told[-2].startswith(
        "Changed: the net (3 to 5 parameters; layers: +1 BatchNorm2d); augment (none to rotate_deg 5"
    )
    assert told[-1].startswith(
        "Compared with under (+2.507 points): fine is better than under by 2.507 points, significant"
    )
    alike = dataclasses.replace(before, name="again", net="small")
    told = stats.analyze_study(alike, before)
    assert told[-2] == "Changed: nothing that the record holds."
    assert "no significant difference between under and again" in told[-1]
    half = dataclasses.replace(
        alike, recipe=to_json_value(QUICK.replace(epochs=2, augment=(), precision="bf16"))
    )
    assert stats.describe_changes(half, before) == "Changed: precision (auto to bf16)."
    short = {key: value for key, value in before.recipe.items() if key != "norm_statistics"}
    assert stats.describe_changes(dataclasses.replace(alike, recipe=short), before) == (
        "Changed: nothing that the record holds."
    )
    plain = dataclasses.replace(alike, recipe=short | {"norm_statistics": "plain"})
    assert stats.describe_changes(plain, dataclasses.replace(before, recipe=short)) == (
        "Changed: norm_statistics (running to plain)."
    )
    augmented = dataclasses.replace(
        alike, recipe=to_json_value(QUICK.replace(epochs=2, augment=AUGMENTS["document_001"]))
    )
    assert (
        "augment (none to rotate_deg 7, fill 1, interpolation nearest then rotate_deg 10, scale 0.05, interpolation nearest)"
        in stats.describe_changes(augmented, before)
    )


def test_a_comparison_as_values_has_its_conclusion() -> None:
    a, b = (
        make_study(make_seed_result(0, 990), name="a", net="a"),
        make_study(make_seed_result(0, 991), name="b", net="b"),
    )
    found = stats.compare(a, b)
    values = stats.comparison_to_json(found)
    assert values["difference_points"] == 0.1
    assert found.difference != 0.1  # rounded for JSON only
    assert values["significant"] is False
    assert values["conclusion"] in stats.comparison_text(found)
    assert "undecided" in stats.comparison_text(found)


def test_studies_of_several_seeds_that_differ_in_one_image_are_compared() -> None:
    a = make_study(make_seed_result(0, 990), make_seed_result(1, 990), name="a", net="a")
    b = make_study(make_seed_result(0, 990), make_seed_result(1, 991), name="b", net="b")
    test = stats.compare(a, b).over_images
    assert (test.name, test.p) == ("exact permutation test over images", 1.0)


def changed(study: Study, **settings: object) -> Study:
    """The same study with another name, trained by a recipe with other settings."""
    recipe = to_json_value(QUICK.replace(epochs=2, **settings))
    return dataclasses.replace(study, name="b", recipe=recipe)


def test_a_target_for_other_images_is_not_missed() -> None:
    budget = to_json_value(budgets.Budget(accuracy_at_least=99.4, dataset="mnist"))
    study = make_study(make_seed_result(0, 900), budget=budget)
    text = "The single seed (90.00%) {} the target accuracy (at least 99.4%{}); one seed says"
    for change, verb, judged in (
        ({}, "misses", ""),
        ({"split": "val"}, "is below", "; judged on test images only"),
    ):
        found = " ".join(stats.analyze_study(dataclasses.replace(study, **change)))
        assert text.format(verb, judged) in found


def test_common_seeds_of_unpaired_studies_are_counted() -> None:
    a = make_study(*(make_seed_result(seed, 990 - seed) for seed in range(4)), name="a")
    b = make_study(*(make_seed_result(seed, 985 + seed) for seed in range(2, 5)), name="b")
    about = stats.compare(a, b).over_seeds.about
    assert about == "4 and 3 seeds, 2 of them in both (the test is paired if all are)"


def test_backends_that_differ_are_named() -> None:
    a = make_study(make_seed_result(0, 990), name="a")
    b = dataclasses.replace(a, name="b", backend="compiled")
    note = stats.compare(a, b).training_note
    assert note == "trained differently (a / b): backend in use eager / compiled"


def test_a_comparison_names_what_was_trained_unequally() -> None:
    a = make_study(make_seed_result(0, 990), make_seed_result(1, 991), name="a")
    b = changed(a, weight_decay=0.0004, augment=(), precision="bf16", backend="eager")
    b = dataclasses.replace(b, train_total=500, seeds=(make_seed_result(0, 990),))
    found = stats.compare(a, b)
    assert found.training_note == (
        "trained differently (a / b): weight_decay 0 / 0.0004; augment rotate_deg 5, shift_px 1, "
        "scale 0.05, shear_deg 2.8 / none; training images 600 / 500; seeds 2 / 1"
    )
    assert stats.comparison_text(found).endswith(f"\n\n{found.training_note}")
    differences = stats.comparison_to_json(found)["training_differences"]
    assert differences[0] == {"what": "weight_decay", "a": 0.0, "b": 0.0004}
    assert differences[1]["b"] == []
    assert f">{found.training_note}<" in found._repr_html_()


def test_studies_that_were_trained_alike_get_no_note() -> None:
    a = make_study(make_seed_result(0, 990), name="a")
    # Other names of a recipe train alike, and so do settings without an effect.
    b = changed(a, name="mine", step_epochs=3, tail_share=0.5, dropout=0.5)
    found = stats.compare(a, b)
    assert found.training_differences == ()
    assert found.training_note == ""
    assert stats.comparison_text(found).endswith(found.conclusion)
    assert stats.comparison_to_json(found)["training_differences"] == ()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"optimizer": "sgd", "nesterov": True, "beta2": 0.5}, "optimizer adamw / sgd"),
        ({"schedule": "step", "step_factor": 0.5}, "schedule triangular / step"),
        ({"schedule": "cosine", "end_lr": 0.5}, "schedule triangular / cosine; end_lr 0 / 0.5"),
        ({"averaging": "tail"}, "averaging ema / tail"),
        ({"augment_end": 0.25, "augment_ramp_share": 0.5}, "augment_end 1 / 0.25"),
        ({"train_as": "expanded", "expand_factor": 4}, "train_as net / expanded"),
        ({"teacher_epochs": 4, "label_smoothing": 0.2}, "label_smoothing 0.1 / 0.2"),
        ({"teacher": "crest", "teacher_epochs": 4}, "teacher none / crest"),
        (
            {"train_as": "widened", "widen_factor": 4, "widened_weight": 0.5, "expand_factor": 3},
            "train_as net / widened",
        ),
        ({"norm_statistics": "plain"}, "norm_statistics running / plain"),
        ({"decay_norms_and_biases": True, "label_smoothing": 0.2}, "label_smoothing 0.1 / 0.2"),
    ],
)
def test_settings_are_compared_where_both_studies_use_them(
    settings: dict[str, object], text: str
) -> None:
    a = make_study(make_seed_result(0, 990), name="a")
    assert stats.compare(a, changed(a, **settings)).training_note == (
        f"trained differently (a / b): {text}"
    )


def test_dropout_weights_and_trials_of_a_comparison_are_told_in_words() -> None:
    a = make_study(make_seed_result(0, 990), name="a")
    cost = {**a.cost, "kinds": {"Dropout2d": ["1"]}}
    a = dataclasses.replace(changed(a, dropout=None), name="a", cost=cost)
    trials = {"file": "t.jsonl", "number": 40, "sha256": "0" * 64}
    b = dataclasses.replace(
        changed(a, dropout=0.1),
        initial_weights_digest="0123456789" * 6,
        precision="bf16",
        chosen_by=trials,
    )
    assert "dropout (as in the net to 0.1)" in stats.describe_changes(b, a)
    assert stats.compare(a, b).training_note == (
        "trained differently (a / b): dropout as in the net / 0.1; initial weights from the seed / "
        "weights 01234567; precision in use float32 / bf16; search trials 0 / 40"
    )


def _joins(a: Study, b: Study) -> Study:
    return a.merge(b)


def test_seeds_of_one_experiment_join_and_others_do_not() -> None:
    a, b = make_study(make_seed_result(0, 990)), make_study(make_seed_result(3, 991))
    assert [seed.seed for seed in _joins(b, a).seeds] == [0, 3]
    assert _joins(a, a) == a
    another = dataclasses.replace(a.seeds[0], weights_digest="other")
    with pytest.raises(
        RecordError, match="swift: two different runs have seed 0; a study counts each seed once"
    ):
        _joins(a, dataclasses.replace(a, seeds=(another,)))
    assert _joins(a, b) == _joins(b, a)
    with pytest.raises(RecordError, match="differ in their initial weights"):
        _joins(a, dataclasses.replace(b, initial_weights_digest="abc"))
    with pytest.raises(
        RecordError,
        match=r"swift: seed 0 and seed 3 differ in their net \(one name, two nets\); a study needs",
    ):
        _joins(a, dataclasses.replace(b, summary={"net": "Net", "rows": []}))
    with pytest.raises(RecordError, match="differ in their recipe"):
        _joins(a, dataclasses.replace(b, recipe={"name": "another"}))
    one, two = (dataclasses.replace(b, source_digest=digest) for digest in ("1", "2"))
    for joined in (_joins(a, one), _joins(one, a)):  # that of a is not known
        with pytest.raises(RecordError, match="differ in their source of the net; a study needs"):
            _joins(joined, two)
    with pytest.raises(RecordError, match="differ in their data"):
        _joins(a, dataclasses.replace(b, data=b.data | {"digest": "e"}))


def test_confusion_and_calibration_of_all_seeds() -> None:
    found = make_study(
        wrong(make_seed_result(0, 998), 11, 12), wrong(make_seed_result(1, 998), 11, 23)
    )
    confusion = found.confusion()
    assert sum(map(sum, confusion)) == 2_000
    assert (confusion[1][2], confusion[2][3], confusion[3][4]) == (2, 1, 1)
    assert confusion[1][1] == 200 - 2
    assert [one.images for one in found.calibration()] == [0] * 7 + [4, 0, 1_996]


def test_numbers_near_a_limit_have_a_fourth_digit() -> None:
    assert [stats.format_p_value(p) for p in (0.0004, 0.012, 0.0498)] == [
        "p < 0.001",
        "p = 0.012",
        "p = 0.0498",
    ]
    assert stats.format_interval((-0.1324, -0.00013), "points") == "-0.132 to -0.0001 points"
    assert stats.format_interval((-0.00001, 99.5)) == "0.0000 to 99.500%"
