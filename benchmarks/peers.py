"""Other people's recipes, written anew from their published descriptions.

    python -m benchmarks.peers        score train_mnist_fast's recipe with 10 seeds

writes results/peer.json.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn import functional as F

from netlet.backends.cpu.parts.stage import Stage
from netlet.backends.cpu.program import Program
from netlet.data import Split
from netlet.recipes import Recipe

RECORD = Path(__file__).parent.parent / "results" / "peer.json"


def train_mnist_fast(train: Split, test: Split, layout: str, seed: int = 0) -> dict[str, Any]:
    """Train by train_mnist_fast's recipe: 99% in one epoch, float32, no augmentation.

    Two convolutions with pooling before ReLU and a hidden layer of 256 units; batch size 256; Adam
    with betas 0.7 and 0.9 and a one-cycle schedule up to 0.01. The data is in memory as tensors.

    Returns:
        ``train_s``, ``correct`` (of the test images), ``epochs`` and ``parameters``.
    """
    # The first optimizer of a process imports this, which takes a second that is not training.
    import torch._dynamo

    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Conv2d(1, 24, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(24, 32, 3),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(800, 256),
        nn.ReLU(),
        nn.Linear(256, 10),
    )
    memory = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    net = net.to(memory_format=memory)  # type: ignore[call-overload]
    began = time.perf_counter()
    images = ((train.images.float() / 255 - 0.1307) / 0.3081).contiguous(memory_format=memory)
    batches = torch.randperm(len(train)).split(256)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, betas=(0.7, 0.9))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.01, total_steps=len(batches), cycle_momentum=False
    )
    for batch in batches:
        loss = F.cross_entropy(
            net(images[batch].contiguous(memory_format=memory)), train.labels[batch]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    seconds = time.perf_counter() - began
    with torch.inference_mode():
        shown = (test.images.float() / 255 - 0.1307) / 0.3081
        correct = sum(
            int((net(x.contiguous(memory_format=memory)).argmax(1) == y).sum())
            for x, y in zip(shown.split(1_000), test.labels.split(1_000), strict=True)
        )
    return {
        "train_s": seconds,
        "correct": correct,
        "epochs": 1,
        "parameters": sum(p.numel() for p in net.parameters()),
    }


def keras_convnet(x: Any, y: Any) -> dict[str, Any]:
    """Train Keras's "Simple MNIST convnet": two convolutions, dropout, Adam, batch size 128."""
    keras = _keras()
    layers = keras.layers
    net = keras.Sequential(
        [
            keras.Input((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(10, activation="softmax"),
        ]
    )
    net.compile(loss="sparse_categorical_crossentropy", optimizer="adam", metrics=["accuracy"])
    return {**_time_epochs(net, x, y, batch_size=128, epochs=2), "parameters": net.count_params()}


def keras_chain(x: Any, y: Any, program: Program, recipe: Recipe) -> dict[str, Any]:
    """Train one of netlet's nets, rebuilt in Keras, with a recipe's batch size and optimizer.

    The net is a chain of convolutions with batch norm and ReLU, some with pooling.
    """
    keras = _keras()
    layers = keras.layers
    stack = [keras.Input((28, 28, 1))]
    for stage in program.parts:
        assert isinstance(stage, Stage), "the net is not a chain"
        padding = stage.padding[0]
        stack += [layers.ZeroPadding2D(padding)] if padding else []
        stack += [
            layers.Conv2D(stage.shape.channels, stage.taps, stage.stride, use_bias=False),
            layers.BatchNormalization(),
        ]
        stack += [layers.ReLU()] + ([layers.MaxPooling2D(2)] if stage.pool else [])
    net = keras.Sequential(
        [*stack, layers.GlobalAveragePooling2D(), layers.Dense(program.classes, use_bias=False)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(loss=loss, optimizer=keras.optimizers.AdamW(recipe.peak_lr, weight_decay=0.0))
    trainable = sum(math.prod(weight.shape) for weight in net.trainable_weights)
    return {**_time_epochs(net, x, y, recipe.batch_size, epochs=2), "parameters": trainable}


def _keras() -> Any:
    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    return keras


def _time_epochs(net: Any, x: Any, y: Any, batch_size: int, epochs: int) -> dict[str, Any]:
    """Return the seconds of the last epoch, and of the first, in which JAX compiles the step."""
    seconds = []
    for _ in range(epochs):
        began = time.perf_counter()
        net.fit(x, y, batch_size=batch_size, epochs=1, verbose=0)
        seconds.append(time.perf_counter() - began)
    return {"train_s": seconds[-1], "first_epoch_s": seconds[0], "epochs": 1}


def main() -> None:
    """Score train_mnist_fast's recipe with 10 seeds and write results/peer.json."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args()

    from netlet import data

    digits = data.load("mnist")
    correct = [
        train_mnist_fast(digits.train, digits.held_out, "channels_last", seed)["correct"]
        for seed in range(10)
    ]
    RECORD.write_text(json.dumps({"seeds": list(range(10)), "correct_of_10000": correct}) + "\n")
    print(correct)


if __name__ == "__main__":
    main()
