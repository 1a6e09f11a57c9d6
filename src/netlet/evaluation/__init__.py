"""What a net makes of a split: its score, where it errs, and how sure it is."""

from netlet.evaluation.evaluate import Bin, Evaluation, Mistake, evaluate

__all__ = ["Bin", "Evaluation", "Mistake", "evaluate"]
