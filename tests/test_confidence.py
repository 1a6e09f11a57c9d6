"""Calibrated confidence: nets are unsure about what is not a digit, and seldom about digits."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Netlet, few_fast
from PIL import Image
from torch import nn

from benchmarks.non_digits import draw_other_non_digits
from netlet import evaluation, records
from netlet.data import Dataset, Split, make_scribble, prepare_digit, save_npz
from netlet.data.non_digits import draw_non_digits
from netlet.errors import DamagedRecordError, DataError
from netlet.evaluation.digit_detector import WEIGHTS, detector_digest
from netlet.experiments import calibrate_confidence, load_confidence, load_trained_net
from netlet.experiments.confidence import find_confidence_file
from netlet.nets import list_shipped_weights, weights_digest


@pytest.fixture(scope="module")
def scribble() -> Dataset:
    return make_scribble(2_000, 1_000, seed=3)


@pytest.fixture(scope="module")
def others(scribble: Dataset) -> dict[str, torch.Tensor]:
    return draw_other_non_digits(60, 8, scribble.held_out.images[:, 0])


def letter(strokes: str) -> Image.Image:
    """Draw straight strokes ``x,y x,y`` in hundredths of the paper, with a felt pen."""
    from PIL import ImageDraw

    paper = Image.new("L", (300, 300), 255)
    pen = ImageDraw.Draw(paper)
    for stroke in strokes.split("; "):
        points = [tuple(3 * int(n) for n in point.split(",")) for point in stroke.split()]
        pen.line(points, fill=0, width=22, joint="curve")
    return paper


# --- Temperature and threshold


@pytest.mark.slow
def test_temperature_makes_confidence_the_share_of_correct_answers() -> None:
    random = torch.Generator().manual_seed(0)
    true = 3 * torch.randn(20_000, 10, generator=random, dtype=torch.float64)
    labels = torch.multinomial(true.softmax(1), 1, generator=random)[:, 0]
    for overconfident in (0.4, 1.0, 2.5):
        assert evaluation.fit_temperature(true * overconfident, labels) == pytest.approx(
            overconfident, rel=0.05
        )
    # A net that ends in a softmax or log-softmax has the same logits up to a constant.
    for scores in (true.softmax(1), true.log_softmax(1)):
        assert evaluation.fit_temperature(scores, labels) == pytest.approx(1, rel=0.05)


def test_images_that_are_all_right_give_no_temperature() -> None:
    labels = torch.arange(200) % 10
    scores = 2 * torch.nn.functional.one_hot(labels).double()
    assert evaluation.fit_temperature(scores, labels) == 1
    labels[0] = 1  # one image of 200 is wrong
    assert evaluation.fit_temperature(scores, labels) < 0.4


def test_threshold_calls_at_most_one_percent_of_the_digits_unsure() -> None:
    digits = torch.linspace(0, 1, 1_000)
    assert (digits < evaluation.choose_threshold(digits, torch.empty(0))).sum() == 10
    # No threshold is higher than it takes to catch the other images.
    others = torch.full((50,), 0.0035)
    threshold = evaluation.choose_threshold(digits, others)
    assert (digits < threshold).sum() == 4
    assert (others < threshold).all()
    assert (digits < evaluation.choose_threshold(digits, torch.full((50,), 0.5))).sum() == 0
    assert evaluation.choose_threshold(torch.tensor([0.9]), torch.empty(0)) == pytest.approx(0.9)
    tied = torch.cat([torch.full((500,), 0.3), torch.ones(500)])
    assert (tied < evaluation.choose_threshold(tied, torch.full((9,), 0.2))).sum() == 0


# --- Images


def test_non_digits_are_reproducible_and_in_the_frame(scribble: Dataset) -> None:
    digits = scribble.train.images[:, 0]
    first, again = (draw_non_digits(30, 4, digits) for _ in range(2))
    assert set(first) == {
        "letters",
        "scribbles",
        "moved parts of digits",
        "two digits that touch",
        "noise",
    }
    for kind, images in first.items():
        assert images.shape == (30, 28, 28)
        assert images.dtype == torch.uint8
        assert (images == again[kind]).all()
        assert images.flatten(1).amax(1).min() > 200, kind
    assert (draw_non_digits(30, 5, digits)["letters"] != first["letters"]).any()


def test_digits_that_touch_are_one_piece(scribble: Dataset) -> None:
    from netlet.data.pieces import group_pieces

    joined = draw_non_digits(40, 4, scribble.train.images[:, 0])["two digits that touch"].numpy()
    pieces = [int(group_pieces(image > 0).max()) for image in joined]
    assert pieces.count(1) == 40


# --- Nets


@pytest.mark.parametrize("name", few_fast(list_shipped_weights(), 4))
def test_every_net_with_weights_comes_calibrated(name: str) -> None:
    trained = load_trained_net(name)
    confidence = load_confidence(trained)
    assert confidence is not None, "run python -m tools.confidence"
    assert confidence.weights_digest == weights_digest(trained.net)
    assert confidence.detector_digest == detector_digest()
    assert (confidence.data, confidence.split) == ("mnist", "train")
    assert confidence.unsure_images <= 0.01 * confidence.images
    assert confidence.unsure_non_digits > 0.9 * confidence.non_digits
    assert 0.5 < confidence.threshold < 0.9


def test_digits_are_answered_and_other_images_are_not(
    scribble: Dataset, others: dict[str, torch.Tensor]
) -> None:
    crest = load_trained_net("crest")
    confidence = load_confidence(crest)

    def unsure(images: torch.Tensor) -> float:
        answers = evaluation.predict(
            crest.net, list(images.numpy()), crest.recipe, confidence=confidence
        )
        return sum(bool(answer.unsure) for answer in answers) / len(answers)

    assert unsure(scribble.held_out.images[:300, 0]) < 0.05
    shares = {kind: unsure(images) for kind, images in others.items()}
    assert shares["drawn letters"] > 0.8
    assert shares["printed letters"] > 0.8
    assert shares["two digits that touch"] > 0.9
    assert min(shares.values()) > 0.5


@pytest.mark.slow
@pytest.mark.mnist
def test_stored_calibration_is_what_mnist_gives(mnist: Dataset) -> None:
    speck = load_trained_net("speck")
    stored, made = load_confidence(speck), calibrate_confidence(speck, mnist)
    assert stored is not None
    assert made.threshold == pytest.approx(stored.threshold, abs=0.01)
    assert made.temperature == pytest.approx(stored.temperature, rel=0.05)
    assert made.data_digest == stored.data_digest
    assert abs(made.unsure_non_digits - stored.unsure_non_digits) < 20


def test_probabilities_sum_to_that_of_a_digit(scribble: Dataset) -> None:
    crest = load_trained_net("crest")
    images = scribble.held_out.images[:5]
    answers = evaluation.predict(
        crest.net, list(images[:, 0].numpy()), crest.recipe, confidence=load_confidence(crest)
    )
    digit = evaluation.compute_digit_probability(images)
    sums = [sum(answer.probabilities) for answer in answers]
    np.testing.assert_allclose(sums, digit, atol=1e-9)
    plain = evaluation.predict(crest.net, list(images[:, 0].numpy()), crest.recipe)
    assert [answer.unsure for answer in plain] == [None] * 5
    assert [answer.best for answer in plain] == [answer.best for answer in answers]


# --- Runs


@pytest.fixture
def run(netlet: Netlet, tmp_path: Path, scribble: Dataset) -> Path:
    """Train a small net on a data set of the user's own, with a val split."""
    few = dataclasses.replace(
        scribble, train=scribble.train, held_out=scribble.held_out.take(torch.arange(100))
    )
    save_npz(few, tmp_path / "mine.npz")
    code, _, err = netlet(
        *("train", "8 P 8 P", "--dataset", "mine.npz", "--val", "400", "--epochs", "1"),
        *("--out", "run"),
    )
    assert code == 0, err
    digit = Image.fromarray(255 - scribble.held_out.images[0, 0].numpy())
    digit.save(tmp_path / "digit.png")
    return tmp_path / "run"


@pytest.mark.slow
def test_a_run_is_calibrated_once_on_its_own_val_images(
    netlet: Netlet, run: Path, tmp_path: Path
) -> None:
    code, out, err = netlet("predict", "digit.png", "--net", "run", "--json")
    assert code == 0
    refused = "confidence is not calibrated: mine.npz is not a public data set"
    assert f"{refused}; pass --dataset PATH" in err
    assert json.loads(out)["calibration"] is None
    assert json.loads(out)["predictions"][0]["unsure"] is None
    _, _, err = netlet("play", "run", "-o", "page.html", "--no-open")
    assert f"{refused}; write the page with 'netlet export NET --to page --dataset PATH'" in err
    assert not (run / "confidence.json").exists()

    code, out, err = netlet(
        "predict", "digit.png", "--net", "run", "--dataset", "mine.npz", "--json"
    )
    assert (code, err) == (0, "")
    calibration = json.loads(out)["calibration"]
    assert (calibration["data"], calibration["split"], calibration["images"]) == (
        "mine.npz",
        "val",
        400,
    )
    assert calibration["unsure_images"] <= 4
    assert calibration["non_digits"] == 2_000
    # With another normalization, the run's calibration does not hold and is kept as it is.
    other = ("--mean", "0.5", "--dataset", "mine.npz", "--json")
    assert json.loads(netlet("predict", "digit.png", "--net", "run", *other)[1])["calibration"][
        "mean"
    ] == pytest.approx(0.5)
    # From now on, the data set is not needed.
    (tmp_path / "mine.npz").unlink()
    again = json.loads(netlet("predict", "digit.png", "--net", "run", "--json")[1])
    assert again["calibration"] == calibration == json.loads((run / "confidence.json").read_text())
    assert again["predictions"][0]["unsure"] in (True, False)
    code, out, _ = netlet("play", "run", "-o", "page.html", "--no-open")
    assert code == 0
    assert f'"threshold":{calibration["threshold"]}' in (tmp_path / "page.html").read_text()


@pytest.mark.slow
def test_a_calibration_of_other_weights_or_a_damaged_one_is_not_used(
    netlet: Netlet, run: Path
) -> None:
    netlet("export", "run", "--to", "page", "--dataset", "mine.npz")
    file = run / "confidence.json"
    trained = load_trained_net(str(run))
    good = load_confidence(trained)
    assert good is not None
    assert find_confidence_file(trained) == file
    for damage in (
        {"weights_digest": "0" * 64},
        {"detector_digest": "0" * 64},
        {"mean": 0.5},
        {"threshold": 1.5},
        {"temperature": 0},
        {"unsure_images": 10**6},
        {"schema": 2},
        {"extra": 1},
    ):
        file.write_text(json.dumps(good.to_dict() | damage))
        assert load_confidence(trained) is None, damage
    for text in ("", "{", "[]", "{}"):
        file.write_text(text)
        assert load_confidence(trained) is None
        with pytest.raises(DamagedRecordError, match=r"confidence\.json: "):
            records.load_confidence(file)
    file.write_text(good.to_json())
    assert load_confidence(trained) == good


def test_predict_answers_without_a_calibration_on_few_images(
    netlet: Netlet, tmp_path: Path, scribble: Dataset
) -> None:
    few = dataclasses.replace(scribble, train=scribble.train.take(torch.arange(100)))
    save_npz(few, tmp_path / "few.npz")
    digit = Image.fromarray(255 - scribble.held_out.images[0, 0].numpy())
    digit.save(tmp_path / "digit.png")
    other = ("--mean", "0.2", "--dataset", "few.npz", "--json")
    code, out, err = netlet("predict", "digit.png", "--net", "speck", *other)
    assert code == 0
    assert "netlet: the confidence is not calibrated: few.npz has 50 images to calibrate on" in err
    assert json.loads(out)["calibration"] is None
    assert json.loads(out)["predictions"][0]["digit"]
    # A data set that does not fit the net is a mistake.
    code, _, err = netlet("predict", "digit.png", "--net", "speck", "--dataset", "none.npz")
    assert (code, "none.npz" in err) == (2, True)


def test_data_that_cannot_calibrate_a_net_is_refused(scribble: Dataset) -> None:
    crest = load_trained_net("crest")
    few = dataclasses.replace(scribble, train=scribble.train.take(torch.arange(100)))
    for given in (few, few.hold_out(20)):
        with pytest.raises(
            DataError, match=r"has 50 images to calibrate on \(half of train\), and at least 200"
        ):
            calibrate_confidence(crest, given)
    wide = Split(
        "train", torch.zeros(500, 1, 32, 32, dtype=torch.uint8), scribble.train.labels[:500]
    )
    with pytest.raises(DataError, match="has images of 1x32x32, but the net takes 1x28x28"):
        calibrate_confidence(crest, dataclasses.replace(scribble, train=wide))
    narrow = dataclasses.replace(crest, net=nn.Sequential(nn.Flatten(), nn.Linear(784, 5)))
    with pytest.raises(DataError, match="has 10 classes, but the net has 5 outputs"):
        calibrate_confidence(narrow, scribble)


def test_a_net_of_other_things_than_digits_is_not_guarded_by_the_detector(
    scribble: Dataset,
) -> None:
    names = tuple("abcdefghij")
    trained = dataclasses.replace(load_trained_net("speck"), class_names=names)
    letters = dataclasses.replace(scribble, class_names=names)
    confidence = calibrate_confidence(trained, letters)
    assert (confidence.detector_digest, confidence.non_digits) == ("", 0)
    assert confidence.split == "train"  # never test
    answers = evaluation.predict(
        trained.net, [scribble.train.images[0, 0].numpy()], trained.recipe, confidence=confidence
    )
    assert sum(answers[0].probabilities) == pytest.approx(1)


# --- The command


def test_letters_are_answered_with_unsure(netlet: Netlet, tmp_path: Path) -> None:
    letter("20,15 80,85; 80,15 20,85").save(tmp_path / "X.png")
    letter("15,90 50,10; 50,10 85,90; 28,62 72,62").save(tmp_path / "A.png")
    letter("50,10 50,90").save(tmp_path / "1.png")
    code, out, err = netlet("predict", "X.png", "A.png", "1.png")
    assert (code, err) == (0, "")
    x, a, one = (line.split("  ")[1].strip() for line in out.splitlines()[2:])
    assert x.startswith("unsure (")
    assert x.endswith("%)")
    assert a.startswith("unsure (")
    assert one == "1"
    entries = json.loads(netlet("predict", "X.png", "1.png", "--json")[1])["predictions"]
    assert [entry["unsure"] for entry in entries] == [True, False]
    assert entries[0]["digit"] in x
    assert f"{100 * entries[0]['confidence']:.0f}%" in x


def test_touching_digits_are_answered_with_unsure(
    netlet: Netlet, tmp_path: Path, scribble: Dataset
) -> None:
    from netlet.data.non_digits import join_pairs

    pairs = join_pairs(scribble.held_out.images[:, 0], 20, torch.Generator().manual_seed(1)).numpy()
    for i, pair in enumerate(pairs):
        Image.fromarray(255 - pair).resize((280, 280)).save(tmp_path / f"{i}.png")
    files = [f"{i}.png" for i in range(len(pairs))]
    entries = json.loads(netlet("predict", *files, "--json")[1])["predictions"]
    assert sum(entry["digits"] == 1 for entry in entries) >= 18
    assert sum(entry["unsure"] for entry in entries) >= 0.9 * len(entries)


def test_the_detector_is_small() -> None:
    assert WEIGHTS.stat().st_size < 20_000
    blank = prepare_digit(np.eye(20))
    assert evaluation.compute_digit_probability(torch.from_numpy(blank)[None, None]).shape == (1,)
