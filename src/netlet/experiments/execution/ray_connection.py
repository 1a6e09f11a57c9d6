"""Connect to a Ray cluster or start one on this machine, and compare the netlet of its nodes."""

from __future__ import annotations

import concurrent.futures
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from netlet import installation
from netlet.errors import TrainingError, first_line, warn
from netlet.experiments.execution import ray_task
from netlet.experiments.execution.ray_options import RayOptions
from netlet.processor_load import cpu_cores
from netlet.text import count_noun

Say = Callable[[str], None] | None

_CONNECT_S = 10.0
_PROBE_S = 60.0  # how long to wait for what the nodes say about themselves
_SHOWN_NODES = 3  # in a message


def connect(options: RayOptions, workers: int | None, threads: int) -> Callable[[], None]:
    """Connect this process to a cluster, unless it is connected already.

    Args:
        options: Which cluster.
        workers: Number of tasks at the same time; a Ray of its own gets as many processors.
        threads: Number of processors of each task.

    Returns:
        A function that ends what this call began.

    Raises:
        TrainingError: The cluster cannot be reached, or another one is connected.
    """
    for module in (installation, ray_task):
        cloudpickle.register_pickle_by_value(module)
    if ray.is_initialized():
        if options.address or options.send_code:
            raise TrainingError(
                "this process is connected to a Ray cluster already; call ray.shutdown() first, or "
                "use that cluster with on='ray'"
            )
        return lambda: None
    handler = signal.getsignal(signal.SIGTERM)
    address = options.address or os.environ.get("RAY_ADDRESS") or "local"
    settings: dict[str, Any] = {"log_to_driver": False}
    if options.send_code:
        package = str(Path(installation.__file__).parent)
        settings["runtime_env"] = {"py_modules": [package], "excludes": ["__pycache__"]}
    if address == "local":
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # netlet sends nothing anywhere
        processors = max(cpu_cores(), (workers or 1) * threads)
        settings |= {"num_cpus": processors, "include_dashboard": False}
    try:
        _check_port(address)
        ray.init(address=address, logging_level=logging.ERROR, **settings)
    except Exception as error:  # Ray raises what it likes, a bare Exception if a start takes long
        _let_sigterm_interrupt(handler)()
        if address == "local":
            raise TrainingError(
                f"Ray cannot be started here: {first_line(error)}; run without --on ray (on in "
                "Python)"
            ) from error
        raise TrainingError(
            f"the Ray cluster at {address} cannot be used: {first_line(error)}; check that it runs "
            "('ray start --head' on its first node), that it has this version of Ray and Python, "
            "and that RAY_AUTH_MODE is the same here as there"
        ) from error
    return _let_sigterm_interrupt(handler)


def _let_sigterm_interrupt(before: Any) -> Callable[[], None]:
    """Let SIGTERM, as from Slurm's scancel, end the work as Ctrl-C does.

    The handlers of Ray print a stack and exit, as the code of a net might do.

    Args:
        before: The handler before Ray was started.

    Returns:
        A function that ends Ray and restores that handler.
    """
    if threading.current_thread() is not threading.main_thread():
        return ray.shutdown
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    def end() -> None:
        ray.shutdown()
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)

    return end


def _check_port(address: str) -> None:
    """Check that something answers at an address with a port, for which Ray waits very long.

    Raises:
        OSError: Nothing does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_S).close()


def check_nodes(here: Mapping[str, str], needed: Mapping[str, float], say: Say) -> None:
    """Compare the netlet of every node that tasks may run on with this one.

    Nodes that do not answer in time, or join later, are compared when they get a task.

    Args:
        here: The netlet of this process, from :func:`netlet.installation.describe_installation`.
        needed: What a task reserves of its node, by Ray's names.
        say: A function that is called with each line that a person should read; None: a warning.

    Raises:
        TrainingError: A node has another one.
    """
    alive = [node for node in ray.nodes() if node["Alive"]]
    able = [
        node
        for node in alive
        if all(node["Resources"].get(name, 0) >= amount for name, amount in needed.items())
    ]
    if not able:
        what = " and ".join(_name_amount(name, amount) for name, amount in needed.items())
        text = f"no node of the Ray cluster has {what} yet; waiting for one, Ctrl-C to stop"
        if say is None:
            warn(text)
        else:
            say(text)
    probe = ray.remote(ray_task.identify_node)
    answers = []
    for node in able:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        sent = probe.options(num_cpus=0, max_retries=0, scheduling_strategy=there).remote()
        answers.append(sent.future())
    concurrent.futures.wait(answers, _PROBE_S)
    found = []
    for answer in answers:
        with contextlib.suppress(RayError, concurrent.futures.TimeoutError):
            found.append(answer.result(0))
    if others := [node for node in found if node["sources"] != here["sources"]]:
        raise refuse_netlet(here, others)


def refuse_netlet(here: Mapping[str, str], others: Sequence[Mapping[str, str]]) -> TrainingError:
    """Return the error for nodes that have another netlet than this process.

    Args:
        here: The netlet of this process.
        others: The nodes and what they have, each from
            :func:`~netlet.experiments.execution.ray_task.identify_node`.
    """
    shown = [f"{node['node']} has {_name_netlet(node)}" for node in others[:_SHOWN_NODES]]
    if len(others) > _SHOWN_NODES:
        shown.append(f"{len(others) - _SHOWN_NODES} more nodes have others, too")
    return TrainingError(
        f"the driver has {_name_netlet(here)}, but {'; '.join(shown)}; install the same on every "
        "node, or send the driver's along with --on ray...,code=send"
    )


def _name_amount(name: str, amount: float) -> str:
    """Return an amount of a resource of a node for a message, such as ``2 CPUs``."""
    if name == "memory":
        return f"{amount / 2**30:g} GiB of memory for tasks"
    return count_noun(int(amount), name) if amount == int(amount) else f"{amount:g} {name}s"


def _name_netlet(found: Mapping[str, str]) -> str:
    """Return version and commit of a netlet, or the digest of its sources if there is no commit."""
    if not found["version"]:
        return "no netlet"
    commit, sources = found["commit"], found["sources"]
    detail = f"commit {commit[:12]}{'+' if commit.endswith('+') else ''}, " if commit else ""
    return f"netlet {found['version']} ({detail}sources {sources[:8]})"
