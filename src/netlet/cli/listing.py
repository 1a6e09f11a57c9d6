"""``netlet list``."""

from __future__ import annotations

from netlet.cli.options import Json
from netlet.cli.results import result, result_json
from netlet.text import count, per_axis, table


def list_(json: Json = False) -> None:
    """Show all experiments: their nets' parameters, MACs and receptive field, recipe, budget and standing."""
    from netlet.analysis import cost_of, receptive_field_of, trace
    from netlet.experiments import EXPERIMENTS
    from netlet.nets import NETS

    traced = {name: trace(entry.builder()) for name, entry in NETS.items()}
    rows, cells = [], []
    for name, experiment in EXPERIMENTS.items():
        net, recipe = traced[experiment.net.name], experiment.recipe
        cost = cost_of(net, epochs=recipe.epochs)
        field = receptive_field_of(net).size
        state = experiment.budget.judge(cost).state
        rows.append(
            {
                "name": name,
                "net": experiment.net.name,
                "parameters": cost.parameters,
                "macs": cost.macs,
                "receptive_field": field,
                "recipe": recipe.name,
                "epochs": recipe.epochs,
                "budget": experiment.budget.name,
                "standing": state,
                "source": experiment.net.source,
                "about": experiment.net.about,
            }
        )
        counts = [count(cost.parameters), count(cost.macs), per_axis(field)]
        cells.append(
            [
                name,
                *counts,
                recipe.name,
                str(recipe.epochs),
                experiment.budget.name,
                state,
                experiment.net.source,
            ]
        )
    if json:
        result_json(rows)
        return
    head = (
        "name",
        "parameters",
        "MACs",
        "field",
        "recipe",
        "epochs",
        "budget",
        "standing",
        "source",
    )
    result(table(head, cells, "lrrrlrlll"))
    result("\nstanding is before any training: NOT YET means that only training can tell")
