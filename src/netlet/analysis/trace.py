"""Analyze a net: run it once and read its layers and functions, shapes and costs from the run.

The net runs on two blank images, so branches, functions, shared layers and lazy layers are recorded
as they really run. If the net reads a value of a tensor (to choose a path, say), receptive fields
and totals from there on are reported as unknown.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain
from math import prod

import torch
from torch import nn

from netlet.analysis.batch_slips import find_one_image_output, write_evaluation_notes
from netlet.analysis.failures import RETURNS_NOTHING, describe_failure
from netlet.analysis.field_rules import follow_fields
from netlet.analysis.folded_statistics import find_folded_statistics
from netlet.analysis.hidden_weights import HiddenWeights, find_hidden_weights
from netlet.analysis.idle_modules import find_idle_modules
from netlet.analysis.left_out import write_left_out_notes
from netlet.analysis.memory import forward_backward_bytes, peak_bytes
from netlet.analysis.mode_switch import ModeSwitch, enter_evaluation
from netlet.analysis.module_rows import list_rows, name_reader, name_run
from netlet.analysis.net_end import count_outputs, write_end_notes
from netlet.analysis.ops import Op, Trace
from netlet.analysis.precision import copy_in_float32, list_precisions, try_to_copy
from netlet.analysis.provenance import Provenance
from netlet.analysis.random_scores import write_random_notes
from netlet.analysis.structure import describe_structure, list_kinds
from netlet.analysis.training_run import run_in_training
from netlet.analysis.unused_results import write_returned_note, write_unused_result_notes
from netlet.analysis.value_observer import ValueObserver
from netlet.errors import NetError, check_argument
from netlet.graph import BATCH, Execution, Graph, Tracer
from netlet.nets.code_state import CodeState
from netlet.nets.compiled_nets import unwrap
from netlet.nets.eval_mode import EVALUATION_BATCH, eval_mode
from netlet.nets.isolation import Isolation
from netlet.nets.outputs import first_tensor
from netlet.nets.registered import find_device, list_modules, list_parameters
from netlet.nets.registry import check_shape
from netlet.nets.sources import locate_function

# What the run on a usual batch may cost: numbers in memory, multiply-adds, and the operations of a
# net that takes its images one by one.
_MAX_NUMBERS, _MAX_MACS, _MAX_CALLS = 50_000_000, 5_000_000_000, 2_000


def trace(net: nn.Module, shape: Sequence[int] = (1, 28, 28)) -> Trace:
    """Run a net once in evaluation mode and record its operations.

    A net of another precision than float32 is analyzed as if it had that one, if a copy of it runs.

    Args:
        net: Any module. It is left unchanged, except that lazy layers take their shapes from this
            run.
        shape: The shape of one image, ``C H W``.

    Raises:
        TypeError: The net or the shape is of another type.
        NetError: The net does not run on such an image (with the layer and its input shape), or its
            output contains no tensor.
    """
    net = _check_arguments(net, shape)
    twin = copy_in_float32(net)
    if twin is None:
        return _trace_in_evaluation(net, shape)
    try:
        traced = _trace_in_evaluation(twin, shape)
    except NetError:  # its code may name its own precision
        return _trace_in_evaluation(net, shape)
    modules = dict(list_modules(net))
    for op in traced.ops:
        # A layer that the twin made for evaluation is none of the net.
        op.module = None if op.module is None else modules.get(op.path, op.module)
    traced.net = net
    return traced


def check_input_shape(net: nn.Module, shape: Sequence[int]) -> None:
    """Run a net once in evaluation mode, on images of a shape.

    A copy runs, if there can be one: a net may count its batches, or keep the last one.

    Raises:
        TypeError: As :func:`trace` does.
        NetError: As :func:`trace` does.
    """
    net = _check_arguments(net, shape)
    twin = copy_in_float32(net)
    twin = try_to_copy(net) if twin is None else twin
    for one in (net,) if twin is None else (twin, net):
        try:
            with eval_mode(one):
                _, observer, switch, _, output = _run_on_blank_images(one, shape, CodeState())
                _finish(observer.provenance, switch, output)  # what it has kept is no weight later
            return
        except NetError:
            if one is net:
                raise


def _check_arguments(net: nn.Module, shape: Sequence[int]) -> nn.Module:
    """Check the arguments of a trace and return the net itself, if it was wrapped."""
    net = unwrap(net)
    check_argument(net, nn.Module)
    check_shape(shape)
    return net


def _trace_in_evaluation(net: nn.Module, shape: Sequence[int]) -> Trace:
    # Around all runs: weights that the net changes in eval() must not change between them.
    with eval_mode(net):
        return _trace(net, shape)


def _trace(net: nn.Module, shape: Sequence[int]) -> Trace:
    code = CodeState()
    images, observer, switch, execution, output = _run_on_blank_images(net, shape, code)
    provenance = observer.provenance
    modules = dict(list_modules(net))
    made = _finish(provenance, switch, output)
    reader = observer.taken
    if execution.reader is not None:
        reader = name_reader(execution.reader, execution.read_at)
    graph = execution.graph
    effects = follow_fields(graph, execution.certain)
    noise = _random_images(images, BATCH + 1)
    second = Provenance(net, provenance)
    larger, again = _run_on_other_images(second, noise, code)
    # Those that it has in training mode only now are its own: it made them when it ran first.
    had = switch.in_training
    provenance.drop_parameters(p for name, p in again.in_training.items() if name not in had)
    made = {name: p for name, p in made.items() if again.in_training.get(name) is not p}
    registered = dict(list_parameters(net))
    replaced = switch.find_replaced(made, provenance.read)
    anew = {p: replaced.get(name) for name, p in made.items()}
    anew |= {registered[name]: replaced.get(name) for name in made if name in registered}
    modules |= {path: module for path, module in switch.modules if path not in modules}
    rows = list_rows(execution, larger, effects, modules, anew)
    few = _random_images(images, _count_usual_images(shape, execution, larger, rows.ops))
    third = Provenance(net, second)
    _run_on_other_images(third, few, code)
    runs = ((provenance, images), (second, noise), (third, few))
    calls = list(execution.root.calls())
    training = functools.cache(lambda: run_in_training(net, images, code))  # few nets need it
    kinds = list_kinds(execution.root)
    hidden = _find_hidden_weights(net, runs, code)
    random_notes = (
        []
        if any(weights.random for weights in hidden)  # whose note says what to do
        else write_random_notes(net, graph, noise[:BATCH], code)
    )
    unknown = f"{reader} reads a tensor's value and may choose a path by it" if reader else ""
    return Trace(
        net=net,
        shape=tuple(shape),
        ops=rows.ops,
        value_dependent=reader,
        called_by_parts=rows.called_by_parts,
        unused=rows.unused,
        hidden=hidden,
        activation_bytes=None if reader else peak_bytes(images, calls),
        forward_backward_bytes=forward_backward_bytes(calls),
        why_unknown="" if graph.output is None else effects[graph.output].why,
        notes=(
            *write_unused_result_notes(net, graph, execution.returned),
            *write_returned_note(execution.returned),
            *write_left_out_notes(graph, effects),
            *_confirm_end_notes(graph, training),
            *write_evaluation_notes(graph),
            *random_notes,
        ),
        outputs=count_outputs(tuple(output.shape[1:])),
        one_image=find_one_image_output(net, images, output, code),
        idle=find_idle_modules(modules, execution.root, rows.unused, training),
        warnings=tuple((name_run(run), text) for run, text in execution.warnings),
        # Only when a budget asks for it, and anew, since training may change the rates of dropout.
        describe=functools.cache(
            lambda: describe_structure(
                net,
                graph,
                effects,
                kinds,
                run_in_training(net, images.to(find_device(net))),
                unknown,
            )
        ),
        made=frozenset(made),
        in_one_mode=switch.list_lasting(made, provenance.read),
    )


def _confirm_end_notes(graph: Graph, training: Callable[[], Execution | None]) -> list[str]:
    """Return notes on a net's end; some nets end otherwise in training, where it matters."""
    notes = write_end_notes(graph)
    run = training() if notes else None
    return [note for note in notes if note in write_end_notes(run.graph)] if run else notes


def _run_on_blank_images(
    net: nn.Module, shape: Sequence[int], code: CodeState
) -> tuple[torch.Tensor, ValueObserver, ModeSwitch, Execution, torch.Tensor]:
    """Run a net, in the first precision in which it does.

    Returns:
        The images, what watched the run, what the net did before it, the run, and its output.

    Raises:
        NetError: The net does not run, or returns no tensor.
    """
    failure: NetError | None = None
    provenance: Provenance | None = None
    for precision in list_precisions(net):
        images = torch.zeros(BATCH, *shape, dtype=precision, device=find_device(net))
        provenance = Provenance(net, provenance)
        observer = ValueObserver(provenance)
        provenance.start(images)
        tracer = Tracer(net, images, [observer])
        with eval_mode(net), torch.random.fork_rng(devices=[]):
            try:
                with Isolation(strict=True, code=code):
                    switch = enter_evaluation(net, provenance)
                    if switch.modules:  # some may have been made anew
                        tracer = Tracer(net, images, [observer])
                    execution = tracer.run()
                    execution = replace(execution, read=execution.read | switch.read)
                output = _find_output(net, execution.returned)
                return images, observer, switch, execution, output
            except NetError:
                raise
            except Exception as error:
                if failure is None:
                    failure = NetError(describe_failure(error, tracer.last_module, shape))
                    failure.__cause__ = error
    assert failure is not None
    raise failure


def _find_output(net: nn.Module, returned: object) -> torch.Tensor:
    output = first_tensor(returned)
    if output is not None:
        return output
    place = locate_function(getattr(type(net), "forward", None))
    name = f"{place}: {type(net).__name__}" if place else type(net).__name__
    if returned is None:
        raise NetError(f"{name}: {RETURNS_NOTHING}")
    raise NetError(
        f"{name}: returns a {type(returned).__name__} without a tensor; it must return logits of "
        "shape (N, K)"
    )


def _finish(
    provenance: Provenance, switch: ModeSwitch, output: torch.Tensor | None
) -> dict[str, torch.Tensor]:
    """Finish a provenance, and return the parameters that its net has made for the run."""
    made = switch.find_made(provenance.net)
    provenance.drop_parameters(switch.find_own(provenance.net, made, provenance.read))
    provenance.finish(output, made.values())
    return made


def _random_images(images: torch.Tensor, number: int) -> torch.Tensor:
    """Return noise of the shape, precision and device of some images."""
    generator = torch.Generator().manual_seed(0)
    return torch.rand(number, *images.shape[1:], generator=generator).to(images)


def _count_usual_images(
    shape: Sequence[int], execution: Execution, larger: Execution | None, ops: Sequence[Op]
) -> int:
    """Return in which batch to look at a net as evaluation runs it.

    In fewer images than there where all of them would take more than a few tenths of a second.

    Args:
        shape: The shape of one image.
        execution: Its run on ``BATCH`` images.
        larger: Its run on one image more, if it runs on that.
        ops: Its layers and functions.
    """
    calls = list(execution.root.calls())
    more_calls = 0 if larger is None else len(list(larger.root.calls())) - len(calls)
    numbers = forward_backward_bytes(calls) // 8 + prod(shape)
    macs = sum(op.macs or 0 for op in ops if op.leaf)
    affordable = min(
        _MAX_NUMBERS // numbers, _MAX_MACS // max(macs, 1), _MAX_CALLS // max(more_calls, 1)
    )
    return max(BATCH + 2, min(EVALUATION_BATCH, affordable))


def _run_on_other_images(
    provenance: Provenance, images: torch.Tensor, code: CodeState
) -> tuple[Execution | None, ModeSwitch]:
    """Run a net on more images than those that it was traced on.

    Args:
        provenance: For this run.
        images: Noise.
        code: The functions that the net must leave as they are.

    Returns:
        The run; None if the net does not run on that; and what the net did before it.
    """
    net, execution, switch = provenance.net, None, ModeSwitch()
    with eval_mode(net), torch.random.fork_rng(devices=[]):
        torch.manual_seed(len(images))  # not the one that the net may set itself in all runs
        provenance.start(images)
        try:
            with Isolation(strict=True, code=code):
                switch = enter_evaluation(net, provenance)
                execution = Tracer(net, images, [ValueObserver(provenance)]).run()
                _finish(provenance, switch, first_tensor(execution.returned))
        except NetError:
            raise
        except Exception:  # some nets run only on the batch that they were traced on
            pass
    return execution, switch


def _find_hidden_weights(
    net: nn.Module, runs: Sequence[tuple[Provenance, torch.Tensor]], code: CodeState
) -> tuple[HiddenWeights, ...]:
    """Return the weights that a net hides in the run in which they are most.

    Args:
        net: The net.
        runs: Each with its images.
        code: The functions that the net must leave as they are.
    """
    found = [find_hidden_weights(net, provenance) for provenance, _ in runs]
    batches = [images for _, images in runs]
    folded = find_folded_statistics(net, chain(*found), batches, code)
    if folded:
        found = [find_hidden_weights(net, provenance, folded) for provenance, _ in runs]
    return max(found, key=lambda hidden: (sum(w.numbers for w in hidden), len(hidden)))
