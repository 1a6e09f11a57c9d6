"""Evaluation: a net's accuracy, mistakes, confusion matrix and calibration on a split."""

from netlet.evaluation.agreement import check_agreement
from netlet.evaluation.confidence import (
    apply_confidence,
    choose_threshold,
    compute_probabilities,
    fit_temperature,
)
from netlet.evaluation.digit_detector import compute_digit_probability
from netlet.evaluation.evaluate import (
    Evaluation,
    compute_logits,
    evaluate,
    score_logits,
    to_probabilities,
)
from netlet.evaluation.explain import ClassMaps, Explanation, LayerMaps, explain
from netlet.evaluation.format import (
    describe_not_finite,
    evaluation_to_dict,
    format_evaluation,
    worst_mistakes,
)
from netlet.evaluation.normalization import find_better_normalization
from netlet.evaluation.predict import Prediction, Predictions, predict
from netlet.evaluation.recorded_score import is_of_another_net

__all__ = [
    "ClassMaps",
    "Evaluation",
    "Explanation",
    "LayerMaps",
    "Prediction",
    "Predictions",
    "apply_confidence",
    "check_agreement",
    "choose_threshold",
    "compute_digit_probability",
    "compute_logits",
    "compute_probabilities",
    "describe_not_finite",
    "evaluate",
    "evaluation_to_dict",
    "explain",
    "find_better_normalization",
    "fit_temperature",
    "format_evaluation",
    "is_of_another_net",
    "predict",
    "score_logits",
    "to_probabilities",
    "worst_mistakes",
]
