"""Help texts, option names and shell completion: every command keeps to the same conventions."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import Netlet

from netlet.cli.app import COMMANDS as ENTRIES
from netlet.cli.app import build_command
from netlet.cli.commands import GROUPS, RENAMED, RENAMED_IN
from netlet.data.image_files import FORMATS, FORMATS_TEXT
from netlet.errors import install_hint


def commands(group: Any = None, path: str = "netlet") -> Iterator[tuple[str, Any]]:
    """Every command and group of commands with the words that call it."""
    group = group or build_command()
    yield path, group
    for name, command in getattr(group, "commands", {}).items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands())
LEAVES = {path: command for path, command in COMMANDS.items() if not hasattr(command, "commands")}


@pytest.mark.parametrize("path", COMMANDS)
def test_every_option_and_argument_says_what_it_does(path: str) -> None:
    for param in COMMANDS[path].params:
        if param.name != "help":
            assert param.help, f"{path}: {param.name} has no help"
            assert param.help[0].isupper(), f"{path}: {param.name}: {param.help}"
            assert param.help.rstrip().endswith((".", "...")), f"{path}: {param.name}"
            assert "\n" not in param.help
            assert param.metavar or param.is_flag or param.type_descriptor.is_choice, (
                f"{path}: {param.name} has no metavar"
            )


@pytest.mark.parametrize("path", COMMANDS)
def test_the_first_line_is_a_sentence_that_fits_the_list_of_commands(path: str) -> None:
    first, _, rest = COMMANDS[path].help.partition("\n")
    assert first.endswith(".")
    assert first[0].isupper()
    assert path == "netlet" or len(first) <= 66
    assert not rest or rest.startswith("\n")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_the_list_of_commands_shows_the_first_line_of_their_help(entry: Any) -> None:
    command = COMMANDS[f"netlet {entry.name}"]
    assert entry.summary == command.help.partition("\n")[0]
    assert entry.group == command.rich_help_panel in GROUPS


@pytest.mark.parametrize("path", COMMANDS)
def test_help_ends_with_two_examples_that_parse(path: str, netlet: Netlet) -> None:
    code, out, err = netlet(*path.split()[1:], "--help")
    assert (code, err) == (0, "")
    assert max(map(len, out.splitlines())) <= 90
    assert not re.search("x[<>]=", out), "ranges are in words"
    examples = out.partition("\nExamples:\n")[2].splitlines()
    assert len(examples) == 2
    for example in examples:
        words = shlex.split(example)
        command = max(
            (name for name in LEAVES if words[: len(name.split())] == name.split()), key=len
        )
        assert path in command
        LEAVES[command].make_context(command, words[len(command.split()) :])  # raises if it is not


def test_commands_are_grouped_by_what_one_wants(netlet: Netlet) -> None:
    out = netlet("--help")[1]
    places = [out.index(f"\n{group}:\n") for group in GROUPS]
    assert places == sorted(places)
    for command in ("list", "show", "check", "search"):
        assert places[0] < out.index(f"\n  {command} ") < places[1]
    for command in ("export", "predict", "play", "card"):
        assert places[3] < out.index(f"\n  {command} ") < places[4]


@pytest.mark.parametrize("path", LEAVES)
def test_one_convention_for_options(path: str) -> None:
    options = [option for param in LEAVES[path].params for option in param.opts]
    assert "--json" in options
    assert ("--out" in options) == ("-o" in options)
    old = {*RENAMED, *RENAMED_IN.get(path.split()[-1], {})}
    assert not old & set(options) - {"--to"}, f"{path} has an option of the old convention"
    for param in LEAVES[path].params:
        if "--out" in param.opts:
            words = param.help.lower()
            assert "file" in words or "folder" in words, (
                f"{path}: does --out name a file or folder?"
            )
            assert param.metavar in ("FILE", "DIR", "PATH")
    arguments = [param for param in LEAVES[path].params if param.param_type_name == "argument"]
    if any(argument.metavar == "NET" for argument in arguments):
        assert arguments[0].metavar == "NET"
        assert "--net" not in options


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_needs_no_rich(shell: str, tmp_path: Path) -> None:
    environment = os.environ | {"HOME": str(tmp_path), "_NETLET_COMPLETE": f"{shell}_source"}
    call = [sys.executable, "-m", "netlet"]
    script = subprocess.run(call, env=environment, capture_output=True, text=True, check=True)
    assert "_NETLET_COMPLETE" in script.stdout
    assert "not supported" not in script.stderr


@pytest.mark.slow
def test_completion_offers_commands_options_and_names() -> None:
    def complete(*words: str) -> list[str]:
        environment = os.environ | {
            "_NETLET_COMPLETE": "complete_bash",
            "COMP_WORDS": "\n".join(("netlet", *words)),
            "COMP_CWORD": str(len(words)),
        }
        code = (
            "import sys\nfrom netlet.cli import main\nsys.argv = ['netlet']\ntry:\n    main()\n"
            "except SystemExit:\n    pass\nassert 'rich' not in sys.modules"
        )
        call = [sys.executable, "-c", code]
        return subprocess.run(
            call, env=environment, capture_output=True, text=True, check=True
        ).stdout.split()

    assert complete("tr") == ["train"]
    assert complete("train", "--data") == ["--dataset", "--data-dir"]
    assert complete("train", "--recipe", "qui") == ["quick"]
    assert complete("data", "get", "km") == ["kmnist"]
    assert complete("card", "cr") == ["crest"]


def test_search_names_its_spaces() -> None:
    from netlet.cli.search import space_names
    from netlet.experiments.search.space_file import SPACES

    (name,) = (param for param in COMMANDS["netlet search"].params if param.name == "name")
    assert name.help == f"Search space: a TOML file, or one of {', '.join(SPACES)}."
    assert space_names() == list(SPACES)


def test_the_install_option_is_there(netlet: Netlet) -> None:
    out = netlet("--help")[1]
    assert "--install-completion" in out
    assert "--show-completion" in out


@pytest.mark.parametrize("extra", ["report", "export", "search"])
def test_the_hint_for_an_extra_works_in_a_checkout_and_elsewhere(extra: str) -> None:
    project = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())
    hint = install_hint(extra)
    assert f"run pip install '.[{extra}]' in a checkout of netlet, or pip install " in hint
    for package in project["project"]["optional-dependencies"][extra]:
        assert package in hint
    assert "netlet[" not in hint  # which is not on the package index


def test_every_format_of_pictures_is_in_the_help(netlet: Netlet) -> None:
    help_text = " ".join(netlet("predict", "--help")[1].split())
    assert FORMATS_TEXT in help_text
    assert set(FORMATS) == set(FORMATS_TEXT.replace(" or ", ", ").upper().split(", "))


def test_a_budget_has_the_same_metavar_in_every_command(netlet: Netlet) -> None:
    for command in ("check", "train", "study", "grade", "init"):
        assert "--budget NAME|FILE" in netlet(command, "--help")[1], command
