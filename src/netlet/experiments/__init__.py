"""Experiments: a net, a recipe, a budget and, where a document makes one, a claim; and the catalogue of them."""

from netlet.experiments.assignment import Assignment
from netlet.experiments.catalogue import DEFAULT, EXPERIMENTS, find_experiment
from netlet.experiments.experiment import Claim, Experiment

__all__ = ["DEFAULT", "EXPERIMENTS", "Assignment", "Claim", "Experiment", "find_experiment"]
