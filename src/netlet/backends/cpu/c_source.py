"""Write a program down as C: definitions, the files in ``c/``, and the passes through the parts."""

from __future__ import annotations

from importlib import resources

from netlet.backends.cpu.c_listing import PARAMETERS, Listing, list_parts
from netlet.backends.cpu.c_passes import write_passes
from netlet.backends.cpu.parts.base import Part
from netlet.backends.cpu.parts.maps import Norm
from netlet.backends.cpu.parts.stage import Stage
from netlet.backends.cpu.program import Program

_FILES = (
    *("threads", "numbers", "layout", "convolution", "linear", "depthwise", "weights"),
    "activation",
)
_OPTIONAL_FILES = ("functions", "maps", "pooling", "teacher")


def generate_c_source(
    program: Program,
    *,
    half: bool,
    training: bool,
    images: int,
    registers: int,
    with_teacher: bool = False,
) -> str:
    """Return the C program of a net's training step and evaluation.

    Args:
        program: The net.
        half: Whether convolutions read bfloat16 instead of float32.
        training: Whether to include the training step.
        images: The largest batch size.
        registers: The number of vector registers that can hold sums.
        with_teacher: Whether the loss of the training step reads the logits of a teacher.
    """
    listing = list_parts(
        program,
        half=half,
        training=training,
        images=images,
        registers=registers,
        with_teacher=with_teacher,
    )
    end = program.end
    shape = end.shape
    lines = [
        f"#define LANES {program.shape.vector}",
        f"#define HALF {int(half)}",
        f"#define TRAINING {int(training)}",
        *(["#define WITH_TEACHER"] if with_teacher else []),
        f"#define IMAGES {images}",
        f"#define CLASSES {end.classes}",
        f"#define FEATURES {end.features}",
        f"#define OPS {len(program.parts)}",
        *(f"#define SIZE_{k} {part.shape.size}" for k, part in listing.parts),
        *filter(None, (part.definitions(listing.codes[k]) for k, part in listing.parts)),
        "#define ALL_SIZES " + ", ".join(_sizes(listing, k, part) for k, part in listing.parts),
        f"#define END ((End){{{shape.h}, {shape.w}, {shape.lanes}, {shape.channels}, "
        f"{int(end.averaged)}, {int(end.weight is not None)}, {int(end.bias is not None)}, "
        f"{int(end.softmax == 'softmax')}}})",
    ]
    needed = {"maps", *(source for part in program.parts for source in part.sources)}
    needed |= {"teacher"} if with_teacher else set()
    names = [*_FILES, *(name for name in _OPTIONAL_FILES if name in needed), "step"]
    folder = resources.files(__package__) / "c"
    files = [(folder / f"{name}.c").read_text() for name in names]
    functions = [_inputs(listing), _functions(listing), write_passes(listing)]
    return "\n".join([*lines, *files, *functions, (folder / "entry.c").read_text()])


def _sizes(listing: Listing, k: int, part: Part) -> str:
    code = listing.codes[k]
    stage = part.literal(listing.half, code.registers) if isinstance(part, Stage) else "{0}"
    scratch = part.scratch(code) if listing.training else 0
    masks = part.masks() if listing.training else 0
    values = (part.shape.size, part.shape.lanes, int(part.kept), masks, scratch)
    return f"{{{stage}, {', '.join(map(str, values))}}}"


def _inputs(listing: Listing) -> str:
    """Return a function for each part that tells how others read its output."""
    lines = []
    for k, part in listing.parts:
        if isinstance(part, Stage):
            value = f"stage_input(STAGE_{k}, arena, net, {k}, thread, slot, training)"
        else:
            shape = part.shape
            value = f"kept_input({listing.codes[k].output}, {shape.h}, {shape.w}, {shape.lanes})"
        lines.append(f"INLINE Input input_{k}({PARAMETERS}) {{\n    return {value};\n}}")
    return "\n".join(lines)


def _functions(listing: Listing) -> str:
    """Return functions for each part and pass.

    So the compiler optimizes each by itself, and a profiler shows each by itself.
    """
    lines = []
    for k, part in listing.parts:
        code = listing.codes[k]
        lines.append(_function(f"forward_{k}", part.forward(code)))
        if isinstance(part, Norm):
            lines.append(_function(f"apply_{k}", part.apply(code)))
        if isinstance(part, Stage) and part.linear:
            lines.append(
                f"static NOINLINE void multiply_{k}(Net *net, Arena *arena, int thread, "
                f"int slot, int n) {{\n    multiply(STAGE_{k}, net, arena, {k}, slot, n, "
                f"{code.workspace});\n}}"
            )
        if not listing.training:
            continue
        if isinstance(part, Stage) and listing.trained[k]:
            lines.append(_stage_gradients(listing, k, part))
        if listing.trained[k]:
            lines.append(_function(f"backward_{k}", part.backward(code)))
            if part.norm_values:
                lines.append(_function(f"norm_sums_{k}", part.norm_gradient_sums(code)))
    return "\n".join(lines)


def _stage_gradients(listing: Listing, k: int, part: Stage) -> str:
    code = listing.codes[k]
    j, add = part.inputs[0], code.adds[0]
    if not part.linear:
        text = (
            f"static NOINLINE void weight_gradient_{k}(const Arena *arena, int thread, "
            f"int slot) {{\n    weight_gradient_of(STAGE_{k}, arena, {k}, thread, slot);\n}}"
        )
        if code.wanted[0]:
            text += (
                f"\nstatic NOINLINE void input_gradient_{k}(const Arena *arena, int thread, "
                f"int slot) {{\n    input_gradient_of(STAGE_{k}, arena, {k}, thread, "
                f"arena->g[{j}] + (size_t)slot * SIZE_{j}, {int(add)});\n}}"
            )
        return text
    lines = [
        f"static NOINLINE void multiply_gradients_{k}(Arena *arena, int thread, int slot, "
        "int n) {",
        f"    const elem *x = arena->x[{k}] + (size_t)slot * x_size(STAGE_{k});",
        f"    const elem *dy = arena->dy[{k}] + (size_t)slot * back_size(STAGE_{k});",
        f"    linear_gradient(STAGE_{k}, x, dy, {code.workspace}, n);",
    ]
    if code.wanted[0]:
        g = f"arena->g[{j}] + (size_t)slot * SIZE_{j}"
        # The inputs are not needed any more, so their memory can hold their gradients.
        to = f"arena->x[{k}] + (size_t)slot * x_size(STAGE_{k})" if add else g
        lines.append(f"    multiply_backward(STAGE_{k}, dy, arena->back_weight[{k}], {to}, n);")
        if add:
            lines.append(f"    add_stored_gradient(x, {g}, n * SIZE_{j});")
    return "\n".join([*lines, "}"])


def _function(name: str, body: str) -> str:
    """Return a function of one image; not every part needs all parameters."""
    unused = "(void)net, (void)arena, (void)thread, (void)slot, (void)training;"
    return f"static NOINLINE void {name}({PARAMETERS}) {{\n    {unused}\n    {body}\n}}"
