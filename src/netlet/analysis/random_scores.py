"""Recognize a net whose scores of an image are other ones in each run of evaluation."""

from __future__ import annotations

import random
import warnings

import numpy as np
import torch
from torch import nn

from netlet.analysis.labels import is_zero
from netlet.errors import NetletError
from netlet.graph import Graph
from netlet.graph.tracer import WithoutDropout
from netlet.nets.code_state import CodeState
from netlet.nets.copying import UncopyableError, copy_net
from netlet.nets.eval_mode import eval_mode
from netlet.nets.isolation import Isolation
from netlet.nets.outputs import first_tensor
from netlet.nets.registered import list_parameters

_TOLERANCE = 1e-5  # of the largest output: some kernels of a GPU add in another order each time
_TRAINED = 0.1  # what a parameter may be that is zero before training
# A net that draws may seldom use what it has drawn.
_RUNS, _RUNS_IF_IT_DRAWS = 2, 16


def write_random_notes(
    net: nn.Module, graph: Graph, images: torch.Tensor, code: CodeState
) -> list[str]:
    """Return a note on a net that scores the same images in another way when it runs again.

    Dropout, which has a note of its own, drops nothing here.

    Args:
        net: The net, which is run in evaluation mode.
        graph: Of a run in that mode.
        images: A batch ``N C H W`` that is not blank.
        code: The functions that the net must leave as they are.
    """
    if not _has_random_scores(net, images, code, _RUNS_IF_IT_DRAWS if graph.random else _RUNS):
        trained = _copy_without_zeros(net, code) if graph.random else None
        if trained is None or not _has_random_scores(trained, images, code, _RUNS_IF_IT_DRAWS):
            return []
        return [
            f"note: {graph.random} draws random numbers in evaluation too, so results vary once a "
            "parameter that is zero now has been trained; draw them only if self.training"
        ]
    if graph.random:
        return [
            f"note: {graph.random} draws random numbers in evaluation too, so results vary; draw "
            "them only if self.training"
        ]
    return [
        "note: the net gives the same images other scores in a second run, so results vary; draw "
        "random numbers, and change what forward reads, only if self.training"
    ]


def _has_random_scores(net: nn.Module, images: torch.Tensor, code: CodeState, runs: int) -> bool:
    with eval_mode(net), torch.random.fork_rng(devices=[]), torch.no_grad(), WithoutDropout():
        try:
            with Isolation(strict=True, code=code), warnings.catch_warnings(action="ignore"):
                # Once, so that each check of a net says the same.
                torch.manual_seed(0)
                random.seed(0)
                np.random.seed(0)
                first = first_tensor(net(images))
                return any(_differ(first, first_tensor(net(images))) for _ in range(runs - 1))
        except NetletError:
            raise
        except Exception:  # of a net that does not run on such images
            return False


def _copy_without_zeros(net: nn.Module, code: CodeState) -> nn.Module | None:
    """Return a net whose zero parameters have other numbers, as after training.

    Returns:
        None if it has no such parameters, or cannot be copied.
    """
    if not any(map(_is_trained_zero, (tensor for _, tensor in list_parameters(net)))):
        return None
    try:
        with Isolation(strict=True, code=code), torch.no_grad():
            copy = copy_net(net)
            for _, tensor in list_parameters(copy):
                if _is_trained_zero(tensor):
                    tensor.fill_(_TRAINED)
            return copy
    except UncopyableError:
        return None
    except NetletError:
        raise
    except Exception:  # of the net's own code to copy it
        return None


def _is_trained_zero(tensor: torch.Tensor) -> bool:
    return tensor.requires_grad and not nn.parameter.is_lazy(tensor) and is_zero(tensor)


def _differ(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None or one.shape != other.shape:
        return one is not other
    if torch.equal(one, other):
        return False
    size = float(one.abs().max())
    return bool(((one - other).abs() > _TOLERANCE * size).any())
