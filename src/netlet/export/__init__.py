"""Exports of a trained net: ONNX, C, Arduino and a web page, each verified against PyTorch."""

from netlet.export.arduino_export import export_arduino, list_arduino_files
from netlet.export.build_graph import build_inference_graph
from netlet.export.c_export import export_c, list_c_files
from netlet.export.c_interface import choose_prefix
from netlet.export.c_options import COptions
from netlet.export.earlier_export import refuse_other_net
from netlet.export.fold import fold_graph
from netlet.export.image_selection import (
    require_digits,
    select_calibration_images,
    select_verification_images,
)
from netlet.export.inference_graph import InferenceGraph
from netlet.export.onnx_export import export_onnx
from netlet.export.onnx_model import build_onnx
from netlet.export.onnx_runtime import OnnxPredictor, quantize_onnx
from netlet.export.page_export import WebPage, build_page, export_page
from netlet.export.progress import OnProgress
from netlet.export.result import ExportResult
from netlet.export.target_memory import TargetMemory, measure_target_memory
from netlet.export.torch_source import TorchSource, write_source
from netlet.export.traced_model import TracedModel, trace_model
from netlet.export.verification import Verification, compare_with_pytorch

__all__ = [
    "COptions",
    "ExportResult",
    "InferenceGraph",
    "OnProgress",
    "OnnxPredictor",
    "TargetMemory",
    "TorchSource",
    "TracedModel",
    "Verification",
    "WebPage",
    "build_inference_graph",
    "build_onnx",
    "build_page",
    "choose_prefix",
    "compare_with_pytorch",
    "export_arduino",
    "export_c",
    "export_onnx",
    "export_page",
    "fold_graph",
    "list_arduino_files",
    "list_c_files",
    "measure_target_memory",
    "quantize_onnx",
    "refuse_other_net",
    "require_digits",
    "select_calibration_images",
    "select_verification_images",
    "trace_model",
    "write_source",
]
