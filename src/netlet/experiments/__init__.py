"""Experiments: a net, a recipe, a budget and, where a document makes one, a claim; their catalogue; running them."""

from netlet.experiments.catalogue import DEFAULT, EXPERIMENTS, find_experiment
from netlet.experiments.climb import LADDERS, climb, experiment_of, find_ladder
from netlet.experiments.config import RunConfig
from netlet.experiments.experiment import Claim, Experiment
from netlet.experiments.study import WorkerEvent, run_study
from netlet.experiments.trained import TrainedNet, run_at, trained_net

__all__ = [
    "DEFAULT",
    "EXPERIMENTS",
    "LADDERS",
    "Claim",
    "Experiment",
    "RunConfig",
    "TrainedNet",
    "WorkerEvent",
    "climb",
    "experiment_of",
    "find_experiment",
    "find_ladder",
    "run_at",
    "run_study",
    "trained_net",
]
