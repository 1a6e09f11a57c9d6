"""A cached library is loaded only if it is exactly what this user compiled; all else is rebuilt."""

from __future__ import annotations

import ctypes
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import few_fast, linux_only

from netlet.backends.cpu import library, library_cache, loader
from netlet.backends.cpu.compiler import compile_file, find_compiler
from netlet.backends.cpu.library import compile_library
from netlet.backends.cpu.library_cache import LibraryCache
from netlet.errors import NetletWarning

pytestmark = [linux_only, pytest.mark.filterwarnings("error")]

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def source(number: int) -> str:
    return f"int answer(void) {{ return {number}; }}"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(library, "_cache_folder", lambda: tmp_path / "cache" / "native")
    monkeypatch.setattr(library, "_libraries", {})
    library._warn_once.cache_clear()
    return tmp_path / "cache" / "native"


class Compilations:
    """Counts how often the compiler runs; ``new_process`` forgets what this process has loaded."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(library, "compile_file", self._compile)

    def _compile(self, *arguments: object) -> object:
        self.count += 1
        return compile_file(*arguments)  # type: ignore[arg-type]

    def new_process(self, number: int = 42) -> int:
        """Return the answer of the library, and compile it if it is not cached."""
        library._libraries.clear()
        return int(compile_library(source(number)).answer())


@pytest.fixture
def compilations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Compilations:
    return Compilations(monkeypatch)


@pytest.fixture(scope="module")
def other_library() -> bytes:
    """A library that leaves a file in the current folder when it is loaded, and answers 13."""
    text = (
        "#include <stdio.h>\n"
        '__attribute__((constructor)) static void begin(void) { fclose(fopen("PLANTED", "w")); }\n'
        f"{source(13)}\n"
    )
    arguments = ["-shared", "-fPIC", "a.c"]
    return compile_file(find_compiler(), {"a.c": text}, arguments, "a.so")[1]


def only_file(folder: Path) -> Path:
    (path,) = folder.iterdir()
    return path


def test_a_library_is_compiled_once_and_kept_for_this_user_only(
    compilations: Compilations, folder: Path
) -> None:
    before = os.umask(0)
    try:
        assert [compilations.new_process() for _ in range(3)] == [42, 42, 42]
    finally:
        os.umask(before)
    assert compilations.count == 1
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def replace_by(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        path.rename(path.with_suffix(".kept"))
        make(path)

    return damage


DAMAGE: dict[str, Callable[[Path], object]] = {
    "cut short": lambda path: os.truncate(path, path.stat().st_size // 2),
    "emptied": lambda path: path.write_bytes(b""),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "one bit flipped": flip_a_bit,
    "one byte longer": lambda path: path.write_bytes(path.read_bytes() + b"\0"),
    "writable by others": lambda path: path.chmod(0o666),
    "a link to a good library": replace_by(lambda path: path.symlink_to(path.with_suffix(".kept"))),
    "a pipe": replace_by(os.mkfifo),
    "an empty folder": replace_by(os.mkdir),
    "far too large": lambda path: os.truncate(path, 1 << 40),
}


@pytest.mark.parametrize("damage", few_fast(DAMAGE, 4))
def test_a_damaged_library_is_thrown_away_and_rebuilt_without_a_word(
    damage: str, compilations: Compilations, folder: Path
) -> None:
    compilations.new_process()
    path = only_file(folder)
    DAMAGE[damage](path)
    assert compilations.new_process() == 42
    assert compilations.count == 2
    assert path.is_file()
    assert not path.is_symlink()
    assert compilations.new_process() == 42
    assert compilations.count == 2


def test_a_library_planted_under_a_known_name_is_not_loaded(
    compilations: Compilations,
    folder: Path,
    other_library: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    compilations.new_process()
    only_file(folder).write_bytes(other_library)
    assert compilations.new_process() == 42
    assert not Path("PLANTED").exists()


@root_only
def test_a_library_of_another_user_is_thrown_away(
    compilations: Compilations,
    folder: Path,
    other_library: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    compilations.new_process()
    plant(folder, other_library)
    for path in folder.iterdir():
        os.chown(path, 65534, 65534)
    assert compilations.new_process() == 42
    assert not Path("PLANTED").exists()
    assert only_file(folder).stat().st_uid == os.geteuid()


def plant(folder: Path, content: bytes) -> Path:
    """Put a library into the folder under the key of the one in it, with its right digest."""
    import hashlib

    path = only_file(folder)
    key = path.name.partition("-")[0]
    path.unlink()
    planted = folder / f"{key}-{hashlib.sha256(content).hexdigest()}.so"
    planted.write_bytes(content)
    return planted


def let_others_write(folder: Path) -> None:
    folder.chmod(0o777)


def give_away(folder: Path) -> None:
    os.chown(folder, 65534, 65534)


def make_link(folder: Path) -> None:
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to("elsewhere")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (let_others_write, "can be written by other users"),
        pytest.param(give_away, "belongs to another user", marks=root_only),
        (make_link, "is a link"),
    ],
)
def test_a_folder_that_others_control_is_not_used(
    change: Callable[[Path], None],
    why: str,
    compilations: Compilations,
    folder: Path,
    other_library: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    compilations.new_process()
    planted = plant(folder, other_library)
    change(folder)
    state = folder.stat()
    with pytest.warns(
        NetletWarning, match=f"are not cached, because .* {why}; remove it"
    ) as caught:
        assert [compilations.new_process() for _ in range(2)] == [42, 42]
    assert len(caught) == 1
    assert not Path("PLANTED").exists()
    assert compilations.count == 3
    assert planted.read_bytes() == other_library
    assert [path.name for path in folder.iterdir()] == [planted.name]
    assert (folder.stat().st_mode, folder.stat().st_uid) == (state.st_mode, state.st_uid)


def test_a_folder_of_an_earlier_version_is_closed_to_others(
    compilations: Compilations, folder: Path
) -> None:
    folder.mkdir(parents=True)
    folder.chmod(0o755)
    compilations.new_process()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_what_is_loaded_is_what_was_checked(
    compilations: Compilations,
    folder: Path,
    other_library: bytes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    compilations.new_process()

    def swap_then_load(content: bytes) -> ctypes.CDLL:
        only_file(folder).write_bytes(other_library)
        return loader.load_library(content)

    monkeypatch.setattr(library, "load_library", swap_then_load)
    assert compilations.new_process() == 42
    assert compilations.count == 1
    assert not Path("PLANTED").exists()


@pytest.mark.parametrize("in_memory", [True, False])
def test_libraries_are_loaded_without_leaving_files_or_descriptors(
    in_memory: bool, other_library: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not in_memory:  # as on macOS
        monkeypatch.delattr(os, "memfd_create")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    open_files = len(os.listdir("/proc/self/fd"))
    arguments = ["-shared", "-fPIC", "a.c"]
    for number in range(5):
        content = compile_file(find_compiler(), {"a.c": source(number)}, arguments, "a.so")[1]
        assert loader.load_library(content).answer() == number
        assert loader.load_library(other_library).answer() == 13
    assert len(os.listdir("/proc/self/fd")) == open_files
    assert {path.name for path in tmp_path.iterdir()} == {"PLANTED"}


@pytest.mark.parametrize("content", [b"", b"no library", bytes(5000), b"\x7fELF" + bytes(200)])
def test_bytes_that_are_no_library_are_refused(content: bytes) -> None:
    with pytest.raises(OSError, match=r"^[^/]+$"):
        loader.load_library(content)


def test_a_cached_library_that_cannot_be_loaded_any_more_is_rebuilt(
    compilations: Compilations, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compilations.new_process()
    plant(folder, b"needs something that was uninstalled")
    assert compilations.new_process() == 42
    assert compilations.count == 2
    assert compilations.new_process() == 42
    assert compilations.count == 2


def test_the_least_recently_used_libraries_go_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library_cache, "MAX_BYTES", 3000)
    cache = LibraryCache(folder)
    keys = [f"{number:032x}" for number in range(5)]
    for age, key in enumerate(keys[:3]):
        cache.write(key, key.encode() * 31)  # 992 bytes
        for path in folder.glob(f"{key}-*"):
            os.utime(path, (1000 + age, 1000 + age))
    assert cache.read(keys[0]) is not None  # used now
    cache.write(keys[3], keys[3].encode() * 31)
    assert [cache.read(key) is not None for key in keys] == [True, False, True, True, False]
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 3000


def test_libraries_of_earlier_versions_are_removed_and_other_files_are_not(
    compilations: Compilations, folder: Path
) -> None:
    folder.mkdir(parents=True)
    for name in (f"{'a1' * 12}.so", f"{'b2' * 12}.77.part", "notes.txt", "mine.so"):
        (folder / name).write_text("")
    compilations.new_process()
    assert {path.name for path in folder.iterdir() if "-" not in path.name} == {
        "notes.txt",
        "mine.so",
    }


def test_several_processes_write_and_read_at_the_same_time(folder: Path) -> None:
    code = (
        "import sys, pathlib\n"
        "from netlet.backends.cpu.library_cache import LibraryCache\n"
        "cache = LibraryCache(pathlib.Path(sys.argv[1]))\n"
        "content = [bytes([n]) * 50_000 for n in range(4)]\n"
        "for n in range(200):\n"
        "    key = f'{n % 4:032x}'\n"
        "    cache.write(key, content[n % 4])\n"
        "    assert cache.read(key) in (content[n % 4], None)\n"
    )
    # The package itself imports torch, which is not needed here.
    header = (
        "import sys, types, pathlib, importlib.util\n"
        "for name in ('netlet.backends', 'netlet.backends.cpu'):\n"
        "    package = types.ModuleType(name)\n"
        f"    package.__path__ = [{str(Path(library.__file__).parent)!r}]\n"
        "    sys.modules[name] = package\n"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", header + code, str(folder)]) for _ in range(3)
    ]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    cache = LibraryCache(folder)
    assert [cache.read(f"{n:032x}") for n in range(4)] == [bytes([n]) * 50_000 for n in range(4)]
    assert len(list(folder.iterdir())) == 4


@pytest.mark.parametrize("trouble", ["a file in its place", "no home", "a full disk"])
def test_without_a_cache_libraries_are_compiled_each_time(
    trouble: str, compilations: Compilations, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if trouble == "a file in its place":
        folder.parent.write_text("")
    elif trouble == "no home":
        monkeypatch.setattr(library, "_cache_folder", lambda: None)
    else:

        def fail(*arguments: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(library_cache, "write_new", fail)
    assert [compilations.new_process() for _ in range(2)] == [42, 42]
    assert compilations.count == 2
    assert not folder.is_dir() or not list(folder.iterdir())


def test_a_user_without_a_home_has_no_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    # What platformdirs returns if HOME is not set and the user is not in the system's list.
    monkeypatch.setattr(library.platformdirs, "user_cache_dir", lambda *_, **__: "~/.cache/netlet")
    assert library._cache_folder() is None


def test_another_compiler_or_another_option_has_a_library_of_its_own(
    compilations: Compilations, folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gcc = find_compiler().command[0]
    compilations.new_process()
    monkeypatch.setenv("CC", f"{gcc} -DOPTION")
    compilations.new_process()
    wrapper = tmp_path / "wrapper"  # tells the same version
    shutil.copy(write_wrapper(wrapper, gcc), tmp_path / "copy")
    for number, path in enumerate((wrapper, tmp_path / "copy"), start=3):
        monkeypatch.setenv("CC", str(path))
        compilations.new_process()
        compilations.new_process()
        assert compilations.count == number


def write_wrapper(path: Path, compiler: str) -> Path:
    path.write_text(f'#!/bin/sh\nexec {compiler} "$@"\n')
    path.chmod(0o755)
    return path
