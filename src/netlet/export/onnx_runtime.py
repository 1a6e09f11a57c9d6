"""ONNX Runtime: running a model, and quantizing it to int8 with static quantization."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from netlet.display import Displayed
from netlet.errors import ExportError, check_argument, install_hint
from netlet.export.calibration import limit_constant_inputs, measure_channels
from netlet.export.onnx_model import IMAGE, LOGITS, build_onnx, import_onnx
from netlet.export.traced_model import TracedModel
from netlet.export.zero_level import fold_normalization
from netlet.scratch import scratch_folder

if TYPE_CHECKING:
    import onnx

_IMAGES_AT_ONCE = 100


def quantize_onnx(model: TracedModel, calibration: torch.Tensor) -> onnx.ModelProto:
    """Build the ONNX model of a net in int8, with a scale for each output channel.

    Weights have 7 bits, so that the model computes the same on all processors.

    Args:
        model: The model.
        calibration: Training images, uint8 ``N C H W``, that determine the range of each feature
            map.

    Returns:
        A model that takes uint8 images.

    Raises:
        ExportError: The package onnx or onnxruntime is not installed.
    """
    check_argument(model, TracedModel)
    package, helper = import_onnx()
    _import_onnxruntime()
    from onnxruntime import quantization

    graph = fold_normalization(model.graph)
    graph = limit_constant_inputs(graph, measure_channels(graph, calibration))
    float32 = build_onnx(dataclasses.replace(model, graph=graph))

    class Images(quantization.CalibrationDataReader):  # type: ignore[misc]
        """The images in batches."""

        def __init__(self) -> None:
            self._batches = iter(calibration.split(_IMAGES_AT_ONCE))

        def get_next(self) -> dict[str, Any] | None:
            """Return the next batch, or None after the last."""
            batch = next(self._batches, None)
            return None if batch is None else {IMAGE: batch.numpy()}

    with _silence_warnings(), scratch_folder() as folder:
        target = folder / "int8.onnx"
        quantization.quantize_static(
            float32,
            target,
            Images(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            # Unsigned, so that a ReLU's output uses all 256 values and gray levels are exact.
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            # Weights of -64..64: x86-64 processors without VNNI add two products of a weight and
            # an activation in 16 bits, where those of full range overflow.
            reduce_range=True,
        )
        quantized: onnx.ModelProto = package.load(target)
    # The quantizer drops the metadata.
    metadata = {prop.key: prop.value for prop in float32.metadata_props}
    helper.set_model_props(quantized, metadata | {"precision": "int8"})
    quantized.producer_name = "netlet"
    return quantized


class OnnxPredictor(Displayed):
    """Runs a model in ONNX Runtime on the CPU.

    Args:
        model: Takes uint8 or float images.
        threads: For one run; 0: as many as ONNX Runtime chooses.

    Raises:
        ExportError: The package onnxruntime is not installed.
    """

    def __init__(self, model: onnx.ModelProto, threads: int = 0) -> None:
        runtime = _import_onnxruntime()
        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        self.session = runtime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._takes_float = self.session.get_inputs()[0].type == "tensor(float)"

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Return the logits ``N K`` of images, uint8 ``N C H W``."""
        levels = images.numpy()
        inputs = levels.astype(np.float32) / np.float32(255) if self._takes_float else levels
        return torch.from_numpy(self.session.run([LOGITS], {IMAGE: inputs})[0])


@contextmanager
def _silence_warnings() -> Iterator[None]:
    """Silence the quantizer's advice to pre-process the model.

    It has no effect here: nothing is left to fold, and all shapes are known.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def _import_onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise ExportError(
            "verifying an ONNX model needs the package onnxruntime, which is not installed; "
            f"{install_hint('export')}"
        ) from error
    return onnxruntime
