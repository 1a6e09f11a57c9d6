"""The documentation: examples run, links lead somewhere, and the files that it names exist."""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
from pathlib import Path

import pytest
from helpers import Netlet

import netlet

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(
    [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *DOCS.rglob("*.md")]
)
API = sorted((DOCS / "api").glob("*.md"))
FENCE = re.compile(r"^```([\w.{}-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in FENCE.findall(page.read_text()) if found == language]


def _mark_programs(page: Path) -> object:
    """Return a page as a parameter; the examples of one of them start a C compiler."""
    return pytest.param(page, marks=pytest.mark.programs) if page.stem == "export" else page


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text())


@pytest.mark.parametrize("page", [_mark_programs(page) for page in API], ids=lambda page: page.stem)
def test_examples_of_the_api_pages_run(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("NETLET_OFFLINE", "1")
    text = "\n".join(blocks(page, "pycon"))
    examples = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    assert examples.examples, "every page of the API has an example"
    failures: list[str] = []
    doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(examples, out=failures.append)
    assert not failures, "".join(failures)


def test_names_in_python_examples_exist() -> None:
    for page in PAGES:
        for name in re.findall(r"\bnetlet\.((?:\w+\.)*\w+)", "".join(blocks(page, "python"))):
            value: object = netlet
            for part in name.split("."):
                assert hasattr(value, part), f"{page.name}: netlet.{name} does not exist"
                value = getattr(value, part)


@pytest.mark.slow
def test_the_python_example_of_the_readme_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digits = netlet.data.make_scribble(train=600, test=10_000)
    for seed in netlet.find_study("swift").seeds:  # whose mistakes are drawn
        for mistake in seed.mistakes:
            digits.held_out.labels[mistake.image] = mistake.label
    monkeypatch.setattr(netlet.data, "load", lambda name: digits)
    quick = netlet.recipes.STEADY.replace(epochs=1)
    monkeypatch.setattr(netlet.recipes, "STEADY", quick)
    monkeypatch.chdir(tmp_path)
    (example,) = (text for text in blocks(ROOT / "README.md", "python") if "netlet.fit" in text)
    exec(compile(example, "README.md", "exec"), {})
    assert "swift" in (tmp_path / "swift.html").read_text()
    assert (tmp_path / "crest-c" / "netlet.c").is_file()


@pytest.mark.parametrize(
    "name", ["README.md", "docs/budgets.md", "docs/tracks/student.md", "docs/tracks/teacher.md"]
)
def test_checks_print_what_a_page_shows(
    name: str, netlet: Netlet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = ROOT / name
    monkeypatch.chdir(tmp_path)
    for language, file in (("python", "mine.py"), ("toml", "class.toml")):
        Path(file).write_text("".join(blocks(page, language)[:1]))
    example = re.compile(r"^\$ (cat|netlet check) (.+)\n((?:(?!\$ ).*\n)+)", re.M)
    found = [one for text in blocks(page, "console") for one in example.findall(text)]
    assert any("--require" in words or "--forbid" in words for _, words, _ in found)
    for command, words, shown in found:
        if command == "cat":
            Path(words).write_text(shown)
        elif "..." not in shown:  # else it is shortened
            printed = netlet("check", *shlex.split(words))[1]
            assert printed.splitlines() == shown.splitlines(), words


def test_every_public_name_has_an_example_and_every_package_a_page() -> None:
    text = "\n".join(text for page in API for text in blocks(page, "pycon"))
    for name in netlet.__all__:
        assert re.search(rf"\bnetlet\.{name}\b", text), f"no example of netlet.{name} in docs/api"
        if name.islower() and hasattr(getattr(netlet, name), "__path__"):
            assert f"automodule:: netlet.{name}\n" in (DOCS / "api" / f"{name}.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"https?:|mailto:|#", target):
            assert (page.parent / target.partition("#")[0]).exists(), target


def test_links_lead_to_no_page_that_only_includes_another_file() -> None:
    stubs = {
        page.resolve() for page in DOCS.rglob("*.md") if page.read_text().startswith("```{include}")
    }
    assert DOCS / "contributing.md" in stubs
    for page in PAGES:
        for target in re.findall(r"\]\(([^)\s#]+\.md)", prose(page)):
            assert (page.parent / target).resolve() not in stubs, f"{page.name}: {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_named_in_a_page_exist(page: Path) -> None:
    names = re.findall(r"`((?:[\w-]+/)*[\w-]+\.(?:py|c|h|js|toml|jsonl?))`", prose(page))
    known = {str(path) for folder in SOURCES for path in (ROOT / folder).rglob("*")}
    for name in names:
        found = name in FREE or any(path.endswith(f"/{name}") for path in known)
        assert found, f"{page.name} names {name}, which does not exist"


# Folders of the repository that pages name files of, and names of files that netlet or a reader writes.
SOURCES = ("src", "tests", "tools", "benchmarks", "results", "docs", ".github")
FREE = {
    "SUBMISSION/results.json",
    "claim.json",
    "claim.toml",
    "class.toml",
    "confidence.json",
    "digits.c",
    "digits.h",
    "epochs.jsonl",
    "file.py",
    "grades.json",
    "config.json",
    "hubconf.py",
    "modeling.py",
    "grades.jsonl",
    "images.h",
    "ladder.toml",
    "main.c",
    "mine.py",
    "netlet.c",
    "model.py",
    "netlet.toml",
    "netlet.h",
    "pyproject.toml",
    "run.json",
    "study.json",
    "trials/speck.jsonl",
}


def test_architecture_names_functions_that_exist() -> None:
    names = re.findall(r"`([a-z]\w*(?:\.\w+)+)\(\)`", prose(DOCS / "architecture.md"))
    assert names
    for name in names:
        value: object = netlet
        for part in name.split("."):
            assert hasattr(value, part), f"netlet.{name} does not exist"
            value = getattr(value, part)


def test_every_page_is_in_the_contents_of_the_site() -> None:
    contents = {
        line.rpartition("<")[2].strip(" >")  # also of ``title <page>``
        for page in (DOCS / "index.md", DOCS / "api" / "index.md")
        for block in blocks(page, "{toctree}")
        for line in block.splitlines()
    }
    for page in DOCS.rglob("*.md"):
        name = str(page.relative_to(DOCS).with_suffix(""))
        if name not in ("index", "README"):
            assert name in contents or name.removeprefix("api/") in contents, page


def test_no_page_has_the_name_of_a_page_that_sphinx_makes() -> None:
    assert not {"search", "genindex", "modindex", "py-modindex"} & {
        p.stem for p in DOCS.glob("*.md")
    }


def test_each_option_of_a_command_is_a_row_of_two_cells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(DOCS / "_ext")
    reference = importlib.import_module("command_reference").command_reference()
    rows = [line for line in reference.splitlines() if line.startswith("| `")]
    assert any(r"NAME\|FILE" in row for row in rows)
    assert {len(re.split(r"(?<!\\)\|", row)) for row in rows} == {4}
