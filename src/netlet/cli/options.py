"""Options that several commands share.

The same word means the same thing in every command:

- ``NET`` is the first argument: a name from ``netlet list``, a net in one line (``'8 8 P 16'``),
  ``file.py:Name`` or ``notebook.ipynb:Name``. Commands that need weights also take the folder of a
  run or of a study (its median seed's run); a name uses the weights that come with netlet,
  ``--weights FILE`` any others.
- ``predict`` is the one exception. Its arguments are images, because a shell expands ``*.png`` to
  any number of them and a net among them could not be told apart; the net is ``--net NET``.
- ``STUDY`` is the folder of a study or run, its record, or the name of a study that comes with
  netlet.
- ``-o``, ``--out PATH`` is where the result is written: exactly there, never a folder to put it
  into. The help says whether it is a file or a folder. (``data get`` writes several data sets, each
  into a folder of its name.)
- ``--dataset NAME|PATH`` is the data set, ``--data-dir DIR`` the folder with a public data set's
  files. ``runs --dataset``, like all filters of ``runs``, takes a pattern.
- ``--json`` prints one JSON document instead of text (docs/json.md).

Names of 0.1 that differ still work, with a warning: ``netlet.cli.commands.RENAMED``. One meaning
has changed: ``train --out`` was the folder that the run's folder was made in.
"""

from __future__ import annotations

import enum
import math
from pathlib import Path
from typing import Annotated, Any

import typer

from netlet import catalog, records
from netlet.recipes import MAX_EPOCHS
from netlet.records.config import MAX_THREADS

MAX_SEED = 2**63 - 1
MAX_SEEDS = 10_000  # of a study
MAX_CLASSES = 10_000
MAX_CHANNELS = 16
MAX_WORKERS = 256


class DataSplit(enum.StrEnum):
    """A split of a data set, which has ``train`` and one of the others."""

    TRAIN = "train"
    VAL = "val"
    TEST = "test"


class JudgedSplit(enum.StrEnum):
    """A split whose accuracy a budget can judge."""

    TEST = "test"
    VAL = "val"


def check_finite(value: float | None) -> float | None:
    """Refuse nan and infinity, which compare to nothing as a person expects."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is not a finite number; give one like 0.5")
    return value


def recipe_names() -> list[str]:
    """Return what shell completion offers for a recipe."""
    return list(catalog.RECIPES)


def budget_names() -> list[str]:
    """Return what shell completion offers for a budget."""
    return list(catalog.BUDGETS)


def dataset_names() -> list[str]:
    """Return what shell completion offers for a data set."""
    from netlet.data import DATASET_NAMES

    return list(DATASET_NAMES)


def net_names() -> list[str]:
    """Return what shell completion offers for a net."""
    return [definition.name for definition in catalog.DEFINITIONS]


def study_names() -> list[str]:
    """Return what shell completion offers for a study."""
    return records.list_studies()


def weights_names() -> list[str]:
    """Return what shell completion offers for a net with weights."""
    from netlet.nets import list_shipped_weights

    return list(list_shipped_weights())


FORMATS = ".html or .md (page), .svg, .pdf or .png (figures), .csv or .tex (tables)"
NET = (
    "A name from 'netlet list', a net in one line like '8 8 P 16' (docs/notation.md), "
    "file.py:Name, notebook.ipynb:Name or package.module:Name; or just the file if it defines only "
    "one net."
)
NET_WITH_WEIGHTS = (
    "A name whose weights come with netlet, the folder of a run or study, or a net and --weights."
)

NET_WITH_A_RECORD = "A name whose weights come with netlet, or the folder of a run or study."

STUDY = "Folder of a study or run, its record, or the name of a study that comes with netlet."

Nets = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="NET",
        help=f"{NET} Several nets may be given; if none is, the net of netlet.toml.",
        autocompletion=net_names,
    ),
]
TrainedNet = Annotated[
    str, typer.Argument(metavar="NET", help=NET_WITH_WEIGHTS, autocompletion=weights_names)
]
RecordedNet = Annotated[
    str, typer.Argument(metavar="NET", help=NET_WITH_A_RECORD, autocompletion=weights_names)
]
Weights = Annotated[
    Path | None,
    typer.Option(
        "--weights",
        metavar="FILE",
        help="Weights of NET: a safetensors file, or a .pt file with a state_dict.",
    ),
]
Mean = Annotated[
    float | None,
    typer.Option(
        "--mean",
        metavar="X",
        callback=check_finite,
        help="Mean to subtract from gray levels of 0 to 1; if not given, that of the run, or "
        "0.1307, MNIST's.",
    ),
]
Std = Annotated[
    float | None,
    typer.Option(
        "--std",
        metavar="X",
        callback=check_finite,
        help="Standard deviation to divide by, above 0; if not given, that of the run, or 0.3081, "
        "MNIST's.",
    ),
]
Raw = Annotated[
    bool,
    typer.Option(
        "--raw", help="Use the files as they are: 28x28 pixels, light ink on black, like MNIST."
    ),
]
Sandboxed = Annotated[
    bool,
    typer.Option(
        "--sandbox",
        help="Run NET's code in a sandbox (bubblewrap, Podman or Docker): 60 s, 4 GiB, no network, "
        "none of your files but the Python files around it.",
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Allow this command to run the code (file.py:Name) that a run, trial or ladder names; "
        "it runs with your rights.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print a JSON document instead of text.")]
Input = Annotated[
    str | None,
    typer.Option(
        "--input",
        metavar="C,H,W",
        help="Shape of one image: channels, height and width in pixels; if not given, that of the "
        "data set in netlet.toml, else 1,28,28.",
    ),
]
Classes = Annotated[
    int | None,
    typer.Option(
        "--classes",
        metavar="K",
        min=2,
        max=MAX_CLASSES,
        help="Number of classes, for a net that takes any number; if not given, that of the data "
        "set in netlet.toml or of the budget, else the net's own.",
    ),
]
Val = Annotated[
    int,
    typer.Option(
        "--val",
        metavar="N",
        min=0,
        help="Hold N training images out and score on these instead of on the test images.",
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", metavar="N", min=0, max=MAX_SEED, help="Seed of all random numbers."),
]
FirstSeed = Annotated[
    int,
    typer.Option(
        "--first-seed",
        metavar="S",
        min=0,
        max=MAX_SEED - MAX_SEEDS,
        help="Train seeds S, S+1, S+2, ...",
    ),
]


def workers_option(text: str) -> Any:
    """Return the option ``--workers`` with a command's own help."""
    return typer.Option("--workers", metavar="N", min=1, max=MAX_WORKERS, help=text)


Workers = Annotated[
    int | None,
    workers_option(
        "Number of runs at the same time; if not given, one per CPU core, ten on a CUDA device, or "
        "with --on ray as many as the cluster has room for."
    ),
]
WorkerThreads = Annotated[
    int | None,
    typer.Option(
        "--threads",
        metavar="N",
        min=1,
        max=MAX_THREADS,
        help="CPU threads of each process; if not given, 1, or all in a single process if that is "
        "faster for the net.",
    ),
]
On = Annotated[
    str | None,
    typer.Option(
        "--on",
        metavar="WHERE",
        help="Where to train: local (this machine's processes; the default), or ray or "
        "ray://HOST:PORT for a Ray cluster (docs/scale.md).",
    ),
]
RecipeName = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME",
        help="Train with this recipe ('netlet list --recipes'); if not given, the experiment's "
        "own, or steady for your own net.",
        autocompletion=recipe_names,
    ),
]
BudgetName = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="NAME|FILE",
        help="Judge by this budget: a name ('netlet list --budgets') or a TOML file; if not given, "
        "the experiment's own, or twenty_k for your own net.",
        autocompletion=budget_names,
    ),
]
Judge = Annotated[
    JudgedSplit | None,
    typer.Option(
        "--judge",
        metavar="SPLIT",
        help="Split whose accuracy is judged: test, or val for the images that --val holds out of "
        "training; if not given, the budget's, which is test in the budgets of netlet.",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting of the recipe, like batch_size=64 or peak_lr=0.01; may be given "
        "several times. docs/api/recipes.md lists all settings.",
    ),
]
Epochs = Annotated[
    int | None,
    typer.Option(
        "--epochs",
        metavar="N",
        min=1,
        max=MAX_EPOCHS,
        help="Number of epochs; the recipe's if not given.",
    ),
]


def _dataset(default: str) -> Any:
    return typer.Option(
        "--dataset",
        metavar="NAME|PATH",
        help="Data set: a name from 'netlet data list', a folder with one subfolder of images per "
        f"class, or an .npz; if not given, {default}.",
        autocompletion=dataset_names,
    )


DatasetToTrain = Annotated[
    str | None, _dataset("mnist, or scribble where MNIST cannot be downloaded")
]
DatasetOfNet = Annotated[str | None, _dataset("the one that NET was trained on, or else mnist")]
DatasetOfBudget = Annotated[str | None, _dataset("the budget's, or else mnist")]
DataDir = Annotated[
    Path | None,
    typer.Option(
        "--data-dir",
        metavar="DIR",
        help="Folder with the files of a public data set; if not given, NETLET_DATA, netlet's "
        "cache folder and ./data are searched.",
    ),
]
Channels = Annotated[
    int | None,
    typer.Option(
        "--channels",
        metavar="N",
        min=1,
        max=MAX_CHANNELS,
        help="Repeat gray images N times, for a net that takes N channels.",
    ),
]
