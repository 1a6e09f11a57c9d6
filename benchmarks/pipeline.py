"""Measure how many images per second netlet trains on, beside the usual pipeline on the same net.

    python -m benchmarks.pipeline                             all rows, half an hour on 2 cores
    python -m benchmarks.pipeline --rows code_2.documented    one row

A row is an experiment, trained by its own recipe (``.documented``: its write-up's), or a net of
``benchmarks/nets.py``, trained by write-up 001's.

The usual pipeline: a Dataset that turns each image into a Pillow picture and back (the recipe's
augmentation, ToTensor, Normalize: see ``benchmarks/transforms.py``), a DataLoader with its best
number of workers, nn.Dropout, eager float32, PyTorch's default memory settings. netlet: ``fit``.
Both sides have the same augmentation, batch size, optimizer, dropout and label smoothing. Learning
rate schedules take no time; the usual pipeline has none, and averages no weights. After its epochs,
netlet's side times a large matrix product: its rate is the peak that training is compared with.

Each measurement runs in a process of its own, and its first epoch, which warms up, is not counted.
The two sides take turns. Each turn yields one ratio, and the median of the ratios is quoted. For
figures to quote, use an idle machine.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks import sides
from benchmarks.harness import make_parser, measure_in_process, write_record

if TYPE_CHECKING:
    from torch import nn

    from netlet.recipes import Recipe

# Write-ups' nets, our default net, and nets of benchmarks/nets.py.
ROWS = (
    "mnistnet_1.documented",
    "pyramid.documented",
    "expand_squeeze.documented",
    "week4.documented",
    "code_2.documented",
    "code_3.documented",
    "code_4.documented",
    "swift",
    "pytorch_example",
    "residual_20k",
    "mobile_20k",
    "lenet5",
)
EPOCHS = 3


@dataclass(frozen=True)
class Training:
    """What both sides do in a row.

    Attributes:
        net: Name of the net.
        builder: Of the net.
        recipe: Of the training.
        experiment: Name of the experiment that it is, if any.
    """

    net: str
    builder: Callable[[], nn.Module]
    recipe: Recipe
    experiment: str | None = None


def find_training(row: str) -> Training:
    """Return the net and the recipe of a row."""
    from benchmarks.nets import NETS
    from netlet import catalog
    from netlet.experiments import EXPERIMENTS

    if row in NETS:
        return Training(row, NETS[row], catalog.find_recipe("document_001"))
    chosen = EXPERIMENTS[row]
    return Training(chosen.net.name, chosen.net.builder, chosen.recipe, row)


def time_usual_pipeline(row: str, images: int, workers: int, epochs: int = EPOCHS) -> list[float]:
    """Return the seconds of each epoch of the usual pipeline."""
    import torch
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, Dataset

    from benchmarks.transforms import make_transform
    from netlet import data

    training = find_training(row)
    recipe = training.recipe
    train = data.load("mnist").train
    pixels, labels = train.images[:images, 0], train.labels[:images]
    transform = make_transform(recipe)

    class Pictures(Dataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return images

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return transform(pixels[index]), int(labels[index])

    torch.manual_seed(0)
    net = set_dropout(training.builder().train(), recipe.dropout)
    optimizer = make_optimizer(net, recipe)
    loader = DataLoader(
        Pictures(),
        batch_size=recipe.batch_size,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        # The platform's own way to start processes, as in a user's script: the process that
        # measures was started in another way, which its children would inherit.
        multiprocessing_context=multiprocessing.get_all_start_methods()[0] if workers else None,
    )
    seconds = []
    for _ in range(epochs):
        begin = time.perf_counter()
        correct = 0
        for x, y in loader:
            optimizer.zero_grad()
            logits = net(x)
            loss = F.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
            loss.backward()
            optimizer.step()
            correct += int((logits.argmax(1) == y).sum())
        seconds.append(time.perf_counter() - begin)
    return seconds


def set_dropout(net: nn.Module, rate: float | None) -> nn.Module:
    """Set the rate of all dropout layers, unless it is None, and return the net."""
    from torch.nn.modules.dropout import _DropoutNd

    for layer in net.modules():
        if rate is not None and isinstance(layer, _DropoutNd):
            layer.p = rate
    return net


def make_optimizer(net: nn.Module, recipe: Recipe) -> Any:
    """Return PyTorch's optimizer with a recipe's settings: SGD or AdamW."""
    import torch

    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            net.parameters(),
            lr=recipe.peak_lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )
    if recipe.optimizer != "adamw":
        raise SystemExit(f"recipe {recipe.name!r}: PyTorch has no optimizer {recipe.optimizer}")
    return torch.optim.AdamW(
        net.parameters(),
        lr=recipe.peak_lr,
        betas=(recipe.momentum, recipe.beta2),
        weight_decay=recipe.weight_decay,
    )


def time_netlet(row: str, images: int) -> dict[str, Any]:
    """Return the seconds of each epoch of ``fit``, and what was trained and how."""
    import torch

    import netlet

    training = find_training(row)
    digits = netlet.data.load("mnist")
    digits = dataclasses.replace(
        digits,
        name=f"mnist, {images} images",
        train=digits.train.take(torch.arange(images)),
        held_out=digits.held_out.take(torch.arange(100)),
    )
    net = netlet.build(training.builder, seed=0)
    recipe = training.recipe.replace(epochs=EPOCHS)
    run = netlet.fit(net, digits, recipe, device="cpu", progress=False)
    return {
        "seconds": [epoch.train_s for epoch in run.epochs],
        "net": training.net,
        "experiment": training.experiment,
        "recipe": training.recipe.name,
        "parameters": run.cost["parameters"],
        "backend": run.backend,
        "precision": run.precision,
        "step_macs": sides.step_macs(training.builder()),
        **sides.peak(images, torch.get_num_threads(), run.precision),
    }


def run_side_in_process(side: str, row: str, images: int, workers: int = 0) -> dict[str, Any]:
    """Return the figures of one side, from a process of its own, without its first epoch."""
    figures: dict[str, Any] = {}
    if side == "usual":
        seconds = measure_in_process(time_usual_pipeline, row, images, workers)
    else:
        figures = measure_in_process(time_netlet, row, images)
        seconds = figures["seconds"]
    return {**figures, "seconds": seconds[1:]}


def choose_workers(row: str, images: int, choices: Sequence[int]) -> int:
    """Return the number of DataLoader workers with which the usual pipeline is fastest."""
    if len(choices) == 1:
        return choices[0]
    trials = {count: run_side_in_process("usual", row, images, count) for count in choices}
    return min(trials, key=lambda count: statistics.median(trials[count]["seconds"]))


def compare_pipelines(row: str, images: int, repeats: int, workers: int) -> dict[str, Any]:
    """Run both sides in turns and return a row of figures.

    Each turn yields one ratio, so that a drift of the machine's speed affects both sides alike.
    """
    turns = [
        (
            run_side_in_process("usual", row, images, workers),
            run_side_in_process("ours", row, images),
        )
        for _ in range(repeats)
    ]
    usual, own = ([turn[side]["seconds"] for turn in turns] for side in (0, 1))
    ratios = sorted(
        statistics.median(theirs) / statistics.median(ours)
        for theirs, ours in zip(usual, own, strict=True)
    )
    shares = [
        turn["step_macs"] * images / statistics.median(turn["seconds"]) / turn["macs_per_s"]
        for _, turn in turns
    ]
    usual_s, own_s = (statistics.median(s for turn in side for s in turn) for side in (usual, own))
    what = ("net", "experiment", "recipe", "parameters", "backend", "precision")
    return {
        **{name: turns[0][1][name] for name in what},
        "images": images,
        "workers": workers,
        "usual_images_per_s": round(images / usual_s),
        "netlet_images_per_s": round(images / own_s),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "peak_share": round(statistics.median(shares), 3),
        "usual_s": [[round(s, 2) for s in seconds] for seconds in usual],
        "netlet_s": [[round(s, 2) for s in seconds] for seconds in own],
    }


def measure(
    names: Sequence[str], images: int, repeats: int, choices: Sequence[int]
) -> dict[str, Any]:
    """Compare both sides in every row and return the whole record.

    Args:
        names: Experiments, and nets of ``benchmarks/nets.py``.
        images: Training images per epoch.
        repeats: Turns per row.
        choices: Numbers of DataLoader workers to try in each row, on a quarter of the images.
    """
    import torch

    from netlet.training.environment import describe_environment

    rows = []
    for name in names:
        workers = choose_workers(name, max(1, images // 4), choices)
        rows.append(compare_pipelines(name, images, repeats, workers))
        print(f"{name}: {rows[-1]['ratio']} times as fast", file=sys.stderr, flush=True)
    return {"environment": describe_environment(torch.device("cpu")), "rows": rows}


def format_record(record: Mapping[str, Any]) -> str:
    """Return the record as a table for the terminal."""
    from netlet.text import format_table

    head = ("net", "recipe", "backend", "workers", "usual images/s", "netlet images/s")
    rows = [
        [
            row["net"],
            row["recipe"],
            row["backend"],
            str(row["workers"]),
            f"{row['usual_images_per_s']:,}",
            f"{row['netlet_images_per_s']:,}",
            f"{row['ratio']:.2f}",
            " ".join(f"{ratio:.2f}" for ratio in row["ratios"]),
        ]
        for row in record["rows"]
    ]
    machine = record["environment"]
    return (
        f"{format_table((*head, 'ratio', 'ratio of each turn'), rows, 'lllrrrrl')}\n\n"
        f"{machine['cpu']}, {machine['threads']} threads, PyTorch {machine['torch']}"
    )


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--rows",
        nargs="+",
        default=ROWS,
        help=f"experiments and other nets to train (default: {' '.join(ROWS)})",
    )
    parser.add_argument(
        "--images",
        type=int,
        default=10_000,
        help="training images per epoch (default: 10000; with fewer, netlet does not compile nets)",
    )
    parser.add_argument("--repeats", type=int, default=3, help="turns per row (default: 3)")
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        help="numbers of DataLoader workers to try; the fastest is used (default: 0 1 2)",
    )
    given = parser.parse_args()
    record = measure(given.rows, given.images, given.repeats, given.workers)
    print(format_record(record))
    write_record(given.out, record)


if __name__ == "__main__":
    main()
