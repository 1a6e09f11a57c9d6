"""Look inside a net: the feature maps of its layers, and where it looks for a class (Grad-CAM)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from netlet.data.batches import normalize
from netlet.display import Displayed
from netlet.errors import NetError, check_argument, check_type
from netlet.evaluation.evaluate import refuse_wrong_scores, to_probabilities
from netlet.nets.compiled_nets import unwrap, without_compiler
from netlet.nets.copying import copy_to_cpu
from netlet.nets.device_errors import explain_device_errors
from netlet.nets.eval_mode import eval_mode
from netlet.nets.outputs import extract_logits
from netlet.nets.registered import list_modules
from netlet.recipes import Recipe
from netlet.text import format_shape


@dataclass(frozen=True)
class LayerMaps(Displayed):
    """The feature maps of a layer.

    Attributes:
        name: The module's name in the net; of one that runs several times, with ``#2`` and so on.
        kind: The module's class.
        maps: float32 ``N C H W``.
    """

    name: str
    kind: str
    maps: torch.Tensor


@dataclass(frozen=True)
class ClassMaps(Displayed):
    """Where a net looks for a class, by Grad-CAM.

    Attributes:
        classes: The class that is explained for each image, int64 ``N``.
        maps: Evidence for that class, float32 ``N H W`` in the size of the images: 0 for none, 1
            for the most in this image. All zero if nothing in the image speaks for the class.
    """

    classes: torch.Tensor
    maps: torch.Tensor


@dataclass(frozen=True)
class Explanation(Displayed):
    """What a net computes for some images.

    Attributes:
        images: uint8 ``N C H W``.
        probabilities: float32 ``N K``.
        layer: The name of the layer whose maps the Grad-CAM maps are made of.
        predicted: The Grad-CAM maps for the most probable class.
        other: Those for the class that was asked for, else for the runner-up.
        layers: The feature maps of every layer, in the order in which they run. Layers that change
            nothing in evaluation mode, such as dropout, are left out.
    """

    images: torch.Tensor
    probabilities: torch.Tensor
    layer: str
    predicted: ClassMaps
    other: ClassMaps
    layers: tuple[LayerMaps, ...]

    def _facts(self) -> Mapping[str, object]:
        return {
            "images": self.images,
            "layer": self.layer,
            "predicted": self.predicted.classes.tolist(),
            "other": self.other.classes.tolist(),
            "layers": len(self.layers),
        }


def explain(
    net: nn.Module,
    images: torch.Tensor,
    recipe: Recipe | None = None,
    *,
    target: int | None = None,
    layer: str | None = None,
) -> Explanation:
    """Run a net on images and keep its feature maps; explain its answer by Grad-CAM.

    Grad-CAM (Selvaraju and others, 2017, arXiv:1610.02391) adds up the feature maps of a layer,
    each with the mean gradient of the class's score as its weight, and keeps what is positive. The
    score is the class's logit minus the mean of all logits: softmax ignores what all have in
    common, and without it logits and log-probabilities give the same maps.

    Args:
        net: A net from ``N C H W`` to logits or log-probabilities ``N K``, on the CPU. Its modules
            keep their training mode.
        images: The images, uint8 ``N C H W``.
        recipe: The recipe, which has mean and std of the input; MNIST's by default.
        target: The class to explain besides the most probable one; the runner-up by default.
        layer: The name of the layer for Grad-CAM; by default the last one with maps of more than
            one place.

    Raises:
        TypeError: The images are not a tensor ``N C H W``.
        NetError: The net has no such layer or class, none of its modules returns feature maps, it
            computes without gradients, or its output is not ``N K`` or contains NaN.
    """
    net = unwrap(net)
    check_argument(net, nn.Module)
    check_argument(recipe, Recipe, optional=True)
    _check_images(images)
    net = copy_to_cpu(net)
    with (
        explain_device_errors(),
        without_compiler(),
        eval_mode(net),
        torch.enable_grad(),
        _record_maps(net, len(images)) as recorded,
    ):
        # A copy of what has a gradient: the net may write to its input.
        inputs = normalize(images, recipe or Recipe()).requires_grad_().clone()
        logits = extract_logits(net(inputs))
        layers = list(recorded)
    refuse_wrong_scores(logits, len(images), fewest=2)
    probabilities = to_probabilities(logits.detach().float())
    chosen = _choose_layer(layers, layer)
    ranked = probabilities.argsort(1, descending=True)
    wanted = ranked[:, 1] if target is None else _check_target(target, probabilities)
    size = (images.shape[2], images.shape[3])
    return Explanation(
        images=images,
        probabilities=probabilities,
        layer=chosen.name,
        predicted=_explain_classes(logits, chosen, ranked[:, 0], size),
        other=_explain_classes(logits, chosen, wanted, size),
        layers=tuple(LayerMaps(one.name, one.kind, one.maps.detach().float()) for one in layers),
    )


def _check_images(images: object) -> None:
    remedy = "a tensor of uint8 images N C H W, like netlet.data.load('mnist').held_out.images[:4]"
    check_type(images, torch.Tensor, "the argument images", remedy)
    assert isinstance(images, torch.Tensor)
    if images.dim() != 4:
        raise TypeError(f"images has the shape {format_shape(images.shape)}; pass {remedy}")
    if images.dtype != torch.uint8:  # gray levels 0..255, which the recipe normalizes
        raise TypeError(f"images has the type {images.dtype}; pass {remedy}")


@contextmanager
def _record_maps(net: nn.Module, images: int) -> Iterator[list[LayerMaps]]:
    """Yield a list that the runs of the net's innermost modules fill with their feature maps.

    Args:
        net: The net.
        images: The number of images; what has another first size holds no maps of each.
    """
    recorded: list[LayerMaps] = []
    runs: dict[str, int] = {}
    given: dict[str, torch.Tensor] = {}  # what each module reads, before it may write to it
    handles = []

    def record(name: str, module: nn.Module) -> None:
        def remember(_: nn.Module, args: tuple[object, ...]) -> None:
            if args and isinstance(args[0], torch.Tensor) and args[0].dim() == 4:
                given[name] = args[0].detach().clone()

        def keep(_: nn.Module, args: object, out: object) -> torch.Tensor | None:
            before = given.pop(name, None)
            if not isinstance(out, torch.Tensor) or out.dim() != 4 or not out.is_floating_point():
                return None
            if len(out) != images or (before is not None and _is_equal(before, out)):
                return None
            runs[name] = runs.get(name, 0) + 1
            label = name if runs[name] == 1 else f"{name}#{runs[name]}"
            recorded.append(LayerMaps(label, type(module).__name__, out))
            return out.clone()  # the next layer may write to its input

        handles.append(module.register_forward_pre_hook(remember))
        handles.append(module.register_forward_hook(keep))

    for name, module in list_modules(net):
        if name and len(list_modules(module)) == 1:
            record(name, module)
    try:
        yield recorded
    finally:
        for handle in handles:
            handle.remove()


def _is_equal(x: torch.Tensor, out: torch.Tensor) -> bool:
    """Return whether a layer has changed nothing, as dropout in evaluation mode."""
    return x.shape == out.shape and torch.equal(x, out)


def _choose_layer(layers: list[LayerMaps], name: str | None) -> LayerMaps:
    """Return the layer for Grad-CAM.

    Raises:
        NetError: There is no such layer, or it has no gradient.
    """
    places = [one for one in layers if one.maps.shape[2:].numel() > 1]
    if not places:
        raise NetError(
            "no module of the net returns feature maps (N, C, H, W) larger than 1x1; only "
            "modules such as nn.Conv2d can be explained, not functions"
        )
    if name is None:
        chosen = places[-1]
    else:
        found = [one for one in places if one.name == name]
        if not found:
            names = ", ".join(one.name for one in places)
            raise NetError(f"no layer {name!r} with feature maps; choose one of {names}")
        chosen = found[0]
    if not chosen.maps.requires_grad:
        raise NetError(
            f"{chosen.name} computes without gradients, which Grad-CAM needs; remove no_grad or "
            "inference_mode from forward"
        )
    return chosen


def _check_target(target: int, probabilities: torch.Tensor) -> torch.Tensor:
    """Return the class for each image.

    Raises:
        NetError: The net has no such class.
        TypeError: It is not a whole number.
    """
    check_type(target, int, "the class to explain", "its number, like 3")
    n, classes = probabilities.shape
    if not 0 <= target < classes:
        raise NetError(f"no class {target}; the net has classes 0 to {classes - 1}")
    return torch.full((n,), target)


def _explain_classes(
    logits: torch.Tensor, layer: LayerMaps, classes: torch.Tensor, size: tuple[int, int]
) -> ClassMaps:
    """Return the Grad-CAM maps of one class for each image."""
    centered = logits - logits.mean(1, keepdim=True)
    score = centered.gather(1, classes.unsqueeze(1)).sum()
    (gradient,) = torch.autograd.grad(score, layer.maps, retain_graph=True, allow_unused=True)
    if gradient is None:
        raise NetError(f"the net's output does not depend on {layer.name}; choose another layer")
    weights = gradient.float().mean((2, 3), keepdim=True)
    evidence = (weights * layer.maps.detach().float()).sum(1, keepdim=True).relu()
    evidence = F.interpolate(evidence, size, mode="bilinear", align_corners=False)[:, 0]
    most = evidence.amax((1, 2), keepdim=True)
    return ClassMaps(classes, evidence / most.clamp_min(torch.finfo(torch.float32).tiny))
