"""What a net is, without training it: layers, parameters, multiply-adds, memory, receptive field."""

from netlet.anatomy.facts import check, facts, facts_of
from netlet.anatomy.receptive import ReceptiveField, receptive_field, receptive_field_of
from netlet.anatomy.steps import Step, Trace
from netlet.anatomy.styles import STYLES, torchinfo, torchsummary
from netlet.anatomy.summary import Summary, summary, summary_of
from netlet.anatomy.trace import trace
from netlet.anatomy.witness import gradient_support

__all__ = [
    "STYLES",
    "ReceptiveField",
    "Step",
    "Summary",
    "Trace",
    "check",
    "facts",
    "facts_of",
    "gradient_support",
    "receptive_field",
    "receptive_field_of",
    "summary",
    "summary_of",
    "torchinfo",
    "torchsummary",
    "trace",
]
