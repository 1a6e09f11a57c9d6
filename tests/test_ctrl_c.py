"""Ctrl-C on the command line: one line, exit code 130, and nothing is done afterwards."""

from __future__ import annotations

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
