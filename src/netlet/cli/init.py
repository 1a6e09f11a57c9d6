"""``netlet init``."""

from __future__ import annotations

import inspect
import json as json_format
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netlet import catalog
from netlet.budgets import Budget, is_budget_file
from netlet.cli.options import MAX_SEEDS, NET, Json, budget_names, net_names, recipe_names
from netlet.cli.results import print_json, print_result, say
from netlet.errors import NetError, RepositoryError, did_you_mean
from netlet.repository import FILE_NAME, repository_root
from netlet.text import CODE_FILES, quote_shell, split_address

if TYPE_CHECKING:
    from netlet.recipes import Recipe
    from netlet.repository.scaffold import PlannedFile

_FILES_OF_NETS = ("*.py", "*.ipynb")
_STUDIES = "studies/*/study.json"
_SHOWN = 8  # of the nets to choose from
_HAND_IN = "hand-in"  # the folder of the run to hand in


def init(
    net: Annotated[
        str | None, typer.Argument(metavar="NET", help=NET, autocompletion=net_names)
    ] = None,
    budget: Annotated[
        str,
        typer.Option(
            "--budget",
            metavar="NAME|FILE",
            help="Budget of the assignment: a name ('netlet list --budgets') or a TOML file in the "
            "repository.",
            autocompletion=budget_names,
        ),
    ] = "twenty_k",
    recipe: Annotated[
        str,
        typer.Option(
            "--recipe",
            metavar="NAME",
            help="Recipe to train with ('netlet list --recipes').",
            autocompletion=recipe_names,
        ),
    ] = "steady",
    seeds: Annotated[
        int,
        typer.Option(
            "--seeds", metavar="N", min=1, max=MAX_SEEDS, help="Number of seeds to train."
        ),
    ] = 3,
    readme: Annotated[
        Path | None,
        typer.Option(
            "--readme",
            metavar="FILE",
            help="Markdown file that gets the badge and the blocks; the README if not given.",
        ),
    ] = None,
    install: Annotated[
        str | None,
        typer.Option(
            "--install",
            metavar="REQUIREMENT",
            help="What pip installs in the workflow, like 'netlet[report] @ git+https://...'; if "
            "not given, the git address that this netlet was installed from.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would change, and write nothing.")
    ] = False,
    json: Json = False,
) -> None:
    """Set up a course repository: settings, workflow, README.

    It writes netlet.toml, a GitHub workflow that checks, trains and judges the net, a .gitignore
    for weights, and a badge and blocks in the README.

    Without NET, it takes the only net in the Python files and notebooks of this folder, without
    running code. Nothing is replaced: an existing netlet.toml, workflow or .gitignore is left as it
    is, and the README is only added to. 'netlet report --into README.md' fills its blocks.
    """
    limits = catalog.find_budget(budget)
    epochs = _allowed_epochs(catalog.find_recipe(recipe), limits)
    exists = os.path.lexists(FILE_NAME)
    found = None if exists and net is None else _find_net(net)
    if is_budget_file(budget):
        budget = _place_inside(budget)
    if exists:
        _say_differences({"net": found, "budget": budget, "recipe": recipe, "seeds": seeds})
        found = None

    from netlet.repository.scaffold import Assignment, plan_files, write_files
    from netlet.repository.workflow import installed_requirement

    requirement = install or installed_requirement()
    assignment = None
    if found:
        assignment = Assignment(
            net=found,
            budget=budget,
            recipe=recipe,
            epochs=epochs,
            dataset=limits.dataset or "mnist",
            seeds=seeds,
        )
    files = plan_files(Path(), assignment, requirement, readme)
    if not dry_run:
        write_files(files)
    _show(files, dry_run=dry_run, json=json)
    if any(file.state == "new" and file.path.suffix == ".yml" for file in files):
        _say_what_is_missing(requirement, in_git=repository_root(Path.cwd()) is not None)
    if not (dry_run or json) and any(file.state in ("new", "changed") for file in files):
        _say_next_steps(files)


def _allowed_epochs(recipe: Recipe, budget: Budget) -> int | None:
    """Return the epochs to train for if the budget allows fewer than the recipe has; else None."""
    most = budget.most_epochs
    if most is None or recipe.total_epochs <= most or recipe.random_starts > 1:
        return None
    return most or None  # none at all cannot be trained


def _say_differences(given: Mapping[str, str | int | None]) -> None:
    """Say which options an existing file has other values for: it is left as it is."""
    from netlet.nets.addresses import list_addresses
    from netlet.repository import load_settings

    settings = load_settings(Path(FILE_NAME))
    for name, value in given.items():
        own = getattr(settings, name)
        if name == "net" and own and own.endswith(CODE_FILES):  # a file with one net
            own = next(iter(list_addresses(own)), own)
        usual = inspect.signature(init).parameters[name].default
        if value not in (usual, None, own):
            shown = "a table" if isinstance(own, Budget) else f"{name} = {json_format.dumps(own)}"
            say(
                f"netlet: {FILE_NAME} has {shown}, not {json_format.dumps(value)}, and is left as "
                "it is; change it there"
            )


def _place_inside(file: str) -> str:
    """Return the path of a file relative to this folder.

    Raises:
        RepositoryError: It lies outside of the repository.
    """
    here = Path.cwd().resolve()
    place, root = Path(file).resolve(), repository_root(here) or here
    if not place.is_relative_to(root):
        raise RepositoryError(
            f"{file}: lies outside of the repository, so GitHub cannot read it; copy it into the "
            "repository"
        )
    return os.path.relpath(place, here)


def _find_net(net: str | None) -> str:
    """Return the address of the net that was named, or of the only one in this folder.

    Raises:
        NetError: There is no such net, none at all, or there are several.
    """
    from netlet.experiments import EXPERIMENTS
    from netlet.nets import NETS, complete_address, is_notation, is_user_code
    from netlet.nets.addresses import check_name, list_addresses

    if net is not None:
        if is_user_code(net):
            file = split_address(net)[0]
            address = complete_address(net)
            if not file.endswith((".py", ".ipynb")):
                _refuse_misspelled_file(file)
                return address
            _require_file(file)
            check_name(address)
            return f"{_place_inside(file)}:{address.rpartition(':')[2]}"
        if not (net in EXPERIMENTS or net in NETS or is_notation(net)):
            from netlet.experiments import find_experiment

            find_experiment(net)  # raises, and says which there are
        return net
    found = list_addresses(*_list_files())
    if len(found) == 1:
        return found[0]
    if found:
        shown = found[:_SHOWN] + ["..."] * (len(found) > _SHOWN)
        raise NetError(f"this folder has several nets; name one of {', '.join(shown)}")
    raise NetError(
        "no Python file or notebook in this folder has a net; name one, like model.py:Net"
    )


def _list_files() -> list[str]:
    return [str(p) for p in sorted(p for pattern in _FILES_OF_NETS for p in Path().glob(pattern))]


def _refuse_misspelled_file(place: str) -> None:
    """Refuse what is not a module but similar to a file of this folder."""
    if hint := did_you_mean(place, _list_files()):
        raise NetError(f"{place}: is not a Python file or notebook; {hint}write file.py:Name")


def _require_file(file: str) -> None:
    if not Path(file).is_file():
        raise NetError(f"{file}: no such file; check its path")


def _show(files: Sequence[PlannedFile], *, dry_run: bool, json: bool) -> None:
    if json:
        rows = [{"file": str(f.path), "state": f.state, "note": f.note} for f in files]
        print_json("init", {"dry_run": dry_run, "files": rows})
        return
    for file in files:
        note = f" as it is, because it {file.note}" if file.note else ""
        text = f"{file.path}: {file.state}{note}"
        if not dry_run:
            print_result(text)
        elif file.state in ("new", "changed"):
            print_result(file.diff(), lines=True)
        else:
            say(text)


def _say_what_is_missing(requirement: str | None, *, in_git: bool) -> None:
    if requirement is None:
        say(
            "netlet: the workflow does not know how to install netlet; set the GitHub Actions "
            "variable NETLET to what pip should install, or delete the workflow and run this again "
            "with --install"
        )
    if not in_git:
        say("netlet: this folder is not a git repository yet; run 'git init' and push it to GitHub")


def _say_next_steps(files: Sequence[PlannedFile]) -> None:
    """Print the commands that train the net, fill the README and add all that belongs in git."""
    from netlet.nets import is_user_code
    from netlet.report.readme import pictures_folder
    from netlet.repository import load_settings

    added: list[str | Path] = [file.path for file in files if not file.note]
    settings = load_settings(Path(FILE_NAME))
    if settings.net and is_user_code(settings.net):
        added += _list_code(settings.net)
    if isinstance(settings.budget, str) and is_budget_file(settings.budget):
        added.append(settings.budget)
    steps = [("netlet study", "train and judge; 'netlet train' trains one seed only")]
    readme = files[-1]
    if not readme.note:
        steps.append((f"netlet report --into {quote_shell(readme.path)}", "fill the README"))
        added.append(pictures_folder(readme.path))
    # A command of its own: git adds nothing at all if there is no study yet.
    steps.append((f"git add {_STUDIES}", "after 'netlet study': a clone fills its README from it"))
    steps.append((f"git add {quote_shell(*dict.fromkeys(added))}", "then commit"))
    if settings.net and is_user_code(settings.net):
        # Two commands: training fails if a limit is missed, and the run is handed in all the same.
        steps.append((f"netlet train --out {_HAND_IN}", "if you hand in weights"))
        steps.append((f"git add {_HAND_IN}", "the run and its weights"))
    for command, what in steps:
        say(f"next: {command}  # {what}")


def _list_code(net: str) -> list[str]:
    """Return the files that the code of a net needs, and say which of them git cannot add."""
    from netlet.nets.addresses import list_addresses
    from netlet.nets.net_code import list_needed_files

    file = split_address(net)[0]
    own = [file] if Path(file).is_file() else []
    needed = list_needed_files(next(iter(list_addresses(net)), net) if net == file else net)
    here = Path.cwd().resolve()
    root = repository_root(here) or here
    others = [path for path in needed if not (own and path == Path(file).resolve())]
    for path in others:
        if not path.is_relative_to(root):
            say(
                f"netlet: the net needs {path}, which lies outside of the repository, so a clone "
                "lacks it; copy it into the repository"
            )
    return own + [os.path.relpath(path, here) for path in others if path.is_relative_to(root)]
