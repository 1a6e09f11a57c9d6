"""``netlet publish``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet import records
from netlet.cli.card import find_card
from netlet.cli.confidence import find_confidence
from netlet.cli.locate import input_files
from netlet.cli.options import DataDir, Json, RecordedNet, Trust
from netlet.cli.results import print_json, print_result, say
from netlet.errors import ExportError, NetError
from netlet.outputs import (
    HTML_MARK,
    TEXT_MARK,
    check_output,
    check_output_folder,
    describe_changed,
    leave_changed,
    write_outputs,
)
from netlet.text import escape_controls

if TYPE_CHECKING:
    from netlet import experiments
    from netlet.publishing import Published
    from netlet.publishing.record import NetRecord

_MODEL = ("README.md", "config.json", "model.safetensors", "modeling.py")
_SPACE = ("README.md", "index.html")


def publish(
    net: RecordedNet,
    to: Annotated[
        Path,
        typer.Option("--to", metavar="DIR", help="Folder to write, created if it does not exist."),
    ],
    space: Annotated[
        bool,
        typer.Option(
            "--space",
            help="Write a static Space, a web page on which visitors draw, instead of a model.",
        ),
    ] = False,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="ID",
            help="License of the weights, by the Hub's name for it, like apache-2.0; if not given, "
            "mit for weights that come with netlet, and none for others.",
        ),
    ] = None,
    push: Annotated[
        str | None,
        typer.Option(
            "--push",
            metavar="OWNER/NAME",
            help="Upload the folder to this repository of the Hugging Face Hub, with your token.",
        ),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Make a repository that --push creates private.")
    ] = False,
    dataset: Annotated[
        str | None,
        typer.Option(
            "--dataset",
            metavar="NAME|PATH",
            help="Data set to calibrate the confidence of a Space with; the one NET was trained on "
            "if not given.",
        ),
    ] = None,
    data_dir: DataDir = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Write a trained net as a folder for the Hugging Face Hub.

    Nothing is uploaded without --push, which needs the extra 'hub' (pip install '.[hub]' in a
    checkout).
    """
    if private and not push:
        raise ExportError("--private is for a repository that --push creates; leave it out")
    if (dataset or data_dir) and not space:
        raise ExportError("--dataset and --data-dir are for the page of --space; leave them out")
    _check_folder(to, _SPACE if space else _MODEL, input_files(net))

    from netlet import publishing

    if push:
        publishing.check_upload(push)
    trained = _load(net, trust=trust)
    record = publishing.find_record(net, trained)
    published = _build(net, trained, record, license_, dataset, data_dir, space=space)
    contents = {to / name: text for name, text in published.files.items()}
    card = to / "README.md"
    _, changed = leave_changed({card: contents[card]})
    if changed:
        del contents[card]
    write_outputs(contents, "--to", "folder")
    if changed:
        say(f"netlet: {describe_changed(changed, to)}")
    address = None
    if push:
        address = publishing.upload(to, list(published.files), push, space=space, private=private)
    _print(net, to, published, record, address, json=json)
    if license_ is None and not record.license:
        say("netlet: no license is stated; --license ID states one, like apache-2.0")


def _check_folder(folder: Path, names: tuple[str, ...], inputs: list[Path]) -> None:
    """Check that the files can be written, and that netlet wrote those that are replaced."""
    check_output_folder(folder, "--to")
    for name in names:
        mark = HTML_MARK if name.endswith(".html") else TEXT_MARK
        check_output(folder / name, "--to", inputs, "folder", mark)


def _load(net: str, *, trust: bool) -> experiments.TrainedNet:
    from netlet.experiments import load_trained_net
    from netlet.nets import list_shipped_weights

    if not Path(net).is_dir() and net not in list_shipped_weights():
        raise NetError(
            f"{escape_controls(net)}: no weights come with netlet for it; name the folder of a run "
            f"or study, or one of {', '.join(list_shipped_weights())}"
        )
    return load_trained_net(records.locate_weights(net), trust=trust)


def _build(
    net: str,
    trained: experiments.TrainedNet,
    record: NetRecord,
    license_id: str | None,
    dataset: str | None,
    data_dir: Path | None,
    *,
    space: bool,
) -> Published:
    from netlet import publishing

    if not space:
        return publishing.build_model_folder(trained, record, license_id)
    confidence = find_confidence(trained, dataset, data_dir)
    return publishing.build_space_folder(
        trained, record, license_id, confidence=confidence, card=find_card(net, is_recorded=True)
    )


def _print(
    net: str,
    folder: Path,
    published: Published,
    record: NetRecord,
    address: str | None,
    *,
    json: bool,
) -> None:
    files = [str(folder / name) for name in published.files]
    difference = published.largest_difference
    if json:
        values: dict[str, Any] = {"net": net, "files": files, "address": address}
        values |= {"seeds": len(record.study.seeds), "seed": record.seed}
        print_json("publish", values | {"largest_difference": difference})
        return
    lines = [f"{escape_controls(str(folder))}: {', '.join(published.files)}"]
    if difference is not None:
        same = "equal the net's" if not difference else f"differ from the net's by {difference:.2g}"
        lines.append(f"verified on random images: the outputs of modeling.py {same}")
    lines.append(f"uploaded to {address}" if address else "nothing was uploaded")
    print_result("\n".join(lines), lines=True)
