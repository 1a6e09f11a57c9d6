"""``netlet lr``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet.cli.datasets import load_training_dataset
from netlet.cli.options import (
    NET,
    Channels,
    DataDir,
    DatasetToTrain,
    Json,
    RecipeName,
    Seed,
    Settings,
    check_finite,
    net_names,
)
from netlet.cli.progress import show_progress
from netlet.cli.repository import Choice, apply_repository, require_net
from netlet.cli.results import json_document, print_json, print_result, say
from netlet.errors import ReportError
from netlet.outputs import check_output, write_output
from netlet.text import dump_json, escape_controls

if TYPE_CHECKING:
    from netlet.recipes import Recipe
    from netlet.training import RangeTest

_SUFFIXES = (".json", ".svg", ".pdf", ".png")
_COLUMNS = 60  # of the plot on the terminal


def lr(
    net: Annotated[
        str | None, typer.Argument(metavar="NET", help=NET, autocompletion=net_names)
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="File to write: .json (all rates and losses), .svg, .pdf or .png (the plot).",
        ),
    ] = None,
    lowest: Annotated[
        float,
        typer.Option(
            "--lowest", metavar="RATE", callback=check_finite, help="Learning rate to start with."
        ),
    ] = 1e-6,
    highest: Annotated[
        float,
        typer.Option(
            "--highest", metavar="RATE", callback=check_finite, help="Learning rate to end with."
        ),
    ] = 10.0,
    seed: Seed = 0,
    dataset: DatasetToTrain = None,
    data_dir: DataDir = None,
    channels: Channels = None,
    recipe: RecipeName = None,
    set_: Settings = None,
    json: Json = False,
) -> None:
    """Suggest a learning rate by a range test: one epoch, rising rate.

    Only training images are used, and nothing is judged or recorded. The suggestions are the rate
    at which the smoothed loss falls fastest, and a tenth of the rate with the lowest loss.
    file.py:Name runs that file's code with your rights. In a folder with netlet.toml, missing
    options are taken from that file, unless NET comes with netlet and the file names another net.
    """
    given = Choice(net=net, recipe=recipe, settings=set_, dataset=dataset)
    choice = apply_repository(given, "net", "recipe", "settings", "dataset")
    name = require_net(choice)
    if out and out.suffix not in _SUFFIXES:
        raise ReportError(
            f"{out}: cannot write this format; name a file that ends in "
            f"{', '.join(_SUFFIXES[:-1])} or {_SUFFIXES[-1]} with --out"
        )
    if out:
        check_output(out)
    experiment = choice.configure()
    images = load_training_dataset(choice.dataset, data_dir, channels)

    from netlet.nets import build, comes_with_netlet
    from netlet.training import run_range_test

    built = build(experiment.net.builder, seed, images.shape, images.classes)
    trained_by = experiment.recipe.for_net(in_catalog=comes_with_netlet(experiment.net))
    with show_progress("range test", "step") as bar:
        found = run_range_test(
            built, images, trained_by, seed=seed, lowest=lowest, highest=highest, on_progress=bar
        )
    head = {"net": name, "data": images.name, "seed": seed, "batch_size": trained_by.batch_size}
    values: dict[str, Any] = {**head, "optimizer": trained_by.optimizer, **found.to_dict()}
    if json:
        print_json("lr", values)
    else:
        text = _format(name, images.name, found, trained_by)
        print_result(
            f"{text}\n{_advise(found, _repeat(given, data_dir, channels), len(images.train))}",
            lines=True,
        )
    if out:
        _write(out, values, found)
        say(f"written to {out}")


def _repeat(given: Choice, data_dir: Path | None, channels: int | None) -> str:
    """Return the command that trains the net as the test did, without the learning rate.

    Args:
        given: The options of the test; 'netlet train' takes the same others from netlet.toml.
        data_dir: The option ``--data-dir`` of the test.
        channels: The option ``--channels`` of the test.
    """
    words = ["netlet", "train"]
    words += [given.net] if given.net else []
    words += ["--recipe", given.recipe] if given.recipe else []
    words += ["--dataset", given.dataset] if given.dataset else []
    words += ["--data-dir", str(data_dir)] if data_dir else []
    words += ["--channels", str(channels)] if channels else []
    for setting in given.settings or ():
        if setting.partition("=")[0].strip() != "peak_lr":
            words += ["--set", setting]
    return shlex.join(words)


def _advise(test: RangeTest, command: str, images: int) -> str:
    """Return how to choose between the suggestions.

    Args:
        test: What the test found.
        command: The command that trains the net.
        images: The number of training images.
    """
    if test.steepest is None or test.tenth_of_lowest is None:
        return (
            "no suggestion, because the loss is lowest in the first tenth of the steps; try lower "
            "rates with --lowest"
        )
    lower, higher = sorted((test.steepest, test.tenth_of_lowest))
    return (
        f"train with one of them: {escape_controls(command)} --set peak_lr={lower:.2g}\n"
        f"to choose, begin with the lower one, which is the safer one; add "
        f"--val {max(1, images // 6)} to compare it with {higher:.2g} on images held out of the "
        "training split"
    )


def _format(net: str, data: str, test: RangeTest, recipe: Recipe) -> str:
    """Return the plot and the suggestions as text.

    Args:
        net: The name of the net.
        data: The name of the data set.
        test: What the test found.
        recipe: The recipe that the net was trained by.
    """
    from netlet.stats.terminal_plot import Mark, draw_plot

    every = max(1, -(-len(test.rates) // _COLUMNS))
    marks = [
        Mark(rate, loss, "*")
        for rate, loss in list(zip(test.rates, test.smoothed, strict=True))[::every]
    ]
    ended = " (ended early, because the loss became too large)" if test.diverged else ""
    rows = [("peak_lr of the recipe", test.peak_lr)]
    if test.steepest is not None and test.tenth_of_lowest is not None:
        rows = [
            ("steepest descent", test.steepest),
            ("a tenth of the rate with the lowest loss", test.tenth_of_lowest),
            *rows,
        ]
    title = escape_controls(f"{net} on {data}")
    return "\n".join(
        [
            f"{title}: learning rate {test.rates[0]:.2g} to {test.rates[-1]:.2g} "
            f"in {len(test.rates)} of {test.steps} steps{ended}",
            escape_controls(
                f"optimizer {recipe.optimizer}, batch size {recipe.batch_size}, "
                f"recipe {recipe.name}"
            ),
            "",
            draw_plot(marks, "smoothed training loss", "learning rate"),
            "",
            *(f"{label:<41} {rate:.2g}" for label, rate in rows),
        ]
    )


def _write(out: Path, values: dict[str, Any], test: RangeTest) -> None:
    """Write the document or the plot, as the file's suffix says."""
    if out.suffix == ".json":
        write_output(out, dump_json(json_document("lr", values), indent=1) + "\n")
        return
    from netlet.report import range_test_figure, save_figure

    save_figure(range_test_figure(test), out)
