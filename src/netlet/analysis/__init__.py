"""Analyze a net without training it: layers, parameters, multiply-adds, memory, receptive field."""

from netlet.analysis.cost import (
    check,
    cost,
    cost_from_trace,
    judge_cost,
    refuse_unknown_names,
)
from netlet.analysis.gradient_check import gradient_support
from netlet.analysis.net_end import check_outputs, find_classes, write_class_notes
from netlet.analysis.ops import Op, Trace
from netlet.analysis.receptive_field import (
    ReceptiveField,
    receptive_field,
    receptive_field_from_trace,
)
from netlet.analysis.summary import Summary, summary, summary_from_trace
from netlet.analysis.table_styles import (
    STYLE_DIFFERENCES,
    TABLE_STYLES,
    format_torchinfo,
    format_torchsummary,
)
from netlet.analysis.trace import check_input_shape, trace

__all__ = [
    "STYLE_DIFFERENCES",
    "TABLE_STYLES",
    "Op",
    "ReceptiveField",
    "Summary",
    "Trace",
    "check",
    "check_input_shape",
    "check_outputs",
    "cost",
    "cost_from_trace",
    "find_classes",
    "format_torchinfo",
    "format_torchsummary",
    "gradient_support",
    "judge_cost",
    "receptive_field",
    "receptive_field_from_trace",
    "refuse_unknown_names",
    "summary",
    "summary_from_trace",
    "trace",
    "write_class_notes",
]
