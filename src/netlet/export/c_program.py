"""The C99 program of a net: one header and one source, with constant weights and a static arena.

The source consists of the files of ``c/`` that the net needs, copied unchanged, followed by its
weights, the sizes of its layers, and a function with one call for each layer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from netlet.export.arena import Arena, plan_arena
from netlet.export.c_code import CLayer, LayerContext, format_c_float
from netlet.export.c_functions import C_FUNCTIONS
from netlet.export.c_interface import DEFAULT_PREFIX, LICENSE, emit_header, emit_predict
from netlet.export.c_layers import emit_layer
from netlet.export.inference_graph import InferenceGraph
from netlet.export.map_layers import Constant
from netlet.export.quantize import QuantizedGraph
from netlet.export.traced_model import TracedModel
from netlet.outputs import TEXT_MARK

HEADER, SOURCE = f"{DEFAULT_PREFIX}.h", f"{DEFAULT_PREFIX}.c"
# Files of c/ in the order in which the source includes them, each with those that it needs; * is
# float32 or int8.
_PARTS: dict[str, tuple[str, ...]] = {
    "build": (),
    "*/types": (),
    "*/clamp_value": (),
    "int8/round_shift": (),
    "int8/saturate": (),
    "*/store_outputs": ("float32/clamp_value", "int8/round_shift", "int8/saturate"),
    "read_image": (),
    "int8/words": (),
    "*/copy_elements": ("int8/words",),
    "gather_window": ("*/copy_elements",),
    "*/lanes": (),
    "*/products": ("*/lanes",),
    "*/accumulate": ("*/lanes",),
    "accumulate": ("*/accumulate",),
    "last_blocks": (),
    "convolution": ("last_blocks",),
    "depthwise": ("*/products", "last_blocks"),
    "int8/narrow_depthwise": ("int8/words", "int8/saturate"),
    "*/pool_vectors": (),
    "max_pooling": ("*/pool_vectors",),
    "int8/round_divide": (),
    "*/mean_pooling": ("int8/round_divide", "int8/clamp_value"),
    "int8/rescale": (),
    "*/sum": ("int8/rescale", "*/clamp_value", "int8/round_shift"),
    "*/product": ("int8/rescale", "int8/clamp_value", "int8/round_shift"),
    "*/concatenation": ("int8/rescale", "int8/clamp_value", "int8/round_shift"),
    "int8/lookup_table": (),
    "rearrangement": (),
    "*/resampling": ("int8/rescale", "int8/clamp_value", "int8/round_shift"),
    "*/normalization": ("int8/clamp_value", "int8/round_shift"),
    "*/prelu": ("int8/clamp_value", "int8/round_shift"),
    "float32/exponential": ("*/clamp_value",),
    **{f"float32/{name}": function.parts for name, function in C_FUNCTIONS.items()},
    "int8/to_int32": (),
}


@dataclass(frozen=True)
class _Storage:
    """Where the program keeps its feature maps."""

    arena: Arena
    reads_image: bool  # whether the image is used in place, without a copy in the arena
    writes_scores: bool  # whether the last layer writes the scores itself
    places: tuple[str, ...]  # C expressions, by feature map


def generate_program(
    model: TracedModel, quantized: QuantizedGraph | None = None, prefix: str = DEFAULT_PREFIX
) -> dict[str, str]:
    """Generate the C program of a model.

    Args:
        model: The model.
        quantized: Its quantized graph; None: the program computes in float32.
        prefix: What the names of its files, functions and macros begin with.

    Returns:
        The text of the header and of the source, by file name.

    Raises:
        ExportError: The C export does not support a layer; the message names it and an alternative.
    """
    graph = model.graph if quantized is None else quantized.graph
    kind = "float32" if quantized is None else "int8"
    storage = _plan_storage(graph, quantized)
    layers = _emit_layers(graph, quantized, storage)
    parts = {part for layer in layers for part in layer.parts}
    calls = "".join(layer.call for layer in layers)
    if not storage.reads_image:
        parts.add("read_image")
        c, h, w = graph.shape
        calls = f"    read_image(image, {storage.places[0]}, {h * w}, {c});\n" + calls
    if not storage.writes_scores:
        assert quantized is not None
        parts.add("int8/to_int32")
        zero_point = quantized.params[-1].zero_point
        calls += f"    to_int32({storage.places[-1]}, scores, {graph.classes}, {zero_point});\n"
    element, element_bytes = ("float", 4) if quantized is None else ("uint8_t", 1)
    size = storage.arena.size
    scale = "" if quantized is None else format_c_float(quantized.logit_scale)
    header = emit_header(prefix, model, size * element_bytes, scale)
    source = [
        f'/* {TEXT_MARK.decode()}; see {prefix}.h\n   {LICENSE} */\n#include "{prefix}.h"\n',
        _emit_buffer_sizes(layers, integers=quantized is not None),
        *_read_parts(parts, kind),
        *(layer.tables for layer in layers if layer.tables),
        *([f"static {element} arena[{size}]; /* all feature maps */\n"] if size else []),
        emit_predict(prefix, model, calls, quantized is not None),
    ]
    return {f"{prefix}.h": header, f"{prefix}.c": "\n".join(source)}


def _plan_storage(graph: InferenceGraph, quantized: QuantizedGraph | None) -> _Storage:
    last = len(graph.layers)
    writes_scores = quantized is None or quantized.layers[-1].int32_output
    # In int8 a gray image already is a feature map H W C.
    gray = graph.shape[0] == 1 or graph.shape[1:] == (1, 1)
    reads_image = quantized is not None and gray
    outside = [number for number, yes in ((0, reads_image), (last, writes_scores)) if yes]
    constants = [n for n, layer in enumerate(graph.layers, 1) if isinstance(layer, Constant)]
    arena = plan_arena(graph, (*outside, *constants))
    scores = "scores" if quantized is None else "(uint8_t *)scores"
    elsewhere = {0: "image", last: scores} | {n: f"constant_{n}" for n in constants}
    places = tuple(
        f"arena + {offset}" if offset is not None else elsewhere[number]
        for number, offset in enumerate(arena.offsets)
    )
    return _Storage(arena, reads_image, writes_scores, places)


def _emit_layers(
    graph: InferenceGraph, quantized: QuantizedGraph | None, storage: _Storage
) -> list[CLayer]:
    layers = []
    for number, layer in enumerate(graph.layers, start=1):
        context = LayerContext(
            number,
            layer,
            shapes=tuple(graph.shapes[read] for read in layer.inputs),
            inputs=tuple(storage.places[read] for read in layer.inputs),
            output=storage.places[number],
            integers=quantized.layers[number - 1] if quantized else None,
            params=tuple(quantized.params[read] for read in (*layer.inputs, number))
            if quantized
            else (),
        )
        layers.append(emit_layer(context))
    return layers


def _emit_buffer_sizes(layers: Sequence[CLayer], *, integers: bool) -> str:
    """Return the sizes of the buffers on the stack: for each, the largest that a layer needs."""
    window = max(layer.window for layer in layers)
    at_once = max(layer.window * layer.columns for layer in layers)
    sizes = [
        ("GATHERS", int(any(layer.gathers for layer in layers)), "whether a layer gathers windows"),
        ("WINDOW_SIZE", window, "elements of the largest gathered window"),
        ("WINDOW_BUFFER", at_once, "elements of all windows gathered at once"),
        ("MAX_COLUMNS", max(layer.columns for layer in layers), "columns computed at once"),
    ]
    if integers:
        operands = max(layer.operands * layer.columns for layer in layers)
        sizes.append(("OPERANDS", operands, "the same if contiguous windows are gathered, too"))
    if narrow := [layer.narrow for layer in layers if layer.narrow]:
        sizes += [
            ("NARROW_CHANNELS", max(n.channels for n in narrow), "of a depthwise convolution"),
            ("NARROW_TAPS", max(n.taps for n in narrow), "weights of one of its channels"),
            ("NARROW_ROWS", max(n.rows for n in narrow), "elements of its padded rows"),
        ]
    return "".join(f"#define NETLET_{name} {size} /* {about} */\n" for name, size, about in sizes)


def _read_parts(parts: set[str], kind: str) -> list[str]:
    """Return the texts of some files of ``c/`` and of those that they need."""
    needs = {
        part.replace("*", kind): [name.replace("*", kind) for name in needed]
        for part, needed in _PARTS.items()
    }
    included = {"build", f"{kind}/types", *(part.replace("*", kind) for part in parts)}
    for part in reversed(needs):  # a part stands after those that it needs
        if part in included:
            included.update(needs[part])
    other = "int8/" if kind == "float32" else "float32/"
    folder = resources.files(__package__) / "c"
    return [
        (folder / f"{part}.c").read_text("utf-8")
        for part in needs
        if part in included and not part.startswith(other)
    ]
