"""Watch a net change to evaluation mode, in which some nets compute weights and keep them.

A block with several branches may merge their kernels in ``train(False)``, and convolve with the
merged kernel until ``train(True)`` drops it. What such a kernel is computed from shows only there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from netlet.analysis.provenance import Provenance
from netlet.graph.call import bind_arguments
from netlet.graph.tensors import address, lies_in, list_tensors, memory_key
from netlet.nets.compiled_nets import is_exported
from netlet.nets.registered import list_modules, list_parameters

_PLACE = "(net)"


@dataclass(frozen=True)
class ModeSwitch:
    """What a net did when it changed to training mode and back; empty if it has no code for that.

    Attributes:
        read: The addresses of all tensors that were read.
        before: The parameters that were registered before, by name.
        in_training: Those that were registered in training mode, by name.
        modules: Those that were registered in training mode, with their paths.
    """

    read: frozenset[int | None] = frozenset()
    before: Mapping[str, torch.Tensor] = field(default_factory=dict)
    in_training: Mapping[str, torch.Tensor] = field(default_factory=dict)
    modules: Sequence[tuple[str, nn.Module]] = ()

    def find_made(self, net: nn.Module) -> dict[str, torch.Tensor]:
        """Return the registered parameters of a net that it has made anew for evaluation.

        They are as good as any other tensor: what they were computed from counts.

        Args:
            net: In evaluation mode.
        """
        if not self.modules:
            return {}
        lasting = [*self.before.values(), *self.in_training.values()]
        with torch._C.DisableTorchFunction():  # which a parameter of a lazy layer does not allow
            known = {*map(id, lasting), *map(memory_key, lasting)}
            return {
                name: parameter
                for name, parameter in list_parameters(net)
                if id(parameter) not in known
                # Its memory may have been another parameter's, of which it need not be a view.
                and (memory_key(parameter) not in known or self._is_view(name, parameter))
            }

    def _is_view(self, name: str, parameter: torch.Tensor) -> bool:
        """Return whether a parameter only has numbers of one that counts by another name."""
        both = (*self.before.items(), *self.in_training.items())
        return any(other != name and lies_in(parameter, tensor) for other, tensor in both)

    def find_own(
        self, net: nn.Module, made: Mapping[str, torch.Tensor], read: Set[int]
    ) -> list[torch.Tensor]:
        """Return the parameters of training that count as the net's own.

        Not one that evaluation uses together with another one that has its name then: only one of
        them is trained, and one counts by that name.

        Args:
            net: In evaluation mode.
            made: The parameters that it has made for that.
            read: The ids of the tensors that it uses.
        """
        now = {name: p for name, p in list_parameters(net) if name not in made and id(p) in read}
        return [p for name, p in self.in_training.items() if now.get(name, p) is p]

    def find_replaced(
        self, made: Mapping[str, torch.Tensor], read: Set[int]
    ) -> dict[str, torch.Tensor]:
        """Return the parameters of training that evaluation uses to make one of the same name.

        Args:
            made: The parameters that the net has made for evaluation.
            read: The ids of the tensors whose numbers it uses then.
        """
        found = self.in_training.items()
        return {name: p for name, p in found if name in made and id(p) in read}

    def list_lasting(
        self, made: Mapping[str, torch.Tensor], read: Set[int]
    ) -> list[tuple[str, torch.Tensor]]:
        """Return the parameters of either mode with their names, without those made for a run.

        Args:
            made: The parameters that the net has made for evaluation.
            read: The ids of the tensors whose numbers it uses then.
        """
        both = (*self.before.items(), *self.in_training.items())
        lasting = [(name, tensor) for name, tensor in both if name not in made]
        return lasting + list(self.find_replaced(made, read).items())


def enter_evaluation(net: nn.Module, provenance: Provenance) -> ModeSwitch:
    """Put a net in evaluation mode into training mode and back, if it has code for that.

    Args:
        net: In evaluation mode.
        provenance: Of the run that follows; it follows what the net computes here.
    """
    if is_exported(net) or not any(map(_has_own_switch, (m for _, m in list_modules(net)))):
        return ModeSwitch()
    before = dict(list_parameters(net))
    with _SwitchMode(provenance) as mode:
        net.train()
        in_training, modules = dict(list_parameters(net)), list_modules(net)
        net.eval()
    return ModeSwitch(frozenset(mode.read), before, in_training, modules)


def _has_own_switch(module: nn.Module) -> bool:
    own = type(module)
    return own.train is not nn.Module.train or own.eval is not nn.Module.eval


class _SwitchMode(TorchDispatchMode):
    """Shows all operations to a provenance.

    Attributes:
        read: Addresses of all tensors that they read.
    """

    def __init__(self, provenance: Provenance) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.read: set[int | None] = set()
        self._provenance = provenance

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # PyTorch calls this; True would import its compiler, which takes a second

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self._provenance.prepare(func, args, kwargs, _PLACE)
        out = func(*args, **kwargs)
        self._provenance.observe(func, args, kwargs, out, _PLACE)
        self.read.update(map(address, list_tensors(bind_arguments(func, args, kwargs))))
        return out
