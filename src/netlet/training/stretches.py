"""Keep track of which process trained which epochs of a run, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from netlet.errors import warn
from netlet.records import Stretch
from netlet.records.environments import find_differences

if TYPE_CHECKING:
    from netlet.records.values import Environment


class Stretches:
    """The stretches of a run.

    Args:
        before: The stretches of earlier processes, if the run is resumed.
    """

    def __init__(self, before: Sequence[Stretch] = ()) -> None:
        self._before = tuple(before)
        self._backend = ""
        self._environment: Mapping[str, Any] = {}

    def begin(self, backend: str, environment: Mapping[str, Any]) -> None:
        """Begin the stretch of this process; warn if it may compute other bits than the last one.

        Args:
            backend: The name of the backend that computes the training steps.
            environment: The environment of this process.
        """
        self._backend, self._environment = backend, environment
        if self._before:
            self._warn(self._before[-1])

    def until(self, epoch: int) -> tuple[Stretch, ...]:
        """Return the stretches after an epoch, including that of this process.

        Args:
            epoch: The last one that is complete; 0 before the first.
        """
        first = self._before[-1].last_epoch + 1 if self._before else 1
        if epoch < first:
            return self._before
        environment = cast("Environment", self._environment)
        return (*self._before, Stretch(first, epoch, self._backend, environment))

    def _warn(self, last: Stretch) -> None:
        if not last.environment:
            message = (
                f"the checkpoint does not say what trained epochs {last.first_epoch} to "
                f"{last.last_epoch}, because an older version of netlet wrote it"
            )
        else:
            differences = find_differences(
                {**last.environment, "backend": last.backend},
                {**self._environment, "backend": self._backend},
            )
            if not differences:
                return
            message = f"resumed with {', '.join(differences)}"
        warn(
            f"{message}: the result may differ in the last bits from an uninterrupted run; the "
            "record lists the epochs of each"
        )
