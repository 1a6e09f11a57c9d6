"""Read a finished run instead of training it again, so that a notebook can run from the top."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from netlet import records
from netlet.budgets import Budget
from netlet.data import Dataset
from netlet.errors import TrainingError, warn
from netlet.evaluation import evaluate, is_of_another_net
from netlet.nets import is_user_code
from netlet.nets.addresses import refuse_required_arguments
from netlet.nets.copying import copy_net
from netlet.nets.first_weights import find_catalog_name, remember_training
from netlet.nets.net_code import NetCode, find_definition
from netlet.nets.notation import is_notation
from netlet.nets.registry import NETS
from netlet.nets.running_code import find_running_code
from netlet.nets.weights import load_weights, weights_digest
from netlet.recipes import Recipe
from netlet.records import Run
from netlet.training.initial_weights import find_initial_weights, knows_initial_weights
from netlet.training.run_record import digest_traced_net
from netlet.training.setting import (
    OTHER_CODE,
    describe_change,
    describe_setting,
    setting_of_run,
)
from netlet.training.trainable import trace_trainable


def read_finished(
    folder: Path,
    net: nn.Module,
    data: Dataset,
    recipe: Recipe,
    *,
    seed: int,
    budget: Budget | None,
    net_name: str | None,
    code: NetCode | None,
    initial_weights_digest: str,
) -> Run | None:
    """Return the run of a folder if it is finished, and give a net its weights.

    Args:
        folder: The folder.
        net: The net; unless the run is returned, it stays as it is.
        data: The data set, as it is recorded.
        recipe: How to train.
        seed: The seed of the training.
        budget: The budget that judges it.
        net_name: The name or address of the net.
        code: Its code; by default that of the address, which is compared with that of the run.
        initial_weights_digest: That of the weights that a training would begin with, if they are
            from a file; else empty.

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
    code = code or find_named_code(net, net_name)
    known = code is not None if run.source_digest else not code and _is_in_catalog(net, net_name)
    if not known:
        remedy = "record it with net_name='FILE:NET' and pass that again"
        if run.source_digest or _names_catalog(run.net):
            remedy = f"pass net_name={run.net!r}"
        raise TrainingError(
            f"{folder}: nothing to resume, the run is finished; to read it here, {remedy}, or name "
            "another folder"
        )
    digest = weights_digest(net)
    began = initial_weights_digest or find_initial_weights(net, seed)
    if initial_weights_digest in ("", digest):
        # This process has just trained it, or its weights are the same. Those of Net() differ each
        # time that it is made.
        same = digest in (run.weights_digest, run.initial_weights_digest)
        if same or not (initial_weights_digest or knows_initial_weights(net)):
            began = run.initial_weights_digest
    now = describe_setting(recipe, data, seed=seed, budget=budget) | {
        "source_digest": code.digest if code else "",
        "net_digest": digest_traced_net(trace_trainable(net, data.shape)),
        "initial_weights_digest": began,
    }
    if changed := describe_change(setting_of_run(run), now):
        is_other = changed == OTHER_CODE
        its_own = find_definition(net_name or "", run.source_digest) if is_other else ""
        raise _refuse(folder, f"{changed}; the run's is {its_own}" if its_own else changed)
    copy = copy_net(net)
    load_weights(copy, folder / records.WEIGHTS)
    if weights_digest(copy) != run.weights_digest:
        raise TrainingError(
            f"{folder / records.WEIGHTS}: has other weights than the record says; restore it from "
            "a copy, or name another folder"
        )
    found = evaluate(copy, data.held_out, recipe, data.classes).score
    if is_of_another_net(run.last_epoch.score, found):
        raise _refuse(
            folder,
            f"with its weights, this net scores {found.percent:.2f}%, and not "
            f"{run.last_epoch.score.percent:.2f}%",
        )
    load_weights(net, folder / records.WEIGHTS)
    remember_training(net)
    return run


def warn_if_unreadable(
    folder: Path, net: nn.Module, net_name: str | None, code: NetCode | None
) -> None:
    """Warn before a training if :func:`read_finished` cannot read its run afterwards."""
    if code or _is_in_catalog(net, net_name) or find_named_code(net, net_name):
        return
    reason = "it does not name the code of its net"
    if net_name and not is_user_code(net_name):
        reason = f"{net_name!r} names no file"
    warn(
        f"{folder}: once this run is finished, it cannot be read back here, since {reason}; pass "
        "net_name='FILE:NET'"
    )


def find_named_code(net: nn.Module, net_name: str | None) -> NetCode | None:
    """Return the code of a net by its address; None if it has none.

    Raises:
        NetError: The net is defined otherwise there, or cannot be built by this address alone.
    """
    if not net_name or not is_user_code(net_name):
        return None
    code = find_running_code(net, net_name)
    if code is not None:
        refuse_required_arguments(net_name, Path(code.path))
    return code


def _is_in_catalog(net: nn.Module, net_name: str | None) -> bool:
    """Return whether a net comes with netlet, so that there is no code of it to compare."""
    return _names_catalog(net_name) if net_name else bool(find_catalog_name(net))


def _names_catalog(name: str) -> bool:
    return name in NETS or is_notation(name)


def _refuse(folder: Path, changed: str) -> TrainingError:
    return TrainingError(
        f"{folder}: the run is finished and was another one ({changed}); name another folder, or "
        "go back to what the run was trained with"
    )
