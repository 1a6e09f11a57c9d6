"""Measure how many images per second netlet trains on, beside the usual pipeline on the same net.

    python -m benchmarks.pipeline                       all nets of the write-ups
    python -m benchmarks.pipeline --nets mnistnet_1     one net

The usual pipeline: a Dataset that turns each image into a Pillow picture and back (write-up 001's
RandomRotation and RandomAffine, ToTensor, Normalize: see ``benchmarks/transforms.py``), a
DataLoader with its best number of workers, nn.Dropout, eager float32, PyTorch's default memory
settings. netlet: ``fit`` with write-up 001's recipe, that is, with the same augmentation, batch
size, optimizer and dropout.

Each measurement runs in a process of its own, and its first epoch, which warms up, is not counted.
The two sides take turns. Each turn yields one ratio, and the median of the ratios is quoted. For
figures to quote, use an idle machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.harness import make_parser, measure_in_process, write_record

NETS = ("mnistnet_1", "pyramid", "expand_squeeze", "week4", "code_2", "code_3", "code_4", "swift")
EPOCHS = 3


def time_usual_pipeline(
    net_name: str, images: int, workers: int, epochs: int = EPOCHS
) -> list[float]:
    """Return the seconds of each epoch of the usual pipeline."""
    import torch
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, Dataset

    from benchmarks.transforms import document_001
    from netlet import data, nets

    train = data.load("mnist").train
    pixels, labels = train.images[:images, 0], train.labels[:images]

    class Pictures(Dataset[tuple[torch.Tensor, int]]):
        def __len__(self) -> int:
            return images

        def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
            return document_001(pixels[index]), int(labels[index])

    torch.manual_seed(0)
    net = nets.NETS[net_name].builder().train()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.015)
    loader = DataLoader(
        Pictures(),
        batch_size=128,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    seconds = []
    for _ in range(epochs):
        begin = time.perf_counter()
        correct = 0
        for x, y in loader:
            optimizer.zero_grad()
            logits = net(x)
            loss = F.cross_entropy(logits, y)
            loss.backward()
            optimizer.step()
            correct += int((logits.argmax(1) == y).sum())
        seconds.append(time.perf_counter() - begin)
    return seconds


def time_netlet(net_name: str, images: int) -> list[float]:
    """Return the seconds of each epoch of ``fit``."""
    import torch

    import netlet

    digits = netlet.data.load("mnist")
    digits = dataclasses.replace(digits, train=digits.train.take(torch.arange(images)))
    digits = dataclasses.replace(digits, held_out=digits.held_out.take(torch.arange(100)))
    recipe = netlet.catalog.find_recipe("document_001").replace(epochs=EPOCHS)
    net = netlet.build(netlet.nets.NETS[net_name].builder, seed=0)
    return [epoch.train_s for epoch in netlet.fit(net, digits, recipe, device="cpu").epochs]


def run_side_in_process(side: str, net_name: str, images: int, workers: int = 0) -> list[float]:
    """Return the seconds of each epoch of one side but the first, from a process of its own."""
    words = ("--side", side, "--nets", net_name, "--images", images, "--workers", workers)
    seconds: list[float] = measure_in_process("benchmarks.pipeline", *words)
    return seconds[1:]


def choose_workers(net_name: str, images: int, choices: Sequence[int]) -> int:
    """Return the number of DataLoader workers with which the usual pipeline is fastest."""
    trials = {count: run_side_in_process("usual", net_name, images, count) for count in choices}
    return min(trials, key=lambda count: statistics.median(trials[count]))


def compare_pipelines(net_name: str, images: int, repeats: int, workers: int) -> dict[str, Any]:
    """Run both sides in turns and return a row of figures.

    Each turn yields one ratio, so that a drift of the machine's speed affects both sides alike.
    """
    turns = [
        (
            run_side_in_process("usual", net_name, images, workers),
            run_side_in_process("ours", net_name, images),
        )
        for _ in range(repeats)
    ]
    ratios = sorted(statistics.median(usual) / statistics.median(own) for usual, own in turns)
    usual_s, own_s = (statistics.median(s for turn in turns for s in turn[side]) for side in (0, 1))
    return {
        "net": net_name,
        "images": images,
        "workers": workers,
        "usual_images_per_s": round(images / usual_s),
        "netlet_images_per_s": round(images / own_s),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "usual_s": [[round(s, 2) for s in turn[0]] for turn in turns],
        "netlet_s": [[round(s, 2) for s in turn[1]] for turn in turns],
    }


def measure(
    names: Sequence[str], images: int, repeats: int, choices: Sequence[int]
) -> dict[str, Any]:
    """Compare both sides on every net and return the whole record.

    Args:
        names: Registered nets.
        images: Training images per epoch.
        repeats: Turns per net.
        choices: Numbers of DataLoader workers to try, on the first net.
    """
    import torch

    from netlet.training.environment import describe_environment

    workers = choose_workers(names[0], images, choices) if len(choices) > 1 else choices[0]
    rows = []
    for name in names:
        rows.append(compare_pipelines(name, images, repeats, workers))
        print(f"{name}: {rows[-1]['ratio']} times as fast", file=sys.stderr, flush=True)
    return {"environment": describe_environment(torch.device("cpu")), "rows": rows}


def format_record(record: Mapping[str, Any]) -> str:
    """Return the record as a table for the terminal."""
    from netlet.text import format_table

    head = ("net", "usual images/s", "netlet images/s", "ratio", "ratio of each turn")
    rows = [
        [
            row["net"],
            f"{row['usual_images_per_s']:,}",
            f"{row['netlet_images_per_s']:,}",
            f"{row['ratio']:.2f}",
            " ".join(f"{ratio:.2f}" for ratio in row["ratios"]),
        ]
        for row in record["rows"]
    ]
    machine = record["environment"]
    return (
        f"{format_table(head, rows, 'lrrrl')}\n\n{machine['cpu']}, {machine['threads']} threads, "
        f"PyTorch {machine['torch']}; DataLoader workers: {record['rows'][0]['workers']}"
    )


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument(
        "--nets", nargs="+", default=NETS, help=f"nets to measure (default: {' '.join(NETS)})"
    )
    parser.add_argument(
        "--images", type=int, default=6_400, help="training images per epoch (default: 6400)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="turns per net (default: 3)")
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        help="numbers of DataLoader workers to try; the fastest is used (default: 0 1 2)",
    )
    parser.add_argument("--side", choices=("usual", "ours"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side == "usual":
        print(json.dumps(time_usual_pipeline(given.nets[0], given.images, given.workers[0])))
    elif given.side == "ours":
        print(json.dumps(time_netlet(given.nets[0], given.images)))
    else:
        record = measure(given.nets, given.images, given.repeats, given.workers)
        print(format_record(record))
        write_record(given.out, record)


if __name__ == "__main__":
    main()
