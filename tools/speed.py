"""Tables of speed, from the records of the benchmarks."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from netlet import stats
from netlet.experiments import EXPERIMENTS
from netlet.report.markdown import inline_code, markdown_table
from tools.records import RATIOS, RESULTS, recorded_study

# Experiments whose training time is compared with T.
RACED = ("sprint", "dash", "sprint8k")


def race_tables(race: Mapping[str, Any]) -> str:
    """Return a race's times, then the machine and how each contestant was run."""
    columns = (
        "contestant",
        "parameters",
        "epochs",
        "training",
        "in T",
        "in each round",
        "warm",
        "cold",
        "threads, memory layout",
    )
    rows = [
        [
            f"`{row['name']}`" if row["name"] in EXPERIMENTS else row["name"],
            f"{row['parameters']:,}",
            str(row["epochs"]),
            f"{row['train_s']:.2f} s",
            f"{row['ratio']:.2f}",
            " ".join(f"{ratio:.2f}" for ratio in row["ratios"]),
            *(f"{row[clock]:.2f} s" if clock in row else "-" for clock in ("warm_s", "cold_s")),
            _describe_settings(row["how"]),
        ]
        for row in race["rows"]
    ]
    machine = race["environment"]
    return (
        f"{markdown_table(columns, rows, 'lrrrrrrrl')}\n\n{machine['cpu']}, {machine['cores']} "
        f"cores, torch {machine['torch']}, {race['images']:,} images per epoch, medians of "
        f"{race['turns']} rounds. *In T* is the median of the ratios to T within each round, not "
        "the ratio of the medians."
    )


def _describe_settings(how: Sequence[str]) -> str:
    """Return the threads and the memory layout of a contestant, from its call in the race."""
    kind, *rest = how
    if kind == "experiment":
        return f"{rest[1]} threads"
    if kind == "usual":
        return f"default threads, {'no' if rest[1] == '0' else rest[1]} DataLoader workers"
    if kind == "train_mnist_fast":
        return f"{rest[0]} threads, {rest[1]}"
    return "default threads"


def draw_race() -> str:
    """Return the recorded race."""
    return race_tables(_load_race())


def draw_slower_race() -> str:
    """Return the same race on a slower machine, in words."""
    race, slower = _load_race(), _load_race("race_slower.json")
    peaks = [round(one["peak"]["macs_per_s"] / 1e9) for one in (slower, race)]
    times = [
        f"`{name}` {row['train_s']:.2f} s, {row['ratio']:.2f} T ({min(row['ratios']):.2f} to "
        f"{max(row['ratios']):.2f} in its rounds)"
        for name in (*RACED, "swift")
        for row in (_find_row(slower, name),)
    ]
    return (
        f"On a slower machine with an {slower['environment']['cpu']} ({slower['peak']['precision']}"
        f" matrix products at {peaks[0]} instead of {peaks[1]} billion MACs per second), T was "
        f"{_find_row(slower, 'train_mnist_fast')['train_s']:.2f} s: {'; '.join(times)} "
        "(`results/race_slower.json`)."
    )


def draw_summary() -> str:
    """Return the main results of the recorded race and studies."""
    return summary_table(_load_race())


def summary_table(race: Mapping[str, Any]) -> str:
    """Return the main times of a race and the accuracies of the recorded studies."""
    rows = []
    for name in RACED:
        mean, ratio = stats.mean_percent(recorded_study(name)), _find_row(race, name)["ratio"]
        rows += [
            [f"`{name}`: mean accuracy of ten new seeds", f"{mean:.3f}%"],
            [f"`{name}`: training time", f"{ratio:.2f} T"],
        ]
    cold = _find_row(race, "sprint")["cold_beyond_training_s"]
    share, precision = race["peak"]["share"], race["peak"]["precision"]
    rows += [
        [
            "`mnistnet_1` with write-up 001's augmentation and dropout: images per second, "
            "relative to the usual pipeline, measured within the race",
            f"{race['pipeline']['ratio']:.2f} times",
        ],
        [
            f"`sprint`: share of the machine's peak {precision} matrix-product throughput",
            f"{100 * share:.0f}%",
        ],
        [
            "`netlet train sprint` from a cold start: time beyond training",
            f"{cold:.1f} s",
        ],
        [
            "ten seeds of `sprint` by `netlet study`: speed relative to ten runs of `netlet train`",
            f"{race['study']['ratio']:.2f} times",
        ],
    ]
    return markdown_table(("measurement", "result"), rows, "lr")


def draw_pipeline() -> str:
    """Return the training throughput compared with the usual pipeline's."""
    return pipeline_table(_load_pipeline(), _load_race()["pipeline"])


def pipeline_table(record: Mapping[str, Any], raced: Mapping[str, Any]) -> str:
    """Return throughputs and how both sides were trained.

    Args:
        record: Of ``benchmarks.pipeline``. Older ones trained every net by write-up 001's recipe,
            and do not tell the backend.
        raced: The same comparison for one net, within a race.
    """
    rows = record["rows"]
    told, measured = "backend" in rows[0], any("peak_share" in row for row in rows)
    settings = ("parameters", "recipe", "backend") if told else ()
    table = markdown_table(
        ("net", *settings, "usual pipeline, images/s", "netlet, images/s", "ratio")
        + (("share of the peak",) if measured else ()),
        [
            [
                f"`{row['net']}`",
                *(_describe_training(row) if told else ()),
                f"{row['usual_images_per_s']:,}",
                f"{row['netlet_images_per_s']:,}",
                f"{row['ratio']:.2f}",
                *([_share_of_peak(row)] if measured else ()),
            ]
            for row in rows
        ],
        ("lrllrrr" if told else "lrrr") + "r" * measured,
    )
    recipe = "the recipe in the table" if told else "write-up 001's recipe"
    others = [f"`{row['net']}`" for row in rows if told and not row["experiment"]]
    origin = f" `benchmarks/nets.py` has {', '.join(others)}." if others else ""
    (images,) = {row["images"] for row in rows}
    peak = (
        " The share of the peak: multiply-adds of netlet's training steps per second, beside those "
        "of a large matrix product of the same precision and threads."
    )
    return (
        f"{table}\n\nBoth sides have the same dropout, and the augmentation, batch size and "
        f"optimizer of {recipe}.{origin} Each round trains on {images:,} images. The race "
        f"measured `{raced['net']}` again, on {raced['images']:,} images, and found a ratio of "
        f"{raced['ratio']:.2f}, which the [Speed](speed.md) page reports. {RATIOS}"
        f"{peak if measured else ''}"
    )


def _share_of_peak(row: Mapping[str, Any]) -> str:
    return f"{row['peak_share']:.0%}" if "peak_share" in row else "-"


def _describe_training(row: Mapping[str, Any]) -> list[str]:
    """Return the parameters, the recipe and the backend of a row of the throughput."""
    return [
        f"{row['parameters']:,}",
        f"`{row['recipe']}`",
        f"{row['backend']}, {row['precision']}",
    ]


def draw_peer_accuracy() -> str:
    """Return the accuracy of the recipe that T is the training time of, in a sentence."""
    correct = json.loads((RESULTS / "peer.json").read_text())["correct_of_10000"]
    return (
        f"The recipe behind T reaches {statistics.mean(correct) / 100:.2f}% here, the mean of "
        f"{len(correct)} seeds."
    )


def draw_least_gain() -> str:
    """Return the nets with the smallest ratios of the training throughput, in a sentence."""
    rows = sorted(_load_pipeline()["rows"], key=lambda row: row["ratio"])[:3]
    *others, last = (f"`{row['net']}` ({row['ratio']:.2f} times)" for row in rows)
    return f"The nets that gain least are {', '.join(others)} and {last}."


def draw_shares_of_peak() -> str:
    """Return how much of the peak the nets of large convolutions reach, in a sentence."""
    shares = {row["net"]: row["peak_share"] for row in _load_pipeline()["rows"]}
    of_nets = [f"{shares[name]:.0%} (`{name}`)" for name in ("pytorch_example", "expand_squeeze")]
    return (
        f"The training as a whole reaches {' and '.join(of_nets)} of the rate of PyTorch's large "
        "matrix product ([Results](results.md#training-throughput))."
    )


def draw_study_time() -> str:
    """Return the time of a study and of as many single runs, in a sentence."""
    study = _load_race()["study"]
    return (
        f"In the race, {study['seeds']} runs of `netlet train {study['experiment']}`, one after "
        f"the other, take {study['one_by_one_s']:.1f} s, and the study of {study['seeds']} seeds "
        f"takes {study['study_s']:.1f} s: {study['ratio']:.2f} times as fast."
    )


def ladder_table(ladder: Mapping[str, Any]) -> str:
    """Return the training time after each change."""
    columns = (
        "change",
        "parameters",
        "epochs",
        "training",
        "in T",
        "speedup",
        "expected",
    )
    before = [None, *(row["ratio"] for row in ladder["rows"])]
    rows = [
        [
            row["change"],
            f"{row['parameters']:,}",
            str(row["epochs"]),
            f"{row['train_s']:.2f} s",
            f"{row['ratio']:.2f}",
            f"{last / row['ratio']:.2f}" if last else "-",
            row["expected"],
        ]
        for last, row in zip(before, ladder["rows"], strict=False)
    ]
    return markdown_table(columns, rows, "lrrrrrl")


def draw_ladder_of_changes() -> str:
    """Return the recorded training times after each change."""
    return ladder_table(json.loads((RESULTS / "ladder.json").read_text()))


def draw_busy() -> str:
    """Return the section on busy machines, or nothing as long as there is no record."""
    path = RESULTS / "busy.json"
    return busy_section(json.loads(path.read_text())) if path.is_file() else ""


def busy_section(record: Mapping[str, Any]) -> str:
    """Return a section on the times beside other programs."""
    machine = record["environment"]
    return (
        "## On a busy machine\n\n"
        "    python -m benchmarks.busy --out results/busy.json\n\n"
        f"Training time of one epoch of `{record['experiment']}`, alone and beside programs that "
        "compute all the time, each in one thread. The ratio is to the time alone. Without "
        "`--threads`, netlet chooses the number of its threads.\n\n"
        f"{busy_table(record)}\n\n"
        f"{machine['cpu']}, {machine['cores']} cores, torch {machine['torch']}, `netlet train`, "
        f"medians of {record['turns']} rounds."
    )


def busy_table(record: Mapping[str, Any]) -> str:
    """Return the times of an epoch beside busy loops, relative to those without."""
    columns = ["backend", "threads", "alone"]
    for count in record["loops"]:
        columns += [f"beside {count} busy loop{'s' if count > 1 else ''}", "ratio"]
    rows = []
    for row in record["rows"]:
        quiet, *busy = row["seconds"]
        cells = [f"{row['backend']}, {row['precision']}", _describe_threads(row), f"{quiet:.2f} s"]
        for seconds, ratio in zip(busy, row["ratios"], strict=True):
            cells += [f"{seconds:.2f} s", f"{ratio:.2f}"]
        rows.append(cells)
    return markdown_table(columns, rows, "l" + "r" * (len(columns) - 1))


def _describe_threads(row: Mapping[str, Any]) -> str:
    if row["threads"]:
        return str(row["threads"])
    used = [" or ".join(map(str, numbers)) for numbers in row["threads_used"]]
    alone, *busy = used
    if not busy:
        return f"chosen: {alone}"
    return f"chosen: {alone} alone, {' and '.join(busy)} beside the loops"


def draw_cuda() -> str:
    """Return the recorded figures of a CUDA device."""
    record = json.loads((RESULTS / "cuda.json").read_text())
    machine, seeds = record["environment"], record["seeds"]
    runs = [
        f"`{row['name']}` trains its {row['epochs']} epochs in {row['train_s']:.2f} s "
        f"({row['total_s']:.2f} s with scoring)"
        for row in record["runs"]
    ]
    repeated = all(row["repeated_to_the_bit"] for row in record["runs"])
    return (
        f"{machine['device']}, torch {machine['torch']}. Seconds per epoch, the second of two:\n\n"
        f"{_cuda_nets(record['nets'])}\n\n"
        f"{' and '.join(runs)}, medians of {record['turns']} runs with one seed; their weights are "
        f"{'equal to the bit' if repeated else 'not equal'}. Ten seeds of `{seeds['experiment']}` "
        f"take {seeds['one_by_one_s']:.2f} s one after the other. Seeds that take turns on the "
        "device, each in a stream of its own, have "
        f"{'the same weights' if seeds['equal_weights'] else 'other weights'}:\n\n"
        f"{_cuda_seeds(seeds)}"
    )


def _cuda_nets(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = ["net", "parameters", "batch size"]
    columns += [
        f"{'recorded' if way['backend'] == 'cuda_graph' else 'eager'}, {way['precision']}"
        for way in rows[0]["ways"]
    ]
    body = [
        [
            f"`{row['name']}`",
            f"{row['parameters']:,}",
            str(row["batch_size"]),
            *(f"{way['epoch_s']:.2f} s" for way in row["ways"]),
        ]
        for row in rows
    ]
    return markdown_table(columns, body, "l" + "r" * (len(columns) - 1))


def _cuda_seeds(seeds: Mapping[str, Any]) -> str:
    columns = ("seeds at a time", "all together", "per seed")
    body = [
        [str(row["seeds"]), f"{row['seconds']:.2f} s", f"{row['seconds'] / row['seeds']:.2f} s"]
        for row in seeds["together"]
    ]
    return markdown_table(columns, body, "rrr")


def draw_vectors() -> str:
    """Return the recorded times of steps with wide and with narrow vectors."""
    record = json.loads((RESULTS / "vectors.json").read_text())
    columns = ("net", "parameters", "16 numbers", "8 numbers", "ratio", "multiplications", "used")
    rows = [
        [
            inline_code(net["net"]),
            f"{net['parameters']:,}",
            f"{net['wide_ms']:.2f} ms",
            f"{net['narrow_ms']:.2f} ms",
            f"{net['ratio']:.2f}",
            f"{net['multiplications_ratio']:.2f}",
            str(net["used"]),
        ]
        for net in record["nets"]
    ]
    machine = record["environment"]
    return (
        f"{markdown_table(columns, rows, 'lrrrrrr')}\n\n{machine['cpu']}, one core, torch "
        f"{machine['torch']}, float32, gradients of {record['batch']} images, medians of "
        f"{record['turns']} rounds."
    )


TABLES: dict[str, Callable[[], str]] = {
    "vectors": draw_vectors,
    "targets": draw_summary,
    "race": draw_race,
    "slower_race": draw_slower_race,
    "pipeline": draw_pipeline,
    "least_gain": draw_least_gain,
    "shares_of_peak": draw_shares_of_peak,
    "study_time": draw_study_time,
    "ladder": draw_ladder_of_changes,
    "peer": draw_peer_accuracy,
    "busy": draw_busy,
    "cuda": draw_cuda,
}


def _load_race(name: str = "race.json") -> dict[str, Any]:
    race: dict[str, Any] = json.loads((RESULTS / name).read_text())
    return race


def _load_pipeline() -> dict[str, Any]:
    pipeline: dict[str, Any] = json.loads((RESULTS / "pipeline.json").read_text())
    return pipeline


def _find_row(race: Mapping[str, Any], name: str) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in race["rows"] if row["name"] == name)
    return row
