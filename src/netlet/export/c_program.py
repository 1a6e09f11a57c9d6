"""The C99 program of a net: one header and one source, with constant weights and a static arena.

The source consists of the files of ``c/`` that the net needs, copied unchanged, followed by its
weights, the sizes of its layers, and ``netlet_predict`` with one call for each layer.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources

from netlet.export.arena import Arena, plan_arena
from netlet.export.c_functions import C_FUNCTIONS
from netlet.export.c_layers import CLayer, LayerContext, emit_layer, format_c_float
from netlet.export.inference_graph import InferenceGraph
from netlet.export.quantize import QuantizedGraph
from netlet.export.traced_model import TracedModel
from netlet.outputs import TEXT_MARK
from netlet.text import escape_controls

HEADER, SOURCE = "netlet.h", "netlet.c"
# Files of c/ in the order in which the source includes them, each with those that it needs; * is
# float32 or int8.
_PARTS: dict[str, tuple[str, ...]] = {
    "build": (),
    "*/types": (),
    "*/clamp_value": (),
    "int8/round_shift": (),
    "*/store_outputs": ("*/clamp_value", "int8/round_shift"),
    "read_image": (),
    "gather_window": (),
    "*/lanes": (),
    "*/products": ("*/lanes",),
    "*/accumulate": ("*/lanes",),
    "accumulate": ("*/accumulate",),
    "last_blocks": (),
    "convolution": ("last_blocks",),
    "depthwise": ("*/products", "last_blocks"),
    "max_pooling": (),
    "int8/round_divide": (),
    "*/mean_pooling": ("int8/round_divide", "int8/clamp_value"),
    "int8/rescale": (),
    "*/sum": ("int8/rescale", "*/clamp_value", "int8/round_shift"),
    "*/product": ("int8/rescale", "int8/clamp_value", "int8/round_shift"),
    "*/concatenation": ("int8/rescale", "int8/clamp_value", "int8/round_shift"),
    "int8/lookup_table": (),
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


def generate_program(model: TracedModel, quantized: QuantizedGraph | None = None) -> dict[str, str]:
    """Generate the C program of a model.

    Args:
        model: The model.
        quantized: Its quantized graph; None: the program computes in float32.

    Returns:
        The text of the header and of the source, by file name.

    Raises:
        ExportError: The C export does not support a layer; the message names it and an alternative.
    """
    graph = model.graph
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
        calls += f"    to_int32({storage.places[-1]}, logits, {graph.classes}, {zero_point});\n"
    element, element_bytes = ("float", 4) if quantized is None else ("uint8_t", 1)
    size = storage.arena.size
    source = [
        f'/* {TEXT_MARK.decode()}; see {HEADER} */\n#include "{HEADER}"\n',
        _emit_buffer_sizes(layers),
        *_read_parts(parts, kind),
        *(layer.tables for layer in layers if layer.tables),
        *([f"static {element} arena[{size}]; /* all feature maps */\n"] if size else []),
        _emit_predict(graph, calls, quantized),
    ]
    return {HEADER: _emit_header(model, kind, size * element_bytes), SOURCE: "\n".join(source)}


def _plan_storage(graph: InferenceGraph, quantized: QuantizedGraph | None) -> _Storage:
    last = len(graph.layers)
    writes_scores = quantized is None or quantized.layers[-1].int32_output
    # In int8 a gray image already is a feature map H W C.
    gray = graph.shape[0] == 1 or graph.shape[1:] == (1, 1)
    reads_image = quantized is not None and gray
    outside = [number for number, yes in ((0, reads_image), (last, writes_scores)) if yes]
    arena = plan_arena(graph, outside)
    scores = "scores" if quantized is None else "(uint8_t *)logits"
    places = tuple(
        f"arena + {offset}" if offset is not None else "image" if number != last else scores
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


def _emit_buffer_sizes(layers: Iterable[CLayer]) -> str:
    layers = list(layers)
    window = max(layer.window for layer in layers)
    buffer = max(layer.window * layer.columns for layer in layers)
    columns = max(layer.columns for layer in layers)
    return (
        f"#define NETLET_WINDOW_SIZE {window} /* elements of the largest gathered window */\n"
        f"#define NETLET_WINDOW_BUFFER {buffer} /* elements of all windows gathered at once */\n"
        f"#define NETLET_MAX_COLUMNS {columns} /* columns computed at once */\n"
    )


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


def _emit_predict(graph: InferenceGraph, calls: str, quantized: QuantizedGraph | None) -> str:
    image, classes = math.prod(graph.shape), graph.classes
    logits, declaration, conversion = "scores", "", ""
    if quantized is not None:
        logits = "logits"
        declaration = f"    int32_t logits[{classes}];\n"
        conversion = (
            f"    for (int k = 0; k < {classes}; k++)\n"
            f"        scores[k] = (float)logits[k] * {format_c_float(quantized.logit_scale)};\n"
        )
    return (
        f"int netlet_predict(const uint8_t image[{image}], float scores[{classes}])\n"
        "{\n"
        f"{declaration}"
        "    int best = 0;\n"
        f"{calls}{conversion}"
        f"    for (int k = 1; k < {classes}; k++)\n"
        f"        if ({logits}[k] > {logits}[best])\n"
        "            best = k;\n"
        "    return best;\n"
        "}\n"
    )


def _emit_header(model: TracedModel, kind: str, arena_bytes: int) -> str:
    metadata = model.metadata
    about = "".join(
        f"   {key}: {_comment_safe(value)}\n" for key, value in metadata.items() if key != "labels"
    )
    labels = ", ".join(map(_c_string, model.labels))
    image, classes = math.prod(model.graph.shape), model.graph.classes
    return f"""/* A trained net, {TEXT_MARK.decode()}.
{about}   arithmetic: {kind} */
#ifndef NETLET_H
#define NETLET_H

#include <stdint.h>

#define NETLET_NET {_c_string(metadata["net"])}
#define NETLET_PARAMETERS {model.cost.parameters}
#define NETLET_DIGEST {_c_string(model.digest)}
#define NETLET_IMAGE_BYTES {image}
#define NETLET_CLASSES {classes}
#define NETLET_LABELS {{{labels}}}
#define NETLET_ARENA_BYTES {arena_bytes}

#ifdef __cplusplus
extern "C" {{
#endif

/* Return the predicted class of an image, and write the logit of each class to scores.
   image: gray levels 0 to 255, bright on dark, row by row, one channel after the other.
   Not thread-safe: all feature maps share one static arena. */
int netlet_predict(const uint8_t image[{image}], float scores[{classes}]);

#ifdef __cplusplus
}}
#endif

#endif
"""


def _comment_safe(text: str) -> str:
    """Return text for a C comment: as a string literal unless it is made of plain characters."""
    if re.fullmatch(r"[\w .,:;()+=-]*", text, re.ASCII):
        return text
    return _c_string(text).replace("*/", "*\\057").replace("/*", "/\\052")


def _c_string(text: str) -> str:
    """Return a C string literal of printable text.

    Bytes beyond ASCII become octal escapes of three digits, and so does a question mark, since two
    of them may begin a trigraph.
    """
    safe = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in escape_controls(text).encode()
    )
    return f'"{safe}"'
