"""Measure studies on one and two Ray nodes of this machine, and simulate larger clusters.

    python -m benchmarks.scale --out results/scale.json           everything, on an idle machine
    python -m benchmarks.scale --only simulated --out results/scale.json    with recorded costs

*Measured* are the times of whole studies on nodes with one processor each, whose data, tasks and
results go through Ray. *Costs* are the processor seconds that each message takes the driver and
each start takes a worker, and the sizes of what is sent; other programs do not change them much.
*Simulated* are clusters with these costs, on tasks drawn from the recorded times of seeds that were
trained with one thread (``results/``). ``benchmarks/simulated_cluster.py`` says what is modeled.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import pickle
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

from benchmarks.harness import make_parser, measure_in_process, write_record
from benchmarks.simulated_cluster import Cluster, Costs, Failures, Outcome, Task

PARTS = ("measured", "costs", "simulated")
EXPERIMENT = "sprint"
MEASURED_NODES = (1, 2)
SIMULATED_NODES = (10, 100, 1_000)
PER_NODE = 2  # workers of a simulated node
TASKS = 20_000
RUNS = 5  # simulations of each cluster, with other failures


def read_trace() -> list[Task]:
    """Return the recorded times of all seeds in results/ that were trained with one thread."""
    from tools.records import all_studies

    trace = []
    for _, study in sorted(all_studies().items()):
        if study.environment["threads"] == 1:
            trace += [Task(study.epochs, seed.total_s / study.epochs) for seed in study.seeds]
    return trace


def simulate_cluster(
    tasks: Sequence[Task], nodes: int, costs: Costs, failures: Failures | None, seed: int = 0
) -> Outcome:
    """Return what a simulated cluster needs for tasks that send checkpoints as netlet's do."""
    from netlet.experiments.execution.runner import checkpoint_interval, progress_interval
    from netlet.experiments.execution.task import STEP_INTERVAL_S

    workers = nodes * PER_NODE
    return Cluster(
        tasks,
        nodes,
        PER_NODE,
        costs,
        failures,
        seed,
        checkpoint_s=checkpoint_interval(workers),
        progress_s=max(STEP_INTERVAL_S, progress_interval(workers)),
    ).simulate()


def simulate_clusters(costs: Costs, failures: Failures) -> dict[str, Any]:
    """Return the record of the simulations."""
    from netlet.experiments.execution.runner import checkpoint_interval

    trace = read_trace()
    tasks = random.Random(0).choices(trace, k=TASKS)
    work_s = sum(task.epochs * task.epoch_s for task in tasks)
    rows = []
    for nodes in SIMULATED_NODES:
        print(f"simulating {nodes:,} nodes", file=sys.stderr, flush=True)
        runs = [simulate_cluster(tasks, nodes, costs, failures, seed) for seed in range(RUNS)]
        calm = simulate_cluster(tasks, nodes, costs, None)
        row = summarize_runs(nodes, work_s, calm, runs)
        rows.append(row | {"checkpoint_s": checkpoint_interval(nodes * PER_NODE)})
    return {
        "tasks": TASKS,
        "seeds_of_trace": len(trace),
        "work_s": round(work_s),
        "per_node": PER_NODE,
        "runs": RUNS,
        "failures": dataclasses.asdict(failures),
        "rows": rows,
    }


def summarize_runs(
    nodes: int, work_s: float, calm: Outcome, runs: Sequence[Outcome]
) -> dict[str, Any]:
    """Return the medians of several simulations of one cluster.

    Args:
        nodes: Number of nodes.
        work_s: Seconds of all tasks together.
        calm: A simulation without failures.
        runs: Simulations with failures.
    """
    median = statistics.median
    makespan_s = median(run.makespan_s for run in runs)
    return {
        "nodes": nodes,
        "makespan_s": round(makespan_s, 1),
        "longest_s": round(max(run.makespan_s for run in runs), 1),
        "without_failures_s": round(calm.makespan_s, 1),
        "efficiency": round(work_s / (makespan_s * nodes * PER_NODE), 4),
        "lost_share": round(median(run.lost_s / (run.useful_s + run.lost_s) for run in runs), 6),
        "driver_share": round(median(run.driver_s / run.makespan_s for run in runs), 4),
        "moved_bytes": round(median(run.moved_bytes for run in runs)),
        "failed_nodes": median(run.failed_nodes for run in runs),
        "killed_workers": median(run.killed_workers for run in runs),
        "unfinished": max(run.unfinished for run in runs),
    }


def time_study(nodes: int, seeds: int) -> dict[str, Any]:
    """Time a study on MNIST by nodes of this machine with one processor each."""
    from benchmarks.counting_executor import CountingExecutor
    from netlet import data
    from netlet.experiments import configure_run, find_experiment, run_study
    from netlet.experiments.execution.shared_data import to_frames

    images = data.load("mnist")
    config = configure_run(find_experiment(EXPERIMENT), images)
    with _open_nodes(nodes) as executor, tempfile.TemporaryDirectory() as folder:
        counting = CountingExecutor(executor)
        began = time.perf_counter()
        study = run_study(
            config,
            range(seeds),
            Path(folder),
            nodes,
            executor=counting,
            data=images,
            progress=False,
        )
        wall_s = time.perf_counter() - began
    data_bytes = nodes * sum(len(bytes(frame)) for frame in to_frames(images))
    return {
        "nodes": nodes,
        "seeds": seeds,
        "makespan_s": round(wall_s, 2),
        "train_s": round(sum(seed.train_s for seed in study.seeds), 2),
        "lost_s": round(nodes * wall_s - sum(seed.total_s for seed in study.seeds), 2),
        "moved_bytes": data_bytes + counting.moved_bytes,
    }


def measure_seconds(seeds: int) -> dict[str, float]:
    """Return the processor seconds of a worker's start, and of the driver for each message."""
    from netlet import data
    from netlet.experiments import configure_run, find_experiment, run_study
    from netlet.experiments.execution import runner

    few = data.make_scribble(train=640, test=100)
    config = configure_run(find_experiment(EXPERIMENT), few)
    epochs = config.recipe["epochs"]

    def time_driver(executor: Executor, seeds: int, interval_s: float) -> float:
        """Return the driver's seconds for a study with checkpoints at such intervals."""
        runner.checkpoint_interval = lambda workers: interval_s
        with tempfile.TemporaryDirectory() as folder:
            began = time.process_time()
            run_study(
                config, range(seeds), Path(folder), 1, executor=executor, data=few, progress=False
            )
            return time.process_time() - began

    with _open_nodes(1) as executor:
        executor.submit(exec, "import netlet.experiments.execution.task").result()
        start_s = executor.submit(time.process_time).result()
        time_driver(executor, 1, 0)  # what the driver does only once

        def time_seed(interval_s: float) -> float:
            """Return the driver's seconds for a seed, without what a study costs beyond them."""
            few_s, many_s = (time_driver(executor, n, interval_s) for n in (seeds, 3 * seeds))
            return (many_s - few_s) / (2 * seeds)

        every_s, few_s = time_seed(0.0), time_seed(math.inf)
    message_s = every_s / (epochs + 2)  # the start, each epoch and the result
    return {
        "worker_start_s": round(start_s, 2),
        "message_s": round(message_s, 5),
        "progress_s": round(max(0.0, few_s - 2 * message_s) / epochs, 5),
    }


@contextlib.contextmanager
def _open_nodes(nodes: int) -> Iterator[Executor]:
    """Yield an executor on a head node without processors and nodes with one each."""
    from ray.cluster_utils import Cluster as RayCluster

    from netlet.experiments.execution import open_executor

    cluster = RayCluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1)
        os.environ["RAY_ADDRESS"] = cluster.address
        with open_executor("ray", None) as executor:
            yield executor
    finally:
        cluster.shutdown()


class _Collector:
    """A sender that keeps the sizes of messages."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def send(self, message: Any) -> bool:
        self.sizes.append(len(message.to_bytes()))
        return True


def measure_sizes() -> dict[str, int]:
    """Return the sizes of what goes to a worker and comes back, for one epoch of an experiment."""
    from netlet import data
    from netlet.experiments import configure_run, find_experiment
    from netlet.experiments.execution.task import RunTask, run_task

    images = data.load("mnist")
    experiment = find_experiment(EXPERIMENT)
    short = dataclasses.replace(experiment, recipe=experiment.recipe.replace(epochs=1))
    task = RunTask(0, configure_run(short, images).to_dict())
    collector = _Collector()
    result = run_task(dataclasses.replace(task, data=images, sender=collector))
    return {
        "data_bytes": len(pickle.dumps(images)),
        "task_bytes": len(pickle.dumps(task)),
        "checkpoint_bytes": max(collector.sizes),
        "result_bytes": len(pickle.dumps(result)),
    }


def main() -> None:
    parser = make_parser(__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="what to do")
    parser.add_argument(
        "--seeds", type=int, default=8, help="seeds of each measured study (default: 8)"
    )
    given = parser.parse_args()
    record: dict[str, Any] = {}
    if given.out is not None and given.out.is_file():
        record = json.loads(given.out.read_text())
    if "measured" in given.only:
        record |= {"environment": _describe_machine(), "experiment": EXPERIMENT}
        record["measured"] = [
            _run_in_process(time_study, nodes, given.seeds) for nodes in MEASURED_NODES
        ]
    if "costs" in given.only:
        seconds = _run_in_process(measure_seconds, given.seeds)
        costs = Costs(**seconds, result_s=seconds["message_s"], **_run_in_process(measure_sizes))
        record["costs"] = dataclasses.asdict(costs)
    if "simulated" in given.only:
        record["simulated"] = simulate_clusters(Costs(**record["costs"]), Failures())
    from tools.scale import measured_table, simulated_table

    tables = {"measured": measured_table, "simulated": simulated_table}
    print("\n\n".join(draw(record) for part, draw in tables.items() if part in record))
    write_record(given.out, record)


def _run_in_process(function: Callable[..., Any], *numbers: int) -> Any:
    print(function.__name__, *numbers, file=sys.stderr, flush=True)
    return measure_in_process(function, *numbers)


def _describe_machine() -> dict[str, Any]:
    import torch

    from netlet.training.environment import describe_environment

    return describe_environment(torch.device("cpu"))


if __name__ == "__main__":
    main()
