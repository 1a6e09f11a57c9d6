"""``netlet check``."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from netlet import budgets
from netlet.budgets import Budget
from netlet.cli.options import Classes, Input, Json, limited, shape
from netlet.cli.results import result, result_json


def check(
    net: Annotated[
        str,
        typer.Argument(
            metavar="NET", help="An experiment or net of ours, file.py:Name or package.module:Name."
        ),
    ],
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="NAME", help="A budget of ours.")
    ] = None,
    params_below: Annotated[int | None, typer.Option(metavar="N")] = None,
    epochs_at_most: Annotated[int | None, typer.Option(metavar="N")] = None,
    epochs_below: Annotated[int | None, typer.Option(metavar="N")] = None,
    accuracy_at_least: Annotated[float | None, typer.Option(metavar="PERCENT")] = None,
    accuracy_above: Annotated[float | None, typer.Option(metavar="PERCENT")] = None,
    held_for_last: Annotated[int | None, typer.Option(metavar="EPOCHS")] = None,
    macs_below: Annotated[int | None, typer.Option(metavar="N")] = None,
    weight_bytes_below: Annotated[int | None, typer.Option(metavar="BYTES")] = None,
    activation_bytes_below: Annotated[int | None, typer.Option(metavar="BYTES")] = None,
    forbid: Annotated[
        list[str] | None, typer.Option(metavar="KIND", help="A kind of layer, like Linear.")
    ] = None,
    require: Annotated[list[str] | None, typer.Option(metavar="KIND", help="Likewise.")] = None,
    input_: Input = "1,28,28",
    classes: Classes = None,
    json: Json = False,
) -> None:
    """Hold a net against a budget, without training it; exit code 1 if it fails.

    Without --budget or a limit, the budget is the experiment's own; limits given beside --budget
    replace its.
    """
    from netlet import analysis
    from netlet.experiments import EXPERIMENTS, find_experiment
    from netlet.nets import build

    limits = {
        "params_below": params_below,
        "epochs_at_most": epochs_at_most,
        "epochs_below": epochs_below,
        "accuracy_at_least": accuracy_at_least,
        "accuracy_above": accuracy_above,
        "held_for_last": held_for_last,
        "macs_below": macs_below,
        "weight_bytes_below": weight_bytes_below,
        "activation_bytes_below": activation_bytes_below,
        "forbids": tuple(forbid or ()),
        "requires": tuple(require or ()),
    }
    experiment = find_experiment(net)
    own_limits = limited(Budget(name="given"), limits)
    if budget:
        chosen = limited(budgets.find_budget(budget), limits)
    elif own_limits != Budget(name="given"):
        chosen = own_limits
    else:
        chosen = experiment.budget
    planned = experiment.recipe.epochs if net in EXPERIMENTS else None
    image = shape(input_)
    verdict = analysis.check(
        build(experiment.net.builder, None, image, classes), chosen, image, planned
    )
    if json:
        result_json({"name": net, "state": verdict.state, **dataclasses.asdict(verdict)})
    else:
        result(str(verdict))
    raise typer.Exit(1 if verdict.failed else 0)
