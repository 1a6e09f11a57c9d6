"""Run a search: load its images, learn from the trials that its file records, run more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from netlet.data import Dataset, load
from netlet.errors import warn
from netlet.experiments.execution import open_executor
from netlet.experiments.execution.net_files import NetFiles, pack_net
from netlet.experiments.search.comparison import ArmRuns, Comparison, check_forms
from netlet.experiments.search.contrasts import ArmResult, compare_arms
from netlet.experiments.search.engine import OnTrialEvent, Setting, TrialEvent, run_trials
from netlet.experiments.search.fitting import Images
from netlet.experiments.search.space import Space, check_search
from netlet.experiments.search.trials import FAILED, read_results, remove_unfinished_line
from netlet.locks import lock_file
from netlet.nets import full_address
from netlet.processor_load import cpu_cores
from netlet.text import count_noun

if TYPE_CHECKING:
    from netlet.experiments.search.sampler import Sampler

_MANY = 1 << 40  # trials: more than any comparison has


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """What a search has led to.

    Attributes:
        lines: The trials of this call, in the order in which they ended.
        known: The trials that the file held before and that are of the same search.
        unusable: The number of lines before that are of another search, or damaged. Runs of an arm
            that failed are not among them.
        arms: The results of the arms of a comparison that have run.
    """

    lines: tuple[Mapping[str, Any], ...]
    known: tuple[Mapping[str, Any], ...] = ()
    unusable: int = 0
    arms: tuple[ArmResult, ...] = ()


def run_search(
    search: Space | Comparison,
    path: Path,
    trials: int | None,
    workers: int | None,
    on_event: OnTrialEvent = lambda _: None,
    *,
    on_known: Callable[[Sequence[Mapping[str, Any]]], None] = lambda _: None,
    resume: bool = False,
    data: Dataset | None = None,
    data_folder: Path | None = None,
    trust: bool = False,
    on: str | None = None,
    executor: Executor | None = None,
    say: Callable[[str], None] | None = None,
) -> SearchResult:
    """Run trials of a search; those that the file holds already count.

    Each trial trains on all parts of the training images but one, and is scored on that one. The
    test images are never read. The sampler of a space learns from the trials in the file; the runs
    of a comparison that are in the file are not run again.

    Args:
        search: The space to choose from, or the arms to compare.
        path: The file to which a line of JSON is added for each trial, when it ends.
        trials: How many to run; None: all runs of a comparison.
        workers: How many run at the same time, each on one thread; None: one for each CPU core, or
            as many as the cluster has room for.
        on_event: A function that is called for each event of each trial.
        on_known: A function that is called with the trials of this search in the file.
        resume: Whether ``trials`` counts those that the file holds already, so that only the rest
            is run.
        data: The images, loaded without the test images; None: load them by the search's name.
        data_folder: The folder with the files of a public data set; searched for if None.
        trust: Whether to run code that the search names, like ``file.py:Name``.
        on: Where trials run; None: in processes of this machine (see
            :func:`netlet.experiments.execution.open_executor`).
        executor: Runs the trials instead; any executor of ``concurrent.futures``.
        say: A function that is called with each line about the executor that a person should read.

    Raises:
        LockedError: Another search adds to the file.
        RecordError: The file holds something else than trials.
        OutputError: The file cannot be written; trials that were finished before are in it.
        SearchError: No net of a shape fits the budget, the net of an arm cannot be trained as its
            recipe says, or several trials in a row have failed.
        DataError: The data set is missing, or has too few images for the folds.
    """
    with lock_file(path, "netlet search"):
        remove_unfinished_line(path)
        known = read_results(path)
        data = data or load(search.dataset, data_folder, read_test=False)
        data.hold_out_fold(0, search.folds)
        data = data.before_hold_out or data  # workers hold folds out of all training images
        images = Images(data.shape, data.classes)
        check_search(search, images, trust=trust)
        if isinstance(search, Comparison):
            check_forms(search, images, trust=trust)
        policy = _make_policy(search, images, data.digest, known)
        on_known(policy.known)
        left = _MANY if trials is None else trials
        policy.left = max(0, left - len(policy.known)) if resume else left
        codes = {net: pack_net(full_address(net)) for net in search.nets}
        _warn_of_other_code(search, policy.known, codes)
        lines: list[Mapping[str, Any]] = []

        def keep(event: TrialEvent) -> None:
            if event.line is not None:
                lines.append(event.line)
            on_event(event)

        with ExitStack() as stack:
            if policy.left:
                executor = executor or stack.enter_context(open_executor(on, workers, say=say))
                setting = Setting(
                    name=search.name,
                    path=path,
                    workers=workers or getattr(executor, "capacity", None) or cpu_cores(),
                    data=data,
                    data_folder=str(data_folder.resolve()) if data_folder else None,
                    codes=codes,
                    trust=trust,
                )
                run_trials(policy, setting, executor, keep)
    arms: list[ArmResult] = []
    if isinstance(search, Comparison) and isinstance(policy, ArmRuns):
        arms = compare_arms(search, policy)
    return SearchResult(
        lines=tuple(lines),
        known=tuple(policy.known),
        unusable=sum(line.get("state") != FAILED for line in known if line not in policy.known),
        arms=tuple(arms),
    )


def _warn_of_other_code(
    search: Space | Comparison,
    known: Sequence[Mapping[str, Any]],
    codes: Mapping[str, NetFiles | None],
) -> None:
    """Warn if the code of a net has changed since recorded trials of it.

    They count: who edits a comment does not want to lose hours of training.
    """
    nets = {arm.name: arm.net for arm in search.arms} if isinstance(search, Comparison) else {}
    others = Counter[str]()
    for line in known:
        net = nets.get(str(line.get("arm")), str(line["net"]))
        code, digest = codes.get(net), line.get("source_digest")
        if code is not None and digest not in (None, code.digest):
            others[net] += 1
    for net, number in others.items():
        warn(
            f"{net}: the code has changed since {count_noun(number, 'recorded trial')}, which the "
            "search still uses; if the change affects the net, pass another file with --out"
        )


def _make_policy(
    search: Space | Comparison, images: Images, digest: str, known: list[dict[str, Any]]
) -> Sampler | ArmRuns:
    if isinstance(search, Comparison):
        return ArmRuns(search, images, digest, known)
    from netlet.experiments.search.sampler import Sampler  # needs the extra

    return Sampler(search, images, digest, known)
