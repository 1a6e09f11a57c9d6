"""Tables of docs/documents.md: the write-ups' claims and what their nets reach here."""

from __future__ import annotations

from collections.abc import Callable

from netlet import stats
from netlet.experiments import EXPERIMENTS, Claim
from netlet.records.study import Study
from netlet.report import command_for
from netlet.report.markdown import bullet_list, markdown_table, shell_block
from tools.records import recorded_study, studies_on_val

# Experiment with the write-up's recipe, experiment with ours. Write-up 003's two heads compute the
# same function: its own head is trained with its recipe, the head that follows its rule with ours.
# Codes 1 to 4 are intermediate steps without a recipe of ours.
_ROWS = (
    ("pyramid.documented", "pyramid"),
    ("mnistnet_1.documented", "mnistnet_1"),
    ("expand_squeeze.documented", "expand_squeeze"),
    ("week4.documented", "week4_conv"),
    ("code_1.documented", None),
    ("code_2.documented", None),
    ("code_3.documented", None),
    ("code_4.documented", None),
    ("code_5.documented", "code_5"),
)


def draw_claims() -> str:
    """Return a table of all write-ups."""
    head = (
        "write-up",
        "net",
        "parameters: claimed",
        "counted",
        "accuracy: claimed",
        "accuracy with the write-up's recipe",
        "its epochs",
        "accuracy with netlet's recipe",
        "its epochs",
        "budget",
        "verdict with netlet's recipe",
    )
    rows = []
    for documented, ours in _ROWS:
        theirs, claim = recorded_study(documented), _claim(documented)
        mine = recorded_study(ours) if ours else None
        verdict = stats.study_verdict(mine) if mine else None
        rows.append(
            [
                _title(documented),
                f"`{theirs.net}`",
                f"{claim.parameters:,}",
                f"{theirs.cost['parameters']:,}",
                _claimed(claim),
                _measured(theirs),
                str(theirs.total_epochs),
                _measured(mine) if mine else "-",
                str(mine.total_epochs) if mine else "-",
                _describe_budget(theirs),
                f"**{verdict.state}**" if verdict else "-",
            ]
        )
    return (
        f"{markdown_table(head, rows, 'llrrlllllll')}\n\n"
        "Measured accuracies are means over seeds after the last epoch, ± the standard deviation "
        "over seeds in percentage points. Code 5 trains the net of Code 4 with augmentation. "
        "Write-up 003's net ends in a linear layer, which its own budget forbids: with netlet's "
        "recipe, `week4_conv` is trained, the same function with a 1x1 convolution."
    )


def draw_choices() -> str:
    """Return the validation accuracies by which recipes were chosen."""
    rows = []
    for study in sorted(studies_on_val(), key=lambda one: one.name):
        seeds = ", ".join(str(seed.seed) for seed in study.seeds)
        rows.append(
            [
                f"`{study.name}`",
                f"`{study.net}`",
                study.recipe["name"],
                f"{study.cost['parameters']:,}",
                str(study.total_epochs),
                seeds,
                f"{stats.mean_percent(study):.3f}%",
            ]
        )
    head = ("experiment", "net", "recipe", "parameters", "epochs", "seeds", "mean val accuracy")
    return (
        f"{markdown_table(head, rows, 'lllrrlr')}\n\n"
        "`plain (changed)` is the recipe `plain` with some settings changed, `summit` the net of "
        "the last rungs, and `norms` the rung with batch norm of the ladder "
        "[From a basic net past every write-up](ladders/own.md), whose other rungs `schedule` to "
        "`averaging` are listed too; the experiments with `smoothing` or `batch_64` in their names "
        "were tried and not taken."
    )


def draw_explanations() -> str:
    """Return a section for each write-up: verdicts, what the results mean, and the commands."""
    parts = []
    for documented, ours in _ROWS:
        theirs, claim = recorded_study(documented), _claim(documented)
        parts += [
            f"### Write-up {_title(documented)}: `{theirs.net}`",
            bullet_list(_compare_with_claim(theirs, claim)),
        ]
        commands = [command_for(theirs)]
        if ours:
            mine = recorded_study(ours)
            verdict, compared = stats.study_verdict(mine), stats.compare(theirs, mine)
            assert verdict is not None
            results = "; ".join(
                f"{r.rule} {r.found} ({r.limit}): {r.state}" for r in verdict.results
            )
            parts += [
                f"With netlet's recipe `{mine.recipe['name']}` and the write-up's own budget: "
                f"{results}.",
                bullet_list(
                    [
                        *stats.analyze_study(mine),
                        f"Compared with the write-up's recipe: {compared.conclusion}.",
                    ]
                ),
            ]
            commands.append(command_for(mine))
        parts.append(shell_block("\n".join(command for command in commands if command)))
    return "\n\n".join(parts)


def draw_summary() -> str:
    """Return how many of the write-ups' own budgets are met, in a sentence."""
    met = [
        ours
        for _, ours in _ROWS
        if ours and (v := stats.study_verdict(recorded_study(ours))) is not None and v.passed
    ]
    every = [ours for _, ours in _ROWS if ours]
    return (
        f"With netlet's recipes, the mean accuracy after the last epoch meets {len(met)} of the "
        f"{len(every)} budgets that the write-ups set, including strict limits and epochs: "
        f"{', '.join(f'`{name}`' for name in met)}."
    )


def _compare_with_claim(study: Study, claim: Claim) -> list[str]:
    """Return what the write-up's own recipe reaches here, compared with what it claims."""
    best = (
        100
        * sum(max(seed.correct_by_epoch) for seed in study.seeds)
        / (len(study.seeds) * study.total)
    )
    if claim.correct is None:
        text = "The write-up states no result."
    else:
        stated = 100 * claim.correct / claim.total
        one = len(study.seeds) == 1
        of, digits = ("one seed", 2) if one else (f"mean of {len(study.seeds)} seeds", 3)
        text = (
            f"The write-up's best epoch is {stated:.2f}%; here the best epoch is "
            f"{best:.{digits}f}% ({of}), {abs(best - stated):.{digits}f} points "
            f"{'above' if best >= stated else 'below'} it."
        )
    return [text, *stats.analyze_study(study)]


def _claim(name: str) -> Claim:
    claim = EXPERIMENTS[name].claim
    assert claim is not None
    return claim


def _title(name: str) -> str:
    document = _claim(name).document
    code = name.removesuffix(".documented").removeprefix("code_")
    return f"{document}, Code {code}" if document == "004" else document


def _claimed(claim: Claim) -> str:
    if claim.correct is None:
        return "none stated"
    last = (
        f", last {100 * claim.last_correct / claim.total:.2f}%"
        if claim.last_correct is not None
        else ""
    )
    return f"best {100 * claim.correct / claim.total:.2f}%{last}"


def _measured(study: Study) -> str:
    n, sd = len(study.seeds), stats.sd_points(study)
    spread = f" ± {sd:.3f}" if sd is not None else ""
    return f"{stats.mean_percent(study):.3f}{spread}% ({n} seed{'s' if n > 1 else ''})"


def _describe_budget(study: Study) -> str:
    budget = study.budget or {}
    bar = (
        f"above {budget['accuracy_above']:g}%"
        if budget["accuracy_above"]
        else f"at least {budget['accuracy_at_least']:g}%"
    )
    epochs = (
        f"below {budget['epochs_below']}"
        if budget["epochs_below"]
        else f"at most {budget['epochs_at_most']}"
    )
    forbidden = "".join(f", no {kind}" for kind in budget["forbids"])
    return f"{bar}, below {budget['params_below']:,}, {epochs} epochs{forbidden}"


TABLES: dict[str, Callable[[], str]] = {
    "documents": draw_claims,
    "explained": draw_explanations,
    "bars": draw_summary,
    "chosen": draw_choices,
}
