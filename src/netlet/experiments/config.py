"""What a run was told to do, in plain values: enough for another process to go on with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from netlet import budgets, recipes
from netlet.data import NAMES, Dataset, load
from netlet.errors import DataError, TrainingError
from netlet.experiments.catalogue import find_experiment
from netlet.experiments.experiment import Experiment
from netlet.records import to_json_value


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """An experiment as it was changed on the command line, its seed, and its images."""

    name: str
    net: str  # as it was named
    net_from: str  # the same, good from any folder
    recipe: Mapping[str, Any]
    budget: Mapping[str, Any]
    seed: int
    val: int
    dataset: str  # a name, or an absolute path
    folder: str | None  # where a public data set's files lie, if that was said
    channels: int
    digest: str  # of the data
    threads: int
    val_images: int = 0  # that score: val, or as many as own data without a test set holds out
    began_with: str = ""  # the digest of weights that somebody gave

    @staticmethod
    def of(
        experiment: Experiment,
        seed: int,
        val: int,
        data: Dataset,
        dataset: str | None,
        folder: Path | None,
        threads: int,
        began_with: str = "",
    ) -> RunConfig:
        """Write down what is about to be run.

        Args:
            experiment: With all changes.
            seed: Of the run.
            val: So many images of ``train`` score instead of ``test``.
            data: The images, as loaded.
            dataset: What they were asked for by, if by anything.
            folder: Where they were said to lie, if that was said.
            threads: Of the CPU; another number may give other last bits.
            began_with: The digest of weights that somebody gave.
        """
        place, colon, attribute = experiment.net.name.rpartition(":")
        is_file = place.endswith(".py") or "/" in place
        own = dataset is not None and dataset not in NAMES
        return RunConfig(
            name=experiment.name,
            net=experiment.net.name,
            net_from=f"{Path(place).resolve()}:{attribute}"
            if colon and is_file
            else experiment.net.name,
            recipe=to_json_value(experiment.recipe),
            budget=to_json_value(experiment.budget),
            seed=seed,
            val=val,
            dataset=str(Path(dataset).resolve()) if own and dataset else data.name,
            folder=str(folder.resolve()) if folder else None,
            channels=data.shape[0],
            digest=data.digest,
            threads=threads,
            val_images=val or (len(data.held_out) if data.held_out.name == "val" else 0),
            began_with=began_with,
        )

    @staticmethod
    def from_dict(values: Mapping[str, Any], path: Path) -> RunConfig:
        """Back from plain values; ``path`` is for the message.

        Raises:
            TrainingError: They are of another program or version.
        """
        try:
            return RunConfig(**values)
        except TypeError as error:
            raise TrainingError(
                f"{path}: was begun by another program or version ({error}); begin anew"
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it."""
        return dataclasses.asdict(self)

    def images(self) -> Dataset:
        """The data again.

        Raises:
            DataError: It is not there any more, or is another.
        """
        found = load(self.dataset, self.folder).with_channels(self.channels)
        if found.digest != self.digest:
            raise DataError(
                f"{self.dataset}: is not what this run began with; bring the old data back or begin anew"
            )
        return found

    def experiment(self) -> Experiment:
        """The experiment again.

        Raises:
            NetError: The net is not there any more.
        """
        found = find_experiment(self.net_from)
        return dataclasses.replace(
            found,
            name=self.name,
            net=dataclasses.replace(found.net, name=self.net),
            recipe=recipes.recipe_from_json(self.recipe),
            budget=budgets.budget_from_json(self.budget),
        )
