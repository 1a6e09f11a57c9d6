"""Workers that are killed since memory is short, and really is: by the kernel, and by Ray.

The command runs in a control group of its own, as in a container, so that only its memory counts.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers import Netlet, linux_only, set_options

from netlet import records
from netlet.experiments.execution.runner import CHECKPOINT_S

pytestmark = [pytest.mark.slow, linux_only]

FAST = set_options(epochs=4, batch_size=50, precision="float32", ema_decay=0.5)
_MIB = 2**20
_GROUPS = Path("/sys/fs/cgroup")
_LEFT_S = 10.0  # until the processes of a command have left its group

# In the second epoch of each worker it takes memory until its process is killed: once, or each
# time. The first epoch takes as long as lies between two checkpoints.
GREEDY = f"""
import time
from pathlib import Path
import torch
from torch import nn
class Greedy(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))
        self.mark, self.steps = Path(FOLDER) / f"greedy-{{torch.initial_seed()}}", 0
    def forward(self, x):
        self.steps += self.training and torch.is_grad_enabled()
        if self.steps == 3 and self.mark.exists():
            time.sleep({CHECKPOINT_S})
        if self.steps == 9 and self.mark.exists():
            if self.mark.read_text() == "once":
                self.mark.unlink()
            taken = []
            while len(taken) < 80:
                taken.append(torch.ones({32 * _MIB // 4}))
                time.sleep(0.1)  # Ray looks every 50 ms
            raise RuntimeError("nobody has ended it")
        return super().forward(x)
"""

ENTER = """
echo "$1" > "$2/$3" && echo $$ > "$2/cgroup.procs" && mount --bind "$2" "$4" || exit 99
shift 4
exec "$@"
"""


class Group:
    """A control group, and the words before a command that run it in there."""

    def __init__(self) -> None:
        first = (_GROUPS / "memory").is_dir()  # version 1 of control groups
        self.limit = "memory.limit_in_bytes" if first else "memory.max"
        self.place = _GROUPS / "memory" if first else _GROUPS
        self.folder = self.place / f"netlet-test-{os.getpid()}"

    def enter(self, mib: int) -> list[str]:
        """Return the words; what is mounted lets the command read the numbers of the group."""
        words = (str(mib * _MIB), str(self.folder), self.limit, str(self.place))
        return ["unshare", "--mount", "sh", "-c", ENTER, "sh", *words]

    def close(self) -> None:
        end = time.monotonic() + _LEFT_S
        while (self.folder / "cgroup.procs").read_text() and time.monotonic() < end:
            time.sleep(0.1)
        self.folder.rmdir()


@pytest.fixture
def group() -> Iterator[Group]:
    made = Group()
    try:
        made.folder.mkdir()
    except OSError:
        pytest.skip("needs root, to make a control group")
    try:
        if subprocess.run([*made.enter(64), "true"], capture_output=True, check=False).returncode:
            pytest.skip("needs control groups that limit memory, and unshare")
        yield made
    finally:
        made.close()


@pytest.fixture
def digits(digits_file: Path, tmp_path: Path) -> str:
    """Of three seeds, the first is killed once and the second each time."""
    shutil.copy(digits_file, tmp_path)
    (tmp_path / "greedy.py").write_text(GREEDY.replace("FOLDER", repr(str(tmp_path))))
    (tmp_path / "greedy-0").write_text("once")
    (tmp_path / "greedy-1").write_text("always")
    return digits_file.name


def check_study(
    netlet: Netlet, folder: Path, enter: list[str], words: list[str], ended: str, remedy: str
) -> None:
    """Run a study of three seeds with little memory, and again without the limit.

    Args:
        netlet: Runs the command line.
        folder: The current folder.
        enter: The words before the command.
        words: The end of the command.
        ended: What happened to a worker, as the lines say.
        remedy: How to avoid it.
    """
    common = ["study", "greedy.py:Greedy", "--dataset", "digits.npz", "--seeds", "3", *FAST]
    command = [*enter, sys.executable, "-m", "netlet", *common, *words, "--out", "far"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    lines = done.stderr.splitlines()
    assert [line for line in lines if "warning" in line] == [
        f"netlet: warning: seed {seed}: {ended}; another worker continues after {epochs}; to avoid "
        f"this, run it {remedy}"
        for seed, epochs in ((0, "1 epoch"), (1, "1 epoch"), (1, "2 epochs"))
    ], done.stderr
    assert lines[-1] == (
        f"netlet: 1 of 3 seeds is not finished (seed 1: {ended}); finished seeds are kept in far, "
        f"run the same command for the rest {remedy}"
    )
    assert records.load_run(folder / "far" / "seed-0").resumed_after == (1,)
    (folder / "greedy-1").unlink()
    for name in ("far", "near"):
        code, _, err = netlet(*common, "--out", name)
        assert code == 0, err
        assert err.count(": seed ") == (1 if name == "far" else 3)
    far, near = (records.load_study(folder / name) for name in ("far", "near"))
    assert [s.weights_digest for s in far.seeds] == [s.weights_digest for s in near.seeds]


def test_a_worker_that_the_kernel_kills_for_its_memory_goes_on_then_is_reported(
    netlet: Netlet, digits: str, tmp_path: Path, group: Group
) -> None:
    check_study(
        netlet,
        tmp_path,
        group.enter(1_536),
        ["--workers", "1"],
        "its process was killed, as the system does when memory runs out (code -9)",
        "with fewer workers (--workers)",
    )


def test_a_worker_that_ray_ends_for_its_memory_goes_on_then_is_reported(
    netlet: Netlet, digits: str, tmp_path: Path, group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray", reason="needs Ray: pip install '.[ray]'")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setenv("RAY_memory_usage_threshold", "0.8")
    monkeypatch.setenv("RAY_memory_monitor_refresh_ms", "50")
    check_study(
        netlet,
        tmp_path,
        group.enter(2_560),
        ["--on", "ray", "--workers", "1"],
        "its node ran out of memory, and Ray ended its process",
        "with fewer workers (--workers) or with memory reserved for each (--on ray,memory_gib=N)",
    )
