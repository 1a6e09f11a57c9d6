"""The trainer on small data: determinism, splits, records, optimizers, fast layers, errors."""

from __future__ import annotations

import copy
import dataclasses
import math
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures import changed_weights, slips
from helpers import few_fast, flat_net
from numpy.random import SFC64
from torch import nn
from torch.nn import functional as F

import netlet
from netlet import __version__, budgets, records
from netlet.backends.eager_cpu_layers import fast_dropout, use_fast_cpu_layers
from netlet.backends.flat_parameters import FlatParameters, flatten_parameters
from netlet.data import Dataset, Split
from netlet.errors import BudgetError, DataError, NetError, NetletWarning, TrainingError
from netlet.evaluation import Evaluation, evaluate
from netlet.nets.blocks import conv_bn, stack_layers
from netlet.nets.device_errors import describe_device_error
from netlet.nets.weights import load_weights, save_weights, weights_digest
from netlet.recipes import AUGMENTS, QUICK, Recipe, Warp
from netlet.records import Epoch, Run
from netlet.report import study_page, write
from netlet.training import Callback, Checkpoint, Plan, Progress, Recorder, fit
from netlet.training.averaging import WeightAverage
from netlet.training.optimizers import make_optimizer
from netlet.training.orthogonalization import Orthogonalization

FAST = Recipe(
    epochs=2,
    batch_size=50,
    peak_lr=0.02,
    augment=(Warp(shift_px=0.5),),
    averaging="ema",
    ema_decay=0.9,
    dropout=0.1,
)


def small() -> nn.Module:
    return stack_layers(
        stem=conv_bn(1, 8),
        halve=nn.MaxPool2d(2),
        drop=nn.Dropout(0.3),
        grow=conv_bn(8, 12, kernel=5),
        flat=nn.Flatten(),
        head=nn.Linear(12 * 81, 10),
    )


def run(
    data: Dataset, recipe: Recipe = FAST, seed: int = 0, **more: object
) -> tuple[Run, nn.Module]:
    net = netlet.build(small, seed)
    return fit(net, data, recipe, seed=seed, **more), net  # type: ignore[arg-type]


@pytest.mark.parametrize("precision", few_fast(["float32", "bf16"], 1))
def test_same_seed_gives_bit_identical_weights(blob_data: Dataset, precision: str) -> None:
    recipe = FAST.replace(precision=precision)
    one, net = run(blob_data, recipe)
    torch.rand(7)  # the state of the global generator must not matter
    two, again = run(blob_data, recipe)
    assert one.weights_digest == two.weights_digest
    assert all(
        torch.equal(a, b)
        for a, b in zip(net.state_dict().values(), again.state_dict().values(), strict=True)
    )
    assert [e.train_loss for e in one.epochs] == [e.train_loss for e in two.epochs]
    other, _ = run(blob_data, recipe, seed=1)
    assert other.weights_digest != one.weights_digest


def test_a_net_whose_weights_the_seed_does_not_give_is_told(
    blob_data: Dataset, recwarn: pytest.WarningsRecorder
) -> None:
    class Own(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Flatten(), nn.Linear(784, 10))

    recipe = FAST.replace(epochs=1, backend="eager")
    net = netlet.build(Own, seed=1)
    fit(net, blob_data, recipe, seed=1)
    assert not [one for one in recwarn if issubclass(one.category, NetletWarning)]
    restored = netlet.build(Own, seed=1)
    restored.load_state_dict(net.state_dict())
    repeat = (
        "so seed=1 alone does not reproduce this run; to reproduce it, build the net with "
        "netlet.build"
    )
    own = Own()
    own.load_state_dict(net.state_dict())
    with torch.no_grad():
        own[1].bias += 1  # netlet does not know these weights, as if they were from a file
    for other, begins in (
        (Own(), r"not those of netlet\.build"),
        (own, r"not those of netlet\.build"),
        (restored, r"not those of netlet\.build"),
        (netlet.build(Own, seed=0), "those of seed 0"),
        (copy.deepcopy(netlet.build(Own, seed=0)), "those of seed 0"),
    ):
        given = weights_digest(other)
        with pytest.warns(NetletWarning, match=f"begins with are {begins}, {repeat}"):
            assert fit(other, blob_data, recipe, seed=1).initial_weights_digest == given
    same = netlet.build(Own, seed=1)
    same.load_state_dict(netlet.build(Own, seed=1).state_dict())
    changed = netlet.build(Own, seed=1)
    changed[1].weight.data = torch.zeros(10, 784)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for of_seed in (same, copy.deepcopy(netlet.build(Own, seed=1))):
            assert fit(of_seed, blob_data, recipe, seed=1).initial_weights_digest == ""
    assert not [one for one in caught if issubclass(one.category, NetletWarning)]
    given = weights_digest(changed)
    with pytest.warns(NetletWarning, match=repeat):
        assert fit(changed, blob_data, recipe, seed=1).initial_weights_digest == given
    given = weights_digest(net)
    with pytest.warns(
        NetletWarning, match=r"has been trained before.*netlet\.build\(Own, seed=1\)"
    ):
        assert fit(net, blob_data, recipe, seed=1).initial_weights_digest == given


def test_a_net_that_ran_in_training_mode_does_not_begin_with_its_seed(blob_data: Dataset) -> None:
    """The statistics of batch norm are other ones then, and so is the trained net."""
    recipe, images = FAST.replace(epochs=1, backend="eager"), blob_data.train.images[:4]

    def build() -> nn.Module:
        return netlet.build(lambda: nn.Sequential(nn.BatchNorm2d(1), flat_net()), seed=0)

    seen, ran = build(), build()
    seen.eval()(images / 255)
    netlet.summary(seen)
    assert fit(seen, blob_data, recipe).initial_weights_digest == ""
    ran(images / 255)
    given = weights_digest(ran)
    with pytest.warns(NetletWarning, match="those of seed 0, but its buffers have changed since"):
        assert fit(ran, blob_data, recipe).initial_weights_digest == given


def test_a_copy_of_a_trained_net_begins_with_given_weights(few: Dataset, tmp_path: Path) -> None:
    recipe, path = FAST.replace(epochs=1), tmp_path / "own.safetensors"
    trained = netlet.build(small, 0)
    fit(trained, few, recipe)
    save_weights(trained, path)
    with torch.no_grad():
        trained.head.bias += 1  # type: ignore[operator, union-attr]
    changed = tmp_path / "changed.safetensors"
    save_weights(trained, changed)
    before, begins = "has been trained before", "begins with are not those of netlet.build"
    again, loaded, of_file = small(), small(), small()
    load_weights(loaded, path)
    load_weights(of_file, changed)
    again.load_state_dict(loaded.state_dict())
    for net, warned in (
        (copy.deepcopy(again), before),
        (again, before),
        (loaded, before),
        (of_file, begins),
        (copy.deepcopy(of_file), begins),
    ):
        given = weights_digest(net)
        with pytest.warns(NetletWarning, match=warned):
            assert fit(net, few, recipe).initial_weights_digest == given


def test_a_run_of_a_net_of_torch_is_named_after_the_function_that_built_it(few: Dataset) -> None:
    class Own(nn.Sequential):
        def __init__(self) -> None:
            super().__init__(nn.Flatten(), nn.Linear(784, 10))

    def wide() -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))

    def own() -> nn.Module:
        return Own()

    recipe = FAST.replace(epochs=1)
    names = [fit(netlet.build(builder, seed=0), few, recipe).name for builder in (wide, own, Own)]
    assert names == ["wide", "Own", "Own"]
    named = fit(netlet.build(wide, seed=0), few, recipe, name="mine")
    assert (named.name, named.net) == ("mine", "wide")
    assert fit(netlet.build(lambda: wide(), seed=0), few, recipe).name == "Sequential"


def test_a_class_that_cannot_be_built_is_refused_with_the_line_to_add() -> None:
    class Early(nn.Module):
        def __init__(self) -> None:
            self.conv = nn.Conv2d(1, 8, 3)

    with pytest.raises(NetError, match=r"called super\(\).__init__\(\); make that its first line$"):
        netlet.build(Early, seed=0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"seed": "0"}, "the seed is of the type str; pass a whole number like 0"),
        ({"seed": None}, "the seed is of the type NoneType; pass a whole number like 0"),
        ({"seed": -1}, "seed=-1 is out of range; give one from 0 to"),
        ({"callbacks": Callback()}, r"callbacks is of the type Callback; pass a list, like \["),
    ],
)
def test_arguments_of_another_type_are_refused(
    blob_data: Dataset, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises((TypeError, NetError), match=message):
        fit(netlet.build(small, 0), blob_data, FAST, **arguments)


def test_a_mean_of_gray_levels_up_to_255_is_noticed(few: Dataset) -> None:
    recipe = FAST.replace(epochs=1, mean=33.3, std=78.6)
    with pytest.warns(NetletWarning, match=r"mean=33.3, but gray levels are from 0 to 1 here; div"):
        fit(netlet.build(small, 0), few, recipe)


@pytest.mark.parametrize("net", [slips.LayerMadeInForward, slips.LayersInAList])
def test_a_run_of_a_net_with_weights_outside_of_it_can_be_read_and_reported(
    few: Dataset, tmp_path: Path, net: type[nn.Module]
) -> None:
    recipe = FAST.replace(epochs=1, backend="eager")
    fit(netlet.build(net, 0), few, recipe, callbacks=[Recorder(str(tmp_path / "run"))])
    found = netlet.load_run(tmp_path / "run")
    outside = [name for name, _ in found.cost["spending"]["weights outside the net"]]
    assert outside
    assert len({*outside}) == len(outside)
    page = study_page(netlet.Study.from_runs([found]))
    assert ">conv 3×3<" in page.pictures["net.svg"]
    assert [path.name for path in write(page, str(tmp_path / "page.html"))] == ["page.html"]


@pytest.mark.parametrize(
    ("net", "row"),
    [
        (changed_weights.weight_normed, ("_WeightNorm (of weights)", (8, 1, 3, 3), 0)),
        (changed_weights.spectral_normed, ("_SpectralNorm (of weights)", (8, 1, 3, 3), 80)),
        (changed_weights.pruned, ("Conv2d", (8, 26, 26), 48672)),
        (changed_weights.scaled, ("fixed weights in a buffer", (), 0)),
    ],
)
def test_a_run_of_a_net_that_computes_its_weights_can_be_read(
    few: Dataset, tmp_path: Path, net: Callable[[], nn.Module], row: tuple[Any, ...]
) -> None:
    recipe = FAST.replace(epochs=1, backend="eager")
    fit(netlet.build(net, 0), few, recipe, callbacks=[Recorder(str(tmp_path / "run"))])
    found = netlet.load_run(tmp_path / "run")
    rows = [(one["kind"], tuple(one["output"]), one["macs"]) for one in found.summary["rows"]]
    assert row in rows
    # Weights are no feature map.
    maps = [bytes_ for _, bytes_ in found.cost["spending"]["activation bytes"]]
    assert sorted(maps) == [32, 32, 40, 4 * 8 * 26 * 26, 4 * 8 * 26 * 26]


def test_a_run_of_a_net_that_moves_channels_into_the_batch_can_be_read(
    few: Dataset, tmp_path: Path
) -> None:
    recipe = FAST.replace(epochs=1, backend="eager")
    net = netlet.build(changed_weights.ChannelsInBatch, 0)
    fit(net, few, recipe, callbacks=[Recorder(str(tmp_path / "run"))])
    found = netlet.load_run(tmp_path / "run")
    assert (8, 1, 26, 26) in [tuple(one["output"]) for one in found.summary["rows"]]
    maps = dict(found.cost["spending"]["activation bytes"])
    assert maps["(net) (reshape)"] == maps["first (Conv2d)"] == 4 * 8 * 26 * 26


def test_training_preserves_the_global_random_state(blob_data: Dataset) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    run(blob_data)
    assert torch.equal(torch.rand(3), expected)


def test_net_learns_and_the_record_is_consistent(blob_data: Dataset) -> None:
    record, net = run(
        blob_data, FAST.replace(epochs=6), budget=budgets.TWENTY_K.replace(accuracy_at_least=90)
    )
    assert record.last_epoch.split == "test"
    assert record.last_epoch.correct >= 95
    assert record.verdict is not None
    assert record.verdict.passed
    assert len(record.epochs) == 6
    assert record.epochs[-1].held_out == record.last_epoch.score
    assert record.best_epoch.correct == max(epoch.held_out.correct for epoch in record.epochs)
    scored = evaluate(net, blob_data.held_out, FAST, 10)
    assert scored.score == record.last_epoch.score
    assert sum(map(sum, record.confusion)) == 100
    assert sum(row[k] for k, row in enumerate(record.confusion)) == record.last_epoch.correct
    assert len(record.mistakes) == 100 - record.last_epoch.correct
    assert sum(bin_.images for bin_ in record.calibration) == 100
    assert record.epochs[0].train.total == 600
    assert record.train_score.split == "train"
    assert record.train_score.total == 600
    assert record.epochs[-1].train_loss < record.epochs[0].train_loss
    assert record.cost["parameters"] == sum(p.numel() for p in net.parameters())
    assert record.summary["rows"][0]["name"] == "stem.0"
    assert record.environment["threads"] == torch.get_num_threads()
    assert record.environment["netlet"] == __version__
    assert record.data["checksums"] == dict(blob_data.checksums)


def test_validation_run_never_reads_the_test_split(blob_data: Dataset) -> None:
    poisoned = dataclasses.replace(
        blob_data, held_out=blob_data.held_out.take(torch.zeros(0, dtype=torch.int64))
    )  # evaluating an empty split would fail
    record, _ = run(poisoned, val=60, budget=budgets.TWENTY_K)
    assert record.last_epoch.split == "val"
    assert record.last_epoch.total == 60
    assert record.data["images"] == {"train": 540, "val": 60}
    assert record.verdict is not None
    assert record.verdict.state == "NOT YET"
    with pytest.raises(DataError, match="val=599 of 600"):
        run(blob_data, val=599)


def test_a_budget_with_a_misspelled_layer_is_refused_before_the_first_epoch(
    blob_data: Dataset,
) -> None:
    seen = []

    class Counter(Callback):
        def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
            seen.append(epochs)

    budget = budgets.Budget(name="mine", forbids=("Conv2x",))
    with pytest.raises(BudgetError, match="budget mine: no kind of layer is called 'Conv2x'"):
        run(blob_data, budget=budget, callbacks=[Counter()])
    assert not seen


def test_record_survives_a_round_trip_through_json(blob_data: Dataset, tmp_path: Path) -> None:
    record, _ = run(blob_data, budget=budgets.EIGHT_K)
    assert Run.from_json(record.to_json()) == record
    records.save_run(record, tmp_path)
    assert records.load_run(tmp_path) == record
    as_dict = record.to_dict()
    assert as_dict["last_epoch"] == {
        "epoch": 2,
        "split": "test",
        "correct": record.last_epoch.correct,
        "total": 100,
    }
    assert as_dict["verdict"]["state"] == record.verdict.state  # type: ignore[union-attr]


class EventLog(Callback):
    def __init__(self) -> None:
        self.plan: Plan | None = None
        self.progress: list[Progress] = []
        self.epochs: list[int] = []
        self.run: Run | None = None

    def on_start(self, plan: Plan) -> None:
        self.plan = plan

    def on_step(self, progress: Progress) -> None:
        self.progress.append(progress)

    def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
        self.epochs.append(len(epochs))

    def on_finish(self, run: Run, net: nn.Module) -> None:
        self.run = run


def test_callbacks_receive_all_events_and_the_trainer_prints_nothing(
    blob_data: Dataset, capfd: pytest.CaptureFixture[str]
) -> None:
    log = EventLog()
    record, _ = run(blob_data, callbacks=[log])
    assert capfd.readouterr() == ("", "")
    assert log.plan is not None
    assert (log.plan.steps_per_epoch, log.plan.held_out_images) == (12, 100)
    assert log.epochs == [1, 2]
    assert [p.images for p in log.progress if p.step == 12] == [600, 600]
    assert log.progress[-1].correct == record.epochs[-1].train.correct
    assert log.run is record


def test_each_epoch_is_evaluated_once(blob_data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluated: list[tuple[str, int]] = []

    def count(net: nn.Module, split: Split, *arguments: object) -> Evaluation:
        evaluated.append((split.name, len(split)))
        return evaluate(net, split, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("netlet.training.trainer.evaluate", count)
    run(blob_data)
    # One image to check the net's output, two epochs, and the training images at the end.
    assert evaluated == [("test", 1), ("test", 100), ("test", 100), ("train", 600)]


def test_device_errors_give_one_line_with_the_reason(blob_data: Dataset) -> None:
    class Fails(nn.Sequential):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if self.training:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            return super().forward(x)

    with pytest.raises(NetError, match=r"ran out of memory \(CUDA out of memory.*smaller batches"):
        fit(Fails(nn.Flatten(), nn.Linear(784, 10)), blob_data, FAST)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (RuntimeError("CUDA error: device-side assert triggered"), "the CUDA device failed ("),
        (AssertionError("Torch not compiled with CUDA enabled"), "CUDA is not available ("),
        (
            RuntimeError(
                "Attempting to deserialize object on a CUDA device but torch.cuda.is_available() "
                "is False. Use torch.load with map_location=torch.device('cpu')"
            ),
            "CUDA is not available (",
        ),
        (AssertionError("train it with CUDA"), None),
        (AttributeError("module 'torch.cuda.amp' has no attribute 'cast'"), None),
        (FileNotFoundError(2, "No such file or directory", "cuda_weights.pt"), None),
        (KeyError("cuda"), None),
    ],
)
def test_only_an_error_of_a_device_is_called_one(error: Exception, message: str | None) -> None:
    described = describe_device_error(error)
    assert (described is None) == (message is None), described
    assert (described or "").startswith(message or "")


@pytest.mark.parametrize("name", ["gpu", "cuda0", "cuda:x", "Cuda"])
def test_an_unknown_device_is_named_with_what_to_write(name: str) -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.device(name)
    assert describe_device_error(caught.value) == (
        f'there is no device {name!r}; write "cuda" if torch.cuda.is_available() else "cpu"'
    )


def test_run_folder_contains_record_epochs_and_weights(blob_data: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "run"
    record, net = run(blob_data, callbacks=[Recorder(folder)])
    assert sorted(path.name for path in folder.iterdir()) == [
        "epochs.jsonl",
        "run.json",
        "weights.safetensors",
    ]
    assert len((folder / "epochs.jsonl").read_text().splitlines()) == 2
    fresh = small()
    load_weights(fresh, folder / "weights.safetensors")
    assert weights_digest(fresh) == record.weights_digest == weights_digest(net)
    assert records.load_run(folder) == record
    with pytest.raises(TrainingError, match="already exists; choose another folder"):
        run(blob_data, callbacks=[Recorder(folder)])
    with pytest.raises(TrainingError, match=r"x: cannot be created \(File exists\)"):
        run(blob_data, callbacks=[Recorder(folder / "run.json" / "x")])


def test_interrupted_run_keeps_its_epochs(blob_data: Dataset, tmp_path: Path) -> None:
    class Interrupts(Callback):
        def on_epoch_end(self, epochs: Sequence[Epoch], net: nn.Module) -> None:
            if len(epochs) == 2:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(blob_data, FAST.replace(epochs=4), callbacks=[Recorder(tmp_path / "run"), Interrupts()])
    assert len((tmp_path / "run" / "epochs.jsonl").read_text().splitlines()) == 2
    load_weights(small(), tmp_path / "run" / "weights.safetensors")
    assert not (tmp_path / "run" / "run.json").exists()


def test_dropout_rates_and_forward_methods_are_restored_after_training(blob_data: Dataset) -> None:
    _, net = run(blob_data, FAST.replace(dropout=0.5))
    assert net.drop.p == 0.3
    assert not any("forward" in vars(module) for module in net.modules())


def test_divergence_stops_the_training_with_advice(blob_data: Dataset) -> None:
    with pytest.raises(
        TrainingError, match=r"the loss is \S+ at .*epoch \d+.*; try a lower peak_lr than 1000"
    ):
        run(
            blob_data, FAST.replace(optimizer="sgd", peak_lr=1000.0, epochs=20, precision="float32")
        )


class LayersInAList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(784, 10)]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers[0](x.flatten(1))  # type: ignore[no-any-return]


def test_weights_that_are_not_trained_are_named_in_one_warning(
    blob_data: Dataset, recwarn: pytest.WarningsRecorder
) -> None:
    once = dataclasses.replace(FAST, epochs=1)
    nets = (slips.LayersInAList, slips.LayerMadeInForward, slips.Sound)
    for net in nets:
        fit(netlet.build(net, seed=0), blob_data, once)
    hidden = "not a parameter of the net, neither trained nor saved"
    assert [str(one.message) for one in recwarn if hidden in str(one.message)] == [
        f"convs[0].weight (and 3 more): {hidden}; use nn.ModuleList",
        f"random numbers made in forward: {hidden}; create their layer in __init__, or use "
        "nn.Parameter",
    ]
    assert {one.filename for one in recwarn if hidden in str(one.message)} == {__file__}


def test_nets_that_do_not_fit_the_data_are_rejected(blob_data: Dataset) -> None:
    with pytest.raises(NetError, match="it must return 1x10"):
        fit(nn.Sequential(nn.Flatten(), nn.Linear(784, 7)), blob_data, FAST)
    with pytest.raises(NetError, match=r"1 image of 10 .*squeeze\(\) also removes the batch dim"):
        fit(slips.SqueezesTheBatch(), blob_data, FAST)
    with pytest.raises(TrainingError, match="has no parameters; add a layer with weights"):
        fit(nn.Sequential(nn.AvgPool2d(28), nn.Flatten()), blob_data, FAST)
    with pytest.raises(
        TrainingError,
        match=r"^LayersInAList has no parameters; layers\[0\]\.weight is not one, neither trained "
        r"nor saved: use nn\.ModuleList$",
    ):
        fit(LayersInAList(), blob_data, FAST)
    with pytest.raises(NetError, match=r"Conv2d.*input 1x28x28"):
        fit(nn.Sequential(nn.Conv2d(3, 4, 3)), blob_data, FAST)


def test_net_that_returns_log_probabilities_can_be_trained(blob_data: Dataset) -> None:
    net = netlet.build(lambda: nn.Sequential(*small().children(), nn.LogSoftmax(1)), 0)
    record = fit(net, blob_data, FAST)
    assert record.weights_digest
    assert math.isfinite(record.epochs[-1].train_loss)


# --- parts of the trainer


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fast_dropout_has_the_right_rate_scale_and_independence(
    p: float, dtype: torch.dtype
) -> None:
    n = 400_003  # not a multiple of four
    x = torch.ones(n, dtype=dtype)
    out = fast_dropout(x, p, SFC64(0))
    kept = (out != 0).double()
    assert kept.mean().item() == pytest.approx(1 - p, abs=4 * math.sqrt(p * (1 - p) / n))
    # Kept elements have the same value as with torch's dropout.
    assert out.unique().tolist() == pytest.approx([0, F.dropout(x, p).max().item()], rel=1e-4)
    # Elements are independent, both neighbors and those from other words of random bits.
    for lag in (1, 2, 3, 4, 8, 64):
        pairs = torch.stack([kept[:-lag], kept[lag:]])
        assert abs(torch.corrcoef(pairs)[0, 1].item()) < 4 / math.sqrt(n)


def test_fast_dropout_keeps_strides_and_passes_the_gradient() -> None:
    x = torch.randn(4, 8, 5, 5).to(memory_format=torch.channels_last).requires_grad_()
    out = fast_dropout(x, 0.4, SFC64(1))
    assert out.stride() == x.stride()
    out.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad != 0, out != 0)
    assert x.grad.max().item() == pytest.approx(1 / 0.6, rel=1e-4)


@pytest.mark.parametrize("p", [0.0, 1.0])
def test_fast_dropout_with_rate_zero_and_one(p: float) -> None:
    x = torch.ones(10)
    assert torch.equal(fast_dropout(x, p, SFC64(0)), x * (1 - p))


@pytest.mark.parametrize(
    "pool",
    [nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d((1, 2)), nn.MaxPool2d(3, 1, dilation=2)],
)
def test_fast_max_pooling_equals_pytorch(pool: nn.MaxPool2d) -> None:
    x = torch.randn(3, 5, 13, 12)
    x.requires_grad_()
    plain = pool(x)
    plain.square().sum().backward()
    gradient, x.grad = x.grad, None
    with use_fast_cpu_layers(pool, SFC64(0)):
        fast = pool(x)
        fast.square().sum().backward()
        assert pool(x[0]).shape == plain[0].shape
    assert torch.equal(fast, plain)
    assert torch.equal(x.grad, gradient)  # type: ignore[arg-type]
    assert fast.is_contiguous()


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize(
    "conv",
    [
        nn.Conv2d(1, 8, 3),
        nn.Conv2d(1, 16, 5, stride=2, bias=False),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Conv2d(8, 10, 3, dilation=2),
        nn.Conv2d(8, 16, 3),
        nn.Conv2d(8, 12, (1, 3), padding=(0, 1)),
        nn.Conv2d(8, 4, 1),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.Conv2d(8, 8, 3, padding="same"),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"),
    ],
    ids=str,
)
def test_fast_convolution_equals_pytorch(conv: nn.Conv2d, half: bool) -> None:
    torch.manual_seed(0)
    x = torch.randn(4, conv.in_channels, 11, 12, requires_grad=True)

    def passed() -> tuple[torch.Tensor, ...]:
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            y = conv(x)
        y.float().square().sum().backward()
        found = (y.detach(), *(p.grad for p in (x, *conv.parameters())))
        x.grad = None
        conv.zero_grad()
        return found  # type: ignore[return-value]

    plain = passed()
    with use_fast_cpu_layers(conv, SFC64(0)):
        fast = passed()
    assert all(a.dtype == b.dtype and b.is_contiguous() for a, b in zip(plain, fast, strict=True))
    assert torch.equal(plain[0], fast[0])
    for a, b in zip(plain, fast, strict=True):
        torch.testing.assert_close(
            b, a, rtol=2e-2 if half else 1e-4, atol=float(a.abs().max()) * (1e-2 if half else 1e-5)
        )


@pytest.mark.parametrize("half", [False, True])
def test_fast_1x1_convolution_before_a_pooling_equals_pytorch(half: bool) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, bias=False),
        nn.ReLU(),
        nn.Conv2d(16, 8, 1),
        nn.MaxPool2d(2),
        nn.Sigmoid(),
    )
    x = torch.randn(4, 1, 12, 12)

    def gradients() -> list[torch.Tensor]:
        net.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            net(x).float().square().mul(torch.linspace(0, 1, 25).view(5, 5)).sum().backward()
        return [p.grad.clone() for p in net.parameters()]  # type: ignore[union-attr]

    plain = gradients()
    with use_fast_cpu_layers(net, SFC64(0)):
        fast = gradients()
    for a, b in zip(plain, fast, strict=True):
        torch.testing.assert_close(
            b, a, rtol=5e-2 if half else 1e-3, atol=float(a.abs().max()) * (3e-2 if half else 1e-4)
        )


def test_fast_layers_do_not_change_evaluation() -> None:
    net = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.5, inplace=True), nn.Dropout2d(0.5)).eval()
    x = torch.ones(2, 3, 4, 4)
    with use_fast_cpu_layers(net, SFC64(0)):
        assert torch.equal(net(x), x)


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(optimizer="adamw"),
        Recipe(optimizer="adamw", weight_decay=0.3, momentum=0.8, beta2=0.95),
        Recipe(optimizer="adamw", weight_decay=0.3, decay_norms_and_biases=True),
        Recipe(optimizer="sgd", momentum=0.0),
        Recipe(optimizer="sgd", momentum=0.8, weight_decay=0.1),
        Recipe(
            optimizer="sgd",
            momentum=0.8,
            nesterov=True,
            weight_decay=0.1,
            decay_norms_and_biases=True,
        ),
    ],
)
def test_optimizers_match_torch_optim(recipe: Recipe) -> None:
    net = small()
    theirs = copy.deepcopy(net)
    decay = recipe.weight_decay
    groups = [
        {"params": [p for p in theirs.parameters() if p.ndim >= 2], "weight_decay": decay},
        {
            "params": [p for p in theirs.parameters() if p.ndim < 2],
            "weight_decay": decay if recipe.decay_norms_and_biases else 0.0,
        },
    ]
    reference: torch.optim.Optimizer
    if recipe.optimizer == "sgd":
        reference = torch.optim.SGD(
            groups, lr=1.0, momentum=recipe.momentum, nesterov=recipe.nesterov
        )
    else:
        reference = torch.optim.AdamW(groups, lr=1.0, betas=(recipe.momentum, recipe.beta2))
    random = torch.Generator().manual_seed(0)
    with flatten_parameters(net) as flat:
        mine = make_optimizer(flat, recipe)
        for rate in (0.01, 0.03, 0.02, 0.02):
            for a, b in zip(net.parameters(), theirs.parameters(), strict=True):
                assert a.grad is not None
                b.grad = torch.randn(b.shape, generator=random)
                a.grad.copy_(b.grad)
            for group in reference.param_groups:
                group["lr"] = rate
            reference.step()
            mine.step(rate)
            for a, b in zip(net.parameters(), theirs.parameters(), strict=True):
                torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)


def trace_updates(
    recipe: Recipe, shape: tuple[int, ...], gradients: list[torch.Tensor], rate: float
) -> list[torch.Tensor]:
    """Return a weight after each step; it starts at ones and lies beside a bias."""
    net = nn.Module()
    net.weight, net.bias = nn.Parameter(torch.ones(shape)), nn.Parameter(torch.ones(2))
    seen = []
    with flatten_parameters(net) as flat:
        mine = make_optimizer(flat, recipe)
        for gradient in gradients:
            assert net.weight.grad is not None
            net.weight.grad.copy_(gradient.view(shape))
            mine.step(rate)
            seen.append(net.weight.detach().clone())
    return seen


def test_muon_updates_along_its_orthogonalized_momentum() -> None:
    random = torch.Generator().manual_seed(0)
    gradients = [
        torch.randn(6, 2 * 3 * 3, generator=random) * torch.logspace(0, -2, 18) for _ in range(3)
    ]
    recipe = Recipe(optimizer="muon", momentum=0.8, weight_decay=0.5)
    weight, momentum = torch.ones(6, 18), torch.zeros(6, 18)
    for found, gradient in zip(
        trace_updates(recipe, (6, 2, 3, 3), gradients, 0.1), gradients, strict=True
    ):
        momentum = 0.8 * momentum + 0.2 * gradient
        u, _, v = torch.linalg.svd(0.2 * gradient + 0.8 * momentum, full_matrices=False)
        step = (weight * (1 - 0.1 * 0.5) - found.view(6, 18)) / (0.1 * 0.2 * 18**0.5)
        # The iteration keeps the singular vectors and leaves singular values between 0.7 and 1.2.
        inner = u.T @ step @ v.T
        assert ((inner.diagonal() > 0.67) & (inner.diagonal() < 1.21)).all()
        assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-3
        weight = found.view(6, 18)


def test_matrices_are_orthogonalized_as_if_each_were_alone() -> None:
    shapes = [(4, 9), (9, 4), (1, 25), (6, 6), (40, 3), (3, 80), (33, 64), (1, 1)]
    random = torch.Generator().manual_seed(5)
    matrices = [torch.randn(shape, generator=random) for shape in shapes]
    scales = [1.0 + i for i in range(len(shapes))]
    values = torch.cat([matrix.flatten() for matrix in matrices])
    together = Orthogonalization(shapes, scales, values)(values)
    parts = together.split([matrix.numel() for matrix in matrices])
    for part, matrix, scale in zip(parts, matrices, scales, strict=True):
        alone = Orthogonalization([tuple(matrix.shape)], [scale], values)(matrix.flatten())
        torch.testing.assert_close(part, alone, rtol=1e-4, atol=1e-5)
        u, _, v = torch.linalg.svd(matrix, full_matrices=False)
        inner = u.T @ part.view_as(matrix) @ v.T / scale
        assert ((inner.diagonal() > 0.67) & (inner.diagonal() < 1.21)).all()
        assert (inner - torch.diag(inner.diagonal())).abs().max() < 1e-3


@pytest.mark.parametrize("shape", [(3, 7), (8, 2, 2, 2)])
def test_soap_is_adamw_in_the_eigenbasis_of_the_gradients(shape: tuple[int, ...]) -> None:
    rows, columns, steps = shape[0], int(torch.tensor(shape[1:]).prod()), 25
    n = min(rows, columns)
    random = torch.Generator().manual_seed(1)
    u = torch.linalg.qr(torch.randn(rows, rows, generator=random))[0][:, :n]
    v = torch.linalg.qr(torch.randn(columns, columns, generator=random))[0][:, :n]
    sizes = torch.logspace(0, -1, n) * (1 + torch.rand(steps, n, generator=random) / 10)
    gradients = [u @ torch.diag(size) @ v.T for size in sizes]
    recipe = Recipe(optimizer="soap", momentum=0.8, beta2=0.9)
    found = trace_updates(recipe, shape, gradients, 0.01)
    assert torch.equal(found[0], torch.ones(shape))  # the first step only initializes the basis
    diagonal = nn.Parameter(torch.zeros(n))
    reference = torch.optim.AdamW([diagonal], lr=0.01, betas=(0.8, 0.9), weight_decay=0.0)
    for place, size in zip(found[1:], sizes[1:], strict=True):
        diagonal.grad = size.clone()
        reference.step()
        moved = u.T @ (place.view(rows, columns) - 1) @ v
        torch.testing.assert_close(moved.diagonal(), diagonal.detach(), rtol=2e-3, atol=1e-5)


def test_soap_does_not_precondition_sides_that_are_too_wide(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    random = torch.Generator().manual_seed(2)
    gradients = [torch.randn(3, 8, generator=random) for _ in range(4)]
    both = trace_updates(Recipe(optimizer="soap"), (3, 8), gradients, 0.01)
    monkeypatch.setattr("netlet.training.optimizers._MAX_PRECONDITIONED_SIDE", 5)
    one = trace_updates(Recipe(optimizer="soap"), (3, 8), gradients, 0.01)
    monkeypatch.setattr("netlet.training.optimizers._MAX_PRECONDITIONED_SIDE", 2)
    none = trace_updates(Recipe(optimizer="soap"), (3, 8), gradients, 0.01)
    assert not torch.allclose(both[-1], one[-1])
    weight = nn.Parameter(torch.ones(3, 8))
    reference = torch.optim.AdamW([weight], lr=0.01, betas=(0.9, 0.99), weight_decay=0.0)
    for found, gradient in zip(none[1:], gradients[1:], strict=True):
        weight.grad = gradient
        reference.step()
        torch.testing.assert_close(found, weight.detach())


@pytest.mark.parametrize("name", ["muon", "soap"])
def test_updates_do_not_depend_on_the_layout_of_a_weight_in_memory(name: str) -> None:
    random = torch.Generator().manual_seed(4)
    gradients = [torch.randn(6, 4, 3, 3, generator=random) for _ in range(13)]
    seen = []
    for layout in (torch.contiguous_format, torch.channels_last):
        net = nn.Conv2d(4, 6, 3, bias=False)
        nn.init.ones_(net.weight)
        net.to(memory_format=layout)
        with flatten_parameters(net) as flat:
            mine = make_optimizer(flat, Recipe(optimizer=name, weight_decay=0.1))
            for gradient in gradients:
                assert net.weight.grad is not None
                net.weight.grad.copy_(gradient)
                mine.step(0.01)
        seen.append(net.weight.detach())
    torch.testing.assert_close(*seen)


@pytest.mark.parametrize("name", ["muon", "soap"])
def test_norms_and_biases_are_updated_by_adamw(name: str) -> None:
    random = torch.Generator().manual_seed(0)
    net = small()
    nets = [net, copy.deepcopy(net)]
    with flatten_parameters(nets[0]) as one, flatten_parameters(nets[1]) as two:
        recipe = Recipe(weight_decay=0.3, decay_norms_and_biases=True)
        optimizers = [
            make_optimizer(one, recipe.replace(optimizer=name)),
            make_optimizer(two, recipe),
        ]
        for _ in range(3):
            for a, b in zip(*(net.parameters() for net in nets), strict=True):
                assert a.grad is not None
                assert b.grad is not None
                b.grad.copy_(a.grad.copy_(torch.randn(a.shape, generator=random)))
            for each in optimizers:
                each.step(0.02)
    for a, b in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.equal(a, b) == (a.ndim < 2)


def test_flattened_parameters_are_views_with_the_same_values() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Conv2d(1, 3, 2), nn.BatchNorm2d(3))
            self.tied = nn.Parameter(self.inner[0].weight.data)  # type: ignore[arg-type] # the same memory
            self.still = nn.Parameter(torch.ones(2), requires_grad=False)
            self.register_buffer("own", torch.ones(2))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.own = self.own * 2
            return self.inner(x).sum() * self.tied.sum()  # type: ignore[no-any-return]

    net = Odd()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    with flatten_parameters(net) as flat:
        assert all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
        # Tied parameters keep their memory.
        assert sorted((len(one.weights), one.matrix_size) for one in flat.groups) == [
            (9, 0),
            (12, 12),
            (12, 12),
        ]
        assert net.inner[0].weight.data_ptr() == net.tied.data_ptr()  # type: ignore[union-attr]
        assert [tensor.numel() for tensor in flat.counters] == [1]
        net(torch.ones(1, 1, 4, 4)).backward()
        (vectors,) = [one for one in flat.groups if not one.matrix_size]
        assert vectors.gradient.abs().sum() > 0
        assert [tensor.tolist() for tensor in flat.other_tensors()] == [[1, 1], [2, 2]]
        with torch.no_grad():
            vectors.weights.fill_(7)
    assert net.inner[0].bias.tolist() == [7, 7, 7]  # type: ignore[union-attr]
    assert all(p.grad is None for p in net.parameters())
    assert net.inner[0].bias.untyped_storage().nbytes() == 12  # type: ignore[union-attr]


def test_weight_averages_match_manual_computation() -> None:
    net = nn.Linear(1, 1, bias=False)
    flat = FlatParameters(net)

    def average_of(values: Sequence[float], recipe: Recipe) -> float:
        average = WeightAverage(net, recipe, len(values))
        for step, value in enumerate(values):
            net.weight.data.fill_(value)
            average.update(flat, step)
        return next(average.net.parameters()).item()

    assert average_of([1, 2, 3, 4], Recipe(averaging="none")) == 4
    assert average_of([1, 2, 3, 5], Recipe(averaging="tail", tail_share=0.5)) == pytest.approx(4)
    # The first value counts fully. Then 2/11, 3/12, ... of the average are kept, at most the decay.
    assert average_of([1, 2], Recipe(averaging="ema", ema_decay=0.5)) == pytest.approx(
        1 * 2 / 11 + 2 * 9 / 11
    )
    assert average_of([1, 2], Recipe(averaging="ema", ema_decay=0.1)) == pytest.approx(
        1 * 0.1 + 2 * 0.9
    )


def test_a_resumed_run_keeps_the_time_of_its_beginning(blob_data: Dataset) -> None:
    kept: list[Checkpoint] = []

    class Keeps(Callback):
        def on_checkpoint(self, checkpoint: Checkpoint) -> None:
            kept.append(checkpoint)

    whole = fit(netlet.build(small, 0), blob_data, FAST, callbacks=[Keeps()])
    assert kept[0].started_at == whole.started_at
    began = "2020-02-03T04:05:06+00:00"
    resumed = fit(
        netlet.build(small, 0),
        blob_data,
        FAST,
        resume=dataclasses.replace(kept[1], started_at=began),
    )
    assert resumed.started_at == began
    assert resumed.weights_digest == whole.weights_digest


@pytest.mark.parametrize("averaging", ["ema", "tail"])
def test_an_infinite_mask_stays_as_it_is_in_the_average(averaging: str) -> None:
    net = nn.Linear(2, 1)
    net.register_buffer("mask", torch.tensor([0.0, -math.inf]))
    net.register_buffer("count", torch.tensor([1.0]))
    flat = FlatParameters(net)
    average = WeightAverage(net, Recipe(averaging=averaging, tail_share=1.0), 3)  # type: ignore[arg-type]
    for step in range(3):
        net.count.fill_(step)
        average.update(flat, step)
    buffers = dict(average.net.named_buffers())
    assert buffers["mask"].tolist() == [0.0, -math.inf]
    assert 0 < buffers["count"].item() < 2


def test_calibration_and_confusion_match_manual_computation() -> None:
    class Fixed(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[0.97, 0.03], [0.3, 0.7], [0.45, 0.55]]).log()[: len(x)]

    split = Split("test", torch.zeros(3, 1, 2, 2, dtype=torch.uint8), torch.tensor([0, 0, 1]))
    found = evaluate(Fixed(), split, Recipe(), 2)
    assert found.score == netlet.budgets.Score("test", 2, 3)
    assert found.confusion == ((1, 1), (0, 1))
    assert found.loss == pytest.approx(
        -(math.log(0.97) + math.log(0.3) + math.log(0.55)) / 3, rel=1e-5
    )
    (mistake,) = found.mistakes
    assert (mistake.image, mistake.label, mistake.predicted, mistake.confidence) == (
        1,
        0,
        1,
        pytest.approx(0.7),
    )
    filled = {(round(b.low, 1), b.images, b.correct) for b in found.calibration if b.images}
    assert filled == {(0.9, 1, 1), (0.7, 1, 0), (0.5, 1, 1)} or filled == {
        (0.9, 1, 1),
        (0.6, 1, 0),
        (0.5, 1, 1),
    }


def test_augmentation_of_document_001_trains(blob_data: Dataset) -> None:
    record, _ = run(
        blob_data, netlet.catalog.find_recipe("document_001").replace(epochs=1, batch_size=60)
    )
    assert record.recipe["augment"][0]["fill"] == 1
    assert AUGMENTS["document_001"][0].fill == 1


class KeepsMaps(nn.Module):
    """Keeps feature maps of its last runs, as nets do whose maps are plotted."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 10)
        self.maps: dict[str, list[torch.Tensor]] = {"conv": []}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(x))
        self.maps["conv"].append(x.mean((2, 3)))
        return self.head(self.maps["conv"][-1])


@pytest.mark.parametrize("backend", ["eager", "auto"])
def test_a_net_that_keeps_tensors_of_its_runs_is_trained(blob_data: Dataset, backend: str) -> None:
    net = KeepsMaps()
    net(torch.rand(2, 1, 28, 28))  # outside netlet, with gradients
    assert fit(net, blob_data, QUICK.replace(epochs=1, backend=backend)).epochs
    assert net.maps["conv"][0].grad_fn is not None


@pytest.mark.parametrize("precision", [torch.float64, torch.float16])
def test_a_net_of_another_precision_than_the_images_is_refused(
    blob_data: Dataset, precision: torch.dtype
) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10)).to(precision)
    with pytest.raises(NetError, match=r"its weights are float\d\d, .*; call \.float\(\) on the"):
        fit(net, blob_data, QUICK.replace(epochs=1))


def test_records_keep_changed_switches_as_text(blob_data: Dataset, tmp_path: Path) -> None:
    before = torch.backends.mkldnn.enabled
    torch.use_deterministic_algorithms(True)
    torch.backends.mkldnn.enabled = False
    try:
        recorder = Recorder(tmp_path / "run")
        run(blob_data, FAST.replace(epochs=1, backend="eager"), callbacks=[recorder])
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.mkldnn.enabled = before
    settings = netlet.load_run(tmp_path / "run").environment["settings"]
    assert settings["deterministic_algorithms"] == "True"
    assert settings["mkldnn_enabled"] == "False"


def test_records_leave_out_variables_that_change_no_bits(
    blob_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NVIDIA_VISIBLE_DEVICES", "NVIDIA_REQUIRE_CUDA", "CUDA_HOME", "TORCH_HOME"):
        monkeypatch.setenv(name, "/somewhere")
    monkeypatch.setenv("MKL_VERBOSE", "0")
    monkeypatch.setenv("NVIDIA_TF32_OVERRIDE", "0")
    settings = run(blob_data, FAST.replace(epochs=1))[0].environment["settings"]
    assert settings["NVIDIA_TF32_OVERRIDE"] == "0"
    assert "/somewhere" not in settings.values()
    assert "MKL_VERBOSE" not in settings


def _prepared_for_quantization() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(1, 2, 7, 7), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10))
    net.qconfig = torch.ao.quantization.get_default_qat_qconfig("x86")  # type: ignore[assignment]
    prepared: nn.Module = torch.ao.quantization.prepare_qat(net.train())
    return prepared


@pytest.mark.filterwarnings("ignore")  # PyTorch warns of its own defaults
def test_a_net_prepared_for_quantization_trains_and_its_weights_load(
    few: Dataset, tmp_path: Path
) -> None:
    recipe = Recipe(epochs=2, precision="float32")
    net = netlet.build(_prepared_for_quantization, 0)
    assert fit(net, few, recipe).epochs
    save_weights(net, tmp_path / "weights.safetensors")
    other = netlet.build(_prepared_for_quantization, 1)
    load_weights(other, tmp_path / "weights.safetensors")
    assert weights_digest(other) == weights_digest(net)
    assert netlet.cost(net).macs == 16 * 2 * 49 + 320
    # Its observers write into their buffers whatever the precision of the images is.
    with pytest.raises(TrainingError, match="does not run in bf16 "):
        fit(netlet.build(_prepared_for_quantization, 0), few, recipe.replace(precision="bf16"))


@pytest.mark.filterwarnings("ignore")
def test_what_observers_count_is_no_weight() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 7, 7), nn.ReLU(), nn.Flatten(), nn.Linear(32, 10)).eval()
    net.qconfig = torch.ao.quantization.get_default_qconfig("x86")  # type: ignore[assignment]
    prepared = torch.ao.quantization.prepare(net)
    assert netlet.cost(prepared).parameters == sum(p.numel() for p in net.parameters())
