"""``netlet show``."""

from __future__ import annotations

from typing import Annotated

import typer

from netlet.cli.options import Input, Json, print_json, shape
from netlet.errors import NetError


def show(
    net: Annotated[str, typer.Argument(metavar="NET", help="A net of ours, file.py:Name or package.module:Name.")],
    style: Annotated[
        str | None, typer.Option("--style", metavar="STYLE", help="Print as torchsummary or torchinfo does.")
    ] = None,
    rf: Annotated[bool, typer.Option("--rf", help="Print the receptive-field table.")] = False,
    input_: Input = "1,28,28",
    json: Json = False,
) -> None:
    """Show a net's layers: parameters, MACs, receptive field, sizes."""
    from netlet.anatomy import STYLES, receptive_field_of, summary_of, trace
    from netlet.experiments import find_experiment

    if style is not None and style not in STYLES:
        raise NetError(f"no style {style!r}; there are: {', '.join(STYLES)}")
    if style and rf:
        raise NetError("--style and --rf are two tables; ask for one")
    traced = trace(find_experiment(net).net.builder(), shape(input_))
    value = receptive_field_of(traced) if rf else summary_of(traced)
    text = STYLES[style](traced) if style else str(value)
    if json:
        print_json({"name": net, **value.to_dict(), **({"style": style, "table": text} if style else {})})
    else:
        typer.echo(text)
