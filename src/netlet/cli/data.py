"""``netlet data``: get, list, verify, show and make data sets."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet.cli.commands import Group, add_command
from netlet.cli.data_show import show
from netlet.cli.options import DataDir, Json, dataset_names
from netlet.cli.progress import DownloadBar, show_phases, show_progress
from netlet.cli.results import print_json, print_result, say
from netlet.errors import DataError, MissingDataError, NetletError, OutputError, did_you_mean
from netlet.outputs import check_output, check_output_folder
from netlet.text import format_table

if TYPE_CHECKING:
    from netlet.data import Dataset, Source

_ALL = (60_000, 10_000)  # images of scribble in the cache
_MIN_IMAGES = 10  # to make: one for each digit
_MAX_IMAGES = 500_000  # they are all held in memory


def get(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Public data sets; all of them if none is named.",
            autocompletion=dataset_names,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            help="Folder to write, with a folder NAME in it for each; netlet's cache folder if not "
            "given.",
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Download public data sets and verify their checksums.

    Data sets that are complete are not downloaded again.
    """
    from netlet.data import SOURCES, cache_folder, fetch

    sources = [_find_source(name) for name in names or SOURCES]
    if out:
        for source in sources:
            check_output_folder(out / source.name)
    rows = []
    for source in sources:
        folder = (out or cache_folder()) / source.name
        bar = DownloadBar()
        try:
            fetch(source, folder, bar)
        finally:
            bar.close()
        rows.append({"name": source.name, "folder": str(folder)})
        if not json:
            print_result(f"{source.name}: complete and verified in {folder}")
    if json:
        print_json("data_get", {"datasets": rows})


def list_(json: Json = False) -> None:
    """List the data sets with sizes, folders and licenses."""
    rows = _dataset_rows()
    if json:
        print_json("data_list", {"datasets": rows})
        return
    cells = [
        [
            row["name"],
            f"{row['train']:,}",
            f"{row['test']:,} {row['split']}",
            row["title"],
            row["folder"] or ("generated when needed" if row["made"] else "not here"),
            row["terms"],
        ]
        for row in rows
    ]
    head = ("name", "train", "held out", "content", "folder", "author, license")
    print_result(format_table(head, cells, "lrrlll"), lines=True)


def _dataset_rows() -> list[dict[str, Any]]:
    from netlet.data import SCRIBBLE, SOURCES, find_source

    rows: list[dict[str, Any]] = []
    for source in SOURCES.values():
        try:
            folder = str(find_source(source))
        except DataError:
            folder = None
        rows.append(
            {
                "name": source.name,
                "title": source.title,
                "train": source.train.count,
                "test": source.test.count - source.test.first,
                "split": source.test.name,
                "folder": folder,
                "made": False,
                "terms": source.terms,
                "mirrors": list(source.mirrors),
            }
        )
    train, test = _ALL
    rows.append(
        {
            "name": SCRIBBLE,
            "title": "generated digits",
            "train": train,
            "test": test,
            "split": "test",
            "folder": None,
            "made": True,
            "terms": "this project, MIT",
            "mirrors": [],
        }
    )
    return rows


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME|PATH",
            help="Data sets; all public ones on this machine if none is named.",
            autocompletion=dataset_names,
        ),
    ] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Check data sets on this machine against their checksums.

    Exit code 1 if one is damaged, or named and missing. Also lists other files in a folder, and
    counts test images that are training images as well.
    """
    from netlet.data import SOURCES, check_name, describe_repeated, load

    for name in names or ():
        check_name(name)
    rows: list[dict[str, Any]] = []
    with show_phases() as on_progress:
        for name in names or SOURCES:
            on_progress(f"verifying {name}")
            try:
                found = load(name, data_dir, download=False)
                rows.append(_describe(name, found))
            except DataError as error:
                missing = isinstance(error, MissingDataError)
                message = " ".join(str(error).split())
                rows.append(
                    {"name": name, "state": "missing" if missing else "damaged", "error": message}
                )
    broken = [row for row in rows if row["state"] == "damaged" or (names and "error" in row)]
    for row in broken:
        say(f"netlet: {row['error']}")
    if json:
        print_json("data_verify", {"datasets": rows})
    else:
        for row in rows:
            if row not in broken:
                print_result(_verified_line(row))
                for text in row.get("left_out", ()):
                    print_result(f"  left out: {text}")
                if repeated := row.get("repeated"):
                    *_, (split, total) = row["images"].items()
                    print_result(f"  {describe_repeated(repeated, split, total)}")
    raise typer.Exit(1 if broken else 0)


def _describe(name: str, found: Dataset) -> dict[str, Any]:
    from netlet.data import count_repeated

    return {
        "name": name,
        "state": "complete",
        "images": {split.name: len(split) for split in (found.train, found.held_out)},
        "shape": list(found.shape),
        "classes": found.classes,
        "digest": found.digest,
        "left_out": list(found.left_out),
        "repeated": count_repeated(found),
    }


def _verified_line(row: dict[str, Any]) -> str:
    if row["state"] == "missing":
        return f"{row['name']}: not on this machine"
    sizes = " and ".join(f"{count:,} {split}" for split, count in row["images"].items())
    c, h, w = row["shape"]
    return (
        f"{row['name']}: complete, {sizes} images of {c}x{h}x{w}, {row['classes']} classes, "
        f"SHA-256 {row['digest']}"
    )


def make(
    what: Annotated[
        str, typer.Argument(metavar="NAME", help="Data set to generate; there is only scribble.")
    ] = "scribble",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="File to write, an .npz; in netlet's cache folder if not given.",
        ),
    ] = None,
    seed: Annotated[
        int,
        typer.Option(
            "--seed", metavar="N", min=0, max=2**32, help="Seed of the images; needs --out."
        ),
    ] = 0,
    train: Annotated[
        int,
        typer.Option(
            "--train",
            metavar="N",
            min=_MIN_IMAGES,
            max=_MAX_IMAGES,
            help="Number of training images; needs --out.",
        ),
    ] = _ALL[0],
    test: Annotated[
        int,
        typer.Option(
            "--test",
            metavar="N",
            min=_MIN_IMAGES,
            max=_MAX_IMAGES,
            help="Number of test images; needs --out.",
        ),
    ] = _ALL[1],
    json: Json = False,
) -> None:
    """Generate scribble, a data set of digits drawn by a program.

    Without --out, it goes into the cache, where --dataset scribble finds it.
    """
    from netlet.data import SCRIBBLE, SOURCES, cache_folder

    if what != SCRIBBLE:
        if what in SOURCES:
            remedy = f"'netlet data get {what}' downloads {what!r}"
        else:
            remedy = f"leave {what!r} out"
        raise DataError(f"only {SCRIBBLE} can be generated; {remedy}")
    if out is None and (seed, train, test) != (0, *_ALL):
        raise DataError(
            "--seed, --train and --test need --out FILE.npz; without --out, scribble always has "
            "60,000 training and 10,000 test images of seed 0"
        )
    if out is not None:
        if out.suffix != ".npz":
            raise OutputError(
                f"{out}: the name must end in .npz; "
                f"use {out.with_suffix('.npz') if out.name else 'few.npz'} with --out"
            )
        check_output(out)
    began = time.perf_counter()
    made = _make_scribble(train, test, seed, out)
    seconds, place = time.perf_counter() - began, out or cache_folder()
    if json:
        print_json("data_make", {**_describe(what, made), "place": str(place), "seconds": seconds})
        return
    print_result(
        f"scribble: {len(made.train):,} train and {len(made.held_out):,} test images in {place}, "
        f"{seconds:.1f} s, SHA-256 {made.digest}"
    )


def _make_scribble(train: int, test: int, seed: int, out: Path | None) -> Dataset:
    from netlet.data import cache_folder, load_scribble, make_scribble, save_npz
    from netlet.records.data_contradictions import CLASS_NAMES, checksum_of_class_names

    with show_progress("generating scribble") as bar:
        if out is None:
            return load_scribble(cache_folder(), bar, _refuse_unsaved)
        made = make_scribble(train, test, seed, bar)
        save_npz(made, out)
    # The digest is then that of the file, in which the names of the classes count.
    names = {CLASS_NAMES: checksum_of_class_names(made.class_names)}
    return replace(made, checksums={**made.checksums, **names})


def _refuse_unsaved(error: NetletError) -> None:
    raise OutputError(f"scribble cannot be cached: {error}, or name a file with --out") from error


def _find_source(name: str) -> Source:
    from netlet.data import SCRIBBLE, SOURCES

    if name not in SOURCES:
        made = f"; {SCRIBBLE} is generated, not downloaded" if name == SCRIBBLE else ""
        hint = did_you_mean(name, SOURCES)
        raise DataError(f"no public data set {name!r}{made}; {hint}there are: {', '.join(SOURCES)}")
    return SOURCES[name]


app = typer.Typer(
    cls=Group,
    help="Get, list, verify, show and make data sets.",
    epilog="netlet data get mnist\nnetlet data list",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)
add_command(app, get, "netlet data get mnist", "netlet data get mnist kmnist -o data")
add_command(app, list_, "netlet data list", "netlet data list --json", name="list")
add_command(app, verify, "netlet data verify", "netlet data verify mnist --data-dir data")
add_command(
    app,
    show,
    "netlet data show mnist --recipe quick -o mnist.png",
    "netlet data show scribble --split test",
)
add_command(
    app,
    make,
    "netlet data make",
    "netlet data make scribble --train 1000 --test 100 --seed 3 -o few.npz",
)
