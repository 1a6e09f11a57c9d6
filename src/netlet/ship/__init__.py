"""Weights to somewhere useful: a graph of the net, and what is written from it, each held against the net."""

from netlet.ship.agreement import Agreement, agreement
from netlet.ship.c_export import export_c
from netlet.ship.capture import capture
from netlet.ship.exported import Exported
from netlet.ship.fold import folded
from netlet.ship.graph import Graph
from netlet.ship.images import images_to_calibrate, images_to_compare
from netlet.ship.onnx_export import export_onnx
from netlet.ship.onnx_model import onnx_model
from netlet.ship.onnx_runtime import Runtime, quantised
from netlet.ship.origin import Origin, origin
from netlet.ship.page_file import export_page, page

__all__ = [
    "Agreement",
    "Exported",
    "Graph",
    "Origin",
    "Runtime",
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
    "quantised",
]
