"""Ctrl-C on the command line: one line, exit code 130, and nothing is done afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from helpers import Netlet

from netlet.cli.interruption import say_interrupted


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def interrupt_and_say(*_: object, **__: object) -> None:
    say_interrupted("interrupted; the same command does the rest")
    raise KeyboardInterrupt


def test_a_command_that_is_interrupted_says_so_in_one_line(
    netlet: Netlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.cli.check._check", interrupt)
    assert netlet("check", "speck") == (130, "", "netlet: interrupted\n")


def test_a_command_that_says_itself_what_it_keeps_adds_no_second_line(
    netlet: Netlet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.cli.check._check", interrupt_and_say)
    said = (130, "", "interrupted; the same command does the rest\n")
    assert netlet("check", "speck") == said
    assert netlet("check", "speck") == said
    monkeypatch.setattr("netlet.cli.check._check", interrupt)
    assert netlet("check", "speck") == (130, "", "netlet: interrupted\n")


@pytest.mark.parametrize("error", [typer.Abort, KeyboardInterrupt])
def test_older_versions_of_typer_raise_what_newer_ones_return(
    netlet: Netlet, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    def run(words: list[str]) -> int:
        raise error

    monkeypatch.setattr("netlet.cli.app._run", run)
    assert netlet("check", "speck") == (130, "", "netlet: interrupted\n")


def run_python(code: str, folder: Path) -> str:
    """Run code in a process where Ctrl-C is not ignored, and return what it prints."""
    begin = (
        "import os, signal, sys, time\n"
        "from netlet.cli.interruption import catch_every_interrupt\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "catch_every_interrupt()\n"
    )
    path = os.pathsep.join([str(folder), *sys.path])
    command = [sys.executable, "-c", begin + code]
    env = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout + done.stderr


@pytest.mark.programs
def test_an_interrupt_that_a_callback_drops_is_raised_again(tmp_path: Path) -> None:
    code = """
class Dropping:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(1)
try:
    Dropping()
    time.sleep(30)
    print("goes on")
except KeyboardInterrupt:
    print("interrupted")
class Failing:
    def __del__(self):
        raise ValueError("of another kind")
Failing()
"""
    lines = run_python(code, tmp_path).splitlines()
    assert lines[0] == "interrupted"
    assert lines[-1] == "ValueError: of another kind"


@pytest.mark.programs
@pytest.mark.parametrize("module", ["numpy", "torch"])
def test_an_interrupt_waits_until_c_code_is_loaded(tmp_path: Path, module: str) -> None:
    loading = """
import os, signal, time
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(0.01)
    print("loaded")
except KeyboardInterrupt:
    print("lost")
"""
    (tmp_path / f"{module}.py").write_text(loading)
    code = f"""
try:
    import {module}
    print("goes on")
except KeyboardInterrupt:
    print("interrupted")
assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
"""
    assert run_python(code, tmp_path).splitlines() == ["loaded", "interrupted"]
