"""Write the passes through a program's parts as C: initialization, forward, loss, backward.

A pass consists of phases, which begin where sums over the whole batch are needed. In each phase,
every share of the images is one task of threads.c.
"""

from __future__ import annotations

from netlet.backends.cpu.c_listing import ARGUMENTS, Listing
from netlet.backends.cpu.parts.base import IMAGE
from netlet.backends.cpu.parts.functions import format_float
from netlet.backends.cpu.parts.maps import Dropout, Images, Norm
from netlet.backends.cpu.parts.stage import Stage

_NEXT_PHASE = ""  # between the lines of one phase and those of the next


def write_passes(listing: Listing) -> str:
    """Return the functions that entry.c calls."""
    passes = [_common(listing), _evaluation(listing)]
    if listing.training:
        passes.append(_training_passes(listing))
    return "\n".join(passes)


def _common(listing: Listing) -> str:
    """Return what training and evaluation begin with."""
    init, pack = [], []
    shape = listing.program.shape
    pixels = shape.channels * shape.h * shape.w
    for k, part in listing.parts:
        if isinstance(part, Stage):
            wanted = int(listing.codes[k].wanted[0])
            init.append(f"init_stage(STAGE_{k}, net, arena, {k}, thread, {wanted});")
        elif part.norm_values:
            init.append(f"clear_sums(arena, {k}, thread, {part.shape.lanes});")
        if isinstance(part, Images):
            scale, shift = (_floats(values) for values in (part.scale, part.shift))
            pack.append(
                f"image_forward({part.shape.literal()}, image, {scale}, {shift}, "
                f"arena->v[{k}] + (size_t)slot * SIZE_{k});"
            )
        elif part.inputs == (IMAGE,):
            assert isinstance(part, Stage)
            scale, shift = (_floats(values) for values in (part.scale, part.shift))
            pack.append(
                f"pack_image(STAGE_{k}, image, {scale}, {shift}, "
                f"arena->x[{k}] + (size_t)slot * x_size(STAGE_{k}));"
            )
    init.append("init_head(END, net, arena, thread);")
    return "\n".join(
        [
            _void("init", "Net *net, Arena *arena, int thread", init),
            f"#define IMAGE_SIZE {pixels}",
            _void("pack_one", "Arena *arena, const float *image, int slot", pack),
            "/* Copy images to the slots from `slot` on. */",
            _void(
                "pack_images",
                "Arena *arena, const float *images, int from, int to, int slot",
                [
                    "for (int i = from; i < to; i++)",
                    "    pack_one(arena, images + (size_t)i * IMAGE_SIZE, slot + i - from);",
                ],
            ),
        ]
    )


def _evaluation(listing: Listing) -> str:
    """Return the evaluation: an image at a time, or all at once if there is a linear layer."""
    prepare = [
        f"prepare_norm({part.shape.channels}, 0, arena, net, {k}, thread, 0);"
        for k, part in listing.parts
        if part.norm_values
    ]
    together = any(isinstance(part, Stage) and part.linear for _, part in listing.parts)
    slot = "i" if together else "thread"
    calls = []
    for k, part in listing.parts:
        arguments = ARGUMENTS.format(slot=slot, training=0)
        name = f"apply_{k}" if isinstance(part, Norm) else f"forward_{k}"
        call = f"{name}({arguments});"
        calls.append(f"for (int i = from; i < to; i++) {call}" if together else f"    {call}")
        if isinstance(part, Stage) and part.linear:
            calls.append(f"multiply_{k}(net, arena, thread, from, to - from);")
    k = listing.program.end.part
    read = f"input_{k}({ARGUMENTS.format(slot=slot, training=0)})"
    logits = [
        "    float features[FEATURES];",
        f"    compute_logits(END, {read}, net, arena, features, logits + (size_t)i * CLASSES);",
    ]
    loop = "for (int i = from; i < to; i++) {"
    if together:
        body = ["pack_images(arena, images, from, to, from);", *calls, loop, *logits, "}"]
    else:
        pack = "    pack_one(arena, images + (size_t)i * IMAGE_SIZE, thread);"
        body = [loop, pack, *calls, *logits, "}"]
    parameters = (
        "Net *net, Arena *arena, const float *images, int thread, int from, int to, float *logits"
    )
    call = "evaluate(net, arena, work->images, thread, from, to, work->logits);"
    lines = ["init(net, arena, thread);", *prepare, _NEXT_PHASE, call]
    return f"{_void('evaluate', parameters, body)}\n{_phases('evaluation', lines)}"


def _training_passes(listing: Listing) -> str:
    clear = [
        f"clear_sums(arena, {k}, thread, {part.shape.lanes});"
        for k, part in listing.parts
        if part.norm_values
    ]
    reduce = [
        f"reduce_gradients(STAGE_{k}, net, arena, {k}, "
        f"split_start(STAGE_{k}.out, thread, net->threads), "
        f"split_start(STAGE_{k}.out, thread + 1, net->threads));"
        for k, part in listing.parts
        if isinstance(part, Stage)
    ]
    soft = ", soft_target(work->soft, i)" if listing.with_teacher else ""
    loss = f"loss_of_end(net, arena, thread, i, (int)work->labels[i], work->smoothing, n{soft});"
    lines = [
        *("init(net, arena, thread);", "pack_images(arena, work->images, from, to, from);"),
        _NEXT_PHASE,
        *_forward(listing),
        _NEXT_PHASE,  # all have read the sums, which are used for others from here on
        *clear,
        "clear_loss(arena, thread);",
        _loop([loss]),
        *_backward(listing),
        _NEXT_PHASE,
        *reduce,
    ]
    return f"{_loss(listing)}\n{_phases('training', lines)}"


def _phases(name: str, lines: list[str]) -> str:
    """Return the function that threads.c calls for each phase and share of the images."""
    phases: list[list[str]] = [[]]
    for line in lines:
        if line == _NEXT_PHASE:
            phases.append([])
        else:
            phases[-1].append(line)
    cases = []
    for number, body in enumerate(phases):
        cases.append(f"case {number}:\n        " + "\n        ".join([*body, "break;"]))
    begin = [
        "const Work *work = argument;",
        "Net *net = work->net;",
        "Arena *arena = work->arena;",
        "const int n = work->n, from = split_start(n, thread, net->threads),",
        "          to = split_start(n, thread + 1, net->threads);",
        "const uint64_t seed = work->seed;",
        "(void)seed;",
        "switch (phase) {",
    ]
    function = _void(
        f"{name}_phase", "void *argument, int phase, int thread", [*begin, *cases, "}"]
    )
    return f"#define {name.upper()}_PHASES {len(phases)}\n{function}"


def _forward(listing: Listing) -> list[str]:
    lines = []
    for k, part in listing.parts:
        calls = [f"forward_{k}({ARGUMENTS.format(slot='i', training=1)});"]
        if part.dropout:
            calls.insert(
                0 if isinstance(part, Dropout) else 1,
                f"draw_masks(arena->masks[{k}] + (size_t)i * {part.masks()}, {part.masks()}, "
                f"seed + {k}, net->op[{k}].dropout, i);",
            )
        lines.append(_loop(calls))
        if isinstance(part, Stage) and part.linear:
            lines.append(f"multiply_{k}(net, arena, thread, from, to - from);")
        if part.norm_values:
            count = f"(double)n * {part.norm_values}"
            lines += [
                _NEXT_PHASE,
                f"prepare_norm({part.shape.channels}, {count}, arena, net, {k}, thread, 1);",
            ]
        if isinstance(part, Norm):
            lines.append(_loop([f"apply_{k}({ARGUMENTS.format(slot='i', training=1)});"]))
    return lines


def _loss(listing: Listing) -> str:
    k = listing.program.end.part
    read = f"input_{k}(net, arena, thread, i, 1)"
    soft, parameter = (", soft", ", SoftTarget soft") if listing.with_teacher else ("", "")
    lines = [
        f"loss_of_image(END, {read}, net, arena, thread, label, smoothing, n, "
        f"arena->g[{k}] + (size_t)i * SIZE_{k}{soft});"
    ]
    if _sums_follow(listing, k, None):
        lines.append(f"norm_sums_{k}(net, arena, thread, i, 1);")
    parameters = "Net *net, Arena *arena, int thread, int i, int label, float smoothing, int n"
    return _void("loss_of_end", parameters + parameter, lines)


def _sums_follow(listing: Listing, j: int, reader: int | None) -> bool:
    """Return whether the gradient of part j is complete after a reader (None: the end)."""
    if j == IMAGE or not listing.program.parts[j].norm_values or not listing.trained[j]:
        return False
    readers = listing.readers[j]
    return readers[0] == reader if readers else reader is None


def _backward(listing: Listing) -> list[str]:
    lines: list[str] = []
    for k, part in reversed(listing.parts):
        if not listing.trained[k]:
            continue
        if part.norm_values:
            count = f"(float)n * {part.norm_values}"
            lines += [
                _NEXT_PHASE,
                f"prepare_norm_gradient({part.shape.channels}, {count}, arena, net, {k}, thread);",
            ]
        sums = [
            f"norm_sums_{j}(net, arena, thread, i, 1);"
            for j in dict.fromkeys(part.inputs)
            if _sums_follow(listing, j, k)
        ]
        call = f"backward_{k}({ARGUMENTS.format(slot='i', training=1)});"
        if isinstance(part, Stage) and part.linear:
            lines += [_loop([call]), f"multiply_gradients_{k}(arena, thread, from, to - from);"]
            lines += [_loop(sums)] if sums else []
        else:
            lines.append(_loop([call, *sums]))
    return lines


def _loop(calls: list[str]) -> str:
    inside = "\n        ".join(calls)
    return f"for (int i = from; i < to; i++) {{\n        {inside}\n    }}"


def _void(name: str, parameters: str, lines: list[str]) -> str:
    body = "\n    ".join(lines)
    return f"static NOINLINE void {name}({parameters}) {{\n    {body}\n}}"


def _floats(values: tuple[float, ...] | None) -> str:
    if values is None:
        return "NULL"
    return f"(const float[]){{{', '.join(map(format_float, values))}}}"
