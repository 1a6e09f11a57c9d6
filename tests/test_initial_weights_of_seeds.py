"""A study of runs that began with weights of their own: the user's initialization, or a first fit."""

from __future__ import annotations

import dataclasses
import itertools
import json
from pathlib import Path

import pytest
from helpers import make_seed_result, make_study

from netlet import records, stats
from netlet.errors import DamagedRecordError, RecordError
from netlet.records import Study, load_study, save_study
from netlet.report import command_for, study_page

ROOT = Path(__file__).parent.parent
RUN = records.load_run(ROOT / "results" / "swift-scribble-seed0")
ONE, TWO = "1" * 64, "2" * 64


def make(seed: int, digest: str = "") -> Study:
    """Return the study of one seed whose training began with given weights."""
    return dataclasses.replace(
        make_study(make_seed_result(seed, 990)), initial_weights_digest=digest
    )


def test_seeds_with_other_initial_weights_each_have_a_digest_in_any_order() -> None:
    parts = [make(0, ONE), make(1, ONE), make(2, TWO)]
    for a, b, c in itertools.permutations(parts):
        study = a.merge(b).merge(c)
        assert study.initial_weights_digest == ""
        assert [seed.initial_weights_digest for seed in study.seeds] == [ONE, ONE, TWO]
    shared = parts[0].merge(parts[1])
    assert shared.initial_weights_digest == ONE
    assert not any(seed.initial_weights_digest for seed in shared.seeds)
    assert study.select_seeds([2]).merge(shared) == study


def test_seeds_that_began_with_the_weights_of_their_seeds_are_kept_apart() -> None:
    own = make(0, ONE).merge(make(1, TWO))
    for other in (make(0, ONE), own):
        with pytest.raises(RecordError, match="differ in their initial weights") as caught:
            other.merge(make(3))
        assert str(caught.value).endswith(
            "begin each with the weights of its seed, netlet.build(NET, SEED), or none"
        )
    with pytest.raises(RecordError, match=r"differ in their name; .*, give them the same name"):
        make(0).merge(dataclasses.replace(make(1), name="other"))


def test_a_record_of_own_weights_is_read_again_and_checked(tmp_path: Path) -> None:
    runs = [
        dataclasses.replace(RUN, seed=seed, initial_weights_digest=digest)
        for seed, digest in ((0, ONE), (1, TWO))
    ]
    study = Study.from_runs(runs)
    save_study(study, tmp_path / "study.json")
    assert load_study(tmp_path) == study
    places = tmp_path / "study.json", tmp_path / "run.json"
    for run in runs:
        records.refuse_other_results(study, run, *places)
    other = dataclasses.replace(runs[1], initial_weights_digest=ONE)
    with pytest.raises(DamagedRecordError, match="in initial_weights_digest of seed 1"):
        records.refuse_other_results(study, other, *places)
    values = json.loads(study.to_json())
    del values["seeds"][1]["initial_weights_digest"]
    (tmp_path / "study.json").write_text(json.dumps(values))
    with pytest.raises(DamagedRecordError, match="seed 1 has no initial_weights_digest, unlike"):
        load_study(tmp_path)
    values["seeds"][1]["initial_weights_digest"] = "no digest"
    (tmp_path / "study.json").write_text(json.dumps(values))
    with pytest.raises(DamagedRecordError, match='seed 1 initial_weights_digest is "no digest'):
        load_study(tmp_path)


def test_own_weights_are_said_where_a_study_is_shown_or_compared() -> None:
    own, plain = make(0, ONE).merge(make(1, TWO)), make(0).merge(make(1))
    assert command_for(own) is None
    assert "weights that neither the seed nor a shared file determined" in study_page(own).markdown
    note = stats.compare(plain, own).training_note
    assert "initial weights from the seed / others for each seed" in note
