"""Compare training steps with vectors of 16 numbers and of 8, in float32 on one core.

    python -m benchmarks.vectors                  nets of 700 to 20,000 parameters
    python -m benchmarks.vectors --nets speck     one net

A step computes the gradients of 64 images. The two widths take turns; the median of the steps in
a turn counts, and the median of the ratios of all turns is quoted. Needs a processor with AVX-512.
Figures for a record need an idle machine.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

from benchmarks.harness import make_parser, write_record

NETS = (
    "3b d6b d6b P d7b d9b d10b",
    "4b 4b P 6b 6b 8b 9b",
    "speck",
    "swift",
    "6b d6b+ d6b+ P d8b+ d8b+ d11b",
    "6pb d10pb P d14pb d15pb P d18pb d19pb",
    "6b d11b d13b P d15b d18b d19b W",
    "8b d28b P d28pb*4",
    "mnistnet_3",
    "mnistnet_2",
    "crest",
)
WIDTHS = (16, 8)
BATCH = 64


class Steps:
    """Training steps of a net on one batch, with vectors of one width."""

    def __init__(self, name: str, width: int) -> None:
        import torch

        import netlet
        from netlet.backends.cpu import CompiledStep, compiled_step
        from netlet.backends.cpu.vectors import with_vectors_of

        self.net = netlet.build(netlet.nets.find_net(name).builder, seed=0)
        random = torch.Generator().manual_seed(0)
        self._images = torch.rand(BATCH, 1, 28, 28, generator=random)
        self._labels = torch.randint(10, (BATCH,), generator=random)
        with patch.object(
            compiled_step, "fit_vectors", lambda program: with_vectors_of(program, width)
        ):
            self._step = CompiledStep(self.net, (1, 28, 28), BATCH, half=False, threads=1)

    def time(self, count: int) -> float:
        """Return the median of the milliseconds that so many steps take."""
        times = []
        for _ in range(count):
            start = time.perf_counter()
            self._step.compute_gradients(self._images, self._labels, 0.0, 0)
            times.append(1e3 * (time.perf_counter() - start))
        return statistics.median(times)


def compare_widths(name: str, turns: int, steps: int) -> dict[str, Any]:
    """Return the times of both widths for a net, and which of them netlet uses."""
    from netlet.backends.cpu.build_program import read_program
    from netlet.backends.cpu.vectors import count_multiplications, fit_vectors, with_vectors_of

    sides = [Steps(name, width) for width in WIDTHS]
    for side in sides:
        side.time(steps)  # warms up
    wide, narrow = zip(*([side.time(steps) for side in sides] for _ in range(turns)), strict=True)
    net = sides[0].net
    programs = [with_vectors_of(read_program(net, (1, 28, 28)), width) for width in WIDTHS]
    counts = [count_multiplications(program) for program in programs]
    return {
        "net": name,
        "parameters": sum(p.numel() for p in net.parameters()),
        "wide_ms": round(statistics.median(wide), 2),
        "narrow_ms": round(statistics.median(narrow), 2),
        "ratio": round(statistics.median(n / w for w, n in zip(wide, narrow, strict=True)), 3),
        "multiplications_ratio": round(counts[1] / counts[0], 2),
        "used": fit_vectors(programs[0]).shape.vector,
    }


def measure(names: Sequence[str], turns: int, steps: int) -> dict[str, Any]:
    """Compare every net and return the whole record; see :func:`compare_widths`."""
    import torch

    from netlet.backends.cpu.parts.base import LANES
    from netlet.training.environment import describe_environment

    if max(WIDTHS) > LANES:
        sys.exit(f"vectors of {max(WIDTHS)} numbers need a processor with AVX-512")
    torch.set_num_threads(1)
    nets = [compare_widths(name, turns, steps) for name in names]
    return {
        "environment": describe_environment(torch.device("cpu")),
        "batch": BATCH,
        "turns": turns,
        "nets": nets,
    }


def format_record(record: dict[str, Any]) -> str:
    """Return the record as a table for the terminal."""
    from netlet.text import format_table

    rows = [[str(value) for value in net.values()] for net in record["nets"]]
    head = ["net", "parameters", "16, ms", "8, ms", "ratio", "multiplications", "used"]
    return f"{format_table(head, rows, 'lrrrrrr')}\n\n{record['environment']['cpu']}, one thread"


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--nets", nargs="+", default=NETS, metavar="NET", help="nets to compare")
    parser.add_argument("--turns", type=int, default=15, help="turns of each width")
    parser.add_argument("--steps", type=int, default=20, help="steps in a turn")
    args = parser.parse_args()
    record = measure(args.nets, args.turns, args.steps)
    print(format_record(record))
    write_record(args.out, record)


if __name__ == "__main__":
    main()
