"""Statistics of batch norms that a net folds into its weights in evaluation, as RepVGG does.

They are no weights if the net computes the same with the batch norms themselves: it is run in
training mode with only its batch norms in evaluation mode, with their statistics as they are and
with others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from netlet.analysis.hidden_weights import HiddenWeights, find_hidden_weights
from netlet.analysis.provenance import Provenance
from netlet.analysis.value_observer import ValueObserver
from netlet.errors import NetletError
from netlet.graph import Tracer
from netlet.nets.code_state import CodeState
from netlet.nets.copying import UncopyableError, copy_net
from netlet.nets.isolation import Isolation
from netlet.nets.outputs import first_tensor
from netlet.nets.registered import list_modules

_TOLERANCE = 1e-3  # of the largest output
_STATISTICS = ("running_mean", "running_var")


def find_folded_statistics(
    net: nn.Module,
    found: Iterable[HiddenWeights],
    batches: Sequence[torch.Tensor],
    code: CodeState,
) -> frozenset[str]:
    """Return the names of the statistics among hidden weights that a net only folds.

    Args:
        net: It has run, and stays as it is.
        found: All that was found in these runs.
        batches: The images of these runs.
        code: The functions that the net must leave as they are.
    """
    names = {weights.name for weights in found}
    folded = names & {
        f"{path}.{name}" if path else name for path, _ in _list_norms(net) for name in _STATISTICS
    }
    if not folded:
        return frozenset()
    try:
        with torch.random.fork_rng(devices=[]), Isolation(strict=True, code=code):
            same = _computes_the_same(net, names - folded, batches)
    except UncopyableError:
        return frozenset()
    except NetletError:
        raise
    except Exception:  # of the net, which does not run so, or cannot be copied
        return frozenset()
    return frozenset(folded) if same else frozenset()


def _computes_the_same(
    net: nn.Module,
    others: Collection[str],
    batches: Sequence[torch.Tensor],
) -> bool:
    """Return whether the norms compute what a net computes in evaluation mode.

    Args:
        net: It.
        others: The hidden weights that are not such statistics.
        batches: Images.
    """
    folding, norming = copy_net(net).eval(), copy_net(net).train()
    for _, norm in _list_norms(norming):
        norm.training = False
    for other in (False, True):
        if other:
            _change_statistics(folding)
            _change_statistics(norming)
            folding.train().eval()  # it may fold them there
        for images in batches:
            provenance = Provenance(norming)
            provenance.start(images)
            watched = Tracer(norming, images, [ValueObserver(provenance)])
            normed = first_tensor(watched.run().returned)
            provenance.finish(normed)
            if any(w.name not in others for w in find_hidden_weights(norming, provenance)):
                return False
            expected = first_tensor(Tracer(folding, images).run().returned)
            if normed is None or expected is None or normed.shape != expected.shape:
                return False
            size = max(float(expected.abs().max()), 1e-6)
            if not float((normed - expected).abs().max()) <= _TOLERANCE * size:
                return False
    return True


@torch.no_grad()
def _change_statistics(net: nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    for _, norm in _list_norms(net):
        mean, var = norm.running_mean, norm.running_var
        if mean is not None and var is not None:
            mean.copy_(torch.randn(mean.shape, generator=generator) / 2)
            var.copy_(0.5 + torch.rand(var.shape, generator=generator))


def _list_norms(net: nn.Module) -> Iterator[tuple[str, _BatchNorm]]:
    return ((path, m) for path, m in list_modules(net) if isinstance(m, _BatchNorm))
