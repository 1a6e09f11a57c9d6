"""Experiments: building them by name, running them as studies and ladders, finding trained nets."""

from netlet.catalog import Claim
from netlet.experiments.climb import LADDERS, build_experiment, climb, find_ladder
from netlet.experiments.confidence import calibrate_confidence, load_confidence
from netlet.experiments.config import configure_run, load_data, load_experiment
from netlet.experiments.events import WorkerEvent
from netlet.experiments.experiment import Experiment
from netlet.experiments.named import DEFAULT, EXPERIMENTS, find_experiment
from netlet.experiments.study import run_study
from netlet.experiments.trained import TrainedNet, find_weights, load_trained_net
from netlet.nets.pretrained import find_run
from netlet.records.shipped_studies import find_study, list_studies, shipped_studies_folder

__all__ = [
    "DEFAULT",
    "EXPERIMENTS",
    "LADDERS",
    "Claim",
    "Experiment",
    "TrainedNet",
    "WorkerEvent",
    "build_experiment",
    "calibrate_confidence",
    "climb",
    "configure_run",
    "find_experiment",
    "find_ladder",
    "find_run",
    "find_study",
    "find_weights",
    "list_studies",
    "load_confidence",
    "load_data",
    "load_experiment",
    "load_trained_net",
    "run_study",
    "shipped_studies_folder",
]
