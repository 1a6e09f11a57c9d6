"""Put together the record of a run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from torch import nn

from netlet.analysis import Trace, cost_from_trace, receptive_field_from_trace, summary_from_trace
from netlet.budgets import ModelCost, Outcome, Score, describe_teacher
from netlet.data import Dataset
from netlet.evaluation import Evaluation
from netlet.nets.first_weights import find_origin
from netlet.nets.net_code import NetCode
from netlet.nets.weights import weights_digest
from netlet.records import Epoch, EpochScore, Run, Stretch, net_digest, to_json_value
from netlet.training.callbacks import Plan

if TYPE_CHECKING:
    from netlet.records.values import CostValues, Environment


@dataclass(frozen=True)
class RunOrigin:
    """What the record of a run states about its beginning."""

    net_name: str
    initial_weights_digest: str  # empty if the seed determined the initial weights
    started_at: str  # UTC, ISO 8601
    code: NetCode | None = None  # that the net is in


@dataclass(frozen=True)
class TrainingResult:
    """What a training yields besides the weights."""

    epochs: tuple[Epoch, ...]
    evaluation: Evaluation  # of the final net on the held-out split
    train_score: Score  # of the final net on the training images without augmentation
    stretches: tuple[Stretch, ...]
    resumed_after: tuple[int, ...]
    total_s: float


def make_run(
    plan: Plan,
    origin: RunOrigin,
    net: nn.Module,
    data: Dataset,
    traced: Trace,
    result: TrainingResult,
) -> Run:
    """Return the record of a run, including the verdict on its budget.

    Args:
        plan: The plan of the training.
        origin: How the run began.
        net: The net with its final weights.
        data: The data set that the net was trained on.
        traced: The net's trace.
        result: The result of the training.
    """
    epochs, budget = result.epochs, plan.budget
    cost, batch_size = cost_from_trace(traced, plan.recipe.total_epochs), plan.recipe.batch_size
    if plan.teacher:
        cost = dataclasses.replace(cost, teacher=describe_teacher(plan.teacher))
    last = result.stretches[-1]
    outcome = Outcome([epoch.held_out for epoch in epochs], data.name)
    return Run(
        name=plan.name,
        net=origin.net_name,
        seed=plan.seed,
        recipe=to_json_value(plan.recipe),
        budget=to_json_value(budget) if budget else None,
        cost=_cost_values(cost, plan),
        verdict=budget.judge(cost, outcome, batch_size=batch_size) if budget else None,
        data=data.describe(),
        epochs=epochs,
        last_epoch=_epoch_score(epochs[-1]),
        best_epoch=_epoch_score(max(epochs, key=lambda epoch: epoch.held_out.correct)),
        train_score=result.train_score,
        confusion=result.evaluation.confusion,
        calibration=result.evaluation.calibration,
        mistakes=result.evaluation.mistakes,
        **_tables_of_net(traced),
        precision=plan.precision,
        backend=last.backend,
        environment=cast("Environment", last.environment),
        times={
            "train_s": sum(epoch.train_s for epoch in epochs),
            "score_s": sum(epoch.score_s for epoch in epochs),
            "total_s": result.total_s,
        },
        weights_digest=weights_digest(net),
        started_at=origin.started_at,
        initial_weights_digest=origin.initial_weights_digest,
        source_path=origin.code.path if origin.code else "",
        source_cell=origin.code.cell if origin.code else 0,
        source_digest=origin.code.digest if origin.code else "",
        resumed_after=result.resumed_after,
        stretches=result.stretches,
    )


def name_run(net: nn.Module) -> str:
    """Return the name of a run, if none was passed: the class of the net.

    A net of torch.nn that a function has built has the name of that function.
    """
    built = find_origin(net)
    of_torch = type(net).__module__.startswith("torch.")
    return built.name if of_torch and built and built.name else type(net).__name__


def _cost_values(cost: ModelCost, plan: Plan) -> CostValues:
    """Return a cost as records store it: with the net's structure if the budget judges it.

    A net that was trained returns a row for one image, so there is nothing to say of that.
    """
    judged = plan.budget is not None and bool(plan.budget.rules())
    structure = cost.describe() if judged else None
    values = to_json_value(dataclasses.replace(cost, structure=structure))
    del values["one_image"], values["savings"], values["teacher"]
    if structure is None:
        del values["structure"]
    return cast("CostValues", values | plan.only_for_training())


def _epoch_score(epoch: Epoch) -> EpochScore:
    return EpochScore(epoch.epoch, **dataclasses.asdict(epoch.held_out))


def digest_traced_net(traced: Trace) -> str:
    """Return the digest of a net's layers, sizes and receptive fields, as a study has it."""
    return net_digest(**_tables_of_net(traced))


def _tables_of_net(traced: Trace) -> dict[str, Any]:
    return {
        "summary": to_json_value(summary_from_trace(traced).to_dict()),
        "receptive_field": to_json_value(receptive_field_from_trace(traced).to_dict()),
    }
