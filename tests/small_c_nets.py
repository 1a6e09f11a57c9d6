"""Small nets for tests of C programs: they compile in a moment, and have every part of an interface."""

from __future__ import annotations

import functools

import torch
from torch import nn

from netlet.data import Dataset, make_scribble
from netlet.experiments import TrainedNet
from netlet.export import TracedModel, select_calibration_images, trace_model
from netlet.export.quantize import QuantizedGraph, quantize_graph

SHAPE = (1, 28, 28)
LABELS = ("zero", "one", 'two "2"', "drei/*ö*/", "4", "5", "6", "7", "8", "9")


@functools.cache
def few_digits() -> Dataset:
    return make_scribble(60, 100)


@functools.cache
def small_model(seed: int = 0) -> TracedModel:
    """Return a net for digits with random weights: other ones for each seed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = nn.Sequential(
            nn.Conv2d(1, 5 + seed, 5, stride=3),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(5 + seed, 6, 3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(24, 10),
        )
    return trace_model(
        TrainedNet(f"small{seed}", net.eval(), SHAPE, LABELS, 0.1307, 0.3081, None, None)
    )


@functools.cache
def small_integers(seed: int = 0) -> QuantizedGraph:
    return quantize_graph(
        small_model(seed).graph, select_calibration_images(small_model(seed), few_digits())[1]
    )


def quantized_or_not(kind: str, seed: int = 0) -> QuantizedGraph | None:
    return small_integers(seed) if kind == "int8" else None
