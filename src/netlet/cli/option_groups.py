"""Options that belong together: one parameter of a command, and several on the command line."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_type_hints

from netlet.cli.options import Mean, On, Std, Trust, Weights, Workers, WorkerThreads
from netlet.cli.settings import prepare_workers
from netlet.processor_load import cpu_cores
from netlet.records import locate_weights

if TYPE_CHECKING:
    from netlet.experiments import TrainedNet

_F = TypeVar("_F", bound=Callable[..., object])


@dataclass(frozen=True)
class WeightOptions:
    """The weights that a command uses with NET, and how images are normalized for them."""

    weights: Weights = None
    trust: Trust = False
    mean: Mean = None
    std: Std = None

    def load(self, net: str, **images: Any) -> TrainedNet:
        """Return a net with its weights.

        Args:
            net: NET as given on the command line.
            images: ``shape`` and ``class_names`` of ``load_trained_net``, if it is not a run.

        Raises:
            NetletError: There is no such net or run, or the weights cannot be loaded.
        """
        from netlet.experiments import load_trained_net

        place, of_images = locate_weights(net), {"mean": self.mean, "std": self.std, **images}
        return load_trained_net(place, self.weights, trust=self.trust, **of_images)

    @property
    def given(self) -> bool:
        """Whether weights or a normalization other than the usual ones were named."""
        return bool(self.weights) or self.mean is not None or self.std is not None


OWN_WEIGHTS = WeightOptions()  # those of NET itself


@dataclass(frozen=True)
class WorkerOptions:
    """Where a command trains several nets, and how many at the same time."""

    workers: Workers = None
    threads: WorkerThreads = None
    on: On = None

    def prepare(self) -> None:
        """Begin to import what worker processes need; see :func:`prepare_workers`."""
        prepare_workers(self.on)

    def check(self) -> None:
        """Check that there is such a place.

        Raises:
            TrainingError: There is none, or the packages that it needs are missing.
        """
        from netlet.experiments.execution import check_executor

        check_executor(self.on)

    @property
    def count(self) -> int | None:
        """The number of workers that is asked for; None: as many as are fastest."""
        here = self.on in (None, "local")
        return self.workers or (cpu_cores() if self.threads and here else None)

    @property
    def threads_of_each(self) -> int:
        """The number of CPU threads of each worker."""
        return self.threads or 1


LOCAL_WORKERS = WorkerOptions()  # processes of this machine


def expand_groups(command: _F) -> _F:
    """Return a command with the fields of its option groups as parameters of their own.

    Args:
        command: A function. Parameters whose default is a dataclass are groups; the fields of that
            class are annotated as parameters of a command are.
    """
    signature = inspect.signature(command)
    groups = {p.name: type(p.default) for p in signature.parameters.values() if _is_group(p)}
    if not groups:
        return command
    hints = get_type_hints(command, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name in groups:
            parameters += _list_fields(groups[parameter.name])
        else:
            parameters.append(parameter.replace(annotation=hints[parameter.name]))

    @functools.wraps(command)
    def expanded(**values: Any) -> object:
        for name, group in groups.items():
            values[name] = group(**{one.name: values.pop(one.name) for one in fields(group)})
        return command(**values)

    # Both are read by typer.
    expanded.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    expanded.__annotations__ = {one.name: one.annotation for one in parameters}
    return cast("_F", expanded)


def _is_group(parameter: inspect.Parameter) -> bool:
    return is_dataclass(parameter.default) and not isinstance(parameter.default, type)


def _list_fields(group: type[Any]) -> list[inspect.Parameter]:
    """Return the fields of a group as parameters."""
    hints = get_type_hints(group, include_extras=True)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    return [
        inspect.Parameter(one.name, kind, default=one.default, annotation=hints[one.name])
        for one in fields(group)
    ]
