"""What the page says of a net: its classes, its input and its model card."""

from __future__ import annotations

import base64
import dataclasses
import functools
import json
import re
import zlib
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import FIXTURES, Netlet
from torch import nn

from netlet import records
from netlet.data import SOURCES, frames_characters
from netlet.experiments import TrainedNet
from netlet.export import TracedModel, trace_model
from netlet.export.card_html import card_section, card_to_html
from netlet.export.image_selection import was_trained_on_digits
from netlet.export.input_words import is_bright_on_dark
from netlet.export.page_export import build_page
from netlet.export.page_net import encode_weights
from netlet.nets import find_shipped_weights, list_shipped_weights

DIGITS = tuple("0123456789")


@functools.cache
def model(
    class_names: tuple[str, ...] = DIGITS,
    shape: tuple[int, int, int] = (1, 28, 28),
    data: str | None = None,
) -> TracedModel:
    """Return a small net with these classes and images, trained on a data set of that name."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(shape[0], len(class_names), 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )
    run = None
    if data:
        run = records.load_run(FIXTURES / "records" / "run_schema_1.json")
        run = dataclasses.replace(run, data={**run.data, "name": data})
    return trace_model(
        TrainedNet("mine", net.eval(), shape, class_names, 0.5, 0.5, None, None, run=run)
    )


class Words(HTMLParser):
    """The text of a page that a person sees or hears: without scripts and styles."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.inside, self.words = "", [""]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.words += [str(value) for name, value in attrs if name in ("aria-label", "title")]

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside not in ("script", "style"):
            self.words.append(data)


def words(page: str) -> str:
    content = re.search(r'id="net">(.*?)</script>', page)
    assert content
    spoken = json.loads(content[1])["words"]
    return " ".join([*" ".join(Words(page).words).split(), *spoken.values()])


def facts(page: str) -> dict[str, Any]:
    content = re.search(r'id="net">(.*?)</script>', page)
    assert content
    return dict(json.loads(content[1]))


@pytest.mark.parametrize(
    ("names", "shape", "data"),
    [
        (SOURCES["kmnist"].class_names, (1, 28, 28), "kmnist"),
        (SOURCES["fashion_mnist"].class_names, (1, 28, 28), "fashion_mnist"),
        (("cat", "dog"), (1, 28, 28), "pets"),
        (("cat", "dog"), (3, 28, 28), "pets"),
        (("cat", "dog", "4"), (3, 32, 40), "pets"),
        (tuple("abcdefghijklmnopqrstuvwxyz"), (1, 28, 28), "letters"),
    ],
)
def test_nothing_says_digit_where_the_classes_are_none(
    names: tuple[str, ...], shape: tuple[int, int, int], data: str
) -> None:
    text = words(build_page(model(names, shape, data)))
    assert "digit" not in text.lower()
    assert f"Draw one of: {', '.join(names[:12])}" in text
    assert ("and 14 more" in text) == (len(names) == 26)


def test_a_page_for_digits_says_so() -> None:
    for data in (None, "mnist", "folder"):
        text = words(build_page(model(DIGITS, data=data)))
        assert "Draw one digit or several in a row" in text
        assert "mine: draw a digit and watch the net" in text
        assert "0 to 9 draw a sample digit" in text
        assert "prepared like MNIST’s digits" in text


def test_names_in_the_instructions_are_text() -> None:
    page = build_page(model(("<b>bold</b>", "a\n\nb", "$name & co")))
    assert "Draw one of: &lt;b&gt;bold&lt;/b&gt;, a\\n\\nb, $name &amp; co." in page


@pytest.mark.parametrize(
    ("data", "of_digits", "bright"),
    [
        ("mnist", True, True),
        ("mnist, 500 training images", True, True),
        ("scribble, 1,000 training images", True, True),
        ("fashion_mnist, 500 training images", False, True),
        ("my folder", False, False),
        ("my folder, 500 training images", False, False),
    ],
)
def test_a_part_of_a_public_data_set_has_images_like_the_whole(
    data: str, of_digits: bool, bright: bool
) -> None:
    assert was_trained_on_digits(model(DIGITS, (1, 28, 28), data)) == of_digits
    assert is_bright_on_dark(data) == bright


@pytest.mark.parametrize(
    ("shape", "data", "framed"),
    [
        ((1, 28, 28), None, True),
        ((1, 28, 28), "mnist", True),
        ((3, 28, 28), "mnist", True),
        ((3, 28, 28), "scribble", True),
        ((3, 28, 28), None, True),
        ((1, 28, 28), "my folder", True),
        ((3, 28, 28), "my folder", False),
        ((1, 28, 28), "fashion_mnist", False),
        ((3, 28, 28), "mnist, 500 training images", True),
        ((1, 28, 28), "fashion_mnist, 500 training images", False),
        ((1, 32, 32), None, False),
        ((3, 32, 32), "my folder", False),
    ],
)
def test_the_data_decide_whether_a_net_sees_characters_or_whole_pictures(
    shape: tuple[int, int, int], data: str | None, framed: bool
) -> None:
    assert frames_characters(shape, data) == framed
    names = DIGITS if data in (None, "mnist", "scribble") else ("cat", "dog")
    page = facts(build_page(model(names, shape, data)))
    assert page["whole"] != framed
    assert page["shape"] == list(shape)
    assert ("averaged from the whole drawing" in page["words"]["caption"]) != framed
    if not framed:
        assert page["samples"] == {}  # they are drawn for MNIST's frame


def decode(text: str) -> np.ndarray:
    """Return the weights in a page, as its script reads them."""
    planes = zlib.decompress(base64.b85decode(text.replace(",", "<")), -zlib.MAX_WBITS)
    return np.frombuffer(planes, np.uint8).reshape(4, -1).T.copy().view("<f4").ravel()


def test_weights_are_stored_exactly_and_as_text_that_html_does_not_interpret() -> None:
    graph = model().graph
    convolutions = graph.convolutions()
    expected = [np.concatenate([one.weight.ravel(), one.bias.ravel()]) for one in convolutions]
    text = encode_weights(graph)
    np.testing.assert_array_equal(decode(text), np.concatenate(expected))
    assert not set(text) & set("<&'\"\\/ \n") - {"&"}
    assert decode(encode_weights(dataclasses.replace(graph, layers=()))).size == 0


# --- The model card.


def plain(markup: str) -> list[tuple[str, str]]:
    """Return the text of HTML with the element that each part of it is in."""
    found: list[tuple[str, str]] = []

    tags = [""]

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.append("h" if re.fullmatch(r"h\d", tag) else tag)

        def handle_endtag(self, tag: str) -> None:
            tags.pop()

        def handle_data(self, data: str) -> None:
            if data.strip():
                found.append((tags[-1], " ".join(data.split())))

    Reader().feed(markup)
    return found


@pytest.mark.parametrize("name", list_shipped_weights())
def test_the_card_on_the_page_has_the_text_of_the_command(name: str) -> None:
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    weights = find_shipped_weights(name)
    assert weights
    card = weights.with_suffix(".md").read_text(encoding="utf-8")
    expected = plain(markdown.render(card))
    assert expected[0] == ("h", name)  # the title, which the page leaves out
    assert plain(card_to_html(card)) == expected[1:]
    assert len(expected) > 80


def test_marks_in_a_card_are_shown_as_they_are_meant() -> None:
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    card = (
        "# title\n\n## A \\*b\\* \\<i>\n\nOne `a|b` two\nlines \\`x\\` &lt; \\&amp; ``c`d``.\n\n"
        "- first\n- `second` \\_\n\n| a | b |\n| --- | ---: |\n| x \\| y | `1` |\n|  | \\[z\\] |\n\n"
        "```sh\nnetlet study 'a' <b>\n\n- no list\n```\n"
    ).replace("&lt; ", "")
    assert plain(card_to_html(card)) == plain(markdown.render(card))[1:]
    assert '<th class="right">b</th>' in card_to_html(card)


def test_a_page_without_a_card_has_no_section_for_it() -> None:
    assert card_section(None) == ""
    assert "Model card" not in build_page(model())
    page = build_page(model(), card="# mine\n\n## Accuracy\n\n- 99% <script>\n")
    assert "<h3>Accuracy</h3>" in page
    assert "<li>99% &lt;script&gt;</li>" in page


def test_play_adds_the_card_of_the_net(netlet: Netlet, tmp_path: Path) -> None:
    assert netlet("play", "speck", "-o", "page.html", "--no-open")[0] == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    card = netlet("card", "speck")[1]
    assert card_to_html(card) in page
    digest = re.search(r"digest of the weights \| `(\w+)`", card)
    assert digest
    assert f"<code>{digest[1]}</code>" in page
    weights = find_shipped_weights("speck")
    code, _, _ = netlet("play", "speck", "--weights", str(weights), "-o", "own.html", "--no-open")
    assert code == 0
    assert "Model card" not in (tmp_path / "own.html").read_text(encoding="utf-8")
