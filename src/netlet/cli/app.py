"""The ``netlet`` command: its verbs, and how an error reaches a person.

Results go to stdout, progress and errors to stderr. Exit codes: 0 nothing failed, 1 a budget was
missed, 2 bad usage or bad input, 130 interrupted. Nothing here imports torch: ``netlet --help``
must answer at once.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import Annotated

import typer

from netlet import __version__
from netlet.cli import (
    card,
    check,
    climb,
    compare,
    data,
    evaluate,
    export,
    frontier,
    listing,
    play,
    predict,
    report,
    runs,
    show,
    study,
    train,
)
from netlet.cli.results import only_results, say
from netlet.errors import NetletError

app = typer.Typer(
    name="netlet",
    help="Design, check, train and explain tiny convolutional nets that fit a budget.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # importing rich would take longer than all the rest
    pretty_exceptions_enable=False,
)
app.command("list", short_help="Show all experiments and what their nets cost.")(
    only_results(listing.list_)
)
app.command("show", short_help="Show a net's layers, costs and receptive field.")(
    only_results(show.show)
)
app.command("check", short_help="Hold a net against a budget, without training.")(
    only_results(check.check)
)
app.command("train", short_help="Train a net, judge it and record the run.")(
    only_results(train.train)
)
app.command("runs", short_help="List, filter and compare the recorded runs below a folder.")(
    only_results(runs.runs)
)
app.command("study", short_help="Train an experiment from several seeds, side by side.")(
    only_results(study.study)
)
app.command("compare", short_help="Say whether one study is better than another, or chance.")(
    only_results(compare.compare)
)
app.command("climb", short_help="Run a ladder of experiments and write its page.")(
    only_results(climb.climb)
)
app.command("report", short_help="Write what records show, as one HTML file or as Markdown.")(
    only_results(report.report)
)
app.command("card", short_help="Tell what trained weights are for and how good they are.")(
    only_results(card.card)
)
app.command(
    "frontier", short_help="Show accuracy against parameters, other people's nets included."
)(only_results(frontier.frontier))
app.command("evaluate", short_help="Score a net with given weights on any data set.")(
    only_results(evaluate.evaluate)
)
app.command("play", short_help="Draw digits for a net in the browser.")(only_results(play.play))
app.command("predict", short_help="Say which digit is on a picture, drawn or photographed.")(
    only_results(predict.predict)
)
app.add_typer(data.app, name="data", short_help="Get, verify, list, show and make data sets.")
app.command("export", short_help="Write a trained net as ONNX, C or a web page.")(
    only_results(export.export)
)

# Typer carries its own click in some versions and imports it in others.
_ClickError: type[Exception] = next(
    base
    for base in typer.BadParameter.__mro__
    if issubclass(base, Exception) and base.__name__ == "ClickException"
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _netlet(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and leave the process with its exit code."""
    if arguments is None:
        # The process is ours and short: looking for garbage among all that torch brings takes
        # longer than it is worth.
        gc.set_threshold(100_000, 50, 50)
        atexit.register(gc.freeze)
    given = sys.argv[1:] if arguments is None else arguments
    debug = "--debug" in given
    try:
        code = app(
            [word for word in given if word != "--debug"], prog_name="netlet", standalone_mode=False
        )
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads has seen enough (netlet list | head).
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except (typer.Abort, KeyboardInterrupt):
        say("netlet: interrupted")
        sys.exit(130)
    except _ClickError as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())  # type: ignore[attr-defined]
            sys.exit(0)
        say(f"netlet: {_usage(error)}")
        sys.exit(2)
    except NetletError as error:
        if debug:
            raise
        say(f"netlet: {' '.join(str(error).split())}")
        sys.exit(2)
    except Exception as error:
        if debug:
            raise
        say(
            f"netlet: {type(error).__name__}: {' '.join(str(error).split()) or 'no message'} (--debug shows where)"
        )
        sys.exit(2)
    sys.exit(code or 0)


def _usage(error: Exception) -> str:
    # click's message ends in a full stop and carries the command's context apart from it.
    message = (
        " ".join(error.format_message().split()) if hasattr(error, "format_message") else str(error)
    )
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "netlet"
    return f"{message.rstrip('.')}; see '{path} --help'" if message else f"see '{path} --help'"
