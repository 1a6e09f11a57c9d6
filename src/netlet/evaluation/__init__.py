"""Evaluation: a net's accuracy, mistakes, confusion matrix and calibration on a split."""

from netlet.evaluation.agreement import check_agreement
from netlet.evaluation.evaluate import Evaluation, evaluate, to_probabilities
from netlet.evaluation.format import evaluation_to_dict, format_evaluation, worst_mistakes
from netlet.evaluation.predict import Prediction, predict

__all__ = [
    "Evaluation",
    "Prediction",
    "check_agreement",
    "evaluate",
    "evaluation_to_dict",
    "format_evaluation",
    "predict",
    "to_probabilities",
    "worst_mistakes",
]
