"""The ``netlet`` command: its subcommands, and how an error is reported.

Results go to stdout, progress and errors to stderr. Exit codes: 0 success, also if limits are NOT
YET because only training can decide them; 1 a check failed: a budget is missed, or a record, data
set or picture is damaged, missing or unreadable; 2 wrong usage or input; 130 interrupted.
Nothing here imports torch, so that ``netlet --help`` and shell completion answer at once.
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
from netlet.cli import (
    budget,
    card,
    check,
    climb,
    compare,
    data,
    evaluate,
    explain,
    export,
    frontier,
    grade,
    init,
    listing,
    lr,
    play,
    predict,
    publish,
    report,
    runs,
    search,
    show,
    study,
    train,
)
from netlet.cli.commands import GROUPS, Group, add_command
from netlet.cli.error_messages import describe_error
from netlet.cli.own_stdout import end_stdout, leave, user_code_has_run
from netlet.cli.results import accept_all_characters, say
from netlet.cli.streams import discard_output, flush_stdout, require_stdout

app = typer.Typer(
    name="netlet",
    cls=Group,
    help="Design, check, train, explain and ship tiny convolutional nets that fit a budget.",
    epilog="netlet train\nnetlet check mine.py:Net --params-below 20000",
    no_args_is_help=True,
    rich_markup_mode=None,  # importing rich would take longer than everything else
    pretty_exceptions_enable=False,
)

DESIGN, TRAIN, UNDERSTAND, SHIP, DATA = GROUPS
add_command(
    app, listing.list_, "netlet list", "netlet list --recipes --budgets", name="list", group=DESIGN
)
add_command(
    app, show.show, "netlet show swift", "netlet show '8 8 P 12 14 16 16' --rf", group=DESIGN
)
add_command(
    app,
    check.check,
    "netlet check week4 --budget document_003",
    "netlet check mine.py:Net --params-below 20000 --forbid Linear",
    group=DESIGN,
)
add_command(
    app,
    budget.budget,
    "netlet budget document_004",
    "netlet budget class.toml --toml",
    group=DESIGN,
)
add_command(
    app,
    grade.grade,
    "netlet grade submissions --budget document_004",
    "netlet grade submissions --budget document_004 --roster class.csv --retrain quick",
    group=DESIGN,
)
add_command(
    app,
    init.init,
    "netlet init",
    "netlet init model.py:Net --budget eight_k --dry-run",
    group=DESIGN,
)
add_command(
    app,
    search.search,
    "netlet search speck --trials 40 --plot speck.svg",
    "netlet search my_space.toml --trials 100 --resume",
    group=DESIGN,
)
add_command(
    app,
    train.train,
    "netlet train",
    "netlet train mine.py:Net --recipe steady --set epochs=5 --seed 1",
    group=TRAIN,
)
add_command(
    app,
    study.study,
    "netlet study swift --seeds 5",
    "netlet study swift --val 10000 -o studies/on-val",
    group=TRAIN,
)
add_command(
    app,
    lr.lr,
    "netlet lr swift",
    "netlet lr mine.py:Net --set optimizer=sgd -o lr.svg",
    group=TRAIN,
)
add_command(app, climb.climb, "netlet climb own", "netlet climb mine.toml --seeds 5", group=TRAIN)
add_command(
    app,
    runs.runs,
    "netlet runs",
    "netlet runs studies --compare --params-below 8000",
    group=UNDERSTAND,
)
add_command(
    app,
    compare.compare,
    "netlet compare swift sprint",
    "netlet compare studies/swift studies/mine --json",
    group=UNDERSTAND,
)
add_command(
    app,
    report.report,
    "netlet report swift",
    "netlet report studies/swift studies/sprint -o report.md",
    group=UNDERSTAND,
)
add_command(
    app,
    evaluate.evaluate,
    "netlet evaluate crest",
    "netlet evaluate mine.py:Net --weights mine.pt --dataset fashion_mnist",
    group=UNDERSTAND,
)
add_command(
    app,
    explain.explain,
    "netlet explain crest test:18 test:247",
    "netlet explain runs/swift-seed0 seven.png --class 1 -o seven.html",
    group=UNDERSTAND,
)
add_command(
    app,
    frontier.frontier,
    "netlet frontier",
    "netlet frontier studies --params-below 20000 -o frontier.html",
    group=UNDERSTAND,
)
add_command(
    app,
    export.export,
    "netlet export crest --to onnx",
    "netlet export runs/swift-seed0 --to c --int8 -o swift",
    group=SHIP,
)
add_command(
    app,
    predict.predict,
    "netlet predict photo.jpg",
    "netlet predict *.png --net speck --show seen.png",
    group=SHIP,
)
add_command(app, play.play, "netlet play", "netlet play speck --no-open -o speck.html", group=SHIP)
add_command(
    app, card.card, "netlet card crest", "netlet card studies/swift -o swift.md", group=SHIP
)
add_command(
    app,
    publish.publish,
    "netlet publish crest --to crest-model",
    "netlet publish studies/swift --to swift-page --space",
    group=SHIP,
)
app.add_typer(data.app, name="data", rich_help_panel=DATA)


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
    _accept_clicks_completion_variable()
    accept_all_characters()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        require_stdout()
        code = _run([word for word in words if word != "--debug"])
        flush_stdout()
    except (typer.Abort, KeyboardInterrupt):
        say("netlet: interrupted")
        code = 130
    except Exception as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            print(error.format_message())  # type: ignore[attr-defined]
            sys.exit(0)
        if "--debug" in words:
            say(traceback.format_exc().rstrip().expandtabs(), lines=True)
        else:
            say(f"netlet: {describe_error(error)}")
        code = 2
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
    return typer.main.get_command(app)


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
