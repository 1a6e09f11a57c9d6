"""The CUDA graph backend with a stand-in for the device's part, and trainings that take turns."""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
import torch
from helpers import few_fast
from torch import nn

import netlet
from netlet.backends import Step, select_augmentation, warn_of_fallback
from netlet.backends.cuda_graph import CudaGraphBackend
from netlet.backends.eager import EagerBackend
from netlet.data import Dataset, iterate_epoch
from netlet.errors import NetletWarning, TrainingError
from netlet.recipes import Recipe, Warp
from netlet.records import Run
from netlet.training import finish_together, fit, iterate_fit
from netlet.training.state import start_training

FAST = Recipe(batch_size=50, peak_lr=0.02, augment=(Warp(shift_px=0.5),), precision="float32")


def _chain() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 5), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(2304, 10)
    )


class _Draws(nn.Module):
    """Draws numbers on the host, which no recording would repeat."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = _chain()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.chain(x * (1 + 0.1 * random.random()))


class _Skips(nn.Module):
    """Uses one of its layers in some steps only."""

    def __init__(self) -> None:
        super().__init__()
        self.chain, self.scale = _chain(), nn.BatchNorm2d(1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.chain(self.scale(x) if random.random() < 0.5 else x)


class _DrawsFromItsOwn(_Draws):
    """Has a generator of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = random.Random(0)

    def train(self, mode: bool = True) -> nn.Module:
        self.generator.seed(0)
        return super().train(mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.chain(x * (1 + 0.1 * self.generator.random()))


class _Replaces(nn.Module):
    """Replaces a buffer in each step, which no recording would do."""

    def __init__(self) -> None:
        super().__init__()
        self.chain = _chain()
        self.register_buffer("scale", torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.scale = self.scale * 1.01
        return self.chain(x * self.scale)


@dataclasses.dataclass
class _StandIn:
    """Records a step on the CPU: the replay runs it; everything else is as on a CUDA device."""

    refuses: bool = False
    factor: float = 1.0  # of the gradients that a replay finds, to play a wrong recording
    recorded: int = 0

    def __call__(self, run: Callable[[], None]) -> Callable[[], None]:
        if self.refuses:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.recorded += 1
        for _ in range(4):  # warm-up runs must not change the state
            run()
        if self.factor == 1:
            return run

        def replay() -> None:
            with mock.patch.object(
                torch,
                "_foreach_copy_",
                lambda places, values: [
                    place.copy_(value * self.factor)
                    for place, value in zip(places, values, strict=True)
                ],
            ):
                run()

        return replay


def _train_recorded(
    data: Dataset, recipe: Recipe, net: nn.Module, record: _StandIn | None
) -> tuple[Any, tuple[list[float], int], list[torch.Tensor]]:
    """Train three epochs in steps of 50 and one of 30; None means eager mode."""
    data = dataclasses.replace(data, train=data.train.take(torch.arange(530)))
    with start_training(net, recipe, 33) as state:
        backend = (
            CudaGraphBackend(net, state, recipe, "float32", data.shape, len(data.train), record)
            if record
            else EagerBackend(net, state.parameters, recipe, "float32")
        )
        random.seed(0)
        net.train()
        losses, correct = [], 0
        for epoch in range(3):
            batches = iterate_epoch(data.train, recipe, torch.Generator().manual_seed(epoch))
            backend.train(
                (Step(x, labels, 0.002, 11 * epoch + i) for i, (x, labels) in enumerate(batches)),
                state,
            )
            found = backend.read_losses()
            losses, correct = losses + found[0], correct + found[1]
        return backend, (losses, correct), [tensor.clone() for tensor in state.tensors()]


# Each optimizer and each kind of average first, in the fast suite.
_EACH = [("sgd", "none"), ("adamw", "ema"), ("muon", "tail"), ("soap", "ema")]
_ALL = itertools.product(["sgd", "adamw", "muon", "soap"], ["none", "ema", "tail"])
_PAIRS = [*_EACH, *(pair for pair in _ALL if pair not in _EACH)]


@pytest.mark.parametrize(("optimizer", "averaging"), few_fast(_PAIRS, 4))
def test_recorded_steps_equal_eager_steps(
    blob_data: Dataset, optimizer: Any, averaging: Any
) -> None:
    recipe = FAST.replace(optimizer=optimizer, averaging=averaging)
    record = _StandIn()
    net, twin = netlet.build(_chain, 0), netlet.build(_chain, 0)
    _, (losses, correct), tensors = _train_recorded(blob_data, recipe, net, None)
    backend, (fast_losses, fast_correct), fast = _train_recorded(blob_data, recipe, twin, record)
    assert backend.name == "cuda_graph"
    # Steps of 50 and of 30 images, and SOAP's steps that also update its basis.
    assert record.recorded == (3 if optimizer == "soap" else 2)
    assert fast_losses == pytest.approx(losses, rel=1e-4)
    assert fast_correct == correct
    if optimizer == "soap":  # its basis turns rounding of small gradients into other weights
        return
    for one, other in zip(fast, tensors, strict=True):
        assert (one.double() - other.double()).norm() <= 1e-2 * other.double().norm()


@pytest.mark.parametrize(
    ("builder", "record", "reason"),
    [
        (_chain, _StandIn(refuses=True), "not permitted"),
        (_chain, _StandIn(factor=1.1), "differs from the same step"),
        (_Draws, _StandIn(), "draws random numbers on the host"),
        (_Skips, _StandIn(), "draws random numbers on the host"),
        (_DrawsFromItsOwn, _StandIn(), "draws random numbers on the host"),
        (_Replaces, _StandIn(), "replaces its tensors"),
    ],
)
def test_step_that_cannot_be_recorded_runs_in_eager_mode(
    blob_data: Dataset, builder: Callable[[], nn.Module], record: _StandIn, reason: str
) -> None:
    recipe = FAST
    net, twin = netlet.build(builder, 0), netlet.build(builder, 0)
    _, losses, tensors = _train_recorded(blob_data, recipe, net, None)
    backend, own_losses, own = _train_recorded(blob_data, recipe, twin, record)
    assert backend.name == "eager"
    assert own_losses == losses
    assert all(torch.equal(one, other) for one, other in zip(own, tensors, strict=True))
    with pytest.warns(NetletWarning, match=f"cannot be recorded as a CUDA graph.*{reason}"):
        warn_of_fallback(backend, select_augmentation(blob_data.train, recipe))


def test_trainings_that_take_turns_equal_those_alone(blob_data: Dataset) -> None:
    recipe = FAST.replace(epochs=2)

    def train(seed: int, lr: float = 0.01) -> Any:
        net = netlet.build(_chain, seed)
        return iterate_fit(net, blob_data, recipe.replace(peak_lr=lr), seed=seed, device="cpu")

    state = torch.get_rng_state()
    first, failed, last = finish_together(
        [train(0), train(1, lr=1000), train(2)], torch.device("cpu")
    )
    assert torch.equal(torch.get_rng_state(), state)
    assert isinstance(failed, TrainingError)
    for seed, run in ((0, first), (2, last)):
        assert isinstance(run, Run)
        alone = fit(
            netlet.build(_chain, seed),
            blob_data,
            recipe.replace(peak_lr=0.01),
            seed=seed,
            device="cpu",
        )
        assert run.weights_digest == alone.weights_digest


def test_an_error_of_one_net_does_not_end_the_trainings_beside_it(blob_data: Dataset) -> None:
    def train(seed: int, *, fails: bool) -> Any:
        net = netlet.build(_chain, seed)
        if fails:
            net.register_forward_hook(_refuse)
        return iterate_fit(net, blob_data, FAST.replace(epochs=1), seed=seed, device="cpu")

    def _refuse(*_: object) -> None:
        if torch.is_grad_enabled():  # while training; before that the net is looked at
            raise AssertionError("not today")

    first, failed, last = finish_together(
        [train(0, fails=False), train(1, fails=True), train(2, fails=False)], torch.device("cpu")
    )
    assert isinstance(first, Run)
    assert "not today" in str(failed)
    assert isinstance(last, Run)


@pytest.mark.slow
def test_an_experiment_trains_several_seeds_together(blob_data: Dataset) -> None:
    experiment = netlet.find_experiment("5 7")
    experiment = dataclasses.replace(experiment, recipe=FAST.replace(epochs=1))
    runs = experiment.run_together(blob_data, [3, 4], val=100)
    for seed, run in zip((3, 4), runs, strict=True):
        assert isinstance(run, Run)
        assert run.weights_digest == experiment.run(blob_data, seed, val=100).weights_digest
        assert run.last_epoch.score.total == 100


def test_a_training_gives_the_net_back_on_its_device(blob_data: Dataset) -> None:
    net = netlet.build(_chain, 0)
    moved: list[str] = []
    with mock.patch.object(net, "to", lambda device: moved.append(str(device)) or net):
        fit(net, blob_data, FAST.replace(epochs=1), device="cpu")
    assert moved == ["cpu", "cpu"]  # to the device of the training, and home
