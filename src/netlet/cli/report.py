"""``netlet report``."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlet.cli.locate import Problems, input_files, locate_records
from netlet.cli.options import FORMATS, DataDir, Json, study_names
from netlet.cli.progress import show_phases
from netlet.cli.repository import default_records, own_dataset
from netlet.cli.results import print_files, print_json, print_result, say
from netlet.errors import DataError, MissingDataError, ReportError
from netlet.outputs import HTML_MARK, check_output, check_output_folder
from netlet.records import RECORD, load_runs
from netlet.repository import find_settings
from netlet.text import count_noun, quote_shell

if TYPE_CHECKING:
    from netlet.data import Dataset
    from netlet.records.study import Study


def report(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="RECORD",
            help="Runs, studies or ladders: their folders, their records, or names of studies that "
            "come with netlet; if not given, those of netlet.toml.",
            autocompletion=study_names,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help=f"File to write, {FORMATS}; several figures or tables become several files; "
            "report.html if not given.",
        ),
    ] = None,
    into: Annotated[
        Path | None,
        typer.Option(
            "--into",
            metavar="FILE",
            help="Fill the blocks of this Markdown file, like README.md, and leave the rest as it "
            "is; its pictures go into a folder beside it.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="With --into: print what would change, and write nothing."),
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME|PATH",
            help="Data set that the records were scored on, for the pictures of mistakes.",
        ),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Write a report of runs, studies or ladders.

    The report shows the verdict, statistics, the net, curves, mistakes and the command that repeats
    the training. Several studies are also compared: curves in one plot, numbers in one table. It
    needs the extra 'report' (pip install '.[report]' in a checkout). Exit code 1 if a record is
    damaged; the others are shown.

    --into fills what lies between <!-- netlet:NAME --> and <!-- /netlet --> in a README. NAME is
    summary, receptive-field, verdict, curves, confusion, mistakes, augmentation or ladder.
    """
    if into is not None:
        if out is not None:
            raise ReportError("--into and --out cannot be combined; pass only one")
        problems = _fill(
            into, names or default_records(), dataset, data_dir, dry_run=dry_run, json=json
        )
        raise typer.Exit(problems.exit_code)
    if dry_run:
        raise ReportError("--dry-run shows what --into would change; pass --into FILE too")
    from netlet.report.page import check_suffix

    names = names or default_records()
    mark = HTML_MARK if out is None else None
    out = out or Path("report.html")
    check_suffix(out)
    check_output(out, inputs=input_files(*names), mark=mark)
    if out.suffix == ".md":
        check_output_folder(out.with_suffix(""))  # of its figures
    problems = Problems()
    studies, climbs = locate_records(names, problems)
    _say_if_changed(studies, names)

    from netlet.report import (
        Page,
        combine_pages,
        comparison_page,
        ladder_page,
        study_page,
        write,
    )

    images = [_load_images(study, dataset, data_dir) for study in studies]
    with show_phases() as on_progress:
        on_progress("drawing the report")
        pages = [ladder_page(climbed) for climbed in climbs]
        own = [
            study_page(study, None if found is None else found.held_out)
            for study, found in zip(studies, images, strict=True)
        ]
        pages += own if len(own) < 2 else [comparison_page(studies, own)]
        page = pages[0] if len(pages) == 1 else combine_pages(Page("Report", ""), pages)
        files = write(page, out)
    _print(files, out, json=json)
    raise typer.Exit(problems.exit_code)


def _say_if_changed(studies: Sequence[Study], names: Sequence[str]) -> None:
    """Say of which studies the net has changed since they were trained."""
    from netlet.nets.origins import describe_changed_code

    for study in studies:
        address = _locate_net(study, names)
        if files := describe_changed_code(address, study.source_digest):
            say(
                f"{study.name}: is about an earlier version of its net: {files} has changed since; "
                f"to train the net as it is now, run 'netlet study {quote_shell(address)} --out "
                "FOLDER' with a new folder, and name that folder here"
            )


def _locate_net(study: Study, names: Sequence[str]) -> str:
    """Return the address of a study's net from here, also if it was trained in another folder."""
    from netlet.nets.addresses import short_address
    from netlet.nets.origins import locate_net

    if not study.source_digest:
        return study.net
    files = list(input_files(*names))
    runs = load_runs(
        (file for file in files if file.name == RECORD),
        on_problem=lambda _: None,  # the caller has said which
    )
    sources = [run.source_path for run in runs if run.source_digest == study.source_digest]
    if settings := find_settings():
        files.append(settings.path)
    found = locate_net(study.net, study.source_digest, files, sources)
    return found if found == study.net else short_address(found)


def _print(files: Sequence[Path], out: Path, *, json: bool) -> None:
    if json:
        print_json("report", {"files": [str(file) for file in files]})
        return
    print_files(files, out)


def _fill(
    readme: Path,
    names: list[str],
    dataset: str | None,
    data_dir: Path | None,
    *,
    dry_run: bool,
    json: bool,
) -> Problems:
    """Fill the blocks of a README and say what has changed."""
    from netlet.report.readme import fill_readme, open_readme
    from netlet.report.readme_blocks import BLOCKS_WITH_IMAGES, Material

    text = open_readme(readme)  # before the records, which take longer
    problems = Problems()
    studies, climbs = locate_records(names, problems)
    _say_if_changed(studies, names)
    material = Material(studies, climbs)
    shown = {block.name for block in text.blocks} & BLOCKS_WITH_IMAGES
    images = _load_images(material.main, dataset, data_dir) if shown else None
    with show_phases() as on_progress:
        on_progress("drawing the blocks")
        filled = fill_readme(readme, text, dataclasses.replace(material, images=images))
    for line, name, reason in filled.left:
        say(f"{readme}, line {line}: netlet:{name} stays as it is: {reason}")
    changed = list(filled.changed) if dry_run else filled.write()
    if json:
        print_json("report", {"files": [str(file) for file in changed]})
    elif dry_run:
        for file in changed:
            say(f"{file} would be {'changed' if file.exists() else 'written'}")
        print_result(filled.diff() or f"{readme}: unchanged", lines=True)
    else:
        pictures = sum(file != readme for file in changed)
        state = "filled" if readme in changed else "unchanged"
        folder = f", {count_noun(pictures, 'picture')} written" if pictures else ""
        print_result(f"{readme}: {state}{folder}")
    return problems


def _load_images(study: Study, dataset: str | None, data_dir: Path | None) -> Dataset | None:
    """Load the data set that scored a study, if it is on this machine and unchanged.

    Args:
        study: The study.
        dataset: The name or path of its data set. If none is given: the public data set of the
            study's, or else the repository's own.
        data_dir: The folder with the files of a public data set, if one was given.
    """
    from netlet.data import DATASET_NAMES, load, public_name
    from netlet.data.recorded_data import hold_out_as_recorded, is_recorded_split

    public = public_name(study.data["name"])
    name = dataset or (public if public in DATASET_NAMES else own_dataset())
    if name is None:
        say(
            f"{study.name}: without pictures of mistakes; pass the data set that it was scored on "
            "with --dataset PATH"
        )
        return None
    try:
        images = load(name, data_dir, download=False).with_channels(study.data["shape"][0])
        images = hold_out_as_recorded(study.data, images) or images
        scored = images.held_out
        if scored.name != study.split or not is_recorded_split(study.data, images, scored):
            raise DataError(
                f"{name} is not the data set that {study.name} was scored on; pass that one with "
                "--dataset"
            )
        return images
    except MissingDataError:
        say(
            f"{study.name}: without pictures of mistakes; {name} is not on this machine "
            f"('netlet data get {name}' downloads it, --data-dir names its folder)"
        )
        return None
    except DataError as error:
        say(f"{study.name}: without pictures of mistakes ({' '.join(str(error).split())})")
        return None
