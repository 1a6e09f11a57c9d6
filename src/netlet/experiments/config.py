"""From an experiment to a run configuration, and back to the experiment and its data."""

from __future__ import annotations

import dataclasses
import warnings
from pathlib import Path

from netlet.budgets import budget_from_json
from netlet.data import DATASET_NAMES, Dataset, load, prepare_for_record
from netlet.data.recorded_data import hold_out_as_recorded
from netlet.errors import DataError, DefinitionsWarning
from netlet.experiments.experiment import Experiment
from netlet.experiments.named import find_experiment
from netlet.nets import full_address
from netlet.nets.origins import refuse_other_source
from netlet.recipes import recipe_from_json
from netlet.records import RunConfig, find_difference, to_json_value
from netlet.records.config import describe_difference
from netlet.records.values import shared_value


def configure_run(
    experiment: Experiment,
    data: Dataset,
    *,
    seed: int = 0,
    val: int = 0,
    dataset: str | None = None,
    data_folder: Path | None = None,
    threads: int = 1,
    initial_weights_digest: str = "",
) -> RunConfig:
    """Return the configuration of a run that is about to start.

    Args:
        experiment: The experiment with all changes to its recipe and budget.
        data: The images, as loaded.
        seed: The seed of the run.
        val: The number of training images to hold out for scoring; 0: score on test.
        dataset: The name or path that ``data`` was loaded by; None: the default data set.
        data_folder: The folder with the files of a public data set, if one was given.
        threads: The number of CPU threads.
        initial_weights_digest: Digest of the weights to start from, if they are from a file.

    Raises:
        DataError: ``val`` is out of range, or the splits are not called ``train`` and ``test``.
    """
    data = prepare_for_record(data)
    own = dataset is not None and dataset not in DATASET_NAMES
    return RunConfig(
        name=experiment.name,
        net=experiment.net.name,
        recipe=to_json_value(experiment.recipe),
        budget=to_json_value(experiment.budget),
        data=(data.hold_out(val) if val else data).describe(),
        initial_weights_digest=initial_weights_digest,
        seed=seed,
        val=val,
        net_source=full_address(experiment.net.name),
        source_digest=experiment.net.code.digest if experiment.net.code else "",
        dataset=str(Path(dataset).resolve()) if own and dataset else data.name,
        data_folder=str(data_folder.resolve()) if data_folder else None,
        threads=threads,
    )


def refuse_other_data(config: RunConfig, data: Dataset) -> None:
    """Refuse to train a configuration on another data set than it was made for.

    Args:
        config: The configuration.
        data: The images, as they were passed to :func:`configure_run`.

    Raises:
        DataError: They are others, or others are held out.
    """
    with warnings.catch_warnings(action="ignore"):  # who made the configuration has been told
        data = prepare_for_record(data)
    data = data.hold_out(config.val) if config.val else data
    given = dataclasses.replace(config, data=data.describe())
    if shared_value(given, "data") != shared_value(config, "data"):
        what = find_difference(config, given) or "description"
        detail = describe_difference(what, config, given)
        raise DataError(
            f"the data set is not that of the configuration: it has another {what}"
            f"{f' ({detail})' if detail else ''}; pass the one that configure_run was called with"
        )


def load_data(config: RunConfig) -> Dataset:
    """Load the data set of a run again, without the images that ``config.val`` stands for.

    Images that had been held out when the run was configured are held out.

    Raises:
        DataError: It is missing, or it has changed since the run started.
    """
    found = load(config.dataset, config.data_folder).with_channels(config.data["shape"][0])
    own = hold_out_as_recorded(config.data, found)
    if own is None:
        raise DataError(
            f"{config.dataset}: the data set has changed since this run started;"
            " restore the old one, or start a new run"
        )
    return found.with_classes(own.class_names) if config.val else own


def load_experiment(config: RunConfig, *, trust: bool = False) -> Experiment:
    """Return the experiment of a run again.

    Args:
        config: The configuration of the run.
        trust: Whether to run code that the configuration names, like ``file.py:Name``.

    Raises:
        NetError: The net is missing, it is code that is not trusted, or its code has changed.
    """
    if trust:
        refuse_other_source(config)
    with warnings.catch_warnings():
        # Who made the configuration has been told which of several definitions counts.
        warnings.simplefilter("ignore", DefinitionsWarning)
        found = find_experiment(config.net_source, trusted=trust)
    return dataclasses.replace(
        found,
        name=config.name,
        net=dataclasses.replace(found.net, name=config.net),
        recipe=recipe_from_json(config.recipe),
        budget=budget_from_json(config.budget) if config.budget else found.budget,
    )
