"""What a net is, without training it: layers, parameters, multiply-adds, memory, receptive field."""

from netlet.analysis.cost import check, cost, cost_of
from netlet.analysis.receptive import ReceptiveField, receptive_field, receptive_field_of
from netlet.analysis.steps import Step, Trace
from netlet.analysis.styles import STYLES, torchinfo, torchsummary
from netlet.analysis.summary import Summary, summary, summary_of
from netlet.analysis.trace import trace
from netlet.analysis.witness import gradient_support

__all__ = [
    "STYLES",
    "ReceptiveField",
    "Step",
    "Summary",
    "Trace",
    "check",
    "cost",
    "cost_of",
    "gradient_support",
    "receptive_field",
    "receptive_field_of",
    "summary",
    "summary_of",
    "torchinfo",
    "torchsummary",
    "trace",
]
