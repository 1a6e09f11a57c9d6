"""Earlier exports in the place of a new one: whether they are of a net for other images."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

from netlet.errors import ExportError
from netlet.export.c_interface import list_labels
from netlet.export.onnx_model import import_onnx
from netlet.export.traced_model import TracedModel
from netlet.text import dump_json, format_shape

_PAGE_NET = re.compile(r'<script type="application/json" id="net">(.*?)</script>', re.S)
_HEADER_INPUT = re.compile(r'^ +input: "?(\d+(?:x\d+)*)', re.M)
_HEADER_LABELS = re.compile(r"^#define \w+_LABELS \{(.*)\}$", re.M)


def refuse_other_net(path: Path, file: Path, model: TracedModel) -> None:
    """Check that an export whose name netlet chose does not replace that of another net.

    Args:
        path: The file or folder of the export.
        file: The file in it that describes the net: the model, the page or the C header.
        model: The new net.

    Raises:
        ExportError: The file there is of a net for images of another shape, or for other classes.
    """
    shape, labels = _read_file(file)
    what = "folder" if path != file else "file"
    wrong = ""
    expected = list_labels(model) if file.suffix == ".h" else dump_json(model.labels)
    if shape and shape != format_shape(model.graph.shape):
        wrong = f"images of {shape}"
    elif labels and labels != expected:
        wrong = "other classes"
    if wrong:
        raise ExportError(
            f"{path}: is the export of another net, for {wrong}, and would be lost; name another "
            f"{what} with --out, or delete it"
        )


def _read_file(file: Path) -> tuple[str, str]:
    """Return the shape of the images and the classes of an export; empty if they are unknown."""
    # Whatever is wrong with the file: it does not say what net it is of.
    with contextlib.suppress(Exception):
        if file.suffix == ".onnx":
            package, _ = import_onnx()
            proto = package.load_model(str(file))
            said = {prop.key: prop.value for prop in proto.metadata_props}
            found = re.match(r"N x (\d+(?:x\d+)*)", said["input"])
            return found[1] if found else "", said["labels"]
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".h":
            shape, labels = _HEADER_INPUT.search(text), _HEADER_LABELS.search(text)
            return shape[1] if shape else "", labels[1] if labels else ""
        net = json.loads(_PAGE_NET.findall(text)[0])
        return format_shape(net["shape"]), dump_json(net["classes"])
    return "", ""
