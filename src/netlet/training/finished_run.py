"""Read a finished run instead of training it again, so that a notebook can run from the top."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from netlet import records
from netlet.budgets import Budget
from netlet.data import Dataset
from netlet.errors import TrainingError
from netlet.evaluation import evaluate
from netlet.nets import is_user_code
from netlet.nets.copying import copy_net
from netlet.nets.first_weights import remember_training
from netlet.nets.running_code import find_running_code
from netlet.nets.weights import load_weights, weights_digest
from netlet.recipes import Recipe
from netlet.records import Run, to_json_value
from netlet.training.run_record import digest_traced_net
from netlet.training.setting import describe_change, describe_setting, setting_of_run
from netlet.training.trainable import trace_trainable

_MOST_IMAGES = 5  # that another processor or backend may classify otherwise


def read_finished(
    folder: Path,
    net: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    budget: Budget | None,
    net_name: str | None,
    initial_weights_digest: str,
) -> Run | None:
    """Return the run of a folder if it is finished, and give a net its weights.

    Args:
        folder: The folder.
        net: The net; if there is no such run, it stays as it is.
        data: The data set, as it is recorded.
        recipe: How to train.
        seed: The seed of the training.
        budget: The budget that judges it.
        net_name: The address of the net, by which its code is compared with that of the run.
        initial_weights_digest: That of the weights that a training would begin with; empty for
            those of the seed.

    Returns:
        The run; None if the folder has none that is finished.

    Raises:
        TrainingError: It is a run of another training, or its net is not known to be this one.
        NetError: The net is defined otherwise where ``net_name`` says.
        RecordError: The record is damaged.
        WeightsError: The weights are damaged, or of another net.
    """
    if not (folder / records.RECORD).is_file() or (folder / records.CHECKPOINT_FILE).is_file():
        return None
    run = records.load_run(folder)
    code = find_running_code(net, net_name) if net_name and is_user_code(net_name) else None
    if code is None or not run.source_digest:
        raise TrainingError(
            f"{folder}: nothing to resume, the run is finished; to read it here, record it with "
            "net_name='FILE:NET' and pass that again, or name another folder"
        )
    now = describe_setting(recipe, data, seed=seed)
    traced = trace_trainable(net, data.shape)
    now |= {"source_digest": code.digest, "net_digest": digest_traced_net(traced)}
    changed = describe_change(setting_of_run(run), now)
    is_its_own = weights_digest(net) == run.weights_digest  # this process has just trained it
    if not changed and run.budget != (to_json_value(budget) if budget else None):
        changed = "another budget"
    elif not changed and not is_its_own and run.initial_weights_digest != initial_weights_digest:
        changed = "other initial weights"
    if changed:
        raise TrainingError(
            f"{folder}: the run is finished and was another one ({changed}); name another folder"
        )
    copy = copy_net(net)
    load_weights(copy, folder / records.WEIGHTS)
    found = evaluate(copy, data.held_out, recipe, data.classes).score
    if abs(found.correct - run.last_epoch.correct) > max(_MOST_IMAGES, found.total // 1_000):
        raise TrainingError(
            f"{folder}: the run is finished and was another one (with its weights, this net scores "
            f"{found.percent:.2f}%, and not {run.last_epoch.score.percent:.2f}%); name another "
            "folder"
        )
    load_weights(net, folder / records.WEIGHTS)
    if weights_digest(net) != run.weights_digest:
        raise TrainingError(
            f"{folder / records.WEIGHTS}: has other weights than the record says; restore it from "
            "a copy, or name another folder"
        )
    remember_training(net)
    return run
