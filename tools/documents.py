"""What the documents claim, and what their nets do: by the document's recipe, and by ours."""

from __future__ import annotations

from collections.abc import Callable

from netlet import stats
from netlet.experiments import EXPERIMENTS, Claim
from netlet.records.study import Study
from netlet.report import command_for
from netlet.report.markdown import bullet_list, markdown_table, shell_block
from tools.records import recorded_study, studies_on_val

# Experiment by the document's recipe, experiment by ours. Document 003's two heads compute the
# same: its own is trained by its recipe, the one that keeps its rule by ours. Codes 1 to 4 are
# steps on the way: they have no recipe of ours.
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


def documents() -> str:
    """All documents at a glance."""
    head = (
        "document",
        "net",
        "parameters claimed",
        "found",
        "accuracy claimed",
        "by its recipe",
        "epochs",
        "by ours",
        "epochs",
        "asked",
        "ours",
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
                str(theirs.epochs),
                _measured(mine) if mine else "-",
                str(mine.epochs) if mine else "-",
                _asked(theirs),
                f"**{verdict.state}**" if verdict else "-",
            ]
        )
    return markdown_table(head, rows, "llrrlllllll")


def chosen() -> str:
    """The scores on held-out images that recipes were chosen by."""
    rows = []
    for study in sorted(studies_on_val(), key=lambda one: one.name):
        seeds = ", ".join(str(seed.seed) for seed in study.seeds)
        rows.append(
            [
                f"`{study.name}`",
                f"`{study.net}`",
                study.recipe["name"],
                f"{study.cost['parameters']:,}",
                str(study.epochs),
                seeds,
                f"{stats.mean_percent(study):.3f} %",
            ]
        )
    return markdown_table(
        ("experiment", "net", "recipe", "parameters", "epochs", "seeds", "mean on val"),
        rows,
        "lllrrlr",
    )


def explained() -> str:
    """Each document's nets: the verdicts, what the figures mean, and how to repeat them."""
    parts = []
    for documented, ours in _ROWS:
        theirs, claim = recorded_study(documented), _claim(documented)
        parts += [f"### {_title(documented)}: `{theirs.net}`", bullet_list(_told(theirs, claim))]
        commands = [command_for(theirs)]
        if ours:
            mine = recorded_study(ours)
            verdict, compared = stats.study_verdict(mine), stats.compare(theirs, mine)
            assert verdict is not None
            found = "; ".join(
                f"{r.rule} {r.found}, {r.limit}: {r.state}" for r in verdict.results
            )
            parts += [
                f"By our recipe, `{mine.recipe['name']}`, against the document's own budget: {found}.",
                bullet_list([*stats.analyze_study(mine), f"Beside its own recipe: {compared.conclusion}."]),
            ]
            commands.append(command_for(mine))
        parts.append(shell_block("\n".join(command for command in commands if command)))
    return "\n\n".join(parts)


def bars() -> str:
    """How many of the documents' own budgets are met, in a sentence."""
    met = [
        ours
        for _, ours in _ROWS
        if ours and (v := stats.study_verdict(recorded_study(ours))) is not None and v.passed
    ]
    asked = [ours for _, ours in _ROWS if ours]
    return (
        f"By our recipes the mean of the last epoch meets {len(met)} of the {len(asked)} budgets that the documents "
        f"set themselves, strictness and limit of epochs included: {', '.join(f'`{name}`' for name in met)}."
    )


def _told(study: Study, claim: Claim) -> list[str]:
    """What the document's own recipe gives, beside what the document says."""
    best = 100 * sum(max(seed.correct_by_epoch) for seed in study.seeds) / (len(study.seeds) * study.total)
    if claim.correct is None:
        said = "The document states no result."
    else:
        stated = 100 * claim.correct / claim.total
        of = "one seed" if len(study.seeds) == 1 else f"{len(study.seeds)} seeds"
        said = f"The document's best epoch is {stated:.2f} %; here each seed's best is {best:.2f} % (mean of {of}), "
        said += f"{abs(best - stated):.2f} points {'above' if best >= stated else 'below'}."
    return [said, *stats.analyze_study(study)]


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
        f", last {100 * claim.last_correct / claim.total:.2f} %"
        if claim.last_correct is not None
        else ""
    )
    return f"best {100 * claim.correct / claim.total:.2f} %{last}"


def _measured(study: Study) -> str:
    n, sd = len(study.seeds), stats.sd_points(study)
    spread = f" ± {sd:.3f}" if sd is not None else ""
    return f"{stats.mean_percent(study):.3f}{spread} % ({n} seed{'s' if n > 1 else ''})"


def _asked(study: Study) -> str:
    budget = study.budget or {}
    bar = (
        f"above {budget['accuracy_above']:g} %"
        if budget["accuracy_above"]
        else f"{budget['accuracy_at_least']:g} %"
    )
    epochs = (
        f"below {budget['epochs_below']}"
        if budget["epochs_below"]
        else f"at most {budget['epochs_at_most']}"
    )
    forbidden = "".join(f", no {kind}" for kind in budget["forbids"])
    return f"{bar}, below {budget['params_below']:,}, {epochs} epochs{forbidden}"


TABLES: dict[str, Callable[[], str]] = {
    "documents": documents,
    "explained": explained,
    "bars": bars,
    "chosen": chosen,
}
