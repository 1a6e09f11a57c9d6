"""Choose how a study uses the CPU: one thread in each of many processes, or all threads in one.

Which is faster depends on the net and the machine, so it is measured, once, and remembered in a
file in netlet's cache folder.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from netlet import __version__, records
from netlet.analysis import receptive_field_from_trace, summary_from_trace, trace
from netlet.backends import find_device
from netlet.backends.cpu.library import processor_features
from netlet.data import Dataset
from netlet.data.source_files import cache_folder
from netlet.errors import NetletError
from netlet.experiments.config import load_data, load_experiment
from netlet.experiments.execution import DataReference, LocalExecutor, open_channel
from netlet.experiments.execution.net_files import NetFiles, pack_net
from netlet.experiments.execution.task import load_task_data, load_task_experiment
from netlet.experiments.seeds import run_folder
from netlet.files import write_atomic
from netlet.nets import build
from netlet.processor_load import cpu_cores
from netlet.recipes import count_epochs
from netlet.records import RunConfig, Study, net_digest, to_json_value
from netlet.training import load_checkpoint, resolve_precision
from netlet.training.throughput import measure_throughput

# Images to train on over all seeds and epochs. With fewer, measuring takes longer than it saves.
_MIN_IMAGES = 5_000_000
_MEASURE_S = 0.5
_CLEARLY_FASTER = 1.05
_SEEDS_ON_CUDA = 10  # that take turns on one device; results/cuda.json says what it gains
_MAX_REMEMBERED = 1_000  # nets
_MAX_BYTES = 1 << 20  # of the file


@dataclass(frozen=True)
class Parallelism:
    """How many processes train at the same time, and with how many threads each."""

    workers: int
    threads: int


def settle_parallelism(
    config: RunConfig,
    finished: Mapping[int, Study],
    left: Sequence[int],
    folder: Path,
    data: Dataset | None,
) -> tuple[RunConfig, int]:
    """Return a configuration with its number of threads, and the number of processes.

    A study that was begun with some number of threads keeps it, since another one may change the
    last bits of weights.

    Args:
        config: The run to train; code that it names is run.
        finished: The seeds of the study that are finished.
        left: The seeds to train.
        folder: The folder of the study.
        data: The images; None: load them.
    """
    cores = cpu_cores()
    threads = _find_threads(finished, left, folder)
    if threads:
        on_cuda = find_device().type == "cuda"
        chosen = Parallelism(_SEEDS_ON_CUDA if on_cuda else max(1, cores // threads), threads)
    else:
        chosen = choose_parallelism(config, data, len(left), cores)
    return dataclasses.replace(config, threads=chosen.threads), chosen.workers


def _find_threads(finished: Mapping[int, Study], left: Sequence[int], folder: Path) -> int | None:
    """Return with how many threads a study was begun; None if it was not."""
    for study in finished.values():
        if threads := study.environment.get("threads"):
            return int(threads)
    for seed in left:
        place = run_folder(folder, seed)
        if (place / records.CHECKPOINT_FILE).is_file():
            return RunConfig.from_dict(load_checkpoint(place)[1], place).threads
    return None


def choose_parallelism(
    config: RunConfig, data: Dataset | None, seeds: int, cores: int
) -> Parallelism:
    """Return the faster way to train the seeds of a study on this machine.

    The choice depends on the net, its batch size and precision, the processor and the number of
    cores, and not on the number of seeds, except that short studies are not measured.

    Args:
        config: The run to train; code that it names is run.
        data: The images; None: load them if they are needed.
        seeds: The number of seeds to train.
        cores: The number of CPU cores that this process may use.
    """
    if find_device().type == "cuda":
        return Parallelism(_SEEDS_ON_CUDA, 1)
    usual = Parallelism(cores, 1)
    images = seeds * count_epochs(config.recipe) * config.data["images"]["train"]
    if cores == 1 or images < _MIN_IMAGES:
        return usual
    try:
        data = data or load_data(config)
        key, known = _key(config, data, cores), _read()
        if key not in known:
            known[key] = [*_measure(config, data, cores)]
            if 0 in known[key]:  # a worker failed, perhaps in passing: keep nothing
                return usual
            _write(known)
    except NetletError:  # the training fails in the same way, and explains it
        return usual
    alone, together = known[key]
    return Parallelism(1, cores) if together > _CLEARLY_FASTER * alone else usual


def _measure(config: RunConfig, data: Dataset, cores: int) -> tuple[float, float]:
    """Return the images per second of many processes of one thread, and of one of all threads."""
    code = pack_net(config.net_source)
    with LocalExecutor(cores) as executor, open_channel(executor) as channel:
        shared = channel.share(data)
        ones = [executor.submit(_train_a_while, config, shared, code, 1) for _ in range(cores)]
        alone = sum(one.result() for one in ones)
        together = executor.submit(_train_a_while, config, shared, code, cores).result()
    return alone, together


def _train_a_while(
    config: RunConfig, data: DataReference, code: NetFiles | None, threads: int
) -> float:
    """Return the images per second of a worker; 0 if the net cannot be trained."""
    torch.set_num_threads(threads)
    images = load_task_data(config, data)
    images = images.hold_out(config.val) if config.val else images
    with load_task_experiment(config, code) as experiment:
        net = build(experiment.net.builder, 0, images.shape, images.classes)
        try:
            return measure_throughput(net, images, experiment.recipe, _MEASURE_S)
        except Exception:  # the training fails in the same way, and explains it
            return 0.0


def _key(config: RunConfig, data: Dataset, cores: int) -> str:
    experiment = load_experiment(config, trust=True)
    traced = trace(build(experiment.net.builder, 0, data.shape, data.classes), data.shape)
    recipe = experiment.recipe
    parts = (
        net_digest(
            to_json_value(summary_from_trace(traced).to_dict()),
            to_json_value(receptive_field_from_trace(traced).to_dict()),
        ),
        recipe.batch_size,
        recipe.backend,
        recipe.optimizer,
        recipe.averaging,
        recipe.train_as,
        recipe.expand_factor,
        recipe.widen_factor,
        recipe.teacher,
        resolve_precision(recipe, torch.device("cpu")),
        processor_features(),
        cores,
        __version__,
        torch.__version__,
    )
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _file() -> Path:
    return cache_folder() / "throughput.json"


def _read() -> dict[str, list[float]]:
    """Return what was measured before; nothing if the file is damaged."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        with _file().open("rb") as file:
            found = json.loads(file.read(_MAX_BYTES))
        return {key: rates for key, rates in found.items() if _is_rates(rates)}
    return {}


def _is_rates(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(isinstance(rate, float) for rate in value)
    )


def _write(known: dict[str, list[float]]) -> None:
    kept = dict(list(known.items())[-_MAX_REMEMBERED:])
    with contextlib.suppress(OSError):  # not writable, or full: measure again next time
        write_atomic(_file(), json.dumps(kept))
