"""``netlet list``."""

from __future__ import annotations

import typer

from netlet.cli.options import Json, print_json
from netlet.tables import count, table


def list_(json: Json = False) -> None:
    """Show all experiments: their nets' parameters, MACs and receptive field, recipe, budget and standing."""
    from netlet.anatomy import facts_of, receptive_field_of, trace
    from netlet.anatomy.receptive import per_axis
    from netlet.experiments import EXPERIMENTS
    from netlet.nets import NETS

    traced = {name: trace(entry.builder()) for name, entry in NETS.items()}
    rows = []
    for name, experiment in EXPERIMENTS.items():
        net = traced[experiment.net.name]
        facts = facts_of(net, epochs=experiment.recipe.epochs)
        field = receptive_field_of(net).size
        state = experiment.budget.judge(facts).state
        rows.append(
            {
                "name": name, "net": experiment.net.name, "parameters": facts.parameters, "macs": facts.macs,
                "receptive_field": field, "recipe": experiment.recipe.name, "epochs": experiment.recipe.epochs,
                "budget": experiment.budget.name, "standing": state, "source": experiment.net.source,
                "about": experiment.net.about,
            }
        )  # fmt: skip
    if json:
        print_json(rows)
        return
    cells = [
        [
            row["name"], count(row["parameters"]), count(row["macs"]), per_axis(row["receptive_field"]),
            row["recipe"], str(row["epochs"]), row["budget"], row["standing"], row["source"],
        ]
        for row in rows
    ]  # fmt: skip
    head = ("name", "parameters", "MACs", "field", "recipe", "epochs", "budget", "standing", "source")
    typer.echo(table(head, cells, "lrrrlrlll"))
    typer.echo("\nstanding is before any training: NOT YET means that only training can tell")
