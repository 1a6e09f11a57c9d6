"""The exceptions and warnings of netlet.

A message is one line that says what is wrong, the value, and the remedy. The command line prints
it unchanged.
"""

import contextlib
import difflib
import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_R = TypeVar("_R")


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return ``did you mean 'swift'? `` if a known name is similar, else an empty string.

    Args:
        name: The unknown name; upper and lower case are treated alike.
        known: The known names.
    """
    by_lower = {other.lower(): other for other in known}
    close = difflib.get_close_matches(name.lower(), by_lower, n=1)
    return f"did you mean {by_lower[close[0]]!r}? " if close else ""


def first_line(error: BaseException, otherwise: str = "") -> str:
    """Return the first line of an error's message that says something, without terminal colors.

    Args:
        error: Any exception; those of libraries may have no message, or pages of it.
        otherwise: For an error without a message; by default the name of its type.
    """
    import re  # not needed by ``import netlet``, which should be quick

    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if line), otherwise or type(error).__name__)


def install_hint(extra: str) -> str:
    """Return how to install an optional group of packages (netlet is not on the package index).

    Args:
        extra: A key of ``optional-dependencies`` in pyproject.toml, such as ``report``.
    """
    import importlib.metadata  # takes as long to import as everything else here
    import re
    import shlex

    try:
        needed = importlib.metadata.requires("netlet") or []
    except importlib.metadata.PackageNotFoundError:
        needed = []
    packages = [
        requirement.partition(";")[0].strip()
        for requirement in needed
        if re.search(rf"extra == ['\"]{extra}['\"]", requirement)
    ]
    in_checkout = f"run pip install '.[{extra}]' in a checkout of netlet"
    if not packages:
        return in_checkout
    return f"{in_checkout}, or pip install {' '.join(map(shlex.quote, packages))}"


def check_type(value: object, kind: type | tuple[type, ...], what: str, remedy: str) -> None:
    """Check the type of an argument of the Python API.

    Args:
        value: The argument.
        kind: The type that is expected, or several. True and False do not count as numbers.
        what: The argument, as its function calls it.
        remedy: The text that says what to pass, with an example.

    Raises:
        TypeError: The argument is of another type.
    """
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        raise TypeError(f"{what} is of the type {type(value).__name__}; pass {remedy}")


# What an argument of the Python API is called, and what to pass, by the name of its type.
_ARGUMENTS = {
    "Module": ("the net", "a net, like netlet.build(Net, seed=0)"),
    "Budget": ("the budget", "a netlet.Budget, like Budget(params_below=8000)"),
    "Recipe": ("the recipe", "a netlet.Recipe, like netlet.find_recipe('quick')"),
    "Dataset": (
        "the data set",
        "a data set, like netlet.data.load('mnist'), or your own tensors as netlet.data.Dataset("
        "name, Split('train', images, labels), Split('test', images, labels), class_names)",
    ),
    "Split": ("the split", "a split, like netlet.data.load('mnist').held_out"),
    "RunConfig": (
        "the configuration",
        "what netlet.experiments.configure_run(experiment, data) returns",
    ),
    "Run": ("the run", "what netlet.fit(...) or netlet.load_run(...) returns"),
    "Study": ("the study", "what netlet.load_study(...) returns"),
    "TrainedNet": (
        "the net",
        "a trained net, like netlet.experiments.TrainedNet.from_run(run, net)",
    ),
    "TracedModel": ("the model", "what netlet.export.trace_model(trained) returns"),
}
# How to get a value from its name.
_FROM_NAME = {
    "Module": "netlet.build(netlet.nets.find_net({}).builder, seed=0)",
    "Budget": "netlet.find_budget({})",
    "Recipe": "netlet.find_recipe({})",
    "Dataset": "netlet.data.load({})",
    "Split": "netlet.data.load({}).held_out",
    "Run": "netlet.load_run({})",
    "Study": "netlet.find_study({})",
}
# How to get a value from another that is often passed instead, by the names of both types.
_FROM_VALUE = {
    ("Study", "Run"): "netlet.Study.from_runs([run])",
    ("Recipe", "dict"): "netlet.recipes.recipe_from_json(run.recipe)",
    ("Recipe", "Experiment"): "experiment.recipe",
}
_LONGEST_NAME = 80  # characters of a name that a message repeats


def check_argument(value: object, kind: type, *, optional: bool = False) -> None:
    """Check that an argument of the Python API is a net, a budget, a recipe, ... and not its name.

    Args:
        value: The argument.
        kind: One of the types that netlet's functions take most: ``torch.nn.Module``, ``Budget``,
            ``Recipe``, ``Dataset``, ``Split``, ``RunConfig``, ``Run``, ``Study``, ``TrainedNet``,
            ``TracedModel``.
        optional: Whether it may be None.

    Raises:
        TypeError: It is something else; the message says how to get a value of the type.
    """
    if isinstance(value, kind) or (optional and value is None):
        return
    what, remedy = _ARGUMENTS[kind.__name__]
    if isinstance(value, str | os.PathLike) and kind.__name__ in _FROM_NAME:
        name = os.fspath(value)
        if len(name) <= _LONGEST_NAME:
            remedy = _FROM_NAME[kind.__name__].format(repr(name))
    elif kind.__name__ == "Module" and isinstance(value, type | FunctionType):
        sort, name = "class" if isinstance(value, type) else "function", ascii(value.__name__)[1:-1]
        raise TypeError(f"the net is the {sort} {name}; pass netlet.build({name}, seed=0)")
    elif isinstance(value, type):
        name = ascii(value.__name__)[1:-1]
        raise TypeError(f"{what} is the class {name}; pass {remedy}")
    elif (kind.__name__, type(value).__name__) in _FROM_VALUE:
        remedy = _FROM_VALUE[kind.__name__, type(value).__name__]
    check_type(value, kind, what, remedy)


def check_order(call: str, *arguments: tuple[object, type]) -> None:
    """Check that arguments of the Python API are not those of the right types in another order.

    Args:
        call: The right call, for the message.
        arguments: Each argument with its type.

    Raises:
        TypeError: The arguments would fit in another order.
    """
    fits = [isinstance(value, kind) for value, kind in arguments]
    others = [any(isinstance(value, other) for _, other in arguments) for value, _ in arguments]
    kinds = {next((k for _, k in arguments if isinstance(v, k)), None) for v, _ in arguments}
    if not all(fits) and all(others) and len(kinds) == len(arguments):
        raise TypeError(f"the arguments are in another order; write {call}")


def shows_call(call: str) -> Callable[[Callable[_P, _R]], Callable[_P, _R]]:
    """Return a decorator for functions of the Python API that take several arguments.

    Where one is missing or unknown, the message of Python's ``TypeError`` gets the right call.

    Args:
        call: The right call.
    """

    def decorate(function: Callable[_P, _R]) -> Callable[_P, _R]:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args: _P.args, **kwargs: _P.kwargs) -> _R:
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                raise TypeError(f"{function.__name__}(): {error}; write {call}") from None
            return function(*args, **kwargs)

        return checked

    return decorate


class NetletError(Exception):
    """An error that the user can fix; its message says how."""


class BudgetError(NetletError):
    """An invalid budget: an unknown name, a limit out of range, or contradictory limits."""


class RecipeError(NetletError):
    """An invalid recipe: an unknown name or field, or a value out of range."""


class DataError(NetletError):
    """A data set that is missing, damaged, or does not match its checksums."""


class TooFewImagesError(DataError):
    """A data set has too few images to calibrate a net's confidence on."""


class MissingDataError(DataError):
    """A data set that is not on this machine and could not be downloaded."""


class NetError(NetletError):
    """A net that cannot be found, built or run, or weights that do not fit it."""


class TrainingError(NetletError):
    """A training run that cannot start or continue."""


class RecordError(NetletError):
    """A record that is missing, damaged or of another kind."""


class DamagedRecordError(RecordError):
    """A record that cannot be read, has another form than netlet writes, or contradicts itself."""


class SearchError(NetletError):
    """A search file that is missing or invalid, or a search that cannot go on."""


class LadderError(NetletError):
    """A ladder that is missing, incomplete or not trained yet."""


class RepositoryError(NetletError):
    """A ``netlet.toml`` that is not valid, or a repository that cannot be set up."""


class OutputError(NetletError):
    """An output file that cannot be written."""


class LockedError(NetletError):
    """A folder or file that another process is writing to."""


class ReportError(NetletError):
    """A report that cannot be drawn or written."""


class ExportError(NetletError):
    """A net that cannot be exported, or an export whose outputs differ from the net's."""


class SandboxError(NetletError):
    """Untrusted code that was stopped or gave no answer, or a sandbox that is missing.

    Args:
        message: What happened, and the remedy.
        reason: What stopped it: ``missing``, ``time``, ``memory``, ``machine`` (it has too little
            memory), ``processes``, ``output``, ``ended``, ``spoiled``, ``stopped`` (from outside)
            or ``failed``.
    """

    def __init__(self, message: str, reason: str = "failed") -> None:
        super().__init__(message)
        self.reason = reason


class GradingError(NetletError):
    """A submission that cannot be judged, or a roster or folder of submissions that is wrong."""


class NetletWarning(UserWarning):
    """Something that a person should know, though the command goes on; one line."""


class DefinitionsWarning(NetletWarning):
    """A name of a net has several definitions, of which one counts."""


class NetletDeprecationWarning(DeprecationWarning):
    """A name of an earlier version that still works, but will be removed."""


def is_library_file(path: str) -> bool:
    """Return whether a file, such as the one that a warning names, is a part of netlet or torch."""
    packages = (sys.modules.get(name) for name in ("netlet", "torch"))
    files = (getattr(package, "__file__", None) for package in packages)
    return any(file and path.startswith(os.path.dirname(file) + os.sep) for file in files)


def warn(text: str, category: type[Warning] = NetletWarning) -> None:
    """Warn with the line of the code that called netlet, and not with one of netlet's own.

    Args:
        text: The warning, in one line.
        category: The class of the warning.
    """
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and _is_below_netlet(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level)


def _is_below_netlet(path: str) -> bool:
    """Return whether code of this file may lie between a warning and the caller of netlet."""
    return is_library_file(path) or path == contextlib.__file__


def warn_of_but(kind: str) -> None:
    """Warn that ``but`` is called ``replace`` now.

    Args:
        kind: The class whose method it is.
    """
    warn(
        f"{kind}.but is now called {kind}.replace; the old name will stop working in 0.3",
        NetletDeprecationWarning,
    )
