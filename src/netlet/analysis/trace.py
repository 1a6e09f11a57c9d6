"""Analyze a net: run it once and read its layers and functions, shapes and costs from the run.

The net runs on two blank images, so branches, functions, shared layers and lazy layers are recorded
as they really run. If the net reads a value of a tensor (to choose a path, say), receptive fields
and totals from there on are reported as unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from netlet.analysis.failures import describe_failure
from netlet.analysis.field_rules import follow_fields
from netlet.analysis.hidden_weights import HiddenWeights, find_hidden_weights
from netlet.analysis.idle_modules import find_idle_modules
from netlet.analysis.left_out import remark_on_left_out
from netlet.analysis.memory import peak_bytes
from netlet.analysis.module_rows import list_rows, shown_name
from netlet.analysis.net_end import count_outputs, remark_on_end
from netlet.analysis.ops import Trace
from netlet.analysis.outside_values import BULK_READS
from netlet.analysis.provenance import Provenance
from netlet.errors import NetError
from netlet.graph import BATCH, ModuleRun, Observer, Tracer
from netlet.nets.eval_mode import eval_mode
from netlet.nets.isolation import Isolation
from netlet.nets.outputs import first_tensor
from netlet.nets.registered import list_parameters


def trace(net: nn.Module, shape: Sequence[int] = (1, 28, 28)) -> Trace:
    """Run a net once in evaluation mode and record its operations.

    Args:
        net: Any module. It is left unchanged, except that lazy layers take their shapes from this
            run.
        shape: Of one image, ``C H W``.

    Raises:
        NetError: The net does not run on such an image (with the layer and its input shape), or its
            output contains no tensor.
    """
    images = torch.zeros(BATCH, *shape, device=_device(net))
    provenance = Provenance(net)
    provenance.start(images)
    tracer = Tracer(net, images, [_ValueObserver(provenance)])
    with eval_mode(net), torch.random.fork_rng(devices=[]):
        try:
            with Isolation(strict=True):
                execution = tracer.run()
        except NetError:
            raise
        except Exception as error:
            raise NetError(describe_failure(error, tracer.last_module, shape)) from error
    output = first_tensor(execution.returned)
    if output is None:
        raise NetError(
            f"{type(net).__name__}: returns a {type(execution.returned).__name__} without a "
            "tensor; it must return logits N K"
        )
    provenance.finish(output)
    reader = None if execution.reader is None else shown_name(execution.reader)
    graph = execution.graph
    effects = follow_fields(graph, execution.certain)
    rows = list_rows(execution, effects)
    return Trace(
        net=net,
        shape=tuple(shape),
        ops=rows.ops,
        value_dependent=reader,
        unused=rows.unused,
        hidden=max(
            find_hidden_weights(net, provenance),
            _find_hidden_by_other_images(net, shape),
            key=lambda hidden: (sum(weights.numbers for weights in hidden), len(hidden)),
        ),
        activation_bytes=None if reader else peak_bytes(images, execution.root.calls()),
        why_unknown="" if graph.output is None else effects[graph.output].why,
        remarks=(*remark_on_left_out(graph), *remark_on_end(graph)),
        outputs=count_outputs(tuple(output.shape[1:])),
        idle=find_idle_modules(net, execution.root, rows.unused, shape),
        warnings=tuple((shown_name(run), text) for run, text in execution.warnings),
    )


def _find_hidden_by_other_images(net: nn.Module, shape: Sequence[int]) -> tuple[HiddenWeights, ...]:
    """Return what a net hides from blank images: it runs on noise, in a batch of another size."""
    provenance = Provenance(net)
    with eval_mode(net), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        images = torch.rand(BATCH + 1, *shape).to(_device(net))
        provenance.start(images)
        tracer = Tracer(net, images, [_ValueObserver(provenance)])
        try:
            with Isolation(strict=True):
                provenance.finish(first_tensor(tracer.run().returned))
        except NetError:
            raise
        except Exception:  # some nets run only on the batch that they were traced on
            pass
    return find_hidden_weights(net, provenance)


class _ValueObserver(Observer):
    """Shows a run to the provenance of its values."""

    def __init__(self, provenance: Provenance) -> None:
        self._provenance = provenance

    def dispatched(
        self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any, run: ModuleRun
    ) -> None:
        self._provenance.observe(func, args, kwargs, out, shown_name(run))

    def called(self, name: str, args: tuple[Any, ...], out: Any, run: ModuleRun) -> None:
        if name in BULK_READS and args and isinstance(args[0], torch.Tensor):
            active = self._provenance.note_bulk_read(args[0], name, shown_name(run))
            if active and hasattr(out, "flags"):
                out.flags.writeable = False  # it shares the tensor's memory


def _device(net: nn.Module) -> torch.device:
    return next((p.device for _, p in list_parameters(net)), torch.device("cpu"))
