"""The ``netlet`` command: its subcommands, and how an error is reported.

Results go to stdout, progress and errors to stderr. docs/commands.md lists the exit codes.
The file of a command is imported when the command is used, and none imports torch before it needs
it, so that ``netlet --help`` and shell completion answer at once.
"""

from __future__ import annotations

import atexit
import functools
import gc
import os
import sys
import traceback
from typing import Annotated, Any

import typer

from netlet import __version__
from netlet.cli.commands import GROUPS
from netlet.cli.error_messages import describe_error
from netlet.cli.interruption import (
    INTERRUPTED,
    begin_command,
    catch_every_interrupt,
    end_interrupted,
)
from netlet.cli.lazy_commands import Entry, LazyCommands, LazyGroup
from netlet.cli.own_stdout import end_stdout, leave, user_code_has_run
from netlet.cli.results import accept_all_characters, say
from netlet.cli.streams import discard_output, flush_stdout, require_stdout

DESIGN, TRAIN, UNDERSTAND, SHIP, DATA = GROUPS
COMMANDS = (
    Entry(
        "list",
        DESIGN,
        "List experiments and their cost, recipes, or budgets.",
        ("netlet list", "netlet list --recipes --budgets"),
        function="listing:list_",
    ),
    Entry(
        "show",
        DESIGN,
        "Show a net's layers, parameters, MACs and receptive field.",
        ("netlet show swift", "netlet show '8 8 P 12 14 16 16' --rf"),
    ),
    Entry(
        "check",
        DESIGN,
        "Check a net against a budget, without training it.",
        (
            "netlet check week4 --budget document_003",
            "netlet check mine.py:Net --params-below 20000 --forbid Linear",
        ),
    ),
    Entry(
        "budget",
        DESIGN,
        "Show a budget: its limits, rules (with what counts) and messages.",
        ("netlet budget document_004", "netlet budget class.toml --toml"),
    ),
    Entry(
        "grade",
        DESIGN,
        "Grade the nets of a class against a budget, each in a sandbox.",
        (
            "netlet grade submissions --budget document_004",
            "netlet grade submissions --budget document_004 --roster class.csv --retrain quick",
        ),
    ),
    Entry(
        "init",
        DESIGN,
        "Set up a course repository: settings, workflow, README.",
        ("netlet init", "netlet init model.py:Net --budget eight_k --dry-run"),
    ),
    Entry(
        "search",
        DESIGN,
        "Search for a net and a recipe that fit a budget.",
        (
            "netlet search speck --trials 40 --plot speck.svg",
            "netlet search my_space.toml --trials 100 --resume",
        ),
    ),
    Entry(
        "train",
        TRAIN,
        "Train a net, judge it by its budget and record the run.",
        ("netlet train", "netlet train mine.py:Net --recipe steady --set epochs=5 --seed 1"),
    ),
    Entry(
        "study",
        TRAIN,
        "Train an experiment with several seeds and summarize the results.",
        ("netlet study swift --seeds 5", "netlet study swift --val 10000 -o studies/on-val"),
    ),
    Entry(
        "lr",
        TRAIN,
        "Suggest a learning rate by a range test: one epoch, rising rate.",
        ("netlet lr swift", "netlet lr mine.py:Net --set optimizer=sgd -o lr.svg"),
    ),
    Entry(
        "climb",
        TRAIN,
        "Train a ladder of experiments and compare its rungs.",
        ("netlet climb own", "netlet climb mine.toml --seeds 5"),
    ),
    Entry(
        "runs",
        UNDERSTAND,
        "List, filter and compare recorded runs and studies.",
        ("netlet runs", "netlet runs studies --compare --params-below 8000"),
    ),
    Entry(
        "compare",
        UNDERSTAND,
        "Test whether one study is better than another.",
        ("netlet compare swift sprint", "netlet compare studies/swift studies/mine --json"),
    ),
    Entry(
        "report",
        UNDERSTAND,
        "Write a report of runs, studies or ladders.",
        ("netlet report swift", "netlet report studies/swift studies/sprint -o report.md"),
    ),
    Entry(
        "evaluate",
        UNDERSTAND,
        "Score a trained net on a data set.",
        (
            "netlet evaluate crest",
            "netlet evaluate mine.py:Net --weights mine.pt --dataset fashion_mnist",
        ),
    ),
    Entry(
        "explain",
        UNDERSTAND,
        "Show what a net sees in images: Grad-CAM and feature maps.",
        (
            "netlet explain crest test:18 test:247",
            "netlet explain runs/swift-seed0 seven.png --class 1 -o seven.html",
        ),
    ),
    Entry(
        "frontier",
        UNDERSTAND,
        "Show accuracy on MNIST against parameters, with published nets.",
        ("netlet frontier", "netlet frontier studies --params-below 20000 -o frontier.html"),
    ),
    Entry(
        "export",
        SHIP,
        "Export a trained net as ONNX, C, an Arduino library or a web page.",
        ("netlet export crest --to onnx", "netlet export runs/swift-seed0 --to c --int8 -o swift"),
    ),
    Entry(
        "predict",
        SHIP,
        "Classify pictures of digits, one or several in a row.",
        ("netlet predict photo.jpg", "netlet predict photos/*.png --net speck --show seen.png"),
    ),
    Entry(
        "play",
        SHIP,
        "Draw or open pictures in the browser; watch a net classify them.",
        ("netlet play", "netlet play speck --no-open -o speck.html"),
    ),
    Entry(
        "card",
        SHIP,
        "Show the model card of trained weights, in Markdown.",
        ("netlet card crest", "netlet card studies/swift -o swift.md"),
    ),
    Entry(
        "publish",
        SHIP,
        "Write a trained net as a folder for the Hugging Face Hub.",
        (
            "netlet publish crest --to crest-model",
            "netlet publish studies/swift --to swift-page --space",
        ),
    ),
    Entry("data", DATA, "Get, list, verify, show and make data sets.", function="data:app"),
)

app = typer.Typer(
    name="netlet",
    cls=LazyGroup,
    help="Design, check, train, explain and ship tiny convolutional nets that fit a budget.\n\n"
    "Exit codes: 0 success, 1 a check failed, 2 wrong usage or input, 130 interrupted.",
    epilog="netlet train\nnetlet check mine.py:Net --params-below 20000",
    no_args_is_help=True,
    rich_markup_mode=None,  # importing rich would take longer than everything else
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _netlet(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", callback=_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Print tracebacks of errors; may also follow the command."),
    ] = False,
) -> None:
    pass


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit the process with its exit code."""
    if arguments is None:
        # This process is short: collecting garbage among all that torch imports takes longer than
        # it is worth.
        gc.set_threshold(100_000, 50, 50)
        atexit.register(gc.freeze)
        _bound_spinning()
        catch_every_interrupt()
    _accept_clicks_completion_variable()
    accept_all_characters()
    words = sys.argv[1:] if arguments is None else arguments
    begin_command()
    try:
        require_stdout()
        code = _run([word for word in words if word != "--debug"])
        flush_stdout()
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())  # type: ignore[attr-defined]
            sys.exit(0)
        if "--debug" in words:
            say(traceback.format_exc().rstrip().expandtabs(), lines=True)
        else:
            say(f"netlet: {describe_error(error)}")
        code = 2
    if code == INTERRUPTED:  # newer versions of typer return it instead of raising an exception
        end_interrupted()
    if arguments is None:
        end_stdout()
        if user_code_has_run():
            leave(code or 0)
    sys.exit(code or 0)


@functools.cache
def build_command() -> Any:
    """Return the command line as click sees it.

    A process that runs several commands, as the tests do, builds it only once.
    """
    group: Any = typer.main.get_command(app)
    group.commands = LazyCommands(COMMANDS)
    return group


def _bound_spinning() -> None:
    """Let PyTorch's waiting threads sleep soon, unless the environment says how long they spin.

    By default they spin for milliseconds after each operation. On a busy machine they then keep the
    thread that they wait for from running. OpenMP reads the variable when torch is imported.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "1000"


def _run(words: list[str]) -> int | None:
    """Run a command and return its exit code.

    Raises:
        OutputError: Its help cannot be printed.
    """
    try:
        code: int | None = build_command()(words, prog_name="netlet", standalone_mode=False)
        return code
    except SystemExit as stop:
        # click exits with 1 where nobody reads its help any more (netlet --help | head -1).
        if isinstance(stop.__context__, BrokenPipeError):
            discard_output(sys.stdout)
            return 0
        raise
    except OSError:
        flush_stdout()  # raises if it is stdout that failed
        raise


def _accept_clicks_completion_variable() -> None:
    """Accept ``_NETLET_COMPLETE=bash_source``, click's spelling of typer's ``source_bash``."""
    shell, _, what = os.environ.get("_NETLET_COMPLETE", "").partition("_")
    if what == "source":
        os.environ["_NETLET_COMPLETE"] = f"source_{shell}"
