"""``netlet search``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet.cli.datasets import load_dataset, say_repeated_in_folds
from netlet.cli.log_option import Log, check_log
from netlet.cli.options import DataDir, Json, On, Trust, workers_option
from netlet.cli.results import print_json, print_result, say
from netlet.cli.search_progress import describe_line, show_search
from netlet.cli.settings import prepare_workers, safe_folder_name
from netlet.errors import OutputError, ReportError, SearchError
from netlet.files import read_regular
from netlet.outputs import check_output

if TYPE_CHECKING:
    from netlet.experiments.search.contrasts import ArmResult, Difference
    from netlet.experiments.search.engine import TrialEvent
    from netlet.experiments.search.run import SearchResult
    from netlet.experiments.search.space import Search

_PLOTS = (".svg", ".pdf", ".png")
_TRIALS = 20  # of a space, if --trials is not given
_SHOWN = 5  # trials in the table at the end
_FOLDER = Path("trials")


def space_names() -> list[str]:
    """Return what shell completion offers for a search space."""
    folder = Path(__file__).parents[1] / "experiments" / "search" / "spaces"
    return sorted(path.stem for path in folder.glob("*.toml"))


def search(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SPACE",
            help="Search space: a TOML file, or one of crest, mnistnet_2, mnistnet_3, speck.",
            autocompletion=space_names,
        ),
    ],
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            metavar="N",
            min=0,
            max=100_000,
            help="Number of trials to run; if not given, 20, or for a file with [[arm]] tables all "
            "missing runs (docs/searching.md).",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue an earlier search: run only the trials that are missing until the "
            "--out file has --trials of them.",
        ),
    ] = False,
    workers: Annotated[
        int | None,
        workers_option(
            "Number of trials to run at the same time; if not given, one per CPU core, or with "
            "--on ray as many as the cluster has room for."
        ),
    ] = None,
    on: On = None,
    data_dir: DataDir = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="JSON Lines file that trials are added to; trials/SPACE.jsonl if not given.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot",
            metavar="FILE",
            help="Plot all trials of the --out file at the end: .svg, .pdf or .png.",
        ),
    ] = None,
    toml: Annotated[
        bool,
        typer.Option("--toml", help="Print SPACE as TOML instead, to start a file of your own."),
    ] = False,
    repeat: Annotated[
        int | None,
        typer.Option(
            "--repeat",
            metavar="LINE",
            min=1,
            help="Instead of searching, rerun the trial on this line of the --out file and compare "
            "the results; exit code 1 if they differ.",
        ),
    ] = None,
    log: Log = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Search for a net and a recipe that fit a budget.

    SPACE says which nets and recipes are tried, and the budget (docs/searching.md). A trial trains
    one of them and scores it on a part of the training images; no trial reads the test images. The
    worst are stopped early. The search learns from the trials that the --out file already has. It
    needs the extra 'search' (pip install '.[search]' in a checkout).
    """
    if toml:
        if json:
            raise SearchError("--toml and --json cannot be combined; pass only one")
        _print_toml(name)
        return
    path = out or _FOLDER / f"{safe_folder_name(Path(name).name.removesuffix('.toml'))}.jsonl"
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; name a file with --out")
    if files := [folder for folder in path.parents if folder.is_file()]:
        raise OutputError(f"{path}: {files[0]} is a file; name another file with --out")
    if repeat is not None:
        _repeat(path, repeat, data_dir, trust=trust, json=json)
        return
    _check_outputs(path, plot, name)
    prepare_workers(on)
    from netlet.experiments.execution import check_executor
    from netlet.experiments.search.space import Space
    from netlet.experiments.search.space_file import find_search

    found = find_search(name)
    check_executor(on)
    from netlet.experiments.search.run import run_search
    from netlet.experiments.search.trial_logs import TrialLogs

    logs = TrialLogs(check_log(log), found.name, path)

    if trials is None and isinstance(found, Space):
        trials = _TRIALS
    images = load_dataset(found.dataset, data_dir, read_test=False)
    say_repeated_in_folds(images, found.folds)
    with show_search(found.name, path, None if resume else trials) as progress:

        def follow(event: TrialEvent) -> None:
            progress(event)
            logs(event)

        result = run_search(
            found,
            path,
            trials,
            workers,
            follow,
            on_known=progress.begin,
            resume=resume,
            data=images,
            data_folder=data_dir,
            trust=trust,
            on=on,
            say=say,
        )
    _print_search(found, path, result, json=json)
    if plot is not None:
        _draw(found, result, plot)


def _check_outputs(path: Path, plot: Path | None, name: str) -> None:
    check_output(path, inputs=[Path(name)])
    if plot is not None:
        if plot.suffix not in _PLOTS:
            raise ReportError(
                f"{plot}: cannot write this format; name a file that ends in .svg, .pdf or .png "
                "with --plot"
            )
        check_output(plot, "--plot", inputs=[path, Path(name)])


def _print_toml(name: str) -> None:
    from netlet.experiments.search.space_file import SPACES, find_search

    find_search(name)  # refuses what is none
    content = read_regular(SPACES.get(name, Path(name)), 1 << 18, SearchError)
    print_result(content.decode("utf-8-sig"), lines=True)


def _print_search(search: Search, path: Path, result: SearchResult, *, json: bool) -> None:
    from netlet.experiments.search.train_command import train_command
    from netlet.experiments.search.trials import rank_results
    from netlet.text import count_noun

    if result.unusable:
        say(
            f"netlet: warning: {path}: ignored {count_noun(result.unusable, 'line')} that are of "
            "another search or data set, or damaged"
        )
    ranked = rank_results([dict(line) for line in (*result.known, *result.lines)])
    best = ranked[0] if ranked else None
    if json:
        values: dict[str, Any] = {"file": str(path), "space": search.name}
        values |= {"trials": list(result.lines), "known": len(result.known), "best": best}
        print_json("search", values | {"arms": [arm.to_dict() for arm in result.arms]})
        return
    states = [line["state"] for line in result.lines]
    counts = ", ".join(
        f"{states.count(state)} {state}"
        for state in ("finished", "stopped", "failed")
        if state in states
    )
    trials = count_noun(len(states), "trial")
    print_result(f"{trials} ({counts or 'none'}), {len(result.known)} before")
    if result.arms:
        print_result(_arm_table(result.arms), lines=True)
    elif best is not None:
        print_result(_table(ranked[:_SHOWN]), lines=True)
        if command := train_command(best):
            print_result(f"train the best on all training images: {command}")
    if path.exists():
        print_result(f"recorded in {path}")


def _table(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return the best trials as a table."""
    from netlet.text import format_table

    head = ("seed", "fold", "val accuracy", "correct", "loss", "parameters", "net")
    rows = [
        (
            str(line["seed"]),
            str(line.get("fold", "-")),
            f"{100 * line['correct'] / line['total']:.2f}%",
            f"{line['correct']:,} of {line['total']:,}",
            f"{line['loss']:.4f}",
            f"{line['parameters']:,}",
            line["net"],
        )
        for line in lines
    ]
    return format_table(head, rows, "rrrrrrl")


def _arm_table(arms: Sequence[ArmResult]) -> str:
    """Return the arms of a comparison as a table, with their differences to the baseline."""
    from netlet.text import format_table

    head = (
        "arm",
        "runs",
        "val accuracy",
        "sd",
        "difference (95% interval)",
        "NLL",
        "difference (95% interval)",
        "parameters",
    )
    rows = [
        (
            arm.name,
            f"{arm.runs}{' (dropped)' if arm.dropped_after is not None else ''}",
            f"{arm.percent:.3f}%",
            "-" if arm.sd_points is None else f"{arm.sd_points:.3f}",
            _show_difference(arm.points, 3),
            f"{arm.nll:.5f}",
            _show_difference(arm.nll_difference, 5),
            f"{arm.parameters:,}",
        )
        for arm in arms
    ]
    table = format_table(head, rows, "lrrrrrrr")
    taught = [f"{arm.name} is taught by {arm.teacher}" for arm in arms if arm.teacher]
    return "\n".join([table, *taught])


def _show_difference(difference: Difference | None, digits: int) -> str:
    if difference is None:
        return "-"
    shown = f"{difference.mean:+.{digits}f}"
    half = difference.half_width
    return shown if half is None else f"{shown} ± {half:.{digits}f}"


def _draw(search: Search, result: SearchResult, plot: Path) -> None:
    from netlet.report import save_figure
    from netlet.report.search_plot import arms_figure, search_figure

    if result.arms:
        save_figure(arms_figure(search.name, result.arms), plot)
    else:
        lines = (*result.known, *result.lines)
        save_figure(search_figure(search.name, search.varied, lines), plot)
    say(f"drawn into {plot}")


def _repeat(path: Path, line: int, data_dir: Path | None, *, trust: bool, json: bool) -> None:
    from netlet.experiments.search.repeat import repeat_trial

    found = repeat_trial(path, line, data_folder=data_dir, trust=trust)
    if json:
        values = {"file": str(path), "line": line, "identical": found.identical}
        values |= {"differences": list(found.differences)}
        results = {"recorded": dict(found.recorded), "repeated": dict(found.repeated)}
        print_json("search_repeat", values | results)
    else:
        print_result(f"recorded: {describe_line(found.recorded)}")
        print_result(f"repeated: {describe_line(found.repeated)}")
        print_result(_compare(found.identical, found.differences))
    raise typer.Exit(0 if found.identical else 1)


def _compare(identical: bool, differences: Sequence[str]) -> str:
    if identical:
        return "the results are identical"
    known = f": {'; '.join(differences)}" if differences else "; no cause is recorded"
    return f"the results differ{known}"
