"""What a net makes of a split: its score, where it errs, and how sure it is."""

from netlet.evaluation.evaluate import Bin, Evaluation, Mistake, evaluate, probabilities
from netlet.evaluation.predict import Prediction, predict
from netlet.evaluation.text import evaluation_dict, evaluation_text, worst_mistakes

__all__ = [
    "Bin",
    "Evaluation",
    "Mistake",
    "Prediction",
    "evaluate",
    "evaluation_dict",
    "evaluation_text",
    "predict",
    "probabilities",
    "worst_mistakes",
]
