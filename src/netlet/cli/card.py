"""``netlet card``."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated

import typer

from netlet import records
from netlet.cli.datasets import load_images_of
from netlet.cli.locate import input_files
from netlet.cli.option_groups import WeightOptions
from netlet.cli.options import DataDir, DatasetOfNet, Json, RecordedNet, Trust
from netlet.cli.program_options import CompilerFlags, ProgramOptions, TargetOfCard
from netlet.cli.progress import show_phases
from netlet.cli.results import print_json, print_result, say
from netlet.errors import NetError, NetletError
from netlet.outputs import check_output, write_output


def card(
    net: RecordedNet,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", metavar="FILE", help="File to write; printed if not given."),
    ] = None,
    target: TargetOfCard = None,
    flags: CompilerFlags = None,
    dataset: DatasetOfNet = None,
    data_dir: DataDir = None,
    trust: Trust = False,
    json: Json = False,
) -> None:
    """Show the model card of trained weights, in Markdown.

    With --target, it also has the memory and the instructions that the net needs as a C program on
    a microcontroller.
    """
    program = ProgramOptions(target=target, flags=flags)
    if flags and not target:
        raise NetError("--flags is for the compiler of a microcontroller; name one with --target")
    if dataset and not target:
        raise NetError("--dataset is for int8 on a microcontroller; name one with --target")
    if out is not None:
        check_output(out, inputs=input_files(net))
    text = read_card(net)
    if target:
        section = _microcontroller_section(net, program, dataset, data_dir, trust=trust)
        text = f"{text.rstrip()}\n\n{section}\n"
    if out is not None:
        write_output(out, text)
    if json:
        print_json("card", {"net": net, "file": str(out) if out else None, "markdown": text})
    else:
        print_result(text if out is None else str(out), lines=out is None)


def read_card(net: str) -> str:
    """Return the model card of trained weights, in Markdown.

    Args:
        net: The folder of a run or study, or the name of a net whose weights come with netlet.

    Raises:
        NetletError: There is no such net or record, or the record is damaged.
    """
    from netlet.nets import find_shipped_weights

    # A folder that happens to have the name of a net, such as that of a report, is not meant.
    weights = None if records.holds_records(Path(net)) else find_shipped_weights(net)
    if weights is not None:
        return weights.with_suffix(".md").read_text(encoding="utf-8")
    return _card_of_record(net)


def find_card(net: str, *, is_recorded: bool) -> str | None:
    """Return the model card for the page of a net; None if there is none, and say why.

    Args:
        net: NET as given on the command line.
        is_recorded: Whether a record or netlet itself has the weights; if not, as with weights that
            a person named, there is no card, and nothing to say.
    """
    if not is_recorded:
        return None
    try:
        return read_card(net)
    except NetletError as error:
        say(f"netlet: the page has no model card: {error}")
        return None


def _card_of_record(net: str) -> str:
    """Return the card of a run's weights, or of those of a study's median seed.

    Raises:
        NetError: It is neither a folder nor the name of shipped weights.
    """
    from netlet import report
    from netlet.nets import list_shipped_weights
    from netlet.nets.weights import refuse_other_weights

    if not Path(net).is_dir():
        raise NetError(
            f"{net}: no weights come with netlet for it, so there is no card; name the folder of "
            f"a run or study, or one of {', '.join(list_shipped_weights())}"
        )
    records.locate_weights(net)  # refuses a ladder
    study = records.find_study(net)
    run = records.median_run(Path(net), study)
    weights = run / records.WEIGHTS
    record = records.load_run(run)
    refuse_other_weights(weights, record.weights_digest, run / records.RECORD)
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    return report.model_card(study, record.seed, weights.name, sha256).markdown


def _microcontroller_section(
    net: str, program: ProgramOptions, dataset: str | None, data_dir: Path | None, *, trust: bool
) -> str:
    """Return what the net needs on a target, in float32 and in int8.

    Raises:
        NetletError: There is no compiler for the target, or the net cannot be exported to C.
    """
    from netlet import export
    from netlet.report.markdown import markdown_table

    options = program.for_export("netlet")
    trained = WeightOptions(trust=trust).load(net)
    images = load_images_of(trained, dataset, data_dir)
    with show_phases() as on_progress:
        needs = export.measure_target_memory(
            export.trace_model(trained), images, options, on_progress
        )
    rows = [
        [arithmetic, *(f"{value:,}" if value is not None else "-" for value in values)]
        for arithmetic, values in needs.rows.items()
    ]
    head = ("arithmetic", "flash", "RAM", "stack", "instructions per image")
    table = markdown_table(head, rows, "lrrrr")
    return f"## On a microcontroller\n\n{table}\n\n{needs.how}"
