"""Learning-rate range tests: what they read, what they suggest, and when they end."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import Netlet, flat_net
from torch import nn

import netlet
from netlet.data import Dataset, Split
from netlet.errors import TrainingError
from netlet.nets import weights_digest
from netlet.recipes import QUICK
from netlet.training import RangeTest, run_range_test

RECIPE = QUICK.replace(batch_size=20, precision="float32", backend="eager")


def made_of(*losses: float) -> RangeTest:
    """Return a test with these losses at rates of 0.001, 0.01 and so on."""
    rates = tuple(10.0 ** (k - 3) for k in range(len(losses)))
    return RangeTest(rates, losses, losses, diverged=False, steps=len(losses), peak_lr=0.1)


def test_suggestions_are_the_steepest_descent_and_a_tenth_of_the_lowest() -> None:
    found = made_of(2.3, 2.2, 2.0, 0.9, 0.5, 0.6, 4.0)
    assert found.steepest == 1.0  # 2.0 to 0.5 around it
    assert found.tenth_of_lowest == pytest.approx(1.0)
    # However steep it falls after a rise: only the way to the lowest loss counts.
    assert made_of(2.0, 1.5, 0.2, 9.0, 3.0, 2.9).steepest == 0.01
    # Nor does the first tenth of the steps count, whose averages follow the noise of a few batches.
    noisy = made_of(9.0, 5.0, *[3.0] * 14, 2.0, 1.5, 1.4, 1.3)
    assert noisy.steepest == noisy.rates[16]


def test_a_range_test_shows_itself() -> None:
    found = made_of(2.3, 2.2, 0.9, 0.5, 0.6)
    assert repr(found) == "RangeTest(steepest=0.1, tenth_of_lowest=0.1, steps=5, peak_lr=0.1)"
    labels = [text.get_text() for text in found.plot().figure.legends[0].get_texts()]
    assert labels == ["each step", "smoothed", "steepest: 0.1", "lowest / 10: 0.1", "peak_lr: 0.1"]


def test_a_loss_that_never_falls_gives_no_suggestion() -> None:
    found = made_of(0.1, 0.2, 0.3)
    assert (found.steepest, found.tenth_of_lowest) == (None, None)


def test_the_rate_rises_exponentially_over_one_epoch_of_training_images(
    blob_data: Dataset,
) -> None:
    class Unread(Split):
        def to(self, device: torch.device | str) -> Split:
            raise AssertionError("the held-out images were read")

    test = blob_data.held_out
    data = dataclasses.replace(blob_data, held_out=Unread("test", test.images, test.labels))
    seen: list[tuple[int, int]] = []
    found = run_range_test(
        netlet.build(flat_net, 0),
        data,
        RECIPE,
        highest=0.1,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert (found.steps, len(found.rates)) == (30, 30)
    assert (found.rates[0], found.rates[-1]) == (1e-6, pytest.approx(0.1))
    ratios = [b / a for a, b in zip(found.rates, found.rates[1:], strict=False)]
    assert ratios == pytest.approx([ratios[0]] * 29)
    assert seen[-1] == (30, 30)
    assert found.losses[0] == pytest.approx(math.log(10), rel=0.5)
    assert min(found.losses) < 0.5 * found.losses[0]
    assert found.steepest is not None
    assert 1e-6 < found.steepest < 0.1


def test_the_net_and_the_random_state_stay_as_they_are(blob_data: Dataset) -> None:
    net = nn.Sequential(nn.Conv2d(1, 4, 5, 4), nn.BatchNorm2d(4), nn.Flatten(), nn.LazyLinear(10))
    net(torch.zeros(2, 1, 28, 28))
    net.eval()
    digest, state = weights_digest(net), torch.get_rng_state()
    tests = [run_range_test(net, blob_data, RECIPE, seed=seed) for seed in (1, 1, 2)]
    assert weights_digest(net) == digest
    assert not net.training
    assert all(parameter.grad is None for parameter in net.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert tests[0] == tests[1] != tests[2]


def test_it_ends_when_the_loss_is_too_large(blob_data: Dataset) -> None:
    sgd = RECIPE.replace(optimizer="sgd", batch_size=10)
    found = run_range_test(netlet.build(flat_net, 0), blob_data, sgd, highest=1e6)
    assert found.diverged
    assert 2 < len(found.losses) < found.steps
    assert all(math.isfinite(loss) for loss in found.losses)


class Keeps(nn.Module):
    """Keeps the logits of every run, with their graph for gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.body = flat_net()
        self.kept: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.kept.append(self.body(x))
        return self.kept[-1]


@pytest.mark.slow
@pytest.mark.parametrize("wrap", [lambda net: net, torch.compile], ids=["plain", "compiled"])
def test_a_net_may_keep_tensors_and_be_compiled(
    blob_data: Dataset, wrap: Callable[[nn.Module], nn.Module]
) -> None:
    net = Keeps()
    net(torch.zeros(2, 1, 28, 28))
    assert net.kept[0].grad_fn is not None
    assert run_range_test(wrap(net), blob_data, RECIPE, highest=0.1).steps == 30


class Nan(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(784, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1)) * float("nan")


@pytest.mark.parametrize(
    ("net", "options", "message"),
    [
        (flat_net, {"batch_size": 100}, r"has 6 steps of 100 .* at least 20; use batch_size=30"),
        (
            flat_net,
            {"lowest": 1.0, "highest": 0.1},
            r"rate \(1\) must be above 0 and below a finite highest one \(0\.1\); pass, for example, "
            "--lowest 1e-06 --highest 10",
        ),
        (flat_net, {"highest": math.inf}, r"below a finite highest one \(inf\)"),
        (Nan, {}, r"not finite at a learning rate of 1e-06; start with"),
        (nn.Flatten, {}, "Flatten has no parameters; add a layer with weights"),
        (
            lambda: flat_net().requires_grad_(False),
            {},
            "has no trainable parameters; set requires_",
        ),
    ],
)
def test_what_cannot_be_tested_is_refused(
    blob_data: Dataset, net: type[nn.Module], options: dict[str, float], message: str
) -> None:
    batch = int(options.pop("batch_size", 20))
    with pytest.raises(TrainingError, match=message):
        run_range_test(net(), blob_data, RECIPE.replace(batch_size=batch), **options)  # type: ignore[arg-type]


def test_netlet_lr_prints_plots_and_records_nothing(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    words = ("lr", "4k5s2 P 4", "--set", "batch_size=20", "--set", "backend=eager")
    code, out, err = netlet(*words, "-o", "found/lr.json")
    assert (code, err) == (0, "written to found/lr.json\n")
    assert out.startswith("4k5s2 P 4 on mnist: learning rate 1e-06 to ")
    assert "\nsteepest descent " in out
    again = "netlet train '4k5s2 P 4' --set batch_size=20 --set backend=eager --set peak_lr="
    assert f"train with one of them: {again}" in out
    assert out.splitlines()[1].startswith("optimizer adamw, batch size 20, recipe ")
    document = json.loads((tmp_path / "found" / "lr.json").read_text())
    lower, higher = sorted((document["steepest"], document["tenth_of_lowest"]))
    assert f"{again}{lower:.2g}\n" in out
    assert out.endswith(
        "to choose, begin with the lower one, which is the safer one; add --val 100 to compare it "
        f"with {higher:.2g} on images held out of the training split\n"
    )
    assert (document["kind"], document["net"], document["steps"]) == ("lr", "4k5s2 P 4", 30)
    code, out, _ = netlet(*words, "-o", "lr.svg", "--json")
    assert json.loads(out) == document
    assert "steepest: " in (tmp_path / "lr.svg").read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["found", "lr.svg"]


def test_netlet_lr_says_that_the_loss_is_lowest_at_the_beginning(
    netlet: Netlet, blobs_for_mnist: Path
) -> None:
    words = ("--set", "batch_size=20", "--set", "backend=eager", "--lowest", "9")
    code, out, err = netlet("lr", "4k5s2 P 4", *words)
    assert code == 0, err
    assert out.endswith(
        "\nno suggestion, because the loss is lowest in the first tenth of the steps; try lower "
        "rates with --lowest\n"
    )


def test_netlet_lr_advises_a_command_with_its_own_options(
    netlet: Netlet, blobs_for_mnist: Path
) -> None:
    words = ("--data-dir", str(blobs_for_mnist), "--channels", "3", "--set", "batch_size=20")
    code, out, err = netlet("lr", "4k5s2 P 4", "--set", "backend=eager", *words)
    assert code == 0, err
    (advice,) = [line for line in out.splitlines() if line.startswith("train with one of them: ")]
    assert f" --data-dir {blobs_for_mnist} --channels 3 " in advice


def test_netlet_lr_takes_from_netlet_toml_what_netlet_train_takes(
    netlet: Netlet, blobs_for_mnist: Path, tmp_path: Path
) -> None:
    (tmp_path / "netlet.toml").write_text(
        'net = "4k5s2 P 4"\nrecipe = "plain"\n[settings]\nbatch_size = 20\nbackend = "eager"\n'
    )
    code, out, err = netlet("lr", "--set", "momentum=0.8")
    assert code == 0, err
    assert err.startswith("netlet.toml: net 4k5s2 P 4, recipe plain, settings batch_size=20 ")
    assert out.startswith("4k5s2 P 4 on mnist: learning rate 1e-06 to ")
    assert out.splitlines()[1].startswith("optimizer sgd, batch size 20, recipe plain with ")
    # The rest is taken from the file by this command, too.
    assert "train with one of them: netlet train --set momentum=0.8 --set peak_lr=" in out
    (tmp_path / "netlet.toml").unlink()
    code, _, err = netlet("lr")
    assert code == 2
    assert "no NET is named" in err


def test_netlet_lr_refuses_a_file_that_it_cannot_write(netlet: Netlet) -> None:
    code, out, err = netlet("lr", "speck", "-o", "lr.txt")
    assert (code, out) == (2, "")
    assert err == (
        "netlet: lr.txt: cannot write this format; name a file that ends in .json, .svg, .pdf or "
        ".png with --out\n"
    )
