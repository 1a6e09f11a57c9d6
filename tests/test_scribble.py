"""Scribble is reproducible, has MNIST's frame, is cached, and is enough to learn MNIST."""

from __future__ import annotations

import dataclasses
import errno
import json
from pathlib import Path

import pytest
import torch

import netlet
from netlet import records
from netlet.cli.data import _refuse_unsaved
from netlet.data import Dataset, load_scribble, make_scribble
from netlet.data import scribble as drawing
from netlet.data.skeletons import STYLES
from netlet.errors import DataError, NetletWarning, OutputError
from netlet.evaluation import evaluate

RESULTS = Path(__file__).parent.parent / "results"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return make_scribble(train=2_000, test=500)


def test_scribble_has_balanced_classes_and_distinct_images(digits: Dataset) -> None:
    assert digits.name == "scribble"
    assert digits.train.images.shape == (2_000, 1, 28, 28)
    assert digits.train.images.dtype == torch.uint8
    assert torch.bincount(digits.train.labels).tolist() == [200] * 10
    assert digits.held_out.name == "test"
    assert torch.bincount(digits.held_out.labels).tolist() == [50] * 10
    assert not torch.equal(
        digits.train.labels[:500], digits.held_out.labels
    )  # another random stream
    assert len(digits.train.images.flatten(1).unique(dim=0)) == 2_000
    assert digits.train.labels[:40].unique().numel() > 5  # in random order


def test_digits_have_mnists_frame(digits: Dataset) -> None:
    """Longer side 20 px, center of mass within half a pixel of (14, 14), full ink on black."""
    ink = digits.train.images[:, 0].double()
    places = torch.arange(28.0, dtype=torch.float64)
    mass = ink.sum((1, 2))
    for axis in (1, 2):
        assert ((ink.sum(axis) * places).sum(1) / mass - 14).abs().max() <= 0.52
    tall, wide = (((ink > 0).any(axis).sum(1)) for axis in (2, 1))
    longer = torch.maximum(tall, wide)
    assert longer.float().mean().item() == pytest.approx(20.5, abs=1.5)
    assert longer.max() <= 24
    assert (ink.amax((1, 2)) == 255).double().mean() > 0.99
    assert 70 < (mass / 255).mean() < 135  # MNIST's is 102


@pytest.mark.slow
def test_a_seed_gives_the_same_images_for_any_number_of_threads() -> None:
    alone = make_scribble(train=200, test=50).checksums
    assert make_scribble(train=200, test=50, seed=1).checksums != alone
    torch.set_num_threads(2)
    assert make_scribble(train=200, test=50).checksums == alone
    state = torch.get_rng_state()
    make_scribble(20, 20)
    assert torch.equal(torch.get_rng_state(), state)


def test_every_style_of_every_digit_can_be_drawn() -> None:
    random = torch.Generator().manual_seed(0)
    for styles in STYLES.values():
        assert len(styles) >= 4
        for style in styles:
            marks = drawing._draw_tracks(style, 8, random)
            assert marks.isfinite().all()
            images = drawing._render(marks, random)
            assert ((images > 127).sum((1, 2)) > 15).all()


def test_curves_pass_through_their_control_points() -> None:
    strokes = (((0.0, 0.0), (0.5, 1.0), (1.0, 0.0)), ((1.0, 0.0), (1.0, 1.0)))
    points, basis = drawing._build_curves(strokes)
    assert points.tolist() == [
        [0.0, 0.0],
        [0.5, 1.0],
        [1.0, 0.0],
        [1.0, 1.0],
    ]  # the shared one once
    torch.testing.assert_close(basis.sum(1), torch.ones(len(basis)))
    marks = basis @ points
    for point in points:
        assert (marks - point).norm(dim=1).min() < 0.03
    torch.testing.assert_close(marks[0], points[0])
    torch.testing.assert_close(marks[-1], points[-1])


def test_drawing_reports_its_progress() -> None:
    events: list[tuple[int, int]] = []
    make_scribble(300, 20, on_progress=lambda done, total: events.append((done, total)))
    assert events == sorted(events)
    assert events[-1] == (320, 320)
    assert {total for _, total in events} == {320}


def test_fewer_images_than_classes_are_refused() -> None:
    with pytest.raises(DataError, match="7 images are too few for 10 classes; ask for at least 10"):
        make_scribble(train=100, test=7)


def test_the_cache_is_written_once_and_replaced_if_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[int] = []

    def few(**_: object) -> Dataset:
        made.append(1)
        return make_scribble(train=50, test=20)

    monkeypatch.setattr(drawing, "make_scribble", few)
    first = load_scribble(tmp_path)
    assert load_scribble(tmp_path).checksums == first.checksums
    assert torch.equal(load_scribble(tmp_path).train.images, first.train.images)
    assert len(made) == 1
    (file,) = tmp_path.iterdir()
    content = bytearray(file.read_bytes())
    for damaged in (bytes(content[:1000]), bytes(content[:-5]) + b"12345", b""):
        file.write_bytes(damaged)
        assert load_scribble(tmp_path).checksums == first.checksums
    assert len(made) == 4
    (tmp_path / "file").write_text("in the way")
    said = "scribble cannot be cached and is generated again each time: .*; check its permissions"
    with pytest.warns(NetletWarning, match=said):
        assert len(load_scribble(tmp_path / "file" / "deeper").train) == 50  # only slower

    def fill_the_disk(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(drawing, "write_atomic", fill_the_disk)
    with pytest.warns(NetletWarning, match=rf"{said} and the disk"):
        load_scribble(tmp_path / "full")
    with pytest.raises(
        OutputError, match=r"cannot be cached: .*; check .* the disk, or name a file with --out"
    ):
        load_scribble(tmp_path / "full", on_unsaved=_refuse_unsaved)


def scribble_records() -> list[Path]:
    return [path for path in sorted(RESULTS.glob("swift-scribble-seed*")) if path.is_dir()]


@pytest.mark.parametrize("folder", scribble_records(), ids=lambda path: path.name)
def test_the_record_of_scribble_has_its_mnist_score(folder: Path) -> None:
    run = records.load_run(folder)
    assert run.data["name"] == "scribble"
    assert run.cost["parameters"] < 20_000
    assert run.verdict is not None
    assert run.verdict.state == "NOT JUDGED"
    judged = json.loads((folder / "mnist.json").read_text())
    assert judged["data"] == "mnist"
    assert (judged["score"]["split"], judged["score"]["total"]) == ("test", 10_000)
    assert judged["score"]["correct"] >= 9_500


@pytest.mark.mnist
def test_the_recorded_weights_reproduce_the_recorded_score(mnist: Dataset) -> None:
    folder = scribble_records()[0]
    run = records.load_run(folder)
    net = netlet.nets.swift()
    netlet.nets.load_weights(net, folder / records.WEIGHTS)
    found = evaluate(net, mnist.held_out, netlet.recipes.recipe_from_json(run.recipe), 10)
    recorded = json.loads((folder / "mnist.json").read_text())["score"]["correct"]
    assert abs(found.score.correct - recorded) <= 2  # rounding differs between machines


@pytest.mark.slow
@pytest.mark.mnist
def test_a_net_trained_on_scribble_alone_reads_mnist(mnist: Dataset) -> None:
    """Scored on MNIST's train images, on which the styles were chosen; the record has the test score."""
    drawn = dataclasses.replace(
        make_scribble(seed=9), held_out=dataclasses.replace(mnist.train, name="test")
    )
    run = netlet.fit(
        netlet.build(netlet.nets.swift, 9), drawn, netlet.recipes.QUICK.replace(epochs=2), seed=9
    )
    assert run.last_epoch.correct >= 0.95 * 60_000
