"""A net as C99: one header, one source, constant weights and one static arena.

The functions that do the work are files of ``c/``, of which those that a net needs are taken over
as they are; what is written here are its weights, the sizes of its layers, and ``netlet_predict``,
a call for each layer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from importlib import resources

from netlet.export.arena import Arena, arena
from netlet.export.c_layers import Place, Written, c_float, written
from netlet.export.graph import Graph
from netlet.export.quantize import Quantized
from netlet.export.trained_model import TrainedModel

HEADER, SOURCE = "netlet.h", "netlet.c"
# Files of c/ in the order in which they stand in the source, each with those that it needs; * is
# float32 or int8.
_PARTS: dict[str, tuple[str, ...]] = {
    "build": (),
    "*/numbers": (),
    "*/clamped": (),
    "int8/shifted": (),
    "*/finish": ("*/clamped", "int8/shifted"),
    "image": (),
    "window": (),
    "*/lanes": (),
    "*/products": ("*/lanes",),
    "*/accumulate": ("*/lanes",),
    "accumulate": ("*/accumulate",),
    "last_blocks": (),
    "convolution": ("last_blocks",),
    "depthwise": ("*/products", "last_blocks"),
    "max_pooling": (),
    "int8/divided": (),
    "*/mean_pooling": ("int8/divided", "int8/clamped"),
    "int8/pair": (),
    "*/sum": ("int8/pair", "*/clamped", "int8/shifted"),
    "*/product": ("int8/pair", "int8/clamped", "int8/shifted"),
    "*/concatenation": ("int8/pair", "int8/clamped", "int8/shifted"),
    "int8/look_up": (),
    "float32/clamp": ("*/clamped",),
    "float32/leaky_relu": (),
    "float32/hardswish": ("*/clamped",),
    "float32/hardsigmoid": ("*/clamped",),
    "int8/widen": (),
}


def c_program(origin: TrainedModel, whole: Quantized | None = None) -> dict[str, str]:
    """A net in C.

    Args:
        origin: The net.
        whole: The same in integers; if not given, the program computes in float32.

    Returns:
        The text of the header and of the source, by the file's name.

    Raises:
        ShipError: A layer cannot be computed so; names it and what would work.
    """
    graph = origin.graph
    kind = "float32" if whole is None else "int8"
    last = len(graph.layers)
    wide = whole is None or whole.numbers[-1].wide
    # A gray image is a map of bytes as it is.
    as_it_is = whole is not None and (graph.shape[0] == 1 or graph.shape[1:] == (1, 1))
    elsewhere = [number for number, there in ((0, as_it_is), (last, wide)) if there]
    room = arena(graph, elsewhere)
    where = [_where(number, room, last, whole) for number in range(last + 1)]
    layers = [
        written(
            Place(
                at + 1,
                layer,
                tuple(graph.shapes[number] for number in layer.inputs),
                tuple(where[number] for number in layer.inputs),
                where[at + 1],
                whole.numbers[at] if whole else None,
                tuple(whole.grids[number] for number in (*layer.inputs, at + 1)) if whole else (),
            )
        )
        for at, layer in enumerate(graph.layers)
    ]
    calls = "".join(layer.call for layer in layers)
    parts = {part for layer in layers for part in layer.parts}
    if not as_it_is:
        parts.add("image")
        c, h, w = graph.shape
        calls = f"    read_image(image, {where[0]}, {h * w}, {c});\n" + calls
    if not wide:
        assert whole is not None
        parts.add("int8/widen")
        calls += f"    widen({where[last]}, logits, {graph.classes}, {whole.grids[-1].zero});\n"
    number = "float" if whole is None else "uint8_t"
    source = [
        f'#include "{HEADER}"\n',
        _sizes(layers),
        *_files(parts, kind),
        *(layer.tables for layer in layers if layer.tables),
        *([f"static {number} arena[{room.size}]; /* of all maps */\n"] if room.size else []),
        _predict(graph, calls, whole),
    ]
    arena_bytes = room.size * (4 if whole is None else 1)
    return {HEADER: _header(origin, kind, arena_bytes), SOURCE: "\n".join(source)}


def _where(number: int, room: Arena, last: int, whole: Quantized | None) -> str:
    offset = room.offsets[number]
    if offset is not None:
        return f"arena + {offset}"
    if number != last:
        return "image"
    return "scores" if whole is None else "(uint8_t *)logits"


def _sizes(layers: Iterable[Written]) -> str:
    layers = list(layers)
    return (
        f"#define NETLET_WINDOW {max(layer.window for layer in layers)} /* numbers of the largest that is gathered */\n"
        f"#define NETLET_WINDOWS {max(layer.window * layer.columns for layer in layers)}\n"
        f"#define NETLET_COLUMNS {max(layer.columns for layer in layers)}\n"
    )


def _files(parts: set[str], kind: str) -> list[str]:
    """The texts of some files of ``c/`` and of those that they need."""
    needs = {
        part.replace("*", kind): [name.replace("*", kind) for name in needed]
        for part, needed in _PARTS.items()
    }
    taken = {"build", f"{kind}/numbers", *(part.replace("*", kind) for part in parts)}
    for part in reversed(needs):  # what is needed stands before
        if part in taken:
            taken.update(needs[part])
    other = "int8/" if kind == "float32" else "float32/"
    folder = resources.files(__package__) / "c"
    return [
        (folder / f"{part}.c").read_text()
        for part in needs
        if part in taken and not part.startswith(other)
    ]


def _predict(graph: Graph, calls: str, whole: Quantized | None) -> str:
    scores = "scores" if whole is None else "logits"
    given = ""
    if whole is not None:
        given = (
            f"    for (int k = 0; k < {graph.classes}; k++)\n"
            f"        scores[k] = (float)logits[k] * {c_float(whole.logit_scale)};\n"
        )
    kept = "" if whole is None else f"    int32_t logits[{graph.classes}];\n"
    return (
        f"int netlet_predict(const uint8_t image[{math.prod(graph.shape)}], float scores[{graph.classes}])\n{{\n{kept}"
        f"    int best = 0;\n{calls}{given}"
        f"    for (int k = 1; k < {graph.classes}; k++)\n"
        f"        if ({scores}[k] > {scores}[best])\n"
        "            best = k;\n"
        "    return best;\n}\n"
    )


def _header(origin: TrainedModel, kind: str, arena_bytes: int) -> str:
    described = origin.described
    about = "".join(
        f"   {key}: {_in_comment(value)}\n" for key, value in described.items() if key != "labels"
    )
    labels = ", ".join(map(_c_string, origin.labels))
    image, classes = math.prod(origin.graph.shape), origin.graph.classes
    return f"""/* A trained net, written by netlet.
{about}   numbers: {kind} */
#ifndef NETLET_H
#define NETLET_H

#include <stdint.h>

#define NETLET_NET {_c_string(described["net"])}
#define NETLET_PARAMETERS {origin.cost.parameters}
#define NETLET_DIGEST {_c_string(origin.digest)}
#define NETLET_IMAGE_BYTES {image}
#define NETLET_CLASSES {classes}
#define NETLET_LABELS {{{labels}}}
#define NETLET_ARENA_BYTES {arena_bytes}

#ifdef __cplusplus
extern "C" {{
#endif

/* The class of an image, and the logit of each class.
   image: gray levels 0 to 255, bright on dark, row by row; of several channels one whole channel after the other.
   Not to be called from two threads at once: all maps lie in one static arena. */
int netlet_predict(const uint8_t image[{image}], float scores[{classes}]);

#ifdef __cplusplus
}}
#endif

#endif
"""


def _in_comment(text: str) -> str:
    return text.replace("*/", "* /").replace("/*", "/ *").replace("\n", " ")


def _c_string(text: str) -> str:
    """A C string literal: bytes beyond ASCII as octal escapes, which end after three digits."""
    safe = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{safe}"'
