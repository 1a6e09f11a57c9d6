"""Missing resources: full disks, limits, read-only and noexec folders, closed streams, no HOME.

Every command runs in each of these situations. It succeeds or says in one line what is wrong, and
what was there before stays as it was.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from fault_counts import FaultCounts
from helpers import is_unfinished, linux_only
from processes import Ended, Job, run
from stage import COMMANDS, copy_template, environment, make_template

from netlet.cli.app import build_command
from netlet.data import Source

pytestmark = linux_only


@dataclass(frozen=True)
class Situation:
    """What is missing.

    Attributes:
        what: Its name in docs/trust.md.
        env: Changes to the environment; ``{disk}`` is a file system of its own.
        prepare: Called in the process, before the command.
        free: Bytes that are free where the command works; None: enough.
        options: Of the file system on which the command works, or ``{disk}``.
        own_folder: Whether that is where the command works.
        commands: That run in it.
        silent: Whether an error cannot be printed.
    """

    what: str
    env: Mapping[str, str | None] = field(default_factory=dict)
    prepare: Callable[[Path], None] | None = None
    free: int | None = None
    options: str = ""
    own_folder: bool = False
    commands: tuple[str, ...] = tuple(COMMANDS)
    silent: bool = False


WRITING = (
    *("init", "search", "lr", "train", "study", "climb", "report", "report into a README"),
    *("frontier", "export to ONNX", "export to C", "export to a page", "predict", "explain"),
    *("grade", "grade without a sandbox", "play", "card", "data get", "data show", "data make"),
)
FEW_WRITING = ("search", "train", "study", "export to C", "data make", "report")
COMPILING = ("train", "study", "export to C", "data show")
PRINTING = ("show", "check", "budget", "search", "lr", "train", "study", "evaluate", "predict")
PRINTING += ("grade", "card", "data list")


def limit_file_size(_: Path) -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what is printed does not count
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))


def _close(*descriptors: int) -> None:
    for number in descriptors:
        os.close(number)


def close_stdin(_: Path) -> None:
    _close(0)


def close_stdout(_: Path) -> None:
    _close(1)


def close_stderr(_: Path) -> None:
    _close(2)


def close_all(_: Path) -> None:
    _close(0, 1, 2)


def full_stdout(_: Path) -> None:
    os.dup2(os.open("/dev/full", os.O_WRONLY), 1)


def full_streams(_: Path) -> None:
    for number in (1, 2):
        os.dup2(os.open("/dev/full", os.O_WRONLY), number)


def unread_stdout(_: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    os.dup2(writer, 1)


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder)


HOMES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "USER", "LOGNAME")
NO_HOME: dict[str, str | None] = dict.fromkeys(HOMES)
SITUATIONS = {
    situation.what: situation
    for situation in (
        Situation("a full disk", free=0, own_folder=True, commands=WRITING),
        Situation("a disk with 12 KiB left", free=12 * 1024, own_folder=True, commands=FEW_WRITING),
        Situation("a disk with 64 KiB left", free=64 * 1024, own_folder=True, commands=FEW_WRITING),
        Situation("a read-only disk", options="ro", own_folder=True, commands=WRITING),
        Situation("a limit of 4 KiB on files", prepare=limit_file_size, commands=WRITING),
        Situation(
            "temporary and cache folders without permission to execute",
            {"TMPDIR": "{disk}", "XDG_CACHE_HOME": "{disk}/cache"},
            options="noexec",
            commands=COMPILING,
        ),
        Situation(
            "full temporary and cache folders",
            {"TMPDIR": "{disk}", "XDG_CACHE_HOME": "{disk}/cache"},
            free=0,
            commands=WRITING,
        ),
        Situation("no HOME and no XDG variables", NO_HOME),
        Situation(
            "HOME, cache and temporary folders that do not exist",
            {"HOME": "/nowhere", "XDG_CACHE_HOME": "/proc/nowhere", "TMPDIR": "/nowhere"},
        ),
        Situation("no compiler and an empty PATH", {"PATH": "", "CC": None}, commands=COMPILING),
        Situation(
            "a compiler that fails",
            {"CC": "/bin/false", "XDG_CACHE_HOME": "{disk}"},
            commands=COMPILING,
        ),
        Situation("stdin closed", prepare=close_stdin, commands=PRINTING),
        Situation("stdout closed", prepare=close_stdout, commands=PRINTING),
        Situation("stderr closed", prepare=close_stderr, silent=True, commands=PRINTING),
        Situation(
            "stdin, stdout and stderr closed", prepare=close_all, silent=True, commands=PRINTING
        ),
        Situation("stdout full", prepare=full_stdout, commands=PRINTING),
        Situation("stdout and stderr full", prepare=full_streams, silent=True, commands=PRINTING),
        Situation("stdout that nobody reads", prepare=unread_stdout, commands=PRINTING),
        Situation("a working directory that was deleted", prepare=remove_folder, commands=PRINTING),
        Situation(
            "streams that can only print ASCII", {"PYTHONIOENCODING": "ascii"}, commands=PRINTING
        ),
    )
}


class Place:
    """Where commands run, and the files that they need."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.source: Source = make_template(root)
        self._numbers = iter(range(10**6))

    def new_folder(self) -> Path:
        folder = self.root / "work" / str(next(self._numbers))
        folder.mkdir(parents=True)
        return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return Place(tmp_path_factory.mktemp("resources"))


@contextlib.contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """Mount a file system in memory while the block runs."""
    folder.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size=24m{options}", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small disk here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill_disk(folder: Path, free: int) -> None:
    """Leave only some bytes of a file system free."""
    keep = folder / "keep"
    keep.write_bytes(bytes(free))
    with contextlib.suppress(OSError), (folder / "rest").open("wb", buffering=0) as rest:
        while True:
            rest.write(bytes(4096))
    keep.unlink()


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def try_command(place: Place, situation: Situation, command: str) -> tuple[int, str]:
    """Run a command in a situation; return its exit code and what is wrong, or an empty string."""
    folder = place.new_folder()
    disk = folder if situation.own_folder else place.root / "disks" / folder.name
    disk.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        if situation.free is not None or situation.options:
            options = f",{situation.options}" if situation.options not in ("", "ro") else ""
            stack.enter_context(small_disk(disk, options))
        copy_template(place.root, folder)
        if situation.free is not None:
            fill_disk(disk, situation.free)
        before = contents(folder)
        if situation.options == "ro":
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        done, hung = run_in(place, situation, command, folder, disk)
        if done is None:
            return 0, hung
        after = contents(folder) if folder.exists() else before
    shutil.rmtree(folder, ignore_errors=True)
    return done.code, judge(situation, done, before, after)


def run_in(
    place: Place, situation: Situation, command: str, folder: Path, disk: Path
) -> tuple[Ended | None, str]:
    env = environment(place.root) | {
        key: value and value.format(disk=disk) for key, value in situation.env.items()
    }
    log = place.root / "logs" / folder.name
    job = Job(COMMANDS[command], folder, log, env, place.source, prepare=situation.prepare)
    try:
        return run(job, 100), ""
    except TimeoutError as error:
        return None, str(error)


def judge(
    situation: Situation, done: Ended, before: Mapping[str, bytes], after: Mapping[str, bytes]
) -> str:
    if situation.silent and done.code in (0, 1, 2) and "Traceback" not in done.out:
        complaint = ""
    else:
        complaint = done.complaint()
    if complaint:
        return complaint
    gone = [name for name in before if name not in after]
    if gone:
        return f"exit code {done.code}, and files are gone: {gone}"
    changed = [name for name, content in before.items() if after[name] != content]
    if done.code == 2 and changed and situation.own_folder:
        return f"failed ({done.err.strip()[-200:]!r}), but changed {changed}"
    empty = [name for name in changed if not after[name]]
    if empty:
        return f"emptied {empty}"
    if left := [name for name in after if any(is_unfinished(part) for part in Path(name).parts)]:
        return f"leaves {left}"
    return ""


def try_situation(place: Place, what: str, commands: list[str]) -> tuple[dict[str, int], list[str]]:
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda name: try_command(place, SITUATIONS[what], name), commands))
    failures = [
        f"netlet {command}, {what}: {wrong}"
        for command, (_, wrong) in zip(commands, results, strict=True)
        if wrong
    ]
    refused = sum(code == 2 and not wrong for code, wrong in results)
    counts = {"refused": refused, "failed": len(failures)}
    return counts | {"harmless": len(commands) - refused - len(failures)}, failures


FEW = [
    ("a full disk", "train"),
    ("a full disk", "export to a page"),
    ("stdin, stdout and stderr closed", "list"),
]


def command_names() -> set[str]:
    """Return the commands of the command line; those of a group with its name."""
    found = set()
    for name, command in build_command().commands.items():
        inner = getattr(command, "commands", None)
        found |= {f"{name} {sub}" for sub in inner} if inner else {name}
    return found


def test_every_command_is_tried() -> None:
    tried = {" ".join(words[: 2 if words[0] == "data" else 1]) for words in COMMANDS.values()}
    assert tried == command_names()


@pytest.mark.slow
@pytest.mark.parametrize(("what", "command"), FEW)
def test_a_command_without_a_resource_says_so_in_one_line(
    place: Place, what: str, command: str
) -> None:
    _, failures = try_situation(place, what, [command])
    assert not failures, failures[0]


@pytest.mark.faults
@pytest.mark.parametrize("what", SITUATIONS)
def test_commands_without_a_resource_succeed_or_say_so_in_one_line(
    place: Place, what: str, fault_counts: FaultCounts
) -> None:
    commands = SITUATIONS[what].commands
    counts, failures = try_situation(place, what, list(commands))
    fault_counts.add("resources", what, len(commands), **counts)
    assert not failures, f"{len(failures)} of {len(commands)}:\n" + "\n".join(failures)


LOCALES: dict[str, dict[str, str]] = {
    "C": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    "POSIX, ASCII": {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"},
    "Latin-1": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "latin-1"},
    "UTF-16": {"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-16"},
    "Turkish": {"LC_ALL": "tr_TR.UTF-8", "LANG": "tr_TR.UTF-8"},
    "unknown": {"LC_ALL": "xx_YY.nothing", "LANG": "", "LANGUAGE": "qq"},
}
# Without those that start workers, which would not know the data set of this test.
UNDER_LOCALES = (
    "list",
    *(command for command in PRINTING if command not in ("search", "study", "grade")),
    *("runs", "compare", "report"),
)
# Runs all commands in one process, since each one would import everything again.
MANY = """\
import io, json, os, pickle, sys
from pathlib import Path
sys.path[:0] = {paths!r}
from netlet.cli import main
from netlet.data import SOURCES
SOURCES["mnist"] = pickle.loads(Path({source!r}).read_bytes())
for words in {commands!r}:
    try:
        main(words)
    except SystemExit as stop:
        code = stop.code or 0
    os.write(3, f"{{code}}\\n".encode())
"""


@pytest.mark.faults
def test_commands_print_under_every_locale(
    place: Place, tmp_path: Path, fault_counts: FaultCounts
) -> None:
    import pickle

    (tmp_path / "source").write_bytes(pickle.dumps(place.source))
    script = MANY.format(
        paths=[],
        source=str(tmp_path / "source"),
        commands=[list(COMMANDS[c]) for c in UNDER_LOCALES],
    )

    def run_under(name: str) -> list[str]:
        folder = place.new_folder()
        copy_template(place.root, folder)
        env = {**os.environ, **{k: v for k, v in environment(place.root).items() if v}}
        with tempfile.TemporaryFile() as codes:
            done = subprocess.run(
                [
                    "bash",
                    "-c",
                    f'exec 3>&{codes.fileno()}; exec "$@"',
                    "-",
                    sys.executable,
                    "-c",
                    script,
                ],
                cwd=folder,
                env=env | LOCALES[name],
                capture_output=True,
                pass_fds=(codes.fileno(),),
                timeout=120,
                check=False,
            )
            codes.seek(0)
            found = codes.read().decode().split()
        wrong = [f"{name}: {done.stderr[-400:]!r}"] if b"Traceback" in done.stderr else []
        if len(found) != len(UNDER_LOCALES) or not set(found) <= {"0", "1"}:
            wrong.append(f"{name}: exit codes {found}, {done.stderr[-400:]!r}")
        return wrong

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(run_under, LOCALES))
    tried, failed = len(LOCALES) * len(UNDER_LOCALES), len(UNDER_LOCALES) * sum(map(bool, results))
    fault_counts.add(
        "resources",
        "locales and encodings of output",
        tried,
        harmless=tried - failed,
        failed=failed,
    )
    assert not failed, "\n".join(itertools.chain.from_iterable(results))
