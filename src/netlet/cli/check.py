"""``netlet check``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Annotated, Any, NoReturn

import typer

from netlet import catalog
from netlet.budgets import Budget, ModelCost, NotedVerdict, RuleResult
from netlet.cli.datasets import find_input
from netlet.cli.options import Classes, Input, Json, Nets, Sandboxed, budget_names
from netlet.cli.repository import FIELDS_OF_TRAINING, Choice, choose_nets
from netlet.cli.results import print_json, print_result, say
from netlet.cli.settings import apply_limits
from netlet.cli.several import Outcome, refuse_loose_words, try_each
from netlet.recipes import Recipe
from netlet.text import escape_controls, format_count, format_table

_COMMAND_LINE = "command-line limits"  # name of the budget that only options describe


def check(
    nets: Nets = None,
    budget: Annotated[
        str | None,
        typer.Option(
            "--budget",
            metavar="NAME|FILE",
            help="Check against this budget, a name ('netlet list --budgets') or a TOML file, "
            "instead of the net's own.",
            autocompletion=budget_names,
        ),
    ] = None,
    params_below: Annotated[
        int | None, typer.Option(metavar="N", help="Require fewer than N parameters.")
    ] = None,
    epochs_at_most: Annotated[
        int | None, typer.Option(metavar="N", help="Allow at most N epochs of training.")
    ] = None,
    epochs_below: Annotated[
        int | None, typer.Option(metavar="N", help="Allow fewer than N epochs of training.")
    ] = None,
    accuracy_at_least: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT", help="Require at least this test accuracy in percent, like 99.4."
        ),
    ] = None,
    accuracy_above: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT", help="Require more than this test accuracy in percent, like 99.4."
        ),
    ] = None,
    held_for_last: Annotated[
        int | None,
        typer.Option(
            metavar="EPOCHS",
            help="Require the accuracy after each of the last EPOCHS epochs, not only the last.",
        ),
    ] = None,
    macs_below: Annotated[
        int | None,
        typer.Option(metavar="N", help="Require fewer than N multiply-adds (MACs) per image."),
    ] = None,
    weight_bytes_below: Annotated[
        int | None,
        typer.Option(metavar="BYTES", help="Require weights of fewer than BYTES bytes in float32."),
    ] = None,
    activation_bytes_below: Annotated[
        int | None,
        typer.Option(
            metavar="BYTES",
            help="Require a peak below BYTES bytes of feature maps for one image in float32.",
        ),
    ] = None,
    forbid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND",
            help="Forbid a kind of layer, like Linear, in addition to the budget's rules; may be "
            "given several times.",
        ),
    ] = None,
    require: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RULE",
            help="Require a kind of layer, like Dropout, or a rule, like 'Conv2d >= 3' or "
            "'GAP | Linear', in addition to the budget's rules; may be given several times.",
        ),
    ] = None,
    input_: Input = None,
    classes: Classes = None,
    sandbox: Sandboxed = False,
    json: Json = False,
) -> None:
    """Check a net against a budget, without training it.

    Exit code 0 if no limit is missed (some may be NOT YET: only training can decide them), 1 if one
    is missed or cannot be checked, 2 if a net cannot be used; of several nets, the highest.
    file.py:Name runs that file's code with your rights; see --sandbox.

    The budget is the one that --budget or netlet.toml names. Without one, the limits and rules on
    the command line are the whole budget; without those, it is the experiment's own budget, or
    twenty_k for other nets. Limits on the command line replace limits of the named budget;
    --require and --forbid add rules to it. In a folder with netlet.toml, missing options are taken
    from that file, unless NET comes with netlet and the file names another net.
    """
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
    refuse_loose_words(nets or ())
    choices = choose_nets(nets, Choice(budget=budget), *FIELDS_OF_TRAINING)
    nets = list(choices)
    inputs = {one.dataset: find_input(input_, classes, one.dataset) for one in choices.values()}
    # All that is known without the nets comes first: their code cannot change that.
    budgets = {net: _choose_budget(net, choice.budget, limits) for net, choice in choices.items()}

    def check_one(net: str) -> _Checked:
        chosen = choices[net]
        planned, own_input = chosen.planned_recipe, inputs[chosen.dataset]
        return _check(net, budgets[net], planned, *own_input, sandbox=sandbox)

    if len(nets) > 1:
        _check_several(list(try_each(nets, check_one)), json=json)
    checked = check_one(nets[0])
    verdict = checked.verdict
    # The only net that a file defines may not be the one that is meant, which it imports.
    if checked.address.startswith(f"{nets[0]}:"):
        say(f"checked {checked.address}")
    if json:
        print_json("check", {"name": nets[0], **verdict_to_dict(verdict)})
    else:
        print_result(str(verdict), lines=True)
    raise typer.Exit(1 if verdict.failed else 0)


_COUNTS = ("parameters", "macs", "weight_bytes", "activation_bytes")


@dataclasses.dataclass(frozen=True)
class _Checked:
    """A net that was checked: its full address, its cost and the verdict."""

    address: str
    cost: ModelCost
    verdict: NotedVerdict


def _check_several(checked: Sequence[Outcome[_Checked]], *, json: bool) -> NoReturn:
    """Print a row and the notes of each net, and exit with the code of the worst one."""
    entries: list[dict[str, Any]] = []
    counts = ("parameters", "MACs", "weight bytes", "activation bytes")
    head = ("net", "verdict", *counts, "budget", "missed")
    rows, notes = [], []
    for outcome in checked:
        if outcome.value is None:
            entries.append({"name": outcome.name, "error": outcome.error})
            rows.append((outcome.name, "ERROR", *("" for _ in counts), "", ""))
        else:
            verdict = outcome.value.verdict
            cost = outcome.value.cost
            sizes = (cost.parameters, cost.macs, cost.weight_bytes, cost.activation_bytes)
            entries.append(
                {
                    "name": outcome.name,
                    **verdict_to_dict(verdict),
                    **dict(zip(_COUNTS, sizes, strict=True)),
                }
            )
            missed = [r for r in verdict.results if r.state in ("FAIL", "UNKNOWN")]
            text = "; ".join(f"{r.title} {r.found} ({r.limit})" for r in missed)
            cells = map(format_count, sizes)
            rows.append((outcome.value.address, verdict.state, *cells, verdict.budget, text))
            notes += [f"{outcome.name}: {escape_controls(note)}" for note in verdict.notes]
    if json:
        print_json("checks", {"nets": entries})
    else:
        print_result("\n".join([format_table(head, rows, "llrrrrll"), *notes]), lines=True)
    failed = any(one.value is not None and one.value.verdict.failed for one in checked)
    raise typer.Exit(2 if any(one.error for one in checked) else int(failed))


def _choose_budget(net: str, budget: str | Budget | None, limits: dict[str, Any]) -> Budget:
    from netlet.budgets import TWENTY_K
    from netlet.experiments import EXPERIMENTS

    only_limits = apply_limits(Budget(name=_COMMAND_LINE), limits)
    if budget:
        named = catalog.find_budget(budget) if isinstance(budget, str) else budget
        return apply_limits(named, limits)
    if only_limits != Budget(name=_COMMAND_LINE):
        return only_limits
    experiment = EXPERIMENTS.get(net)
    return experiment.budget if experiment else TWENTY_K


def _check(
    net: str,
    budget: Budget,
    planned: Recipe | None,
    shape: tuple[int, ...],
    classes: int | None,
    *,
    sandbox: bool,
) -> _Checked:
    from netlet import analysis
    from netlet.experiments import EXPERIMENTS
    from netlet.experiments.sandbox import InSandbox, SameProcess

    experiment = EXPERIMENTS.get(net)
    where = InSandbox() if sandbox else SameProcess()
    found = where.analyze(net, shape, classes or analysis.find_classes(budget, shape))
    planned = planned or (experiment.recipe if experiment else None)
    outputs = analysis.check_outputs(found.outputs, budget, shape, classes)
    notes = [] if outputs else analysis.write_class_notes(found.outputs, budget, shape, classes)
    cost = dataclasses.replace(found.cost, epochs=planned.total_epochs if planned else None)
    verdict = analysis.judge_cost(
        cost,
        budget,
        [*found.summary.notes, *notes],
        outputs,
        batch_size=planned.batch_size if planned else None,
    )
    return _Checked(net if experiment else found.summary.net, cost, verdict)


def verdict_to_dict(verdict: NotedVerdict) -> dict[str, Any]:
    """Return a verdict as plain values, its counts as numbers."""
    return {
        "state": verdict.state,
        "budget": verdict.budget,
        "withheld": verdict.withheld,
        "rules": [_rule_to_dict(rule) for rule in verdict.results],
        "notes": list(verdict.notes),
    }


def _rule_to_dict(rule: RuleResult) -> dict[str, Any]:
    words = ("at least", "at most", "exactly")
    strictness = next((word for word in words if word in rule.limit), None)
    strictness = strictness or rule.limit.split()[0]
    return {
        "rule": rule.rule,
        "words": rule.words,
        "state": rule.state,
        "strictness": "at most" if strictness == "none" else strictness,
        "limit": 0 if strictness == "none" else _number(rule.limit),
        "found": _number(rule.found),
        "margin": _number(rule.margin),
        "largest_layers": [_layer_to_dict(text) for text in rule.largest_layers],
        "found_text": rule.found,
        "remedy": rule.remedy,
        "message": rule.message,
    }


def _layer_to_dict(text: str) -> dict[str, Any]:
    """Return ``4 (Conv2d) 1,440`` as the layer and its count; a forbidden layer has no count."""
    layer, _, last = text.rpartition(" ")
    if last.replace(",", "").isdigit() and layer:
        return {"layer": layer, "count": _number(last)}
    return {"layer": text, "count": None}


def _number(text: str) -> int | float | None:
    """Return the first number in a cell of the verdict's table: 7416 for ``7,416``, else None."""
    match = re.search(r"[+-]?\d[\d,]*(?:\.\d+)?", text)
    if match is None:
        return None
    digits = match[0].replace(",", "")
    return float(digits) if "." in digits else int(digits)
