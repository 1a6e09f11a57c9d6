"""ONNX Runtime: running a model, and making one of int8 by its static quantization."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from netlet.errors import ShipError
from netlet.export.onnx_model import IMAGE, LOGITS, onnx_packages

if TYPE_CHECKING:
    import onnx

_CALIBRATED_AT_ONCE = 100


def quantized(model: onnx.ModelProto, calibration: torch.Tensor) -> onnx.ModelProto:
    """The same model in int8: weights by channel, maps by what they hold while it sees the images.

    Args:
        model: One that takes uint8 images.
        calibration: uint8, ``N C H W``: training images, never those that judge.

    Raises:
        ShipError: The package onnxruntime is not installed.
    """
    package, helper = onnx_packages()
    _onnxruntime()
    from onnxruntime import quantization

    class Images(quantization.CalibrationDataReader):  # type: ignore[misc]
        """Hands out the images in batches."""

        def __init__(self) -> None:
            self._chunks = iter(calibration.split(_CALIBRATED_AT_ONCE))

        def get_next(self) -> dict[str, Any] | None:
            """The next batch, or None after the last."""
            chunk = next(self._chunks, None)
            return None if chunk is None else {IMAGE: chunk.numpy()}

    with _silent(), tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "int8.onnx"
        given = package.ModelProto()
        given.CopyFrom(model)  # the quantiser moves the weights of what it is given into a file
        quantization.quantize_static(
            given,
            out,
            Images(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            # Unsigned, so that a ReLU's map spends no code on what cannot be, and gray levels are
            # exact.
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
        )
        small: onnx.ModelProto = package.load(out)
    # The quantiser drops what the model says of itself.
    helper.set_model_props(
        small, {prop.key: prop.value for prop in model.metadata_props} | {"precision": "int8"}
    )
    small.producer_name = "netlet"
    return small


class Runtime:
    """A model in ONNX Runtime, on the CPU.

    Args:
        model: Taking uint8 or float images.
        threads: That one run may use.

    Raises:
        ShipError: The package onnxruntime is not installed.
    """

    def __init__(self, model: onnx.ModelProto, threads: int = 0) -> None:
        runtime = _onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        self.session = runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._float = self.session.get_inputs()[0].type == "tensor(float)"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Images uint8 ``N C H W`` to logits ``N K``."""
        values = images.numpy()
        given = values.astype(np.float32) / np.float32(255) if self._float else values
        return torch.from_numpy(self.session.run([LOGITS], {IMAGE: given})[0])


@contextmanager
def _silent() -> Iterator[None]:
    """The quantiser asks for a pre-processing that has been done: nothing is left to fold, all shapes are known."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ShipError(
            "checking an ONNX model needs onnxruntime, which is not installed; pip install 'netlet[export]'"
        ) from error
    return onnxruntime
