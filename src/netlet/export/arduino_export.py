"""Export to Arduino: a library with the C program and a sketch that classifies stored images.

The layout is that of the Arduino library specification, format 1.5.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

from netlet.data import Dataset
from netlet.errors import check_argument
from netlet.export.c_example import fill_template
from netlet.export.c_export import make_program, write_program
from netlet.export.c_options import COptions
from netlet.export.example_images import write_images_header
from netlet.export.input_words import describe_pixels_of
from netlet.export.progress import OnProgress, ignore_progress
from netlet.export.result import ExportResult
from netlet.export.traced_model import TracedModel
from netlet.outputs import TEXT_MARK
from netlet.text import escape_controls, format_shape

_EXAMPLE = "examples/classify"


def export_arduino(
    model: TracedModel,
    folder: Path | str,
    dataset: Dataset | None,
    *,
    int8: bool = False,
    max_accuracy_drop: float | None = None,
    options: COptions,
    on_progress: OnProgress = ignore_progress,
) -> ExportResult:
    """Write a model as an Arduino library, whose name is the prefix of the program.

    Args:
        model: The model.
        folder: The folder of the library; other files in it are left alone.
        dataset: The data set that the net was trained on, for calibration and verification; None:
            synthetic digits (``scribble``).
        int8: Generate integer arithmetic throughout.
        max_accuracy_drop: That int8 may cost, in percentage points; infinite accepts any loss.
            None: 0.1, or a single image if that is more.
        options: Names, and what the size is measured for.
        on_progress: Called when a phase begins.

    Raises:
        ExportError: The C export does not support a layer, the options do not fit, or the
            verification fails.
        OutputError: A file cannot be written.
    """
    check_argument(model, TracedModel)
    folder = Path(folder)
    made = make_program(
        model,
        dataset,
        int8=int8,
        max_accuracy_drop=max_accuracy_drop,
        options=dataclasses.replace(options, example=False),
        on_progress=on_progress,
    )
    prefix = options.prefix
    program = {f"src/{name}": text for name, text in made.texts.items()}
    example = {
        "library.properties": _write_properties(model, prefix, int8),
        "keywords.txt": _write_keywords(prefix, int8),
        "README.md": _write_readme(model, prefix, int8),
        f"{_EXAMPLE}/classify.ino": fill_template("classify.ino", prefix, int8),
        f"{_EXAMPLE}/images.h": write_images_header(made.image_set, made.example_images),
    }
    return write_program(folder, program, example, made)


def list_arduino_files(options: COptions) -> list[str]:
    """Return the paths of the files that an export writes into its folder.

    Args:
        options: Names.
    """
    prefix = options.prefix
    sketch = [f"{_EXAMPLE}/classify.ino", f"{_EXAMPLE}/images.h"]
    properties = ["library.properties", "keywords.txt", "README.md"]
    return [*properties, f"src/{prefix}.h", f"src/{prefix}.c", *sketch]


def _write_properties(model: TracedModel, prefix: str, int8: bool) -> str:
    """Return the metadata of the library.

    No address is known: ``example.com`` is one that is reserved for examples.
    """
    shape = format_shape(model.source.shape)
    net = escape_controls(Path(model.source.name).name)
    fields = {
        "name": prefix,
        "version": "1.0.0",
        "author": "unknown",
        "maintainer": "unknown",
        "sentence": f"Classifies images of {shape} pixels into {model.graph.classes} classes.",
        "paragraph": (
            f"The convolutional net {net} with {model.cost.parameters:,} parameters, in "
            f"{'8-bit integers' if int8 else 'float32'}. It allocates no memory. Needs a processor "
            "with 32-bit integers."
        ),
        "category": "Data Processing",
        "url": f"https://example.com/{prefix}",
        "architectures": "*",
        "includes": f"{prefix}.h",
    }
    lines = [f"{key}={value}\n" for key, value in fields.items()]
    comment = (
        f"# {TEXT_MARK.decode()}\n"
        "# Before you publish this library, set author, maintainer and url, and add a license.\n"
    )
    return comment + "".join(lines)


def _write_keywords(prefix: str, int8: bool) -> str:
    """Return what the editor of Arduino highlights; tabs separate the columns."""
    functions = [f"{prefix}_predict", *([f"{prefix}_predict_int"] if int8 else [])]
    constants = ["IMAGE_BYTES", "CLASSES", "LABELS", *(["SCORE_SCALE"] if int8 else [])]
    rows = [f"{name}\tKEYWORD2\n" for name in functions]
    rows += [f"{prefix.upper()}_{name}\tLITERAL1\n" for name in constants]
    return f"# {TEXT_MARK.decode()}\n{''.join(rows)}"


def _write_readme(model: TracedModel, prefix: str, int8: bool) -> str:
    function, kind = (
        (f"{prefix}_predict_int", "int32_t") if int8 else (f"{prefix}_predict", "float")
    )
    image, classes = f"{prefix.upper()}_IMAGE_BYTES", f"{prefix.upper()}_CLASSES"
    return f"""# {prefix}

<!-- {TEXT_MARK.decode()} -->

A trained net as an Arduino library. Copy this folder into the folder `libraries` of your
sketchbook, or make a zip file of it and choose Sketch > Include Library > Add .ZIP Library. Then
open File > Examples > {prefix} > classify.

```cpp
#include <{prefix}.h>

static uint8_t image[{image}];  // {describe_pixels_of(model.source)}
{kind} scores[{classes}];
int found = {function}(image, scores);
```

The net takes images of {format_shape(model.source.shape)} (channels, height, width).
`src/{prefix}.h` describes it. It needs a processor with 32-bit integers, which boards with an
ATmega do not have.
"""
