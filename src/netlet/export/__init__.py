"""Weights to somewhere useful: a graph of the net, and what is written from it, each held against the net."""

from netlet.export.agreement import Agreement, agreement
from netlet.export.c_export import export_c
from netlet.export.capture import capture
from netlet.export.exported import Exported
from netlet.export.fold import folded
from netlet.export.graph import Graph
from netlet.export.images import images_to_calibrate, images_to_compare
from netlet.export.onnx_export import export_onnx
from netlet.export.onnx_model import onnx_model
from netlet.export.onnx_runtime import Runtime, quantized
from netlet.export.page_file import export_page, page
from netlet.export.trained_model import TrainedModel, origin

__all__ = [
    "Agreement",
    "Exported",
    "Graph",
    "Runtime",
    "TrainedModel",
    "agreement",
    "capture",
    "export_c",
    "export_onnx",
    "export_page",
    "folded",
    "images_to_calibrate",
    "images_to_compare",
    "onnx_model",
    "origin",
    "page",
    "quantized",
]
