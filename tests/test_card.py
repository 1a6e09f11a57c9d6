"""Model cards: of what comes with the package, of a run, and none where there are no weights."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path

import pytest
from helpers import Netlet

from netlet import records
from netlet.data import make_scribble, save_npz
from netlet.errors import ExportError
from netlet.experiments import load_trained_net
from netlet.nets import weights_digest
from netlet.nets.shipped_weights import WEIGHTS_FOLDER


def test_the_card_of_what_comes_with_the_package_is_the_one_beside_it(netlet: Netlet) -> None:
    code, out, err = netlet("card", "speck")
    assert (code, err) == (0, "")
    assert out == (WEIGHTS_FOLDER / "speck.md").read_text()
    assert weights_digest(load_trained_net("speck").net) in out
    code, out, _ = netlet("card", "speck", "-o", "speck.md")
    assert (code, out.strip()) == (0, "speck.md")
    assert Path("speck.md").read_text() == (WEIGHTS_FOLDER / "speck.md").read_text()


def test_the_card_of_a_run_has_its_figures(netlet: Netlet, digits_file: Path) -> None:
    words = ("--dataset", str(digits_file), "--set", "epochs=1", "--seed", "3")
    code, _, _ = netlet("train", "speck", *words)
    assert code in (0, 1)
    (folder,) = Path("runs").iterdir()
    run = records.load_run(folder)
    for place in (folder, Path("runs")):
        code, out, err = netlet("card", str(place))
        assert (code, err) == (0, "")
        assert (
            f"test accuracy on digits.npz ({run.last_epoch.correct:,} of 100 images) after" in out
        )
        assert f"({run.train_score.correct:,} of 300)" in out
        assert hashlib.sha256((folder / records.WEIGHTS).read_bytes()).hexdigest() in out
        assert run.weights_digest in out
        assert "one seed, so the accuracy of other seeds is unknown" in out
        assert "| seed | 3 |" in out
        assert "| license | not stated |" in out
    (folder / records.WEIGHTS).unlink()
    code, out, err = netlet("card", str(folder))
    assert (code, out) == (2, "")
    assert "the weights of its median seed, 3, are missing" in err


def test_the_card_of_a_net_for_color_says_so(netlet: Netlet, tmp_path: Path) -> None:
    save_npz(make_scribble(100, 50).with_channels(3), tmp_path / "color.npz")
    (tmp_path / "net.py").write_text(
        "from torch import nn\n\nsmall = nn.Sequential(nn.Flatten(), nn.Linear(3 * 784, 10))\n"
    )
    words = ("--dataset", "color.npz", "--epochs", "1", "--out", "run")
    netlet("train", "net.py:small", *words)
    code, out, _ = netlet("card", "run")
    assert code == 0
    assert "| input | levels of red, green and blue from 0 to 1, 3x28x28, minus 0.1307," in out


@pytest.mark.parametrize(
    ("end", "output"),
    [
        ("scores", "10 logits"),
        ("scores.log_softmax(1)", "10 log-probabilities"),
        ("scores.softmax(1).log()", "10 log-probabilities"),
        ("scores.softmax(1).view(-1, 10)", "10 probabilities"),
        ("self.head(maps.softmax(1))", "10 logits"),
    ],
)
def test_the_card_says_what_the_numbers_of_a_net_are(
    netlet: Netlet, digits_file: Path, end: str, output: str
) -> None:
    Path("own.py").write_text(
        "from torch import nn\n\n\nclass Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.conv, self.head = nn.Conv2d(1, 4, 28), nn.Linear(4, 10)\n\n"
        "    def forward(self, x):\n        maps = self.conv(x).flatten(1)\n"
        f"        scores = self.head(maps)\n        return {end}\n"
    )
    netlet("train", "own.py:Net", "--dataset", str(digits_file), "--epochs", "1", "--out", "run")
    assert f"| output | {output} |" in netlet("card", "run")[1]


def test_no_weights_no_card(netlet: Netlet) -> None:
    code, out, err = netlet("card", "sprint")
    assert (code, out) == (2, "")
    assert "no weights come with netlet for it" in err
    assert "crest" in err
    assert len(err.splitlines()) == 1


def test_a_data_set_calibrates_for_a_microcontroller(netlet: Netlet) -> None:
    code, out, err = netlet("card", "speck", "--dataset", "scribble")
    assert (code, out) == (2, "")
    assert err == "netlet: --dataset is for int8 on a microcontroller; name one with --target\n"


def test_flags_need_a_microcontroller(netlet: Netlet) -> None:
    code, out, err = netlet("card", "speck", "--flags=-O3")
    assert (code, out) == (2, "")
    assert err == (
        "netlet: --flags is for the compiler of a microcontroller; name one with --target\n"
    )


needs_compiler = pytest.mark.skipif(
    shutil.which("arm-none-eabi-gcc") is None,
    reason="needs arm-none-eabi-gcc (Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi)",
)


@pytest.mark.slow
@needs_compiler
def test_a_card_for_a_microcontroller_says_what_the_net_needs_there(netlet: Netlet) -> None:
    plain = netlet("card", "speck")[1]
    code, out, _ = netlet("card", "speck", "--target", "cortex-m4", "--flags=-O2")
    assert code == 0
    assert out.startswith(plain.rstrip())
    section = out.removeprefix(plain.rstrip())
    assert section.startswith("\n\n## On a microcontroller\n\n| arithmetic | flash | RAM | stack |")
    rows = dict(re.findall(r"^\| (float32|int8) \| (.*) \|$", section, re.M))
    float32, int8 = (
        [int(word.replace(",", "")) for word in re.findall(r"[\d,]+", rows[kind])][:2]
        for kind in ("float32", "int8")
    )
    assert float32[0] > int8[0] > 1_000
    assert float32[1] > int8[1] > 1_000
    assert "For cortex-m4 (Cortex-M4 with FPU, such as " in section
    assert "compiled by `arm-none-eabi-gcc` with `-O2`" in section
    # Other images calibrate other scales, of the same size.
    named = netlet("card", "speck", "--target", "cortex-m4", "--flags=-O2", "--dataset", "scribble")
    assert named[0] == 0
    assert "| int8 |" in named[1]


@pytest.mark.slow
@needs_compiler
def test_a_card_says_why_a_net_has_no_int8(netlet: Netlet, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ExportError("conv: its sums do not fit 32 bits; export without --int8")

    monkeypatch.setattr("netlet.export.target_memory.quantize_graph", refuse)
    code, out, _ = netlet("card", "speck", "--target", "cortex-m4")
    assert code == 0
    assert "| float32 |" in out
    assert "| int8 |" not in out
    assert "Not in int8: conv: its sums do not fit 32 bits; export without --int8." in out
