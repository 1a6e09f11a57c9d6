"""Whatever a C compiler does, netlet goes on without it or says in one line what is wrong."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import Netlet, linux_only
from torch import nn

import netlet as package
from netlet.backends import select
from netlet.backends.cpu import CompiledStep, backend, bounded_process, compiler, library
from netlet.backends.cpu.compiler import find_compiler
from netlet.backends.cpu.errors import CompilationDisabledError, CompilationError, NoCompilerError
from netlet.backends.cpu.library import compile_library
from netlet.data import Dataset
from netlet.errors import ExportError
from netlet.export.c_build import load_library, measure_build
from netlet.nets.notation import parse_notation
from netlet.processor_load import Deadline, cpu_cores
from netlet.recipes import Recipe

pytestmark = linux_only

SOURCE = "int answer(void) { return 42; }"
PROGRAM = {
    "netlet.c": "int netlet_predict(const unsigned char *, float *);\n"
    "int netlet_predict(const unsigned char *i, float *s) { s[0] = i[0]; return 0; }\n"
}
try:
    HONEST = find_compiler().command[0]
except CompilationError as why:
    pytest.skip(str(why), allow_module_level=True)
# Answers like the honest compiler, except where the words ask for an output; its name is $out.
COMPILES = (
    'out=; for word; do [ "$before" = -o ] && out=$word; before=$word; done\n'
    f'[ "$out" ] || exec {HONEST} "$@"\n'
)


def writes(program: str) -> str:
    return f"{COMPILES}echo '{program}' | {HONEST} -shared -fPIC -x c - -o $out"


# What a compiler does, and the reason that a person gets.
TROUBLES = {
    "exits without a file": (f"{COMPILES}exit 0", "reports success, but wrote no file"),
    "fails without a word": ("exit 3", "failed: it gives no reason"),
    "speaks Latin-1": (r"printf 'caf\351: erreur\n' >&2; exit 1", "failed: caf\ufffd: erreur"),
    "paints the terminal": (r"printf '\033[2Jerror\n' >&2; exit 1", r"failed: \\x1b\[2Jerror"),
    "says first where": (
        "echo \"a.c: In function 'f':\" >&2; echo 'a.c:1:1: sorry, unimplemented: hard-float' >&2; exit 1",
        "failed: a.c:1:1: sorry, unimplemented: hard-float",
    ),
    "warns before it fails": (
        "echo 'a.c:1:1: warning: unused' >&2; echo 'a.c:2:1: error: no f' >&2; exit 1",
        "failed: a.c:2:1: error: no f",
    ),
    "cannot link": (
        "echo 'a.c:1:1: warning: unused' >&2; echo '/bin/ld: a.o: in function `f'\"':\" >&2; "
        "echo 'a.c:(.text+0x1): undefined reference to `g'\"'\" >&2; "
        "echo 'collect2: error: ld returned 1 exit status' >&2; exit 1",
        r"failed: a.c:\(.text\+0x1\): undefined reference to `g'",
    ),
    "finds no library": (
        "echo '/bin/ld: cannot find -lg' >&2; echo 'collect2: error: ld returned 1 exit status' >&2; exit 1",
        "failed: /bin/ld: cannot find -lg",
    ),
    "only says that it failed": (
        "echo 'collect2: error: ld returned 1 exit status' >&2; exit 1",
        "failed: collect2: error: ld returned 1 exit status",
    ),
    "is killed": (f"{COMPILES}kill -9 $$", "was ended by SIGKILL"),
    "prints without end": ("exec yes", "prints without end, and was stopped"),
    "writes without end": (f"{COMPILES}exec cat /dev/zero > $out", "was ended by SIGXFSZ"),
    "writes text": (f"{COMPILES}echo hello > $out", r"wrote no loadable library \(.+\)"),
    "writes an empty file": (f"{COMPILES}: > $out", "wrote something that is not a compiled file"),
    "makes a pipe": (f"{COMPILES}mkfifo $out", "wrote something that is not a compiled file"),
    "makes a folder": (f"{COMPILES}mkdir $out", "wrote something that is not a compiled file"),
    "links to a device": (f"{COMPILES}ln -s /dev/zero $out", "something that is not a compiled"),
    "leaves out functions": (writes("int other;"), "left .+ out of its library"),
    "needs what is not there": (
        writes(
            "int gone(void); int answer(void) { return gone(); } int netlet_predict(void) { return gone(); }"
        ),
        r"wrote no loadable library \(undefined symbol: gone\)",
    ),
    "makes a library that crashes": (
        writes("__attribute__((constructor)) void f(void) { *(volatile int *)0 = 1; }"),
        r"the compiled library crashes \(SIGSEGV\)",
    ),
    "makes a library that exits": (
        writes("#include <stdlib.h>\n__attribute__((constructor)) void f(void) { _Exit(7); }"),
        "the compiled library ends the process",
    ),
}


@pytest.fixture(autouse=True)
def _new_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "_cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(library, "_libraries", {})
    monkeypatch.setattr(library, "_failures", {})
    monkeypatch.setattr(compiler, "_stopped", {})
    monkeypatch.setattr(bounded_process, "MAX_FILE_BYTES", 1 << 20)


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Return a function that makes a shell script the compiler; each run of it adds a line to a file."""

    def write(script: str) -> Path:
        path, runs = tmp_path / "cc", tmp_path / "runs"
        path.write_text(f"#!/bin/sh\necho $$ >> {runs}\n{script}\n")
        path.chmod(0o755)
        runs.write_text("")
        monkeypatch.setenv("CC", str(path))
        return runs

    return write


def call_answer() -> int:
    return int(compile_library(SOURCE, check=lambda found: found.answer).answer())


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_with_a_compiler_is_the_reason_why_nothing_is_compiled(
    trouble: str, use: Callable[[str], Path], tmp_path: Path
) -> None:
    script, reason = TROUBLES[trouble]
    runs = use(script)
    with pytest.raises(CompilationError, match=reason) as first:
        call_answer()
    assert len(str(first.value).splitlines()) == 1
    started = len(runs.read_text().splitlines())
    with pytest.raises(CompilationError, match=reason):
        call_answer()
    assert len(runs.read_text().splitlines()) == started, "it ran again in the same process"
    assert not (tmp_path / "cache").exists()


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_with_a_compiler_fails_an_export_in_one_line_with_the_remedy(
    trouble: str, use: Callable[[str], Path]
) -> None:
    script, reason = TROUBLES[trouble]
    use(script)
    with pytest.raises(ExportError, match=reason) as caught:
        load_library(PROGRAM)
    text = str(caught.value)
    assert text.endswith("; name another compiler with the environment variable CC")
    assert len(text.splitlines()) == 1


def wait_until_gone(pid: int) -> bool:
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state == "Z":  # killed, and not yet collected
            return True
        time.sleep(0.02)
    return False


def test_a_compiler_that_hangs_is_killed_with_its_children(
    use: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert bounded_process.TIME_LIMIT_S == 60
    monkeypatch.setattr(bounded_process, "TIME_LIMIT_S", 0.4)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    runs = use("sleep 1000 & echo $! >> $0.children; trap '' TERM; sleep 1000")
    start = time.monotonic()
    with pytest.raises(CompilationError, match=r"did not finish within 0\.4 seconds, and was"):
        call_answer()
    with pytest.raises(CompilationError, match="did not finish"):
        compile_library("int another_program;")
    with pytest.raises(ExportError, match=r"did not finish .* variable CC"):
        load_library(PROGRAM)
    assert time.monotonic() - start < 2, "it was waited for more than once"
    (pid,) = map(int, runs.read_text().split())
    (child,) = map(int, runs.with_name("cc.children").read_text().split())
    assert wait_until_gone(pid)
    assert wait_until_gone(child)


def test_ctrl_c_kills_a_running_compiler(
    use: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = use("exec sleep 1000")

    def interrupt(process: subprocess.Popen[bytes]) -> None:
        while not runs.read_text():
            time.sleep(0.01)
        raise KeyboardInterrupt

    monkeypatch.setattr(bounded_process, "_read_until_end", interrupt)
    with pytest.raises(KeyboardInterrupt):
        call_answer()
    assert wait_until_gone(int(runs.read_text()))


def test_a_compiler_that_leaves_a_process_behind_is_not_waited_for(
    use: Callable[[str], Path],
) -> None:
    use(f'sleep 1000 & echo $! >> $0.children; exec {HONEST} "$@"')
    start = time.monotonic()
    assert call_answer() == 42
    assert time.monotonic() - start < 10
    children = (Path(os.environ["CC"] + ".children")).read_text().split()
    assert all(wait_until_gone(int(child)) for child in children)


@pytest.mark.parametrize(
    "script",
    [
        f'cat > /dev/null; exec {HONEST} "$@"',
        f'exec < /dev/tty; exec {HONEST} "$@"',
        f'yes warning | head -c 1000000 >&2; exec {HONEST} "$@"',
    ],
    ids=["reads its input to the end", "asks the terminal", "has many warnings"],
)
def test_an_odd_compiler_that_works_is_used(script: str, use: Callable[[str], Path]) -> None:
    use(script)
    if "tty" in script:
        with pytest.raises(CompilationError):  # there is no terminal to ask
            call_answer()
    else:
        assert call_answer() == 42


@pytest.mark.parametrize("words", ["{} -m64", "env {}", " {} ", "'{}' -DNAME='a b'"])
def test_cc_may_have_arguments(words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", words.format(HONEST))
    assert call_answer() == 42


def test_cc_may_be_a_path_with_spaces_or_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "my tools"
    place.mkdir()
    (place / "cc").symlink_to(HONEST)
    monkeypatch.setenv("CC", str(place / "cc"))
    assert find_compiler().command == (str(place / "cc"),)
    assert call_answer() == 42
    monkeypatch.chdir(place)
    monkeypatch.setenv("CC", "./cc")
    assert find_compiler().command == (str(place / "cc"),)


def test_the_name_of_a_compiler_is_not_that_of_its_launcher(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    launcher = tmp_path / "ccache"
    launcher.write_text('#!/bin/sh\nexec "$@"\n')
    launcher.chmod(0o755)
    monkeypatch.setenv("CC", f"{launcher} {HONEST} -g0")
    assert find_compiler().name == Path(HONEST).name
    assert call_answer() == 42
    size = measure_build(PROGRAM)
    assert size is None or size.compiler == Path(HONEST).name


@pytest.mark.parametrize(
    ("cc", "reason"),
    [
        ("{folder}", r"CC=.* is a folder, not a C compiler"),
        ("{folder}/nothing", r"CC=.* was not found"),
        ("no-such-compiler -m64", r"CC=no-such-compiler -m64 was not found"),
        ("{file}", r"CC=.* is not executable"),
        ("gcc 'x", r"CC=gcc 'x is not a command \(No closing quotation\)"),
        ("{script}", r"script cannot be started \(Exec format error\)"),
        ("caf\udce9\x1b[2J", r"CC=caf\\udce9\\x1b\[2J was not found"),
    ],
)
def test_a_wrong_cc_is_named(
    cc: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "script").write_text("no program")
    (tmp_path / "script").chmod(0o755)
    names = {"file": tmp_path / "file", "script": tmp_path / "script", "folder": tmp_path}
    monkeypatch.setenv("CC", cc.format(**names) if "{" in cc else cc)
    with pytest.raises(CompilationError, match=reason) as caught:
        call_answer()
    assert not isinstance(caught.value, NoCompilerError)
    with pytest.raises(ExportError, match=reason + r".*; name another compiler .* CC"):
        load_library(PROGRAM)


def test_without_a_compiler_the_reason_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        NoCompilerError, match=r"no C compiler \(cc, gcc or clang\) was found; install one, or name"
    ):
        call_answer()


def test_compiled_code_that_is_turned_off_is_not_a_trouble(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NETLET_COMPILE", "0")
    with pytest.raises(CompilationDisabledError, match="NETLET_COMPILE=0"):
        call_answer()


@pytest.mark.parametrize("trouble", ["missing", "full", "no program may run"])
def test_a_temporary_folder_that_is_of_no_use(
    trouble: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    if trouble == "missing":
        with pytest.raises(CompilationError, match=r"temporary folder \(No such file .*TMPDIR"):
            call_answer()
        return
    folder.mkdir()
    options = "noexec" if trouble == "no program may run" else "size=16k"
    mount = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a file system")
    try:
        if trouble == "full":
            (folder / "ballast").write_bytes(bytes(8 << 10))
            long = f"{SOURCE}\n/* {'x' * 20_000} */"
            with pytest.raises(CompilationError, match=r"\(No space left on device\)"):
                compile_library(long)
        else:
            assert call_answer() == 42
        assert [path.name for path in folder.iterdir()] == ["ballast"] * (trouble == "full")
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_slow_compiler_is_waited_for_on_a_busy_machine(
    use: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    use(f'{COMPILES}sleep 0.5; exec {HONEST} "$@"')
    monkeypatch.setattr(bounded_process, "TIME_LIMIT_S", 0.4)
    monkeypatch.setattr(os, "getloadavg", lambda: (1_000.0, 0.0, 0.0))
    assert call_answer() == 42


def test_a_deadline_grows_with_the_load_up_to_ten_times(monkeypatch: pytest.MonkeyPatch) -> None:
    for load, limit in ((0.5, 20.0), (3.0, 60.0), (1e6, 200.0)):
        monkeypatch.setattr(os, "getloadavg", lambda load=load: (load * cpu_cores(), 0.0, 0.0))
        deadline = Deadline(20.0)
        monkeypatch.setattr(deadline, "_start", time.monotonic() - 20.1)
        assert deadline.left_s() == pytest.approx(limit - 20.1, abs=1)
        assert deadline.limit_s == pytest.approx(limit)


def test_threads_that_need_the_same_library_compile_it_once(use: Callable[[str], Path]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    runs = use(f'{COMPILES}sleep 0.1; exec {HONEST} "$@"')
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda _: call_answer(), range(4))) == [42] * 4
    assert len(runs.read_text().splitlines()) == 2  # its version, and the library


def test_a_library_that_never_returns_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    from netlet.backends.cpu import loader

    monkeypatch.setattr(loader, "_TRIAL_LIMIT_S", 0.3)
    monkeypatch.setattr(os, "getloadavg", lambda: (0.0, 0.0, 0.0))
    with pytest.raises(CompilationError, match=r"did not finish within 0\.3 seconds"):
        compile_library(
            "void answer(void) { for (;;) ; }", prepare_trial=lambda: lambda found: found.answer()
        )


def test_a_library_is_used_where_no_process_can_be_started_or_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # as some services start programs
    try:
        assert call_answer() == 42
    finally:
        signal.signal(signal.SIGCHLD, before)
    monkeypatch.setattr(library, "_libraries", {})
    monkeypatch.setattr(library, "_cache_folder", lambda: None)

    def fail() -> int:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", fail)
    assert call_answer() == 42


def test_a_new_library_is_tried_in_another_process() -> None:
    source = "void answer(void) { *(volatile int *)8 = 1; }"

    def call_answer_of(found: ctypes.CDLL) -> None:
        found.answer()

    with pytest.raises(
        CompilationError, match=r"the compiled library crashes \(SIGSEGV\)"
    ) as caught:
        compile_library(source, prepare_trial=lambda: call_answer_of)
    first, *_ = (line for line in caught.value.__notes__[0].splitlines() if "File" in line)
    assert first.endswith("in call_answer_of")


def test_nets_are_compiled_while_other_threads_draw_random_numbers() -> None:
    """They hold the lock of PyTorch's random generator, and did so forever in a forked process."""
    ended = threading.Event()

    def draw() -> None:
        while not ended.is_set():
            torch.randn(300_000)

    threads = [threading.Thread(target=draw) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        for images in range(2, 8):
            net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
            CompiledStep(net, (1, 2, 2), images, half=False)
    finally:
        ended.set()
        for thread in threads:
            thread.join()


def test_larger_batches_than_the_check_can_hold_are_trained_in_eager_mode(
    blob_data: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "_MIN_IMAGES_TO_COMPILE", 0)
    monkeypatch.setattr(backend, "_LARGEST_BATCH", 100)
    builder = parse_notation("2k5s2 P 4").builder
    for size, expected in ((100, "eager"), (99, "compiled")):
        net = package.build(builder, 0, blob_data.shape, blob_data.classes)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run = package.fit(net, blob_data, Recipe(epochs=1, batch_size=size))
        said = " ".join(str(one.message) for one in caught)
        assert run.backend == expected
        assert ("more than the 100 images that compiled code" in said) == (expected == "eager")


def test_the_command_line_says_once_why_it_falls_back(
    netlet: Netlet, digits_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(select, "_MIN_IMAGES_TO_COMPILE", 0)
    monkeypatch.setenv("CC", "/bin/false")
    arguments = ["speck", "--dataset", str(digits_file), "--set", "epochs=1", "-o", "run"]
    code, _, err = netlet("train", *arguments)
    assert code in (0, 1)
    assert [line for line in err.splitlines() if line.startswith("netlet:")] == [
        "netlet: warning: training falls back to eager mode: /bin/false failed: it gives no reason"
    ]
