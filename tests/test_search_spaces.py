"""Search spaces: TOML files, the nets that fill a budget, and the recipes that they make."""

from __future__ import annotations

import random
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from helpers import Netlet, few_fast

from netlet import recipes
from netlet.budgets import Budget
from netlet.catalog import find_recipe
from netlet.errors import NetError, NetletError, SearchError
from netlet.experiments.search.fitting import Images, count_parameters, fill_budget
from netlet.experiments.search.ranges import Choices, Interval
from netlet.experiments.search.space import Space, check_search, default_rungs
from netlet.experiments.search.space_file import SPACES, find_search, load_search
from netlet.records import to_json_value

VALID = """\
title = "A space"
budget = { params_below = 900 }
recipe = "steady"
epochs = 8
shapes = [
    "1 1 P 1.5 1.75 2 2",
    "1k5s2 d1.5 x1 P 2p",
]

[vary]
optimizer = ["adamw", "soap"]
batch_size = [32, 64]
dropout = ["none", 0.1]

[vary.augment]
start = ["none", "full"]
rotate_deg = { uniform = [0, 10] }

[vary.peak_lr]
log_uniform = [0.5, 2]
times.optimizer = { adamw = 0.015, soap = 0.006 }
"""


class Lowest:
    """Chooses the first of everything."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return choices[0]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return low

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return low


class Highest(Lowest):
    """Chooses the last of everything."""

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return choices[-1]

    def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
        return high

    def suggest_int(self, name: str, low: int, high: int) -> int:
        return high


@pytest.mark.skipif(not find_spec("optuna"), reason="needs the extra 'search'")
def test_values_that_do_not_go_together_are_drawn_again(tmp_path: Path) -> None:
    from netlet.experiments.search.sampler import Sampler

    space = load(
        tmp_path,
        'title = "x"\nrecipe = "plain"\nepochs = 1\nnets = ["8 P 8"]\n'
        '[vary]\noptimizer = ["sgd", "adamw"]\nnesterov = [false, true]\n',
    )
    drawn = []
    for known in ([], []):  # as after an interruption
        sampler = Sampler(space, Images(), "d", known)
        sampler.left = 12
        proposals = [sampler.propose() for _ in range(12)]
        drawn.append([one.trial.changes for one in proposals if one is not None])
    assert drawn[0] == drawn[1]
    pairs = {(c.get("optimizer"), c.get("nesterov")) for c in drawn[0]}
    assert len(pairs) == 3
    assert ("adamw", True) not in pairs


def load(tmp_path: Path, text: str) -> Space:
    (tmp_path / "mine.toml").write_text(text)
    found = load_search(tmp_path / "mine.toml")
    assert isinstance(found, Space)
    return found


def find_space(name: str) -> Space:
    found = find_search(name)
    assert isinstance(found, Space)
    return found


@pytest.mark.parametrize("shape", ["1 1 P 1.5 1.75 2 2", "1k5s2 d1.5 x1 P 2p"])
@pytest.mark.parametrize("below", [900, 8_000])
def test_a_shape_is_widened_until_the_budget_is_full(shape: str, below: int) -> None:
    net = fill_budget(shape, Budget(params_below=below), Images())
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


def test_a_shape_fills_the_budget_for_the_images_at_hand() -> None:
    budget = Budget(params_below=900)
    net = fill_budget("1 P 2", budget, Images((3, 32, 32), 20))
    assert (
        count_parameters(net, Images((3, 32, 32), 20))
        < 900
        <= count_parameters(fill_budget("1 P 2", budget, Images()), Images((3, 32, 32), 20))
    )


def test_a_shape_keeps_to_a_limit_of_multiply_adds() -> None:
    from netlet.analysis import cost
    from netlet.nets import build, find_net

    net = fill_budget("1 P 2", Budget(macs_below=20_000), Images())
    assert 10_000 < (cost(build(find_net(net).builder, 0)).macs or 0) < 20_000


def test_a_shape_that_cannot_fit_is_refused() -> None:
    with pytest.raises(SearchError, match=r"no net of the shape '1 P 2' fits the budget: "):
        fill_budget("1 P 2", Budget(params_below=20), Images())
    with pytest.raises(NetError, match=r"misses the budget: Dropout"):
        fill_budget("1 P 2", Budget(params_below=900, requires=("Dropout",)), Images())
    with pytest.raises(SearchError, match="more than 1,024 channels"):
        fill_budget("1s9 P", Budget(params_below=10_000_000), Images())


@pytest.mark.parametrize("name", few_fast(["crest", "speck", "mnistnet_2", "mnistnet_3"], 2))
def test_a_space_that_comes_with_netlet_makes_nets_within_its_limit(name: str) -> None:
    space = find_space(name)
    assert space.budget is not None
    assert space.budget.params_below is not None
    candidate = space.choose(Lowest() if name == "speck" else Highest(), Images())
    assert 0.9 * space.budget.params_below < count_parameters(candidate.net)
    assert count_parameters(candidate.net) < space.budget.params_below
    recipe = recipes.recipe_from_json(
        to_json_value(find_recipe("steady")) | dict(candidate.changes)
    )
    assert recipe.epochs == space.epochs == candidate.epochs


def test_the_spaces_that_come_with_netlet_can_be_read() -> None:
    assert list(SPACES) == ["crest", "mnistnet_2", "mnistnet_3", "speck"]
    assert [find_space(name).epochs for name in SPACES] == [19, 15, 20, 20]


@pytest.mark.slow
@pytest.mark.parametrize("name", SPACES)
def test_every_shape_of_a_space_fits_its_budget(name: str) -> None:
    check_search(find_space(name), Images())


def test_the_rate_of_a_space_suits_optimizer_and_batch_size() -> None:
    space = find_space("crest")
    lowest, highest = (space.choose(one, Images()).changes for one in (Lowest(), Highest()))
    assert (lowest["optimizer"], lowest["batch_size"]) == ("adamw", 32)
    assert lowest["peak_lr"] == pytest.approx(0.5 * 0.015 / 2**0.5, rel=1e-3)
    assert (highest["optimizer"], highest["batch_size"]) == ("soap", 128)
    assert highest["peak_lr"] == pytest.approx(2 * 0.006 * 2**0.5, rel=1e-3)


def test_a_file_is_read_as_it_says(tmp_path: Path) -> None:
    space = load(tmp_path, VALID)
    assert (space.name, space.title, space.epochs, space.folds) == ("mine", "A space", 8, 6)
    assert (space.rungs, space.keep) == ((2, 4), 0.5)
    assert list(space.varied) == [
        "shape",
        "optimizer",
        "batch_size",
        "dropout",
        "augment",
        "augment.rotate_deg",
        "peak_lr",
    ]
    assert [name for name, log in space.varied.items() if log] == ["peak_lr"]
    by_name = {field.name: field.range for field in space.fields}
    assert by_name["batch_size"] == Choices((32, 64))
    assert by_name["peak_lr"] == Interval(0.5, 2, log=True)
    lowest, highest = (space.choose(one, Images()) for one in (Lowest(), Highest()))
    assert lowest.net.startswith("2 2 P")
    assert (lowest.changes["dropout"], highest.changes["dropout"]) == (None, 0.1)
    assert lowest.changes["augment"][0]["rotate_deg"] == 0
    warp = recipes.AUGMENTS["full"][0]
    assert highest.changes["augment"] == [to_json_value(warp) | {"rotate_deg": 10}]
    assert highest.changes["peak_lr"] == 0.012


def test_choices_are_kept_as_written_and_other_numbers_have_four_digits(tmp_path: Path) -> None:
    text = (
        'nets = ["swift"]\n[vary]\nmean = [0.130712, 0.130788]\nstd = { uniform = [0.3, 0.308154] }'
    )
    space = load(tmp_path, text)

    class Inside(Highest):
        def suggest_float(self, name: str, low: float, high: float, *, log: bool = False) -> float:
            return 0.3012345

    highest, inside = (space.choose(one, Images()).changes for one in (Highest(), Inside()))
    assert (highest["mean"], highest["std"]) == (0.130788, 0.308154)  # not beyond the range
    assert inside["std"] == 0.3012


def test_nets_can_be_tried_as_they_are(tmp_path: Path) -> None:
    space = load(tmp_path, 'nets = ["swift", "8 8 P 12"]\n[vary]\npeak_lr = [0.01, 0.02]')
    assert space.choose(Highest(), Images()).net == "8 8 P 12"
    assert (space.budget, space.varied) == (None, {"net": False, "peak_lr": False})
    small = load(tmp_path, 'nets = ["swift", "8 8 P 12"]\nbudget = { params_below = 9_000 }')
    misses = (
        r"'swift' misses the budget mine: parameters .* 9,000.*; leave out the net, or change the "
    )
    with pytest.raises(NetError, match=misses):
        check_search(small, Images())


def test_a_net_of_a_file_is_only_run_if_it_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    space = load(tmp_path, 'nets = ["net.py:Net"]\n[vary]\npeak_lr = [0.01, 0.02]')
    assert space.nets == (f"{tmp_path / 'net.py'}:Net",)
    with pytest.raises(NetError, match="--trust"):
        check_search(space, Images())
    check_search(space, Images(), trust=True)


def test_a_budget_can_be_a_file_beside_the_space(tmp_path: Path) -> None:
    (tmp_path / "class.toml").write_text("params_below = 5_000\nepochs_at_most = 4\n")
    text = 'budget = "class.toml"\nepochs = {}\nshapes = ["1 P 2"]\n'
    space = load(tmp_path, text.format(4))
    assert space.budget is not None
    assert space.budget.params_below == 5_000
    with pytest.raises(SearchError, match=r"mine.toml, line 2: epochs is 5, but .* allows 4"):
        load(tmp_path, text.format(5))


def test_rungs_are_a_quarter_and_half_of_the_epochs() -> None:
    assert [default_rungs(epochs) for epochs in (1, 2, 3, 15)] == [(), (1,), (1,), (3, 7)]


WRONG = [
    ("epoch = 3", "epochs = 8", "line 4: 'epoch' is not a key of a search; did you mean 'epochs'?"),
    ('net = "swift"', 'title = "A space"', "line 1: 'net' is not a key of a search; did you mean"),
    ("peak_lr = 3", 'title = "A space"', "write it under [vary], like peak_lr = [...]"),
    ("epochs = 0", "epochs = 8", "line 4: epochs is 0; write a whole number from 1 to"),
    ('recipe = "stead"', 'recipe = "steady"', "line 3: no recipe 'stead'; did you mean 'steady'?"),
    ('budget = "cres"', "budget = { params_below = 900 }", "line 2: no budget 'cres'; did you"),
    ("budget = 3", "budget = { params_below = 900 }", "line 2: budget is 3; write a name"),
    ("budget = { param_below = 9 }", "budget = { params_below = 900 }", "line 2: 'param_below' is"),
    (
        "budget = { epochs_below = 9 }",
        "budget = { params_below = 900 }",
        "line 2: shapes are widen",
    ),
    ("", "budget = { params_below = 900 }", "shapes are widened until they fill a budget; add one"),
    ('    "1 1 Q 2",', '    "1 1 P 1.5 1.75 2 2",', "line 6: 'Q' in '1 1 Q 2' is not a layer"),
    ('    "swift",', '    "1 1 P 1.5 1.75 2 2",', "line 6: 'swift' is not a net in one line"),
    (
        '    "1 P 2*3",',
        '    "1 1 P 1.5 1.75 2 2",',
        "line 6: layer 3 of the shape '1 P 2*3', 2*3, ",
    ),
    ('    "1*2 P",', '    "1 1 P 1.5 1.75 2 2",', "line 6: the shape '1*2 P' has no width to ch"),
    ('    "1k5s2 d1.5 x1 P 2p",', '    "1 1 P 1.5 1.75 2 2",', "line 6: shapes has"),
    ("batch_size = []", "batch_size = [32, 64]", "line 12: batch_size: has no choices"),
    ("batch_size = [32, 32]", "batch_size = [32, 64]", "line 12: batch_size: has the choice 32 tw"),
    ("batch_size = [32, 0]", "batch_size = [32, 64]", "line 12: batch_size=0 is out of range"),
    (
        "batch_sise = [32]",
        "batch_size = [32, 64]",
        "line 12: a recipe has no setting 'batch_sise'; d",
    ),
    ("batch_size = { uniform = [1, 2] }", "batch_size = [32, 64]", "line 12: batch_size=1.0 is no"),
    ("batch_size = { integers = [2, 1] }", "batch_size = [32, 64]", "is empty; write the lower"),
    (
        "batch_size = { integers = [1, 9], times.optimizer = { adamw = 1, soap = 1 } }",
        "batch_size = [32, 64]",
        "times makes fractions of integers; write uniform, or leave out times",
    ),
    ("batch_size = { integer = [2, 1] }", "batch_size = [32, 64]", "did you mean 'integers'?"),
    ("epochs = [1, 2]", "batch_size = [32, 64]", "line 12: epochs cannot vary; write epochs = 15"),
    ('optimizer = ["adam"]', 'optimizer = ["adamw", "soap"]', "line 11: optimizer='adam' is not k"),
    ('start = ["fool"]', 'start = ["none", "full"]', "line 16: augment='fool' is unknown; choose"),
    (
        "rotate = 3",
        "rotate_deg = { uniform = [0, 10] }",
        "line 17: augment has no setting 'rotate'",
    ),
    ("log_uniform = [0, 2]", "log_uniform = [0.5, 2]", "line 20: peak_lr: log_uniform = [0, 2] s"),
    (
        "log_uniform = [2]",
        "log_uniform = [0.5, 2]",
        "line 20: peak_lr: log_uniform = [2] is not tw",
    ),
    (
        "times.optimiser = { soap = 1 }",
        "times.optimizer = { adamw = 0.015, soap = 0.006 }",
        "line 21: peak_lr: times.optimiser is not a field under [vary]; did you mean 'optimizer'?",
    ),
    (
        "times.optimizer = { adamw = 1 }",
        "times.optimizer = { adamw = 0.015, soap = 0.006 }",
        "line 21: peak_lr: times.optimizer has no factor for 'soap'; add soap = 1.0",
    ),
    ("folds = 1", 'title = "A space"', "line 1: folds is 1; write a whole number from 2 to 1,000"),
    ("rungs = [4, 2]", 'title = "A space"', "line 1: rungs is [4, 2]; write ascending epochs"),
    ("rungs = [8]", 'title = "A space"', "line 1: rungs is [8]; write ascending epochs before"),
    ("keep = 0", 'title = "A space"', "line 1: keep is 0; write the share of trials"),
    (
        'dataset = "mnits"',
        'title = "A space"',
        "line 1: dataset 'mnits' is neither the name of a data set nor a path; d",
    ),
    (
        'dataset = "none.npz"',
        'title = "A space"',
        "line 1: dataset 'none.npz': no such folder or file; check its path",
    ),
    ("title = 3", 'title = "A space"', "line 1: title is 3; write a text"),
    ("title = ", 'title = "A space"', "is not valid TOML: "),
]


@pytest.mark.parametrize(("wrong", "right", "message"), WRONG)
def test_a_mistake_in_a_file_is_named_with_its_line(
    tmp_path: Path, wrong: str, right: str, message: str
) -> None:
    assert VALID.count(right) == 1
    with pytest.raises(SearchError) as caught:
        load(tmp_path, VALID.replace(right, wrong))
    text = str(caught.value)
    assert text.startswith(f"{tmp_path / 'mine.toml'}")
    assert message in text
    assert "\n" not in text
    assert len(text) < 1_500


def test_a_damaged_file_is_read_or_refused_in_one_line(tmp_path: Path) -> None:
    choose = random.Random(0)
    refused = []
    for _ in range(120):
        letters = list(VALID)
        for _ in range(choose.randint(1, 4)):
            at = choose.randrange(len(letters))
            kind = choose.randrange(3)
            letters[at : at + (kind > 0)] = choose.choice("\x00\x1b[]{}=\"'.,#1e9\n é") * (kind < 2)
        try:
            load(tmp_path, "".join(letters))
        except NetletError as error:
            refused.append(str(error))
    assert 40 < len(refused) < 120
    assert not [text for text in refused if len(text.splitlines()) != 1 or len(text) > 2_000]


def test_a_file_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SearchError, match=r"no search space 'spek'; did you mean 'speck'\?"):
        find_space("spek")
    with pytest.raises(SearchError, match="no such file"):
        find_space(str(tmp_path / "none.toml"))
    (tmp_path / "folder.toml").mkdir()
    with pytest.raises(SearchError, match="is a folder"):
        find_space(str(tmp_path / "folder.toml"))
    (tmp_path / "x.toml").write_bytes(b"\xff")
    with pytest.raises(SearchError, match="is not UTF-8 text"):
        find_space(str(tmp_path / "x.toml"))


def test_a_space_is_printed_as_the_start_of_a_file_of_ones_own(
    netlet: Netlet, tmp_path: Path
) -> None:
    code, out, err = netlet("search", "crest", "--toml")
    assert (code, err) == (0, "")
    assert out == SPACES["crest"].read_text()
    (tmp_path / "crest.toml").write_text(out)
    assert load_search(tmp_path / "crest.toml") == find_space("crest")
    assert "cannot be combined" in netlet("search", "crest", "--toml", "--json")[2]
