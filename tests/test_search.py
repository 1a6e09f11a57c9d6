"""The search: nets that fill a budget, and trials that can be repeated."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from netlet import nets, recipes
from netlet.errors import NetError, RecordError
from netlet.experiments.search.fitting import count_parameters, fit_widths
from netlet.experiments.search.spaces import SPACES, find_space
from netlet.experiments.search.trials import (
    Trial,
    append_result,
    read_results,
    repeat_trial,
    run_trial,
)
from netlet.recipes import STEADY
from netlet.records import to_json_value


@pytest.mark.parametrize("shape", ["1 1 P 1.5 1.75 2 2", "1k5s2 d1.5 x1 P 2p"])
@pytest.mark.parametrize("below", [900, 8_000])
def test_a_shape_is_widened_until_the_budget_is_full(shape: str, below: int) -> None:
    net = fit_widths(shape, below)
    assert 0.8 * below < count_parameters(net) < below
    assert len(net.split()) == len(shape.split())
    assert [word.strip("0123456789.") for word in net.split()][-1] == [
        w.strip("0123456789.") for w in shape.split()
    ][-1]
    # No layer can be wider by one.
    words = net.split()
    for i, word in enumerate(words):
        if word != "P":
            digits = "".join(
                letter for letter in word.lstrip("xd") if letter.isdigit() or letter == "k"
            ).split("k")[0]
            wider = word.replace(digits, str(int(digits) + 1), 1)
            assert count_parameters(" ".join([*words[:i], wider, *words[i + 1 :]])) >= below


def test_a_space_suggests_nets_within_its_limit_and_valid_recipes() -> None:
    optuna = pytest.importorskip(
        "optuna", reason="optuna is not installed: pip install -e '.[search]'"
    )
    from netlet.experiments.search.engine import _to_optuna

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for space in SPACES.values():
        suggestion = study.ask()
        net, changes = space.suggest(suggestion)
        assert count_parameters(net) < space.below
        recipe = recipes.recipe_from_json(to_json_value(STEADY) | dict(changes))
        assert recipe.epochs == space.epochs
        result = {"params": suggestion.params, "correct": 99, "total": 100}
        known = _to_optuna(result, space)
        assert known.params == suggestion.params
        assert known.value == 0.99
    with pytest.raises(ValueError, match="not in"):
        _to_optuna(result | {"params": suggestion.params | {"shape": "gone"}}, space)


def test_an_unknown_space_is_refused() -> None:
    with pytest.raises(NetError, match=r"no search space 'spek'; did you mean 'speck'\?"):
        find_space("spek")


@pytest.mark.usefixtures("blobs_for_mnist")
def test_a_trial_is_a_line_that_can_be_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.experiments.search.trials.VAL", 100)
    changes = {
        "epochs": 1,
        "augment": [to_json_value(warp) for warp in recipes.AUGMENTS["elastic"]],
        "optimizer": "soap",
        "backend": "eager",
    }
    first = run_trial(Trial(net="4k5s2 P 6", recipe="steady", changes=changes, seed=3, draw=1))
    assert first["total"] == 100
    assert first["parameters"] == count_parameters("4k5s2 P 6")
    file = tmp_path / "trials" / "x.jsonl"
    append_result(first, file)
    (line,) = read_results(file)
    assert line == json.loads(json.dumps(first))
    again = run_trial(
        Trial(**{name: line[name] for name in ("net", "recipe", "changes", "seed", "draw")})
    )
    assert (again["correct"], again["loss"]) == (first["correct"], first["loss"])
    other = run_trial(Trial(net="4k5s2 P 6", recipe="steady", changes=changes, seed=3, draw=2))
    assert other["loss"] != first["loss"]
    assert nets.find_net(line["net"]).source == "notation"


NET = """
from torch import nn
class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Dropout(0.5), nn.Linear(784, 10))
"""


@pytest.mark.usefixtures("blobs_for_mnist")
def test_a_trial_of_a_file_keeps_its_dropout_and_records_its_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.experiments.search.trials.VAL", 100)
    source, file = tmp_path / "mine.py", tmp_path / "x.jsonl"
    source.write_text(NET)
    changes = {"epochs": 1, "augment": [], "backend": "eager"}
    trial = Trial(net=f"{source}:Net", recipe="steady", changes=changes, seed=0, draw=0)
    first = run_trial(trial, trust=True)
    dropped = dataclasses.replace(trial, changes=changes | {"dropout": 0.0})
    assert run_trial(dropped, trust=True)["loss"] != first["loss"]
    append_result(first, file)
    recorded, again = repeat_trial(file, 1, trust=True)
    assert again["loss"] == recorded["loss"]
    assert recorded["source_digest"] == again["source_digest"]
    with pytest.raises(NetError, match="--trust"):
        repeat_trial(file, 1)
    source.write_text(NET.replace("0.5", "0.4"))
    with pytest.raises(
        NetError, match=r"x\.jsonl, line 1: .*mine\.py, or a file that it imports, has"
    ):
        repeat_trial(file, 1, trust=True)
    append_result(first | {"source_digest": 3}, file)
    with pytest.raises(RecordError, match="line 2: source_digest is 3, which is no digest"):
        repeat_trial(file, 2, trust=True)


@pytest.mark.usefixtures("blobs_for_mnist")
def test_a_search_continues_from_its_file_and_repeats_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("optuna", reason="optuna is not installed: pip install -e '.[search]'")
    from concurrent.futures import ThreadPoolExecutor

    from netlet.experiments.search import engine, trials
    from netlet.experiments.search.spaces import Space

    # Threads instead of processes: only these see the blobs.
    monkeypatch.setattr(engine, "ProcessPoolExecutor", lambda n, **_: ThreadPoolExecutor(n))
    monkeypatch.setattr("netlet.experiments.search.trials.VAL", 100)
    space = Space(below=600, epochs=1, shapes=("1k5s2 P 2",))
    file, seen = tmp_path / "x.jsonl", []
    assert engine.run_search(space, file, 1, 1, seen.append) == 0
    assert engine.run_search(space, file, 1, 1, seen.append) == 0
    assert capfd.readouterr().err == ""  # no log of Optuna's
    results = list(read_results(file))
    assert [result["seed"] for result in results] == [0, 1]
    assert results == json.loads(json.dumps(seen))
    recorded, repeated = trials.repeat_trial(file, 2)
    assert recorded == results[1]
    assert (repeated["correct"], repeated["loss"]) == (recorded["correct"], recorded["loss"])
    with pytest.raises(RecordError, match="has 2 lines; line 3 does not exist"):
        trials.repeat_trial(file, 3)
