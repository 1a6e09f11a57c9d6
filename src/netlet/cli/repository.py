"""What ``netlet.toml`` says where no option of the command line does."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlet import catalog, records
from netlet.budgets import Budget
from netlet.cli.results import say
from netlet.cli.settings import apply_settings, configure_experiment, safe_folder_name
from netlet.errors import NetError, RecipeError, RecordError
from netlet.recipes import STEADY, Recipe
from netlet.repository import FILE_NAME, RepositorySettings, find_settings, find_settings_file
from netlet.text import join_address, split_address

if TYPE_CHECKING:
    from netlet.data import Dataset
    from netlet.experiments import Experiment
    from netlet.records import RunConfig

_RUNS, _STUDIES = "runs", "studies"  # the folders of records if --out is not given
FIELDS_OF_TRAINING = ("net", "budget", "recipe", "epochs", "settings", "dataset")


def runs_folder() -> Path:
    """Return the folder of the runs for which --out names none."""
    return _home() / _RUNS


def studies_folder() -> Path:
    """Return the folder of the studies for which --out names none."""
    return _home() / _STUDIES


def find_runs_folders() -> list[Path]:
    """Return the folders of runs that are there.

    A notebook records its runs in its own folder, which may lie below that of ``netlet.toml``.
    """
    return _find_beside(runs_folder())


def find_studies_folders() -> list[Path]:
    """Return the folders of studies that are there, like those of runs."""
    return _find_beside(studies_folder())


def default_folder(experiment: Experiment, images: Dataset, seed: int | None = None) -> Path:
    """Return the folder of a run, or without a seed of a study, for which --out names none."""
    name = _name_record(_name_from_home(experiment.name), images.name)
    if seed is None:
        return studies_folder() / safe_folder_name(name)
    return runs_folder() / safe_folder_name(f"{name}-seed{seed}")


def name_in_repository(config: RunConfig) -> RunConfig:
    """Return the configuration of a run with the net's address as the repository's records have it.

    Addresses are relative to the folder of ``netlet.toml``, so that a record for which --out names
    no folder is the same from whichever folder its run is started.
    """
    name, net = (_name_from_home(text) for text in (config.name, config.net))
    return dataclasses.replace(config, name=name, net=net)


@dataclass(frozen=True)
class Choice:
    """What a command works on: its options, and what the repository's settings add to them."""

    net: str | None = None
    budget: str | Budget | None = None
    recipe: str | None = None
    epochs: int | None = None
    settings: list[str] | None = None
    dataset: str | None = None
    seeds: int | None = None

    def configure(
        self, accuracy_at_least: float | None = None, judge: str | None = None
    ) -> Experiment:
        """Return the experiment, as :func:`configure_experiment` does."""
        return configure_experiment(
            self.net,
            self.recipe,
            self.budget,
            self.settings,
            self.epochs,
            accuracy_at_least,
            judge,
        )

    @property
    def planned_recipe(self) -> Recipe | None:
        """The recipe, if one is chosen."""
        changes = [*(self.settings or ()), *([f"epochs={self.epochs}"] if self.epochs else [])]
        if not (changes or self.recipe):
            return None
        return apply_settings(catalog.find_recipe(self.recipe or STEADY.name), changes)


def apply_repository(given: Choice, *uses: str, quiet: bool = False) -> Choice:
    """Return the options of a command with what the repository's ``netlet.toml`` adds.

    The budget, the recipe and the data set are for the repository's net and for others that are
    named as code or in one line. An experiment of netlet's keeps its own.

    Args:
        given: The options of the command line; None where there is none.
        uses: The names of the fields that the command has.
        quiet: Whether to leave out the line that says what is added.

    Raises:
        RecipeError: The command line has a setting of epochs and --epochs.
        RepositoryError: The file is not valid.
    """
    if given.epochs and _sets_epochs(given):
        raise RecipeError(
            f"--epochs {given.epochs} and --set epochs=... cannot be combined; pass only one"
        )
    own = find_settings()
    if own is None:
        return given
    added = _list_additions(given, own)
    added = {name: value for name, value in added.items() if name in uses and value}
    if added and not quiet:
        shown = ", ".join(f"{name} {_describe(value)}" for name, value in added.items())
        say(f"{own.path}: {shown}")
    if "settings" in added:
        added["settings"] = [*own.settings, *(given.settings or [])]
    return dataclasses.replace(given, **added)


def choose_nets(nets: Sequence[str] | None, given: Choice, *uses: str) -> dict[str, Choice]:
    """Return what a command works on by the names of several nets.

    Args:
        nets: The nets; None or none: that of ``netlet.toml``.
        given: The options of the command line for all of them.
        uses: The names of the fields that the command has.

    Raises:
        NetError: No net is named.
    """
    named = [dataclasses.replace(given, net=net) for net in nets or (None,)]
    chosen = [apply_repository(one, *uses, quiet=i > 0) for i, one in enumerate(named)]
    return {require_net(choice): choice for choice in chosen}


def require_net(choice: Choice) -> str:
    """Return the net that a command works on.

    Raises:
        NetError: None is named.
    """
    if choice.net is None:
        raise NetError(
            f"no NET is named; name one, like model.py:Net, or write {FILE_NAME} with 'netlet init'"
        )
    return choice.net


def own_dataset() -> str | None:
    """Return the person's own data set that ``netlet.toml`` names, if it names one."""
    from netlet.data import DATASET_NAMES

    own = find_settings()
    return None if own is None or own.dataset in DATASET_NAMES else own.dataset


def default_records() -> list[str]:
    """Return the records that a report shows if none are named.

    Raises:
        RecordError: There are none.
    """
    own = find_settings()
    if own is None:
        raise RecordError(
            "no RECORD is named; name the folder of a run, study or ladder ('netlet runs', 'netlet "
            f"runs studies' and 'netlet runs ladders' list them), or write {FILE_NAME} with "
            "'netlet init'"
        )
    if own.records:
        say(f"{own.path}: records {', '.join(own.records)}")
        return list(own.records)
    if own.net is None:
        raise RecordError(f'{own.path}: has no net; add net = "model.py:Net", or name a RECORD')
    found = _find_record(own)
    if found is None:
        raise RecordError(f"{own.net} is not trained yet; run 'netlet study', or name a RECORD")
    say(f"{own.path}: records {found}")
    return [found]


def _sets_epochs(given: Choice) -> bool:
    return any(one.partition("=")[0].strip() == "epochs" for one in given.settings or [])


def _list_additions(given: Choice, own: RepositorySettings) -> dict[str, Any]:
    """Return what the settings add, by the name of the field."""
    added: dict[str, Any] = {"net": own.net} if given.net is None else {}
    names = {definition.name for definition in catalog.DEFINITIONS}
    if given.net in names and given.net != own.net:
        return added
    if given.budget is None:
        added["budget"] = own.budget
    if given.recipe is None:
        added["recipe"] = own.recipe
        added["settings"] = list(own.settings)
        if given.epochs is None and not _sets_epochs(given):
            added["epochs"] = own.epochs
    if given.dataset is None:
        added["dataset"] = own.dataset
    if given.seeds is None:
        added["seeds"] = own.seeds
    return added


def _describe(value: object) -> str:
    if isinstance(value, Budget):
        return "of its own"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def _find_record(own: RepositorySettings) -> str | None:
    """Return the folder of the study of the settings' net, else that of its newest run.

    They are looked for in the folder of the settings, then in the working directory.
    """
    from netlet.nets import complete_address

    address = complete_address(str(own.net))
    for folder, net in ((_home(), _name_from_home(address)), (Path(), address)):
        data = own.dataset or "mnist"
        if data != "mnist":
            images = Path(data)
            data = f"{images.name}/" if images.is_dir() else images.name
        name = safe_folder_name(_name_record(net, data))
        study = folder / _STUDIES / name
        if (study / records.STUDY).is_file():
            return str(study)
        found = (folder / _RUNS).glob(f"{name}-seed*/{records.RECORD}")
        runs = [path for path in found if path.is_file()]
        if runs:
            return str(max(runs, key=lambda path: path.stat().st_mtime).parent)
    return None


def _find_beside(folder: Path) -> list[Path]:
    """Return a folder and that of its name in the working directory, if they are there."""
    return [one for one in dict.fromkeys((folder, Path(folder.name))) if one.is_dir()]


def _home() -> Path:
    """Return the folder of ``netlet.toml``; without one, the working directory."""
    path = find_settings_file()
    return Path() if path is None else path.parent


def _name_from_home(address: str) -> str:
    """Return an address with its file relative to the folder of ``netlet.toml``."""
    from netlet.nets.net_code import is_file_address

    place, name = split_address(address)
    home = _home()
    if home == Path() or not is_file_address(place) or os.path.isabs(place):
        return address
    return join_address(os.path.relpath(place, home), name)


def _name_record(net: str, data: str) -> str:
    """Return the name of a study: of the net, and of the data set if that is not MNIST."""
    return net if data == "mnist" else f"{net}-{data}"
