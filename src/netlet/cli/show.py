"""``netlet show``."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Annotated

import typer

from netlet.cli.options import Classes, Input, Json, Net
from netlet.cli.results import print_json, print_result
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
    json: Json = False,
) -> None:
    """Show a net's layers, parameters, MACs and receptive field."""
    from netlet.analysis import TABLE_STYLES, receptive_field_from_trace, summary_from_trace, trace
    from netlet.experiments import find_experiment
    from netlet.nets import build

    if style is not None and style not in TABLE_STYLES:
        raise NetError(f"no style {style!r}; there are: {', '.join(TABLE_STYLES)}")
    if style and rf:
        raise NetError("--style and --rf are two different tables; pass one of them")
    shape = parse_shape(input_)
    entry = find_experiment(net).net
    traced = trace(build(entry.builder, None, shape, classes), shape)
    value: ReceptiveField | Summary = receptive_field_from_trace(traced)
    if not rf:
        value = dataclasses.replace(summary_from_trace(traced), net=entry.name)
    text = TABLE_STYLES[style](traced) if style else str(value)
    if not json:
        print_result(text, lines=True)
        return
    styled = {"style": style, "table": text} if style else {}
    print_json("receptive_field" if rf else "summary", {"name": net, **value.to_dict(), **styled})
