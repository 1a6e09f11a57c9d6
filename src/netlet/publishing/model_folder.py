"""The folder of a model: its card, its weights, and a file that runs it without netlet."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from string import Template
from typing import Any

import torch
from torch import nn

from netlet import export, report
from netlet.display import Displayed
from netlet.errors import ExportError, NetError, first_line
from netlet.experiments import TrainedNet
from netlet.export.input_words import describe_levels, describe_pixels_of
from netlet.nets import InputFormat
from netlet.nets.copying import copy_to_cpu
from netlet.nets.outputs import extract_logits
from netlet.nets.registered import count_numbers, list_parameters
from netlet.nets.weights import tensors_to_bytes, weights_digest
from netlet.outputs import TEXT_MARK, seal_text
from netlet.publishing.card_head import model_head, write_head
from netlet.publishing.record import NetRecord
from netlet.text import dump_json, escape_controls

README, CONFIG, WEIGHTS, CODE = "README.md", "config.json", "model.safetensors", "modeling.py"
_LICENSE_ID = re.compile(r"[a-z0-9][a-z0-9.-]*")
_PROBABILITIES = {
    "logits": "self(self.prepare(images)).softmax(1)",
    "softmax": "self(self.prepare(images))",
    "log_softmax": "self(self.prepare(images)).exp()",
}
_IMAGES = 64  # on which the code is compared with the net
_TOLERANCE = 1e-4  # relative to the largest output where that is above 1
_REMEDY = (
    "take out of forward what computes in 16 bits (torch.autocast), depends on the values of the "
    "images (an if), or changes a tensor in place"
)


@dataclass(frozen=True)
class Published(Displayed):
    """The files of a folder for the Hub.

    Attributes:
        files: The content of each by its name.
        largest_difference: The largest difference of an output from the net's, on random images;
            None: nothing was compared.
    """

    files: Mapping[str, bytes | str]
    largest_difference: float | None = None

    def _facts(self) -> Mapping[str, object]:
        return {"files": tuple(self.files), "largest_difference": self.largest_difference}


def build_model_folder(
    trained: TrainedNet, record: NetRecord, license_id: str | None = None
) -> Published:
    """Return the files of a model for the Hugging Face Hub.

    Args:
        trained: The net with its weights.
        record: The record of their training.
        license_id: The license of the weights as the Hub writes it, such as ``mit``; None: MIT for
            weights that come with netlet, not stated for others.

    Raises:
        ExportError: The net uses an operation that cannot be written as plain PyTorch.
        NetError: The license is not written as the Hub does.
    """
    license_id = find_license(record, license_id)
    net = copy_to_cpu(trained.net).eval()
    source = export.write_source(net, trained.shape)
    tensors = {**net.state_dict(), **source.constants}
    metadata = {"format": "pt", "generator": TEXT_MARK.decode()}
    weights = tensors_to_bytes(tensors, metadata)
    config = _build_config(trained, net, source)
    code = _write_code(trained, source, len(config["id2label"]))
    difference = _compare(trained, net, code, config, tensors)
    card = _write_card(trained, record, license_id, weights)
    files: dict[str, bytes | str] = {
        README: card,
        CONFIG: dump_json(config, indent=2) + "\n",
        WEIGHTS: weights,
        CODE: code,
    }
    return Published(files, difference)


def find_license(record: NetRecord, license_id: str | None) -> str | None:
    """Return the license of the weights as the Hub writes it; None if it is not stated.

    Raises:
        NetError: The license is not written so.
    """
    if license_id is None:
        return "mit" if record.license else None
    if not _LICENSE_ID.fullmatch(license_id):
        raise NetError(
            f"--license {license_id}: is not an identifier of the Hub; write one like mit, "
            "apache-2.0 or cc-by-sa-4.0"
        )
    return license_id


def _build_config(
    trained: TrainedNet, net: nn.Module, source: export.TorchSource
) -> dict[str, Any]:
    names = trained.class_names
    parameters = [name for name, _ in net.named_parameters(remove_duplicate=False)]
    state = net.state_dict()
    return {
        "generator": TEXT_MARK.decode(),
        "model_type": "netlet",
        "architectures": ["Net"],
        "name": escape_controls(trained.name),
        "shape": list(trained.shape),
        "mean": trained.mean,
        "std": trained.std,
        "id2label": {str(number): escape_controls(name) for number, name in enumerate(names)},
        "output": source.output,
        "parameters": count_numbers(tensor for _, tensor in list_parameters(net)),
        "weights_digest": weights_digest(net),
        "buffers": [*(key for key in state if key not in parameters), *source.constants],
    }


def _write_code(trained: TrainedNet, source: export.TorchSource, classes: int) -> str:
    template = (resources.files(__package__) / "modeling.py.txt").read_text("utf-8")
    # Of a name that comes from somebody else, nothing may end the text that it stands in.
    title = re.sub(r"[^\w .,:+*-]", "_", escape_controls(trained.name)).strip() or "net"
    return Template(template).substitute(
        title=title,
        output={"logits": "logits", "softmax": "probabilities"}.get(
            source.output, "log-probabilities"
        ),
        classes=classes,
        shape=" ".join(map(str, trained.shape)),
        levels=describe_levels(trained.shape[0]),
        lines="\n".join(f"        {line}" for line in source.lines),
        result=source.result,
        probabilities=_PROBABILITIES[source.output],
    )


def _compare(
    trained: TrainedNet,
    net: nn.Module,
    code: str,
    config: Mapping[str, Any],
    tensors: Mapping[str, torch.Tensor],
) -> float:
    """Return the largest difference between the outputs of the code and those of the net.

    Raises:
        ExportError: They differ by more than rounding, or the code fails.
    """
    names: dict[str, Any] = {"__name__": "modeling", "__file__": CODE}
    exec(compile(code, CODE, "exec"), names)
    copy = names["Net"](config, {key: value.clone() for key, value in tensors.items()}).eval()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randint(256, (_IMAGES, *trained.shape), dtype=torch.uint8, generator=generator)
    noise[::2] *= (noise[::2, :, :1] > 127).to(torch.uint8)  # dark columns in every other image
    images = InputFormat(trained.shape, trained.mean, trained.std).prepare(noise)
    with torch.no_grad():
        expected = extract_logits(net(images))
        try:
            actual = copy(images)
        except RuntimeError as error:  # such as of types that do not fit
            raise ExportError(
                f"{trained.name}: verification failed: {CODE} fails ({first_line(error)}); "
                f"{_REMEDY}"
            ) from error
    difference = float((expected - actual).abs().max())
    limit = _TOLERANCE * max(1.0, float(expected.abs().max()))
    if not difference <= limit:
        raise ExportError(
            f"{trained.name}: verification failed: {CODE} differs from the net by {difference:.2g} "
            f"(limit {limit:.2g}); {_REMEDY}"
        )
    return difference


def _write_card(
    trained: TrainedNet, record: NetRecord, license_id: str | None, weights: bytes
) -> str:
    digest = hashlib.sha256(weights).hexdigest()
    card = report.model_card(
        record.study, record.seed, WEIGHTS, digest, record.license or license_id
    )
    head = write_head(model_head(record.study, license_id))
    usage = _USAGE.replace("@PIXELS@", describe_pixels_of(trained))
    text = f"{head}\n<!-- {TEXT_MARK.decode()} -->\n\n{card.markdown.rstrip()}\n\n{usage}"
    return seal_text(text)


_USAGE = f"""## Use it

`{CODE}` needs `torch` and `safetensors` only:

```python
import sys

from huggingface_hub import snapshot_download

folder = snapshot_download("OWNER/NAME")  # this repository
sys.path.insert(0, folder)

from modeling import load

net = load()
net.predict(images)  # uint8, N C H W, @PIXELS@
```

`net(net.prepare(images))` gives what the net returns; `{CONFIG}` has its classes and normalization.
"""
