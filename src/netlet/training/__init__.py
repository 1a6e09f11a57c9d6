"""Training: the engine, what it is made of, and who listens to it."""

from netlet.training.engine import fit
from netlet.training.listeners import Listener, Plan, Progress
from netlet.training.recorder import Recorder

__all__ = ["Listener", "Plan", "Progress", "Recorder", "fit"]
