"""The interface of a C program: its prefix, its header, and the functions that it exports."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from netlet.errors import ExportError
from netlet.export.input_words import describe_pixels_of
from netlet.outputs import TEXT_MARK
from netlet.text import escape_controls

if TYPE_CHECKING:
    from netlet.export.traced_model import TracedModel

DEFAULT_PREFIX = "netlet"
LICENSE = "SPDX-License-Identifier: MIT"  # of netlet's code in a program
_MAX_PREFIX = 31  # characters of an external name that C99 compilers must tell apart
# Of C99 and, since the header can be included by C++, of C++.
_KEYWORDS = """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl
    concept const const_cast constexpr continue decltype default delete do double dynamic_cast else
    enum explicit export extern false float for friend goto if inline int long mutable namespace
    new noexcept not not_eq nullptr operator or or_eq private protected public register
    reinterpret_cast requires restrict return short signed sizeof static static_assert static_cast
    struct switch template this thread_local throw true try typedef typeid typename typeof union
    unsigned using virtual void volatile wchar_t while xor xor_eq
"""
# A header of this name would hide one of a C library, of Arduino, or of the example.
_HEADERS = """
    arduino assert binary board client complex console ctype eeprom errno ethernet features fenv
    float images inttypes iso646 keyboard limits locale main math mouse newlib picolibc print
    printable sd server servo setjmp signal spi startup stdalign stdarg stdatomic stdbool stddef
    stdint stdio stdlib stdnoreturn stream string tgmath threads time uchar udp variant wchar wctype
    wifi wire wstring
"""


def check_prefix(prefix: str) -> None:
    """Check that the files, functions and macros of a C program can begin with a prefix.

    Args:
        prefix: As the user gave it.

    Raises:
        ExportError: They cannot; the message says why, and what would do.
    """
    shown = f'the prefix "{escape_controls(prefix)}"'
    likely = re.sub(r"\W+", "_", prefix, flags=re.ASCII).strip("_")
    likely = re.sub(r"__+", "_", likely)[:_MAX_PREFIX].rstrip("_")
    example = likely if likely[:1].isalpha() and likely != prefix else "digits_net"
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", prefix):
        raise ExportError(
            f"{shown} is not a C identifier; use letters, digits and underscores, such as {example}"
        )
    if prefix.startswith("_") or "__" in prefix:
        raise ExportError(
            f"{shown} is reserved: names with a leading or a double underscore belong to the "
            f"compiler; use one such as {example}"
        )
    if len(prefix) > _MAX_PREFIX:
        raise ExportError(
            f"{shown} has {len(prefix)} characters; use at most {_MAX_PREFIX}, such as {example}"
        )
    keyword = prefix in _KEYWORDS.split()
    if keyword or prefix.lower() in _HEADERS.split():
        why = "is a keyword of C or C++"
        if not keyword:
            why = "would hide a file of the same name of the C library, Arduino or the example"
        raise ExportError(f"{shown} {why}; use another one, such as {prefix}_net")


def choose_prefix(stem: str) -> str:
    """Return a prefix that is made of a net's name.

    Args:
        stem: The name, for file names.

    Returns:
        ``netlet`` if the name is of no use.
    """
    name = re.sub(r"[\W_]+", "_", stem, flags=re.ASCII).strip("_")
    for prefix in (name, f"{name}_net"):
        try:
            check_prefix(prefix)
        except ExportError:
            continue
        return prefix
    return DEFAULT_PREFIX


def emit_predict(prefix: str, model: TracedModel, calls: str, int8: bool) -> str:
    """Return the functions of the interface.

    Args:
        prefix: What their names begin with.
        model: The model.
        calls: The calls of all layers, which write to ``scores``.
        int8: Whether the scores are integers; there are then two functions.
    """
    image, classes = math.prod(model.graph.shape), model.graph.classes
    name, kind = (f"{prefix}_predict_int", "int32_t") if int8 else (f"{prefix}_predict", "float")
    text = (
        f"int {name}(const uint8_t image[{image}], {kind} scores[{classes}])\n"
        "{\n"
        "    int best = 0;\n"
        f"{calls}"
        f"    for (int k = 1; k < {classes}; k++)\n"
        "        if (scores[k] > scores[best])\n"
        "            best = k;\n"
        "    return best;\n"
        "}\n"
    )
    if int8:
        macro = prefix.upper()
        text += (
            f"\n#ifndef {macro}_NO_FLOAT\n"
            f"int {prefix}_predict(const uint8_t image[{image}], float scores[{classes}])\n"
            "{\n"
            f"    int32_t integers[{classes}];\n"
            f"    const int best = {name}(image, integers);\n"
            f"    for (int k = 0; k < {classes}; k++)\n"
            f"        scores[k] = (float)integers[k] * {macro}_SCORE_SCALE;\n"
            "    return best;\n"
            "}\n"
            "#endif\n"
        )
    return text


def emit_header(prefix: str, model: TracedModel, arena_bytes: int, score_scale: str = "") -> str:
    """Return the header.

    Args:
        prefix: What the names in it begin with.
        model: The model.
        arena_bytes: The memory of all feature maps.
        score_scale: For int8, the real value of one unit of a score, as a C literal; empty for
            float32.
    """
    about = "".join(
        f"   {key}: {comment_safe(value)}\n"
        for key, value in model.metadata.items()
        if key != "labels"
    )
    image, classes = math.prod(model.graph.shape), model.graph.classes
    macro, scale, functions = prefix.upper(), "", _FUNCTION
    if score_scale:
        scale = f"#define {macro}_SCORE_SCALE {score_scale}\n"
        functions = _TWO_FUNCTIONS
    pixels = describe_pixels_of(model.source)
    for name, value in (
        ("prefix", prefix),
        ("macro", macro),
        ("image", image),
        ("k", classes),
        ("pixels", pixels),
    ):
        functions = functions.replace(f"@{name}@", str(value))
    return f"""/* A trained net, {TEXT_MARK.decode()}.
   {LICENSE}
   Copyright (c) 2026 The netlet authors; this holds for the code, not for the weights
{about}   arithmetic: {"int8" if score_scale else "float32"} */
#ifndef {macro}_H
#define {macro}_H

#include <stdint.h>

#define {macro}_NET {_quote(model.metadata["net"])}
#define {macro}_PARAMETERS {model.cost.parameters}
#define {macro}_DIGEST {_quote(model.digest)}
#define {macro}_IMAGE_BYTES {image}
#define {macro}_CLASSES {classes}
#define {macro}_LABELS {{{list_labels(model)}}}
#define {macro}_ARENA_BYTES {arena_bytes}
{scale}
#ifdef __cplusplus
extern "C" {{
#endif

{functions}
#ifdef __cplusplus
}}
#endif

#endif
"""


def list_labels(model: TracedModel) -> str:
    """Return the names of a net's classes as C string literals."""
    return ", ".join(map(_quote, model.labels))


def comment_safe(text: str) -> str:
    """Return text for a C comment: as a string literal unless it is made of plain characters.

    Args:
        text: Any text.
    """
    if re.fullmatch(r"[\w .,:;()+='-]*", text, re.ASCII):
        return text
    return _quote(text).replace("*/", "*\\057").replace("/*", "/\\052")


_FUNCTION = """\
/* Return the predicted class of an image, and write the logit of each class to scores.
   image: @pixels@.
   Not thread-safe: all feature maps share one static arena. */
int @prefix@_predict(const uint8_t image[@image@], float scores[@k@]);
"""
_TWO_FUNCTIONS = """\
/* Return the predicted class of an image, and write the score of each class to scores: the logit is
   @macro@_SCORE_SCALE times the score. No floating point is used.
   image: @pixels@.
   Not thread-safe: all feature maps share one static arena. */
int @prefix@_predict_int(const uint8_t image[@image@], int32_t scores[@k@]);

/* The same with logits as scores. Define @macro@_NO_FLOAT to leave it out: processors without
   floating point otherwise need a library for it. */
#ifndef @macro@_NO_FLOAT
int @prefix@_predict(const uint8_t image[@image@], float scores[@k@]);
#endif
"""


def _quote(text: str) -> str:
    """Return a C string literal of printable text.

    Bytes beyond ASCII become octal escapes of three digits, and so does a question mark, since two
    of them may begin a trigraph.
    """
    safe = "".join(
        chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:03o}"
        for byte in escape_controls(text).encode()
    )
    return f'"{safe}"'
