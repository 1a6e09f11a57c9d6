"""What a person should know of a net beside its table: one line each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from netlet.analysis.batch_slips import write_one_image_note
from netlet.analysis.ops import Op, Trace, name_layer
from netlet.budgets import IN_TRAINING_ONLY, NEVER_RAN, NOT_ON_BLANK_IMAGES
from netlet.nets.copying import find_uncopyable
from netlet.nets.registered import list_parameters
from netlet.text import count_noun


def write_notes(traced: Trace) -> list[str]:
    """Return the notes on a net that has been traced."""
    return [
        *_note_shared_layers(traced),
        *_note_idle_modules(traced),
        *_note_lazy_modules(traced),
        *_note_hidden_weights(traced),
        *_note_unknown_macs(traced),
        *traced.notes,
        *_note_uncopyable(traced),
        *_note_one_image(traced),
        *(f"note: {layer}: {text}" for layer, text in traced.warnings),
    ]


def _note_shared_layers(traced: Trace) -> Iterator[str]:
    shared = [op for op in traced.ops if op.leaf and _has_parameters(op)]
    runs = Counter(name_layer(op.path, op.kind) for op in shared)
    for name, times in runs.items():
        if times > 1:
            yield f"note: {name} runs {times} times; its parameters are counted once"
    for op in traced.ops:
        if op.tied:
            name = name_layer(op.path, op.kind)
            yield f"note: {name} shares parameters with a layer above; they are counted once"


def _has_parameters(op: Op) -> bool:
    return op.module is not None and bool(list_parameters(op.module))


def _note_idle_modules(traced: Trace) -> Iterator[str]:
    without, unused = [], []
    lazy = {module.path for module in traced.unused if module.parameters is None}
    for module in traced.idle:
        if module.path in lazy:
            continue
        what = f"note: {name_layer(module.path, module.kind)}"
        size = count_noun(module.parameters, "parameter")
        if module.in_training:
            yield f"{what} has {size} and {IN_TRAINING_ONLY}"
        elif module.parameters:
            without.append(module.parameters)
            never = NOT_ON_BLANK_IMAGES if traced.value_dependent else NEVER_RAN
            yield f"{what} has {size} and {never}"
        elif not traced.value_dependent:
            unused.append(f"{what} is built and never used")
    if without:
        it = "it" if len(without) == 1 else "them"
        left = count_noun(traced.parameters - sum(without), "parameter")
        yield f"note: without {it} the net would have {left}"
    yield from unused


def _note_one_image(traced: Trace) -> Iterator[str]:
    if traced.one_image is not None:
        yield write_one_image_note(traced.one_image)


def _note_uncopyable(traced: Trace) -> Iterator[str]:
    found = find_uncopyable(traced.net)
    if found:
        yield f"note: {found}"


def _note_lazy_modules(traced: Trace) -> Iterator[str]:
    for module in traced.unused:
        if module.parameters is None:
            name = name_layer(module.path, module.kind)
            yield f"note: {name} never ran, so its parameters are unknown; they are not counted"


def _note_hidden_weights(traced: Trace) -> Iterator[str]:
    for weights in traced.hidden:
        if not weights.saved:
            yield (
                f"note: {weights.name}: not a parameter of the net, neither trained nor saved; "
                f"{weights.remedy}"
            )
    if traced.value_dependent:
        yield (
            f"note: {traced.value_dependent} reads a tensor's value, so the path may depend on the "
            "image; MACs and receptive fields from there on are unknown"
        )


def _note_unknown_macs(traced: Trace) -> Iterator[str]:
    """Yield which operations make the multiply-adds of a net unknown; few nets have any."""
    if traced.value_dependent:  # which has a note of its own
        return
    unknown = [_describe(op) for op in traced.ops if op.leaf and op.macs is None]
    if unknown:
        yield (
            f"note: the MACs of {_join(unknown)} are not known, so those of the net are unknown, "
            "and a limit on them cannot be judged"
        )


def _describe(op: Op) -> str:
    """Return what a layer, a function or the functions of a module are called in a sentence."""
    if op.module is None:
        return f"{op.kind} in {op.path}" if op.path else op.kind
    layer = f"{op.name} ({op.kind})"
    return f"{_join(op.uncounted)} in {layer}" if op.uncounted else layer


def _join(words: Iterable[str]) -> str:
    *others, last = dict.fromkeys(words)
    return f"{', '.join(others)} and {last}" if others else last
