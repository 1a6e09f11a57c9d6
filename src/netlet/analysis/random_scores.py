"""Recognize a net whose scores of an image are other ones in each run of evaluation."""

from __future__ import annotations

import random
import warnings

import numpy as np
import torch
from torch import nn

from netlet.errors import NetletError
from netlet.graph import Graph
from netlet.graph.tracer import WithoutDropout
from netlet.nets.code_state import CodeState
from netlet.nets.eval_mode import eval_mode
from netlet.nets.isolation import Isolation
from netlet.nets.outputs import first_tensor

_TOLERANCE = 1e-5  # of the largest output: some kernels of a GPU add in another order each time
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
        return []
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


def _differ(one: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    if one is None or other is None or one.shape != other.shape:
        return one is not other
    if torch.equal(one, other):
        return False
    size = float(one.abs().max())
    return bool(((one - other).abs() > _TOLERANCE * size).any())
