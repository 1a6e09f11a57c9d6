"""The simulation of a large cluster, compared with calculations by hand, and what is measured."""

from __future__ import annotations

import dataclasses
import pickle

import pytest
from helpers import Inline

from benchmarks.counting_executor import CountingExecutor
from benchmarks.scale import summarize_runs
from benchmarks.simulated_cluster import Cluster, Costs, Failures, Task
from netlet.experiments.execution import Message, open_channel
from tools.scale import measured_table

COSTS = Costs(
    worker_start_s=5,
    message_s=0,
    result_s=0,
    data_bytes=1_000,
    task_bytes=10,
    checkpoint_bytes=100,
    result_bytes=50,
)
TWO_EPOCHS = Task(epochs=2, epoch_s=10)
NEVER = 1e9


class Scripted(Cluster):
    """A cluster that fails at given times: of a node, of a worker, and so on in turns."""

    times: tuple[float, ...] = ()

    def _draw(self, mean_s: float) -> float:
        first, *rest = (*self.times, NEVER)
        self.times = tuple(rest)
        return first


def simulate(*times: float, task: Task = TWO_EPOCHS, checkpoint_s: float = 0.0) -> Scripted:
    made = Scripted([task], 1, 1, COSTS, Failures(), checkpoint_s=checkpoint_s)
    made.times = times
    made.simulate()
    return made


def test_without_failures_workers_are_busy_until_the_end() -> None:
    found = Cluster([TWO_EPOCHS] * 4, 1, 2, COSTS, None).simulate()
    assert (found.makespan_s, found.useful_s, found.lost_s) == (5 + 4 * 10, 80, 0)
    assert found.moved_bytes == 1_000 + 4 * 10 + 8 * 100 + 4 * 50


def test_the_driver_handles_one_message_after_the_other() -> None:
    costs = dataclasses.replace(COSTS, message_s=3, result_s=4)
    found = Cluster([TWO_EPOCHS] * 2, 1, 2, costs, None).simulate()
    assert found.driver_s == 4 * 3 + 2 * 4
    # Two epochs end at 15, and two at 25 with their results: 15 + 3 + 3, 25 + 3 + 4 + 3 + 4.
    assert found.makespan_s == 39


def test_a_failed_node_loses_the_epochs_since_the_last_checkpoint() -> None:
    found = simulate(12).outcome
    # The worker trains from 5 to 12; the node is back at 612, and the worker trains from 617.
    assert (found.failed_nodes, found.lost_s) == (1, 7 + 5)
    assert found.makespan_s == 617 + 20
    assert found.moved_bytes == 2 * 1_000 + 2 * 10 + 2 * 100 + 50
    later = simulate(18).outcome  # after the first epoch, which is kept
    assert later.lost_s == 3 + 5
    assert later.makespan_s == 618 + 5 + 10
    assert later.moved_bytes == 2 * 1_000 + 2 * 10 + 2 * 100 + 50 + 100


def test_checkpoints_are_sent_at_most_once_in_an_interval() -> None:
    five = Task(epochs=5, epoch_s=10)
    costs = dataclasses.replace(COSTS, message_s=3, result_s=4, progress_s=1)
    found = Cluster([five], 1, 1, costs, None, checkpoint_s=20).simulate()
    # The worker trains from 5 on; the epochs that end at 25 and 45 are sent, and then the result.
    assert found.driver_s == 2 * 3 + 3 * 1 + 4
    assert found.moved_bytes == 1_000 + 10 + 2 * 100 + 50
    assert (found.useful_s, found.makespan_s) == (50, 55 + 1 + 4)


def test_messages_of_progress_take_the_driver_in_proportion_to_time() -> None:
    costs = dataclasses.replace(COSTS, message_s=3, result_s=4, progress_s=1)
    five = Task(epochs=5, epoch_s=10)
    found = Cluster([five], 1, 1, costs, None, checkpoint_s=20, progress_s=4).simulate()
    assert found.driver_s == 2 * 3 + 4 + 5 * 2.5


def test_a_failure_costs_what_was_trained_since_the_last_checkpoint() -> None:
    found = simulate(NEVER, 38, task=Task(epochs=5, epoch_s=10), checkpoint_s=20).outcome
    # Killed in the fourth epoch, at 38; the checkpoint is that of the second one, at 25.
    assert found.lost_s == 13 + 5
    assert found.useful_s == 50
    assert found.makespan_s == 38 + 15 + 5 + 30
    assert found.moved_bytes == 1_000 + 2 * 10 + 2 * 100 + 100 + 50  # sent twice, and back once


def test_a_killed_worker_is_replaced_at_once_and_its_task_when_the_driver_knows() -> None:
    found = simulate(NEVER, 12).outcome
    assert (found.failed_nodes, found.killed_workers) == (0, 1)
    assert found.makespan_s == 12 + 15 + 5 + 20
    assert found.lost_s == 7 + 5


def test_a_task_is_tried_again_twice() -> None:
    # Each interval runs from the last death: 15 until the driver knows, 5 to start, 3 of an epoch.
    found = simulate(NEVER, 8, 23, 23).outcome
    assert (found.killed_workers, found.unfinished) == (3, 1)
    assert (found.useful_s, found.lost_s) == (0, 3 + 8 + 8)


def test_failures_follow_their_seed() -> None:
    tasks = [Task(14, 11.0)] * 300
    failures = Failures(node_s=3_600, worker_s=7_200)

    def run(seed: int) -> tuple[float, int, int]:
        found = Cluster(tasks, 5, 2, COSTS, failures, seed).simulate()
        return found.makespan_s, found.failed_nodes, found.killed_workers

    assert run(1) == run(1) != run(2)
    calm = Cluster(tasks, 5, 2, COSTS, None).simulate()
    runs = [Cluster(tasks, 5, 2, COSTS, failures, seed).simulate() for seed in range(3)]
    for found in runs:
        assert found.makespan_s > calm.makespan_s
        assert found.useful_s == pytest.approx(300 * 14 * 11, abs=154 * found.unfinished)
        assert found.lost_s > 0
    row = summarize_runs(5, 300 * 14 * 11, calm, runs)
    assert 0 < row["lost_share"] < 0.2
    assert row["efficiency"] < 1
    assert row["longest_s"] >= row["makespan_s"] > row["without_failures_s"]


@dataclasses.dataclass(frozen=True)
class SmallTask:
    text: str
    data: object = None
    sender: object = None


def test_what_goes_to_tasks_and_comes_back_is_counted() -> None:
    counting = CountingExecutor(Inline())
    task = SmallTask("x" * 100, data=lambda: "images, which cannot be pickled")
    answer = counting.submit(lambda _: b"y" * 1_000, task).result()
    sizes = [len(pickle.dumps(SmallTask("x" * 100))), len(pickle.dumps(answer))]
    assert counting.moved_bytes == sum(sizes)
    message = Message(0, "epoch", {}, {"checkpoint": b"z" * 500})
    with open_channel(counting) as channel:
        assert channel.sender.send(message)
        (arrived,) = channel.poll(10)
    assert arrived == message
    assert counting.moved_bytes == sum(sizes) + len(message.to_bytes())


def test_the_table_of_measured_nodes_says_what_a_second_node_gains() -> None:
    row = {"nodes": 1, "seeds": 8, "makespan_s": 100.0, "lost_s": 10.0, "moved_bytes": 60_000_000}
    two = row | {"nodes": 2, "makespan_s": 55.0, "lost_s": 22.0, "moved_bytes": 115_000_000}
    machine = {"cpu": "AMD EPYC", "cores": 2, "torch": "2.13.0"}
    record = {"measured": [row, two], "experiment": "sprint", "environment": machine}
    lines = measured_table(record).splitlines()
    assert lines[2] == "| 1 | 8 | 100.0 s | 1.00 | 10.0 s (10.0%) | 60 MB |"
    assert lines[3] == "| 2 | 8 | 55.0 s | 1.82 | 22.0 s (20.0%) | 115 MB |"
