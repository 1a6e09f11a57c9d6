"""How many images a second netlet trains on, beside the usual pipeline on the same net.

    python -m benchmarks.pipeline                      all nets of the documents, and the ratio for
    each python -m benchmarks.pipeline --nets mnistnet_1    one of them

The usual pipeline: a Dataset that turns each image into a Pillow picture and back (document 001's
RandomRotation and RandomAffine, ToTensor, Normalize: see ``benchmarks/transforms.py``), a
DataLoader with its best number of workers, nn.Dropout, eager float32, torch's default memory
settings. netlet: ``fit`` with document 001's recipe: the same augmentation, batch, optimizer and
dropout.

Each measurement has a process of its own, and its first epoch, which warms up, does not count. The
two sides take turns; each turn gives one ratio, and the median of the ratios is quoted. For figures
to quote, use a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

NETS = ("mnistnet_1", "pyramid", "expand_squeeze", "week4", "code_2", "code_3", "code_4", "swift")
EPOCHS = 3


def usual(net_name: str, images: int, workers: int, epochs: int = EPOCHS) -> list[float]:
    """Seconds of each epoch of the usual pipeline."""
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
    descent = torch.optim.Adam(net.parameters(), lr=0.015)
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
            descent.zero_grad()
            logits = net(x)
            loss = F.cross_entropy(logits, y)
            loss.backward()
            descent.step()
            correct += int((logits.argmax(1) == y).sum())
        seconds.append(time.perf_counter() - begin)
    return seconds


def ours(net_name: str, images: int) -> list[float]:
    """Seconds of each epoch of ``fit``."""
    import torch

    import netlet

    digits = netlet.data.load("mnist")
    digits = dataclasses.replace(digits, train=digits.train.take(torch.arange(images)))
    digits = dataclasses.replace(digits, held_out=digits.held_out.take(torch.arange(100)))
    recipe = netlet.recipes.DOCUMENT_001.replace(epochs=EPOCHS)
    net = netlet.build(netlet.nets.NETS[net_name].builder, seed=0)
    return [epoch.train_s for epoch in netlet.fit(net, digits, recipe, device="cpu").epochs]


def measured(side: str, net_name: str, images: int, workers: int) -> list[float]:
    """The same in a process of its own: memory settings and warm caches of one side must not help the other."""
    command = [sys.executable, "-m", "benchmarks.pipeline", "--side", side, "--nets", net_name]
    command += ["--images", str(images), "--workers", str(workers)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    seconds: list[float] = json.loads(done.stdout)
    return seconds[1:]


def best_workers(net_name: str, images: int, choices: list[int]) -> int:
    """The number of DataLoader workers with which the usual pipeline is fastest."""
    trials = {count: measured("usual", net_name, images, count) for count in choices}
    return min(trials, key=lambda count: statistics.median(trials[count]))


def compare(net_name: str, images: int, repeats: int, workers: int) -> dict[str, Any]:
    """Both sides in turn; each turn gives one ratio, so that a machine whose speed drifts hits both alike."""
    turns = [
        (measured("usual", net_name, images, workers), measured("ours", net_name, images, 0))
        for _ in range(repeats)
    ]
    ratios = sorted(statistics.median(theirs) / statistics.median(mine) for theirs, mine in turns)
    theirs, mine = (statistics.median(s for turn in turns for s in turn[side]) for side in (0, 1))
    return {
        "net": net_name,
        "images": images,
        "workers": workers,
        "usual_images_per_s": round(images / theirs),
        "netlet_images_per_s": round(images / mine),
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "usual_s": [[round(s, 2) for s in turn[0]] for turn in turns],
        "netlet_s": [[round(s, 2) for s in turn[1]] for turn in turns],
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--nets", nargs="+", default=NETS)
    parser.add_argument("--images", type=int, default=6_400, help="an epoch's length")
    parser.add_argument("--repeats", type=int, default=3, help="turns")
    parser.add_argument(
        "--workers",
        type=int,
        nargs="+",
        default=[0, 1, 2],
        help="of the DataLoader; the best counts",
    )
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--side", choices=("usual", "ours"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        side = (
            usual(given.nets[0], given.images, given.workers[0]) if given.side == "usual" else None
        )
        print(json.dumps(side or ours(given.nets[0], given.images)))
        return

    import torch

    from netlet.text import table
    from netlet.training.environment import environment

    workers = given.workers[0]
    if len(given.workers) > 1:
        workers = best_workers(given.nets[0], given.images, given.workers)
    rows = []
    for name in given.nets:
        rows.append(compare(name, given.images, given.repeats, workers))
        print(f"{name}: {rows[-1]['ratio']} times as fast", file=sys.stderr, flush=True)
    head = ("net", "usual images/s", "netlet images/s", "ratio", "of each turn")
    cells = [
        [
            row["net"],
            f"{row['usual_images_per_s']:,}",
            f"{row['netlet_images_per_s']:,}",
            f"{row['ratio']:.2f}",
            " ".join(f"{ratio:.2f}" for ratio in row["ratios"]),
        ]
        for row in rows
    ]
    machine = environment(torch.device("cpu"))
    print(table(head, cells, "lrrrl"))
    print(
        f"\n{machine['cpu']}, {machine['threads']} threads, torch {machine['torch']}; DataLoader workers: {workers}"
    )
    if given.out:
        given.out.write_text(json.dumps({"environment": machine, "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
