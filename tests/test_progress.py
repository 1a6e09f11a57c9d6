"""Progress bars of the Python API: where they appear, what they show, and that they always end."""

from __future__ import annotations

import io
import sys
import types
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from torch import nn
from tqdm import tqdm

import netlet
from netlet import progress
from netlet.cli.progress import WorkerLines, show_workers
from netlet.data import Dataset
from netlet.errors import TrainingError
from netlet.experiments import WorkerEvent
from netlet.experiments.progress import show_seeds
from netlet.recipes import Recipe
from netlet.training import Callback, Checkpoint, fit

FAST = Recipe(epochs=3, batch_size=50, peak_lr=0.02)


class Terminal:
    """A terminal on stderr, outside CI."""

    def __init__(self, capture: pytest.CaptureFixture[str]) -> None:
        self._capture = capture

    def read(self) -> str:
        """Return what was written since the last call; carriage returns end lines, too."""
        out, err = self._capture.readouterr()
        assert not out
        return err.replace("\r", "\n")


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(progress, "is_terminal", lambda: True)
    return Terminal(capsys)


def flat_net() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))


def kernel(app: str) -> types.ModuleType:
    """Return an IPython whose shell was started by an application."""
    module = types.ModuleType("IPython")
    shell = types.SimpleNamespace(config={app: {}})
    module.get_ipython = lambda: shell  # type: ignore[attr-defined]
    return module


def test_fit_shows_a_bar_in_a_terminal_and_a_line_at_the_end(
    blob_data: Dataset, terminal: Terminal
) -> None:
    run = fit(flat_net(), blob_data, FAST, budget=netlet.Budget(name="tiny", params_below=9))
    shown = terminal.read()
    for epoch in (1, 2, 3):
        assert f"epoch {epoch}/3: " in shown
    first = run.epochs[0]
    assert f"loss {first.train_loss:.4f}, test {first.held_out.percent:.2f}%" in shown
    assert "img/s" in shown  # beside it the time left
    last = shown.splitlines()[-1]
    assert last.startswith("trained Sequential for 3 epochs in ")
    assert last.endswith(f": {run.last_epoch.score}; budget tiny: FAIL")

    nameless = fit(flat_net(), blob_data, FAST, budget=netlet.Budget(params_below=9))
    last = terminal.read().splitlines()[-1]
    assert last.endswith(f": {nameless.last_epoch.score}; budget: FAIL")


def test_fit_is_silent_where_nobody_watches(
    blob_data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    fit(flat_net(), blob_data, FAST)
    assert capsys.readouterr() == ("", "")


def test_ci_counts_as_nobody_though_it_may_have_a_terminal(
    blob_data: Dataset, terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    fit(flat_net(), blob_data, FAST)
    assert not terminal.read()
    monkeypatch.setenv("CI", "false")
    assert progress.is_watched()


def test_the_caller_decides(blob_data: Dataset, terminal: Terminal) -> None:
    fit(flat_net(), blob_data, FAST, progress=False)
    assert not terminal.read()


def test_a_file_gets_a_few_lines_on_request(
    blob_data: Dataset, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        file = io.StringIO()
        patch.setattr(sys, "stderr", file)
        fit(flat_net(), blob_data, FAST, progress=True)
        patch.setattr(sys, "stderr", None)  # closed
        fit(flat_net(), blob_data, FAST, progress=True)
    assert "trained Sequential" in file.getvalue()
    assert len(file.getvalue()) < 2_000  # a file gets no animation
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("module", "notebook"),
    [(None, False), (kernel("TerminalIPythonApp"), False), (kernel("IPKernelApp"), True)],
)
def test_a_notebook_is_recognized_by_its_kernel(
    module: types.ModuleType | None, notebook: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setitem(sys.modules, "IPython", module)
    assert progress.is_notebook() is notebook
    assert progress.is_watched() is notebook  # stderr is not a terminal here


def test_the_last_line_of_a_notebook_goes_to_its_cell(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "IPython", kernel("IPKernelApp"))
    progress.show_line("trained a\x1b[2Jb")
    assert capsys.readouterr() == ("trained a\\x1b[2Jb\n", "")


def test_the_bar_has_the_held_out_split_and_harmless_names(
    blob_data: Dataset, terminal: Terminal
) -> None:
    fit(flat_net(), blob_data, FAST, val=60, name="evil\x1b[31m\n")
    shown = terminal.read()
    assert ", val " in shown
    assert "evil\\x1b[31m\\n" in shown
    assert "\x1b[31m" not in shown


class FailsAfter(Callback):
    def __init__(self, epochs: int, error: BaseException) -> None:
        self.left, self.error = epochs, error
        self.checkpoint: Checkpoint | None = None

    def on_checkpoint(self, checkpoint: Checkpoint) -> None:
        self.checkpoint = checkpoint
        self.left -= 1
        if self.left < 0:
            raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), TrainingError("no")])
def test_an_interrupted_training_says_how_far_it_came_and_resumes_its_bar(
    blob_data: Dataset, terminal: Terminal, error: BaseException
) -> None:
    stops = FailsAfter(2, error)
    with pytest.raises(type(error)):
        fit(flat_net(), blob_data, FAST, callbacks=[stops])
    shown = terminal.read()
    assert shown.splitlines()[-1] == "training Sequential stopped after 2 of 3 epochs"
    fit(flat_net(), blob_data, FAST, resume=stops.checkpoint)
    shown = terminal.read()
    assert "epoch 3/3" in shown
    assert "epoch 1/3" not in shown
    assert "trained Sequential for 3 epochs" in shown


def test_a_training_that_never_started_shows_no_bar(blob_data: Dataset, terminal: Terminal) -> None:
    with pytest.raises(TrainingError):
        fit(nn.Sequential(nn.AvgPool2d(28), nn.Flatten()), blob_data, FAST)
    assert not terminal.read()


def test_a_study_shows_a_bar_over_its_seeds(terminal: Terminal) -> None:
    with show_seeds("swift", 4, 3, None) as bar:
        assert bar is not None
        bar(WorkerEvent(0, 1, 0, 2))
        bar(WorkerEvent(1, 2, 1, 2, "98 of 100 test images (98.00%)"))
        bar(WorkerEvent(0, 1, 2, 2, "99 of 100 test images (99.00%)", finished=True))
        bar(WorkerEvent(1, 2, error="its process died\x1b[2J"))
        bar(WorkerEvent(0, 3, 2, 2, "97 of 100 test images (97.00%)", finished=True))
    shown = terminal.read()
    assert "study swift: 1 of 4 seeds finished:   0%" in shown
    assert "\x1b[2J" not in shown
    last = shown.splitlines()[-1]
    assert last == "study swift: 3 of 4 seeds finished, 1 failed"


class Screen(io.StringIO):
    """A terminal as a stream."""

    def isatty(self) -> bool:
        return True


STUDY_EVENTS = (
    WorkerEvent(0, 1, 0, 2),
    WorkerEvent(1, 2, 0, 2, epoch_share=0.4, loss=0.12346),
    WorkerEvent(1, 2, 1, 2, "98 of 100 test images (98.00%)"),
    WorkerEvent(1, 2, 1, 2, "98 of 100 test images (98.00%)", epoch_share=0.5, loss=0.1),
    WorkerEvent(0, 1, 2, 2, "99 of 100 test images (99.00%)", finished=True),
    WorkerEvent(1, 2, error="its process died\x1b[2J"),
)


def watch_study(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(sys, "stderr", stream)
    lines = WorkerLines()
    lines.begin("swift", 4, 3)
    for event in STUDY_EVENTS:
        lines(event)
    lines.close()
    return stream.getvalue()


def test_the_study_command_shows_a_line_for_each_ended_seed_without_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert watch_study(io.StringIO(), monkeypatch).splitlines() == [
        "worker 1: seed 1: 99 of 100 test images (99.00%)",
        r"worker 2: seed 2: its process died\x1b[2J",
    ]


def test_an_interrupt_at_the_first_line_of_a_study_is_not_lost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # tqdm makes its lock at the first line: another error took the place of a Ctrl-C meanwhile.
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.delattr(tqdm, "_lock", raising=False)
    monkeypatch.setattr(tqdm, "get_lock", interrupt)
    assert "99 of 100" in watch_study(io.StringIO(), monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        watch_study(Screen(), monkeypatch)


def test_the_study_command_shows_a_bar_and_every_worker_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown = watch_study(Screen(), monkeypatch)
    for text in (
        "study swift: 1 of 4 seeds finished:   0%",
        "worker 2: seed 2: epoch 1/2 (40%) loss 0.1235",
        "worker 2: seed 2: epoch 1/2 98 of 100",
        "worker 2: seed 2: epoch 2/2 (50%) loss 0.1000, 98 of 100",
        "worker 1: seed 1: 99 of 100 test images (99.00%)\n",  # stays above the bars
    ):
        assert text in shown
    assert "\x1b[2J" not in shown
    assert shown.splitlines()[-1] == "study swift: 2 of 4 seeds finished, 1 failed"


def test_an_interrupted_study_says_what_is_kept_below_its_bars(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)

    def run() -> None:
        with show_workers(Path("s")) as lines:
            lines.begin("swift", 2, 2)
            lines(STUDY_EVENTS[0])
            raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run()
    assert screen.getvalue().splitlines()[-2:] == [
        "study swift: 0 of 2 seeds finished",
        "interrupted; nothing has been trained yet, run the same command for the rest",
    ]
    Path("s").mkdir()
    with pytest.raises(KeyboardInterrupt):
        run()
    assert screen.getvalue().splitlines()[-1] == (
        "interrupted; finished seeds and checkpoints are kept in s, run the same command for the rest"
    )


def test_workers_tell_how_far_they_are_within_an_epoch(
    digits_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from netlet.experiments import configure_run, find_experiment, run_study

    monkeypatch.setattr("netlet.experiments.execution.task.STEP_INTERVAL_S", 0.0)
    images = netlet.data.load(str(digits_file))
    experiment = find_experiment("4 P 8")
    recipe = experiment.recipe.replace(epochs=2, batch_size=15, backend="eager")
    config = configure_run(experiment.replace(recipe=recipe), images, dataset=str(digits_file))
    events: list[WorkerEvent] = []
    with ThreadPoolExecutor(1) as executor:  # in this process, which has the other interval
        run_study(config, [0], tmp_path / "study", 1, events.append, executor=executor, data=images)
    steps = [event for event in events if event.loss is not None]
    # 20 steps in an epoch, and losses are read after 16 of them.
    assert [(one.epochs, one.epoch_share) for one in steps] == [
        (0, 0.8),
        (0, 1.0),
        (1, 0.8),
        (1, 1.0),
    ]
    assert [bool(one.score) for one in steps] == [False, False, True, True]
    assert events[-1].finished
    assert events[-1].loss is None


def test_a_study_without_seeds_to_train_shows_nothing(terminal: Terminal) -> None:
    with show_seeds("swift", 4, 0, True) as bar:
        assert bar is None
    assert not terminal.read()


@pytest.mark.slow
def test_run_study_shows_one_bar_and_its_workers_none(
    digits_file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from netlet.experiments import configure_run, find_experiment, run_study

    images = netlet.data.load(str(digits_file))
    experiment = find_experiment("swift")
    quick = experiment.replace(recipe=experiment.recipe.replace(epochs=1))
    config = configure_run(quick, images, dataset=str(digits_file))
    study = run_study(config, [0, 1], tmp_path / "study", 2, progress=True)
    shown = capfd.readouterr().err
    assert len(study.seeds) == 2
    assert shown.endswith("study swift: 2 of 2 seeds finished\n")
    assert "trained swift" not in shown
