"""Experiments: a net, a recipe, a budget and, where a document makes one, a claim; and the catalogue of them."""

from netlet.experiments.assignment import Assignment
from netlet.experiments.catalogue import DEFAULT, EXPERIMENTS, find_experiment
from netlet.experiments.experiment import Claim, Experiment
from netlet.experiments.study import Word, run_study

__all__ = ["DEFAULT", "EXPERIMENTS", "Assignment", "Claim", "Experiment", "Word", "find_experiment", "run_study"]
