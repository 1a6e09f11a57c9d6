"""``netlet show``."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netlet.cli.datasets import find_input
from netlet.cli.options import Classes, Input, Json, Nets, Sandboxed
from netlet.cli.repository import Choice, choose_nets
from netlet.cli.results import print_json, print_result, say
from netlet.cli.several import refuse_loose_words, try_each
from netlet.errors import NetError

if TYPE_CHECKING:
    from netlet.analysis import ReceptiveField, Summary


def show(
    nets: Nets = None,
    style: Annotated[
        str | None,
        typer.Option(
            "--style",
            metavar="STYLE",
            help="Print the table that torchsummary or torchinfo would print.",
            autocompletion=lambda: ["torchsummary", "torchinfo"],
        ),
    ] = None,
    rf: Annotated[
        bool, typer.Option("--rf", help="Print how the receptive field grows, layer by layer.")
    ] = False,
    input_: Input = None,
    classes: Classes = None,
    sandbox: Sandboxed = False,
    json: Json = False,
) -> None:
    """Show a net's layers, parameters, MACs and receptive field.

    file.py:Name runs that file's code with your rights; see --sandbox.
    """
    from netlet.analysis import STYLE_DIFFERENCES, TABLE_STYLES

    if style is not None and style not in TABLE_STYLES:
        raise NetError(f"no style {style!r}; there are: {', '.join(TABLE_STYLES)}")
    if style and rf:
        raise NetError("--style and --rf cannot be combined; pass only one")
    refuse_loose_words(nets or ())
    choices = choose_nets(nets, Choice(), "net", "dataset")
    nets = list(choices)
    inputs = {one.dataset: find_input(input_, classes, one.dataset) for one in choices.values()}

    def show_one(net: str) -> _Shown:
        return _show(net, style, *inputs[choices[net].dataset], rf=rf, sandbox=sandbox)

    kind = "receptive_field" if rf else "summary"
    if len(nets) == 1:
        shown = show_one(nets[0])
        if json:
            print_json(kind, {"name": nets[0], **shown.values})
        else:
            print_result(shown.text, lines=True)
    else:
        _show_several(nets, show_one, "receptive_fields" if rf else "summaries", json=json)
    if style in STYLE_DIFFERENCES and not json:
        say(f"note: {STYLE_DIFFERENCES[style]}")


@dataclasses.dataclass(frozen=True)
class _Shown:
    """What is shown of a net, as text and as JSON."""

    text: str
    values: dict[str, Any]


def _show(
    net: str,
    style: str | None,
    shape: tuple[int, ...],
    classes: int | None,
    *,
    rf: bool,
    sandbox: bool,
) -> _Shown:
    from netlet.analysis import write_class_notes
    from netlet.experiments.sandbox import InSandbox, SameProcess

    where = InSandbox() if sandbox else SameProcess()
    found = where.analyze(net, shape, classes, style)
    notes = write_class_notes(found.outputs, None, shape, classes)
    table = dataclasses.replace(found.summary, notes=(*found.summary.notes, *notes))
    value: ReceptiveField | Summary = found.receptive_field if rf else table
    text = str(value) if found.styled is None else found.styled
    styled = {"style": style, "table": text} if style else {}
    return _Shown(text, {**value.to_dict(), **styled})


def _show_several(
    nets: Sequence[str], show_one: Callable[[str], _Shown], kind: str, *, json: bool
) -> None:
    """Print what is shown of each net, one below the other.

    Raises:
        typer.Exit: A net cannot be used.
    """
    entries = []
    failed = False
    for number, outcome in enumerate(try_each(nets, show_one)):
        failed = failed or outcome.value is None
        values = {"error": outcome.error} if outcome.value is None else outcome.value.values
        entries.append({"name": outcome.name, **values})
        if outcome.value is not None and not json:
            # The table of another program does not name the net.
            name = f"{outcome.name}\n" if "style" in outcome.value.values else ""
            print_result(("\n" if number else "") + name + outcome.value.text, lines=True)
    if json:
        print_json(kind, {"nets": entries})
    if failed:
        raise typer.Exit(2)
