"""Simulate a study on a cluster whose nodes and workers fail.

An event simulation: every epoch of every task is an event, and so is every failure. The times of
tasks are recorded ones; failures come from exponential distributions, as those of machines that do
not age do. A node takes its workers down and comes back later; a worker is killed alone, as by the
system when memory is short. A task that lost its worker goes on elsewhere after the last epoch
whose checkpoint had reached the driver, at most ``RETRIES`` times. As in netlet, a task sends its
checkpoint after an epoch unless it has sent one a short time before.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

RETRIES = 2  # as netlet's driver


@dataclass(frozen=True)
class Task:
    """One run of the recorded trace."""

    epochs: int
    epoch_s: float  # seconds of one epoch, with an equal share of what comes before and after


@dataclass(frozen=True)
class Costs:
    """What was measured besides the times of tasks."""

    worker_start_s: float  # until a new worker trains: imports and the data set
    message_s: float  # of the driver, for one checkpoint, which it writes
    result_s: float  # of the driver, for one result: it writes record and weights
    data_bytes: int  # the data set; each node gets it once
    task_bytes: int
    checkpoint_bytes: int  # back to the driver
    result_bytes: int
    progress_s: float = 0.0  # of the driver, for one message of progress


@dataclass(frozen=True)
class Failures:
    """The model of failures."""

    node_s: float = 12 * 3600.0  # mean between two failures of one node
    worker_s: float = 100 * 3600.0  # mean between two deaths of one worker
    down_s: float = 600.0  # until a node is back
    notice_s: float = 15.0  # until the driver learns that a worker has gone


@dataclass
class Outcome:
    """What a simulation found."""

    makespan_s: float = 0.0  # until the driver has written the last result
    useful_s: float = 0.0  # of workers, on epochs that were kept
    lost_s: float = 0.0  # of workers, on epochs that were not, and on starting again after failures
    driver_s: float = 0.0  # of the driver
    moved_bytes: int = 0
    failed_nodes: int = 0
    killed_workers: int = 0
    unfinished: int = 0  # tasks whose worker died more often than they are tried again


@dataclass
class _Run:
    task: Task
    done: int = 0  # epochs that are trained
    kept: int = 0  # epochs whose checkpoint has reached the driver
    deaths: int = 0


@dataclass
class _Worker:
    node: int
    run: _Run | None = None
    since: float = 0.0  # when the first epoch that is not kept began, or the start of the worker
    sent: float = 0.0  # when it sent a checkpoint, or began to train
    started: bool = False
    down_until: float = 0.0
    turn: int = 0  # counts up when the worker loses its task; older events are void
    again: bool = False  # it starts because of a failure


@dataclass
class _Clock:
    events: list[tuple[float, int, str, int, int]] = field(default_factory=list)
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    def add(self, at: float, kind: str, which: int = 0, turn: int = 0) -> None:
        heapq.heappush(self.events, (at, next(self.numbers), kind, which, turn))


class Cluster:
    """A simulated cluster.

    Args:
        tasks: The tasks, in the order in which they are sent.
        nodes: Number of nodes.
        per_node: Number of workers of each.
        costs: Measured costs.
        failures: The model of failures; None: nothing fails.
        seed: Of the failures.
        checkpoint_s: Seconds between two checkpoints of a task, at least.
        progress_s: Seconds between two messages of progress; 0: one after each epoch whose
            checkpoint is not sent.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        nodes: int,
        per_node: int,
        costs: Costs,
        failures: Failures | None,
        seed: int = 0,
        *,
        checkpoint_s: float = 0.0,
        progress_s: float = 0.0,
    ) -> None:
        self._checkpoint_s, self._progress_s = checkpoint_s, progress_s
        self._nodes, self._per_node = nodes, per_node
        self._costs, self._failures = costs, failures
        self._random = random.Random(seed)
        self._queue = deque(_Run(task) for task in tasks)
        self._left = len(self._queue)
        self._workers = [_Worker(k // per_node) for k in range(nodes * per_node)]
        self._idle = deque(range(len(self._workers)))
        self._driver_free = 0.0
        self._waiting: list[_Run] = []  # whose worker has died, until the driver knows
        self._clock = _Clock()
        self.outcome = Outcome(moved_bytes=nodes * costs.data_bytes)

    def simulate(self) -> Outcome:
        """Run all tasks, and return what happened."""
        self._plan_failures()
        self._fill(0.0)
        while self._left:
            now, _, kind, which, turn = heapq.heappop(self._clock.events)
            if kind == "epoch":
                self._end_epoch(now, which, turn)
            elif kind == "started":
                self._end_start(now, which, turn)
            elif kind == "node":
                self._fail_node(now)
            elif kind == "worker":
                self._kill_worker(now)
            elif kind == "noticed":
                self._send_again(now)
            elif kind == "back":
                self._bring_back(now, which)
            self._fill(now)
        return self.outcome

    def _plan_failures(self) -> None:
        if self._failures is not None:
            self._clock.add(self._draw(self._failures.node_s / self._nodes), "node")
            self._clock.add(self._draw(self._failures.worker_s / len(self._workers)), "worker")

    def _draw(self, mean_s: float) -> float:
        return self._random.expovariate(1 / mean_s)

    def _fill(self, now: float) -> None:
        """Give the tasks that wait to idle workers."""
        while self._queue and self._idle:
            which = self._idle.popleft()
            worker, run = self._workers[which], self._queue.popleft()
            worker.run, worker.since, worker.sent = run, now, now
            self.outcome.moved_bytes += self._costs.task_bytes
            if run.kept:
                self.outcome.moved_bytes += self._costs.checkpoint_bytes
            if worker.started:
                self._clock.add(now + run.task.epoch_s, "epoch", which, worker.turn)
            else:
                self._clock.add(now + self._costs.worker_start_s, "started", which, worker.turn)

    def _end_start(self, now: float, which: int, turn: int) -> None:
        worker = self._workers[which]
        if turn != worker.turn or worker.run is None:
            return
        if worker.again:
            self.outcome.lost_s += now - worker.since
        worker.started, worker.again = True, False
        worker.since = worker.sent = now
        self._clock.add(now + worker.run.task.epoch_s, "epoch", which, worker.turn)

    def _end_epoch(self, now: float, which: int, turn: int) -> None:
        worker = self._workers[which]
        if turn != worker.turn or worker.run is None:
            return
        run = worker.run
        run.done += 1
        if now - worker.sent >= self._checkpoint_s:
            self._keep(worker, run, now)
            worker.sent = now
            self.outcome.moved_bytes += self._costs.checkpoint_bytes
            self._use_driver(now, self._costs.message_s)
        elif not self._progress_s:
            self._use_driver(now, self._costs.progress_s)
        if self._progress_s:
            messages = run.task.epoch_s / self._progress_s
            self._use_driver(now, messages * self._costs.progress_s)
        if run.done < run.task.epochs:
            self._clock.add(now + run.task.epoch_s, "epoch", which, worker.turn)
            return
        self._keep(worker, run, now)
        self.outcome.moved_bytes += self._costs.result_bytes
        self._use_driver(now, self._costs.result_s)
        worker.run = None
        self._idle.append(which)
        self._left -= 1

    def _keep(self, worker: _Worker, run: _Run, now: float) -> None:
        """Count the epochs of a task until now: the driver has their result."""
        self.outcome.useful_s += (run.done - run.kept) * run.task.epoch_s
        run.kept, worker.since = run.done, now

    def _use_driver(self, now: float, seconds: float) -> None:
        """Let the driver handle a message after those that came before it."""
        self._driver_free = max(now, self._driver_free) + seconds
        self.outcome.driver_s += seconds
        self.outcome.makespan_s = self._driver_free

    def _fail_node(self, now: float) -> None:
        assert self._failures is not None
        self._clock.add(now + self._draw(self._failures.node_s / self._nodes), "node")
        node = self._random.randrange(self._nodes)
        first = node * self._per_node
        if self._workers[first].down_until > now:
            return  # it is down already
        self.outcome.failed_nodes += 1
        for which in range(first, first + self._per_node):
            self._take_down(now, which)
            self._workers[which].down_until = now + self._failures.down_s
            if which in self._idle:
                self._idle.remove(which)
        self._clock.add(now + self._failures.down_s, "back", node)

    def _bring_back(self, now: float, node: int) -> None:
        self.outcome.moved_bytes += self._costs.data_bytes
        first = node * self._per_node
        self._idle.extend(range(first, first + self._per_node))

    def _kill_worker(self, now: float) -> None:
        assert self._failures is not None
        self._clock.add(now + self._draw(self._failures.worker_s / len(self._workers)), "worker")
        which = self._random.randrange(len(self._workers))
        if self._workers[which].run is not None:
            self.outcome.killed_workers += 1
            self._take_down(now, which)
            self._idle.append(which)

    def _take_down(self, now: float, which: int) -> None:
        """End a worker, whatever it does; its task waits until the driver has noticed."""
        assert self._failures is not None
        worker = self._workers[which]
        worker.turn += 1
        worker.started, worker.again = False, True
        if worker.run is not None:
            self.outcome.lost_s += now - worker.since
            worker.run.deaths += 1
            worker.run.done = worker.run.kept
            self._waiting.append(worker.run)
            self._clock.add(now + self._failures.notice_s, "noticed")
            worker.run = None

    def _send_again(self, now: float) -> None:
        run = self._waiting.pop(0)
        if run.deaths > RETRIES:
            self.outcome.unfinished += 1
            self._left -= 1
        else:
            self._queue.appendleft(run)
