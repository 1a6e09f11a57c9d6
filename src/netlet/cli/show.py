"""``netlet show``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from netlet.cli.options import Classes, Input, Json, Net, Sandboxed
from netlet.cli.results import print_json, print_result, say
from netlet.cli.settings import parse_shape
from netlet.errors import NetError

if TYPE_CHECKING:
    from netlet.analysis import ReceptiveField, Summary


def show(
    net: Net,
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
    input_: Input = "1,28,28",
    classes: Classes = None,
    sandbox: Sandboxed = False,
    json: Json = False,
) -> None:
    """Show a net's layers, parameters, MACs and receptive field.

    file.py:Name runs that file's code with your rights; see --sandbox.
    """
    from netlet.analysis import STYLE_DIFFERENCES, TABLE_STYLES, remark_on_classes
    from netlet.experiments.sandbox import InSandbox, SameProcess

    if style is not None and style not in TABLE_STYLES:
        raise NetError(f"no style {style!r}; there are: {', '.join(TABLE_STYLES)}")
    if style and rf:
        raise NetError("--style and --rf are two different tables; pass one of them")
    shape = parse_shape(input_)
    where = InSandbox() if sandbox else SameProcess()
    found = where.analyze(net, shape, classes, style)
    remarks = remark_on_classes(found.outputs, None, shape, classes)
    table = dataclasses.replace(found.summary, notes=(*found.summary.notes, *remarks))
    value: ReceptiveField | Summary = found.receptive_field if rf else table
    text = str(value) if found.styled is None else found.styled
    if not json:
        print_result(text, lines=True)
        if style in STYLE_DIFFERENCES:
            say(f"note: {STYLE_DIFFERENCES[style]}")
        return
    styled = {"style": style, "table": text} if style else {}
    print_json("receptive_field" if rf else "summary", {"name": net, **value.to_dict(), **styled})
