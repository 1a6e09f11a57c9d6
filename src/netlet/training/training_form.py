"""The form in which a net is trained: itself, or with layers that fold into its own afterwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from netlet.data import Split
from netlet.errors import TrainingError, first_line
from netlet.evaluation import compute_logits
from netlet.graph import Graph, trace_graph
from netlet.graph.operations import BatchNorm, Convolution, Padding
from netlet.nets.copying import copy_net
from netlet.nets.eval_mode import eval_mode
from netlet.nets.isolation import Isolation
from netlet.nets.outputs import center_logits, extract_logits
from netlet.nets.registered import list_modules, own_parameters
from netlet.nets.shift_average import ShiftAverage
from netlet.recipes import Recipe
from netlet.training.folded_layers import ConvBranches, ExpandedConv, FoldedLayer, write_folded
from netlet.training.widened_net import WidenedNet, compute_within_widest

# Of the logits, relative to the largest; rounding in float32 alone stays below a hundredth of it.
_TOLERANCE, _FLOOR = 1e-3, 1e-5
_CHECKED_IMAGES = 64


@dataclass(frozen=True, eq=False)
class TrainingForm:
    """A net and the module that is trained in its place.

    Attributes:
        net: The net.
        trained: The module that is trained; the net itself if no layer is trained in another form.
        norms: For each convolution that is trained in another form, by its path, the path of the
            batch norm that is a part of that form; empty if there is none.
    """

    net: nn.Module
    trained: nn.Module
    norms: Mapping[str, str]

    @property
    def extra_parameters(self) -> int:
        """The parameters of the trained module; 0 if it is the net itself."""
        if self.trained is self.net:
            return 0
        return sum(parameter.numel() for parameter in self.trained.parameters())

    @torch.no_grad()
    def fold(self, trained: nn.Module) -> nn.Module:
        """Return the net with the weights of a trained module, computed in float64.

        Args:
            trained: A module like ``trained``, for instance its average.

        Returns:
            The net; the net within ``trained`` if it was trained within wider ones; ``trained``
            itself if no layer is trained in another form.
        """
        if isinstance(trained, WidenedNet):
            return trained.net
        if self.trained is self.net:
            return trained
        layers, own = dict(trained.named_modules()), dict(self.net.named_modules())
        written: set[int] = set()
        for path, norm_path in self.norms.items():
            layer, conv, norm = layers[path], own[path], own[norm_path] if norm_path else None
            assert isinstance(layer, FoldedLayer)
            assert isinstance(conv, nn.Conv2d)
            assert norm is None or isinstance(norm, nn.BatchNorm2d)
            write_folded(layer.fold(), conv, norm)
            if norm is not None and isinstance(layer, ConvBranches):
                _copy_counter(layer.norm, norm)
            written |= {id(tensor) for tensor in _tensors(conv).values()}
            written |= {id(tensor) for tensor in _tensors(norm).values()} if norm else set()
        values = _tensors(trained)
        for name, tensor in _tensors(self.net).items():
            if id(tensor) not in written:
                tensor.copy_(values[name])
        return self.net

    def finish(self, scored: nn.Module) -> None:
        """Give the net the weights of the module that was scored last, and no gradients."""
        self.net.load_state_dict(scored.state_dict())
        for parameter in self.net.parameters():
            parameter.grad = None

    def check(self, trained: nn.Module, split: Split, recipe: Recipe) -> None:
        """Compare the net, after :meth:`fold`, with the module whose weights it has.

        Args:
            trained: The module.
            split: Images, of which the first ones are compared.
            recipe: The recipe, which has mean and std of the input.

        Raises:
            TrainingError: Their logits differ by more than rounding.
        """
        if not self.norms:  # nothing was folded
            return
        device = split.labels.device
        few = split.take(torch.arange(min(_CHECKED_IMAGES, len(split)), device=device))
        wanted, found = (
            center_logits(compute_logits(module, few, recipe)) for module in (trained, self.net)
        )
        if (text := _describe_difference(wanted, found)) is not None:
            raise TrainingError(
                f"the net folded from train_as={recipe.train_as} differs from what was trained: "
                f"{text}; use train_as=net"
            )


def make_training_form(
    net: nn.Module, shape: Sequence[int], recipe: Recipe, generator: torch.Generator
) -> TrainingForm:
    """Return the form in which a recipe trains a net.

    It computes at first what the net computes, also if the net has been trained before.

    Args:
        net: The net, on any device. It is not changed.
        shape: The shape of one image, ``C H W``.
        recipe: The recipe, which says which form it is.
        generator: The source of the initial weights that the net does not have.

    Returns:
        The form; its module is on the CPU unless it is the net itself.

    Raises:
        TrainingError: A convolution cannot be trained in this form, or there is none to train so.
    """
    if recipe.train_as == "net":
        return TrainingForm(net, net, {})
    with Isolation(strict=True), torch.random.fork_rng(devices=[]):
        return _make_other_form(net, shape, recipe, generator)


def _make_other_form(
    net: nn.Module, shape: Sequence[int], recipe: Recipe, generator: torch.Generator
) -> TrainingForm:
    """Return a form with other layers than the net's; runs the code of the net."""
    name = type(net).__name__
    if recipe.train_as == "widened":
        return _make_widened_form(net, shape, recipe, generator)
    if recipe.train_as == "strided":
        if isinstance(net, ShiftAverage):
            return TrainingForm(net, net.copy_strided().cpu(), {})
        raise TrainingError(
            "train_as=strided is only for nets in one line with S, which average over shifts of "
            "the image; use train_as=net"
        )
    trained = copy_net(net).cpu()
    graph = trace_graph(copy_net(trained).eval(), shape)
    images = torch.randn(8, *shape, generator=torch.Generator().manual_seed(0))
    before = _run(trained, images)
    norms: dict[str, str] = {}
    for path, conv, norm_path in list(_find_convolutions(trained, graph, recipe)):
        if recipe.train_as == "expanded" and conv.groups > 1:
            continue  # to expand a depthwise convolution is to compute a whole one
        norm = trained.get_submodule(norm_path) if norm_path else None
        assert norm is None or isinstance(norm, nn.BatchNorm2d)
        if recipe.train_as == "branches":
            layer: FoldedLayer = ConvBranches(conv, norm, generator)
        else:
            layer = ExpandedConv(conv, recipe.expand_factor, generator)
        if sum(p.numel() for p in layer.parameters()) == _count_own(conv, norm):
            continue  # a 1x1 convolution that changes the number of channels has no other branch
        if norm is not None:  # first, since the layer has it, too
            _replace(trained, norm, nn.Identity())
        _replace(trained, conv, layer)
        norms[path] = norm_path
    if not norms:
        raise TrainingError(
            f"train_as={recipe.train_as} changes nothing in {name}: it has no convolution that can "
            "be trained so; use train_as=net"
        )
    _check_start(trained, images, before, recipe, name)
    return TrainingForm(net, trained, norms)


def _make_widened_form(
    net: nn.Module, shape: Sequence[int], recipe: Recipe, generator: torch.Generator
) -> TrainingForm:
    """Return a form in which wider nets train the weights of the net, too."""
    trained = WidenedNet(copy_net(net).cpu(), recipe.widen_factor, generator)
    images = torch.randn(8, *shape, generator=torch.Generator().manual_seed(0))
    try:
        reason = _describe_difference(*compute_within_widest(trained, images))
    except Exception as error:  # for instance of a net that is only for its number of channels
        reason = first_line(error)
    if reason is not None:
        raise TrainingError(
            f"train_as=widened is not possible for {type(net).__name__}, whose layers mix channels "
            f"in another way than by their weights ({reason}); use train_as=net"
        )
    return TrainingForm(net, trained, {})


def _find_convolutions(
    net: nn.Module, graph: Graph, recipe: Recipe
) -> Iterator[tuple[str, nn.Conv2d, str]]:
    """Yield the path of each convolution that runs, it, and the path of the norm to fold into it.

    Raises:
        TrainingError: One cannot be trained in another form.
    """
    modules = dict(list_modules(net))
    uses = Counter(id(tensor) for module in modules.values() for tensor in own_parameters(module))
    runs: dict[str, list[int]] = {}
    for number, node in enumerate(graph.nodes, start=1):
        runs.setdefault(node.path, []).append(number)
    for path, module in modules.items():
        if not isinstance(module, _ConvNd) or path not in runs:
            continue
        # PyTorch pads by an operation of its own before an even kernel.
        pads = Padding if module.padding == "same" else ()
        numbers = [n for n in runs[path] if not isinstance(graph.nodes[n - 1].operation, pads)]
        if reason := _why_not(path, module, graph, numbers, uses):
            raise TrainingError(
                f"train_as={recipe.train_as} is not possible for {path or 'a net of one layer'} "
                f"({type(module).__name__}), which {reason}; use train_as=net"
            )
        assert isinstance(module, nn.Conv2d)
        norm = _norm_after(graph, numbers, modules, runs, uses)
        yield path, module, norm if recipe.train_as == "branches" else ""


def _why_not(
    path: str, conv: _ConvNd, graph: Graph, numbers: Sequence[int], uses: Mapping[int, int]
) -> str:
    """Return why a convolution cannot be trained in another form; empty if it can."""
    if not path:
        return "has no net around it"
    if not isinstance(conv, nn.Conv2d):
        return "is not a Conv2d"
    if conv.padding_mode != "zeros":
        return f"pads with padding_mode={conv.padding_mode!r}"
    if conv._forward_hooks or conv._forward_pre_hooks:
        return "has hooks"
    operations = [graph.nodes[number - 1].operation for number in numbers]
    if not all(
        isinstance(one, Convolution) and one.weight.name == f"{path}.weight" for one in operations
    ):
        return "computes more than a convolution with its own weights"
    for tensor in own_parameters(conv):
        if uses[id(tensor)] > 1:
            return "shares its weights with another layer"
        if not tensor.requires_grad:
            return "has frozen weights"
        if tensor.dtype != torch.float32:
            return f"has weights in {str(tensor.dtype).removeprefix('torch.')}, not in float32"
    return ""


def _norm_after(
    graph: Graph,
    numbers: Sequence[int],
    modules: Mapping[str, nn.Module],
    runs: Mapping[str, Sequence[int]],
    uses: Mapping[int, int],
) -> str:
    """Return the path of the batch norm that alone reads a convolution; empty if there is none."""
    readers = graph.readers(numbers[0])
    if len(numbers) != 1 or len(readers) != 1 or numbers[0] == graph.output:
        return ""
    node = graph.nodes[readers[0] - 1]
    norm = modules.get(node.path)
    own = isinstance(node.operation, BatchNorm) and isinstance(norm, nn.BatchNorm2d)
    if not own or not isinstance(norm, nn.BatchNorm2d) or norm.running_mean is None:
        return ""
    alone = len(runs[node.path]) == 1 and not (norm._forward_hooks or norm._forward_pre_hooks)
    free = all(uses[id(one)] == 1 and one.requires_grad for one in own_parameters(norm))
    return node.path if alone and free else ""


def _check_start(
    trained: nn.Module, images: torch.Tensor, before: torch.Tensor, recipe: Recipe, name: str
) -> None:
    """Check that a module with other layers runs all of them, and computes what the net computes.

    A net may read a layer in another way than by calling it.
    """
    layers = {m: path for path, m in trained.named_modules() if isinstance(m, FoldedLayer)}
    missed = dict(layers)

    def note(layer: nn.Module, *_: object) -> None:
        missed.pop(layer, None)  # type: ignore[call-overload]

    hooks = [layer.register_forward_hook(note) for layer in layers]
    reason = None
    try:
        reason = _describe_difference(before, _run(trained, images))
    except Exception as error:  # the code of the net is anybody's
        reason = first_line(error)
    finally:
        for hook in hooks:
            hook.remove()
    if reason is None and missed:
        reason = f"{next(iter(missed.values()))} does not run"
    if reason is not None:
        raise TrainingError(
            f"train_as={recipe.train_as} is not possible for {name}, whose forward uses a layer in "
            f"another way than calling it ({reason}); use train_as=net"
        )


def _run(net: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return the centered logits of a net on the CPU in evaluation mode."""
    with eval_mode(net), torch.no_grad():
        return center_logits(extract_logits(net(images)).float())


def _describe_difference(wanted: torch.Tensor, found: torch.Tensor) -> str | None:
    """Return by how much logits differ; None if by rounding only."""
    if wanted.shape != found.shape:
        return "the logits have another shape"
    limit = _TOLERANCE * float(wanted.abs().max()) + _FLOOR
    difference = float((found - wanted).abs().max())
    if difference <= limit:
        return None
    return f"the logits differ by {difference:.2g} (limit {limit:.2g})"


def _replace(net: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put a module wherever another one is registered."""
    for module in list(net.modules()):
        for name, child in module._modules.items():
            if child is old:
                module._modules[name] = new


def _count_own(conv: nn.Module, norm: nn.Module | None) -> int:
    return sum(p.numel() for module in (conv, norm) if module for p in module.parameters())


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _copy_counter(trained: nn.BatchNorm2d | None, norm: nn.BatchNorm2d) -> None:
    counter = None if trained is None else trained.num_batches_tracked
    if counter is not None and norm.num_batches_tracked is not None:
        norm.num_batches_tracked.copy_(counter)
