"""``netlet show``."""

from __future__ import annotations

from typing import Annotated

import typer

from netlet.cli.options import Classes, Input, Json, shape
from netlet.cli.results import result, result_json
from netlet.errors import NetError


def show(
    net: Annotated[
        str,
        typer.Argument(metavar="NET", help="A net of ours, file.py:Name or package.module:Name."),
    ],
    style: Annotated[
        str | None,
        typer.Option("--style", metavar="STYLE", help="Print as torchsummary or torchinfo does."),
    ] = None,
    rf: Annotated[bool, typer.Option("--rf", help="Print the receptive-field table.")] = False,
    input_: Input = "1,28,28",
    classes: Classes = None,
    json: Json = False,
) -> None:
    """Show a net's layers: parameters, MACs, receptive field, sizes."""
    from netlet.analysis import STYLES, receptive_field_of, summary_of, trace
    from netlet.experiments import find_experiment
    from netlet.nets import build

    if style is not None and style not in STYLES:
        raise NetError(f"no style {style!r}; there are: {', '.join(STYLES)}")
    if style and rf:
        raise NetError("--style and --rf are two tables; ask for one")
    image = shape(input_)
    traced = trace(build(find_experiment(net).net.builder, None, image, classes), image)
    value = receptive_field_of(traced) if rf else summary_of(traced)
    text = STYLES[style](traced) if style else str(value)
    if json:
        result_json(
            {"name": net, **value.to_dict(), **({"style": style, "table": text} if style else {})}
        )
    else:
        result(text)
