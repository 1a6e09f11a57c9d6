"""What a net makes of a split: its score, where it errs, and how sure it is."""

from netlet.evaluation.evaluate import Evaluation, evaluate, to_probabilities
from netlet.evaluation.predict import Prediction, predict
from netlet.evaluation.format import evaluation_to_dict, format_evaluation, worst_mistakes

__all__ = [
    "Evaluation",
    "Prediction",
    "evaluate",
    "evaluation_to_dict",
    "format_evaluation",
    "predict",
    "to_probabilities",
    "worst_mistakes",
]
