"""The search: nets that fill a budget, and trials that can be repeated."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from netlet import nets, recipes
from netlet.experiments.search.fitting import fitted, parameters
from netlet.experiments.search.trials import Trial, lines, record, tried
from netlet.recipes import STEADY
from netlet.records import to_json_value


@pytest.mark.parametrize("shape", ["1 1 P 1.5 1.75 2 2", "1k5s2 d1.5 x1 P 2p"])
@pytest.mark.parametrize("below", [900, 8_000])
def test_a_shape_is_stretched_until_the_budget_is_full(shape: str, below: int) -> None:
    net = fitted(shape, below)
    assert 0.8 * below < parameters(net) < below
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
            assert parameters(" ".join([*words[:i], wider, *words[i + 1 :]])) >= below


def test_a_space_gives_nets_within_its_limit_and_recipes_that_can_be_followed() -> None:
    optuna = pytest.importorskip(
        "optuna", reason="optuna is not installed: pip install 'netlet[search]'"
    )
    from netlet.experiments.search.__main__ import _as_optunas

    from netlet.experiments.search.spaces import SPACES

    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for space in SPACES.values():
        asked = study.ask()
        net, changes = space.asked(asked)
        assert parameters(net) < space.below
        recipe = recipes.recipe_from_json(to_json_value(STEADY) | dict(changes))
        assert recipe.epochs == space.epochs
        known = _as_optunas({"params": asked.params, "correct": 99, "of": 100}, space)
        assert known.params == asked.params
        assert known.value == 0.99
    with pytest.raises(ValueError, match="not in"):
        _as_optunas({"params": asked.params | {"shape": "gone"}, "correct": 99, "of": 100}, space)


@pytest.mark.usefixtures("blobs_for_mnist")
def test_a_trial_is_a_line_that_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("netlet.experiments.search.trials.VAL", 100)
    changes = {
        "epochs": 1,
        "augment": [to_json_value(op) for op in recipes.AUGMENTS["elastic"]],
        "optimizer": "soap",
        "backend": "eager",
    }
    first = tried(Trial(net="4k5s2 P 6", recipe="steady", changes=changes, seed=3, draw=1))
    assert first["of"] == 100
    assert first["parameters"] == parameters("4k5s2 P 6")
    file = tmp_path / "trials" / "x.jsonl"
    record(first, file)
    (line,) = lines(file)
    assert line == json.loads(json.dumps(first))
    again = tried(
        Trial(**{name: line[name] for name in ("net", "recipe", "changes", "seed", "draw")})
    )
    assert (again["correct"], again["loss"]) == (first["correct"], first["loss"])
    other = tried(Trial(net="4k5s2 P 6", recipe="steady", changes=changes, seed=3, draw=2))
    assert other["loss"] != first["loss"]
    assert nets.find_net(line["net"]).source == "notation"
