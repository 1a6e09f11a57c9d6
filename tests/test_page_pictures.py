"""Pictures, colors and shared links on the exported page, in a real browser, compared with Python."""

from __future__ import annotations

import base64
import dataclasses
import functools
import io
import json
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from page_visit import PHONE, Visit
from PIL import Image
from torch import nn

from benchmarks import pictures
from netlet import evaluation
from netlet.data import (
    SOURCES,
    make_scribble,
    prepare_digit,
    read_digits,
    read_whole_picture,
)
from netlet.data.batches import normalize
from netlet.data.whole_picture import average_levels
from netlet.errors import DataError
from netlet.experiments import TrainedNet, load_confidence, load_trained_net
from netlet.export import TracedModel, trace_model
from netlet.export.page_export import build_page

pytestmark = pytest.mark.slow

PETS = ("cat", "dog", "fox")


class Opened(Visit):
    """A page on which pictures can be opened."""

    def open(self, *files: Path) -> None:
        """Open a picture and wait until it has been read."""
        self.page.set_input_files("#file", list(files))
        self.until("!document.getElementById('notice').textContent.startsWith('reading')")
        self.settled()

    @property
    def notice(self) -> str:
        return str(self.page.locator("#notice").text_content())

    def inputs(self) -> list[np.ndarray]:
        """Return the inputs of the net, levels C H W in one row each."""
        found = json.loads(self.page.evaluate("JSON.stringify(window.netlet.inputs())"))
        return [np.array(image, np.uint8) for image in found]


@functools.cache
def crest() -> TracedModel:
    return trace_model(load_trained_net("crest"))


@functools.cache
def small(shape: tuple[int, int, int], names: tuple[str, ...] = PETS) -> TracedModel:
    """Return an untrained net for images of this shape."""
    torch.manual_seed(1)
    net = nn.Sequential(
        *(nn.Conv2d(shape[0], 4, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, len(names), 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
    )
    return trace_model(TrainedNet("small", net.eval(), shape, names, 0.4, 0.3, None, None))


@pytest.fixture(scope="module")
def opened(
    browser: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Opened]]:
    """Return a function that opens the page of a model."""
    folder, visits = tmp_path_factory.mktemp("pages"), []

    def visit(model: TracedModel, **options: Any) -> Opened:
        file = folder / f"{len(visits)}.html"
        page = build_page(model, confidence=load_confidence(model.source))
        file.write_text(page, encoding="utf-8")
        visits.append(Opened(browser, file, **options))
        return visits[-1]

    yield visit
    for visited in visits:
        visited.context.close()


@pytest.fixture(scope="module")
def page(opened: Callable[..., Opened]) -> Opened:
    return opened(crest())


@functools.cache
def digits() -> np.ndarray:
    return make_scribble(10, 20).held_out.images[:20, 0].numpy()


# --- Pictures of digits.


@functools.cache
def drawing() -> Image.Image:
    """Return a digit, dark on light, of 280x280 pixels."""
    levels = pictures.place_digit(digits()[3], np.random.default_rng(0), 200, (280, 280), 245, 20)
    return pictures.to_image(levels).convert("L")


def chunk(kind: bytes, content: bytes) -> bytes:
    head = struct.pack(">I", len(content)) + kind + content
    return head + struct.pack(">I", zlib.crc32(kind + content))


def write_png(samples: np.ndarray, depth: int, kind: int, *, interlaced: bool = False) -> bytes:
    """Return a PNG of samples ``H W C`` in one of the forms that Pillow does not write.

    Its rows use all five filters in turn, and its data a stored and a compressed block.
    """
    h, w, count = samples.shape
    passes = [(0, 0, 1, 1)]
    if interlaced:
        passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2)]
        passes += [(0, 1, 2, 2), (1, 0, 2, 1)]
    rows = []
    for top, left, down, across in passes:
        part = samples[top::down, left::across].reshape(-1, len(range(left, w, across)) * count)
        above = np.zeros(0, np.int64)
        for number, row in enumerate(part if part.shape[1] else []):
            bits = "".join(f"{value:0{depth}b}" for value in row.tolist())
            bits += "0" * (-len(bits) % 8)
            line = np.array([int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)])
            rows.append(filtered(line, above, number % 5, max(1, count * depth // 8)))
            above = line
    packer = zlib.compressobj(9)
    data = b"".join(rows)
    packed = packer.compress(data[:100]) + packer.flush(zlib.Z_FULL_FLUSH)
    packed += packer.compress(data[100:]) + packer.flush()
    header = struct.pack(">IIBBBBB", w, h, depth, kind, 0, 0, int(interlaced))
    parts = [chunk(b"IDAT", packed[i : i + 999]) for i in range(0, len(packed), 999)]
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header)
    return start + b"".join(parts) + chunk(b"IEND", b"")


def filtered(line: np.ndarray, above: np.ndarray, filter_: int, step: int) -> bytes:
    above = above if len(above) else np.zeros_like(line)
    left = np.concatenate([np.zeros(step, np.int64), line])[: len(line)]
    corner = np.concatenate([np.zeros(step, np.int64), above])[: len(line)]
    estimate = left + above - corner
    a, b, c = (np.abs(estimate - value) for value in (left, above, corner))
    paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, above, corner))
    predicted = [0, left, above, (left + above) // 2, paeth][filter_]
    return bytes([filter_]) + ((line - predicted) % 256).astype(np.uint8).tobytes()


def png_files(folder: Path) -> Iterator[Path]:
    """Write the drawing as PNG files of every kind."""
    plain, levels = drawing(), np.asarray(drawing())
    ink = 255 - levels
    color = np.dstack([levels, levels // 2, 255 - levels // 3])
    pen = (1 - levels[..., None] / 255) * [200, 40, 40] + levels[..., None] / 255 * [40, 120, 40]
    images = {
        "gray": plain,
        "light on dark": Image.fromarray(ink),
        "one bit": plain.convert("1"),
        "palette": plain.convert("P"),
        "few colors": plain.quantize(4),
        "rgb": Image.fromarray(color),
        "red pen": Image.fromarray(pen.round().astype(np.uint8)),
        "gray and alpha": Image.fromarray(np.dstack([levels, 255 - levels // 2]), "LA"),
        "sixteen bits": Image.fromarray(levels.astype(np.uint16) * 257 + 13),
        **{
            f"ink of {level} in alpha": Image.fromarray(np.dstack([*[ink * 0 + level] * 3, ink]))
            for level in (0, 200, 255)
        },
    }
    for name, image in images.items():
        image.save(folder / f"{name}.png")
        yield folder / f"{name}.png"
    opaque = np.full_like(ink, 255)
    opaque[:20, :20] = 0
    Image.fromarray(np.dstack([levels] * 3 + [opaque])).save(folder / "corner.png")
    yield folder / "corner.png"
    plain.quantize(8).save(folder / "transparent palette.png", transparency=bytes([0, 99, 255]))
    yield folder / "transparent palette.png"
    Image.fromarray(color).save(folder / "key.png", transparency=tuple(map(int, color[0, 0])))
    yield folder / "key.png"
    some = levels[40:240:2, 40:240:2, None].astype(np.int64)
    for name, samples, depth, kind in (
        ("gray 2", some // 64, 2, 0),
        ("gray 4", some // 16, 4, 0),
        ("gray 8", some, 8, 0),
        ("gray 16", some * 256 + 77, 16, 0),
        ("rgb 16", np.concatenate([some * 257, some * 200, some * 99], 2), 16, 2),
        ("gray and alpha 16", np.concatenate([some * 257, 65_535 - some * 100], 2), 16, 4),
        ("rgba 16", np.concatenate([some * 257] * 3 + [65_535 - some * 9], 2), 16, 6),
    ):
        for interlaced in (False, True):
            file = folder / f"{name}{' interlaced' if interlaced else ''}.png"
            file.write_bytes(write_png(samples, depth, kind, interlaced=interlaced))
            yield file
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        file = folder / f"turned {orientation}.png"
        plain.crop((20, 0, 280, 260 - orientation)).save(file, exif=exif)
        yield file


def photos(folder: Path) -> Iterator[Path]:
    """Write pictures of every kind of the benchmark, and larger ones."""
    for make in pictures.KINDS:
        for i in (1, 2, 4):
            file = folder / f"{make.__name__} {i}.png"
            make(digits()[i], np.random.default_rng(i)).save(file)
            yield file
    large = pictures.place_digit(
        digits()[2], np.random.default_rng(0), 700, (2_399, 3_201), 250, 10
    )
    large[100:112, 200:212] = 0
    pictures.to_image(large).save(folder / "large.png")
    yield folder / "large.png"
    row = np.full((120, 420), 235.0)
    for i, number in enumerate((5, 1, 7)):
        row[10:110, 20 + 130 * i : 120 + 130 * i] = pictures.place_digit(
            digits()[number], np.random.default_rng(0), 90, (100, 100), 235, 40
        )
    pictures.to_image(row).save(folder / "row.png")
    yield folder / "row.png"
    yield from touching_pictures(folder)


def touching_pictures(folder: Path) -> Iterator[Path]:
    """Write strokes with hard edges: as thin and as full as they can be."""
    for name, rows, columns in (("thin", (10, 90), (50, 51)), ("full", (0, 100), (40, 60))):
        levels = np.full((100, 100), 255, np.uint8)
        levels[slice(*rows), slice(*columns)] = 0
        Image.fromarray(levels).save(folder / f"{name}.png")
        yield folder / f"{name}.png"


@pytest.mark.parametrize("write", [png_files, photos])
def test_a_picture_is_read_as_in_python_to_the_pixel(
    page: Opened, tmp_path: Path, write: Callable[[Path], Iterator[Path]]
) -> None:
    several = 0
    for file in write(tmp_path):
        expected = [prepare_digit(ink) for ink in read_digits(file)]
        page.open(file)
        assert page.notice == "", file.name
        found = page.inputs()
        assert len(found) == len(expected), file.name
        for mine, theirs in zip(expected, found, strict=True):
            np.testing.assert_array_equal(theirs.reshape(28, 28), mine, err_msg=file.name)
        several += len(found) > 1
    assert several == (write is photos)
    assert page.complaints == []


JPEG_LEVELS = 2  # of 255: a browser's decoder may round differently from Pillow's
REDUCED_JPEG_LEVELS = 4  # of a large one, which Pillow decodes at half of its size


def test_a_jpeg_is_read_as_in_python_but_for_its_decoder(page: Opened, tmp_path: Path) -> None:
    worst = {"small": 0, "large": 0}
    for orientation in (1, 6, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        for name, make in (("gray", "L"), ("color", "RGB")):
            file = tmp_path / f"{name} {orientation}.jpg"
            drawing().convert(make).save(file, exif=exif, quality=85)
            worst["small"] = max(worst["small"], largest_difference(page, file))
    file = tmp_path / "large.jpg"
    large = pictures.place_digit(
        digits()[6], np.random.default_rng(0), 700, (2_400, 3_200), 250, 10
    )
    pictures.to_image(large).save(file, quality=90)
    worst["large"] = largest_difference(page, file)
    assert worst["small"] <= JPEG_LEVELS, worst
    assert worst["large"] <= REDUCED_JPEG_LEVELS, worst


@pytest.mark.parametrize("name", ["a.webp", "a.bmp", "a.gif"])
def test_formats_that_the_browser_decodes_without_loss_are_the_same(
    page: Opened, tmp_path: Path, name: str
) -> None:
    options = {"lossless": True} if name == "a.webp" else {}
    drawing().save(tmp_path / name, **options)
    assert largest_difference(page, tmp_path / name) == 0


def largest_difference(page: Opened, file: Path) -> int:
    (expected,) = [prepare_digit(ink) for ink in read_digits(file)]
    page.open(file)
    (found,) = page.inputs()
    return int(np.abs(found.reshape(28, 28).astype(int) - expected).max())


def test_the_answers_to_a_picture_are_those_of_predict(
    page: Opened, netlet: Any, tmp_path: Path
) -> None:
    *_, row = (file for file in photos(tmp_path) if file.name == "row.png")
    page.open(row)
    code, out, _ = netlet("predict", str(row), "--json")
    answers = json.loads(out)["predictions"]
    assert code == 0
    assert len(answers) == 3
    shown = page.page.locator("#digits button")
    for i, one in enumerate(answers):
        shown.nth(i).click()
        percent = [f"{100 * p:.1f}%" for p in one["probabilities"].values()]
        rows = page.page.locator("#probabilities tr").all_inner_texts()
        assert [line.split()[1] for line in rows] == percent
        sign = "?" if one["unsure"] else one["digit"]
        assert shown.nth(i).text_content() == sign


def test_a_picture_that_cannot_be_read_costs_nothing(page: Opened, tmp_path: Path) -> None:
    page.page.reload()
    page.page.keyboard.press("3")
    page.settled()
    before = page.inputs()
    noise = np.random.default_rng(0).normal(150, 12, (300, 300)).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"x"))
    for name, content, message in (
        ("white.png", png_of(np.full((90, 60), 255, np.uint8)), "blank, nothing is drawn on it"),
        ("noise.png", file.getvalue(), "blank"),
        ("cut.png", file.getvalue()[:2_000], "its data are "),
        ("bomb.png", bomb, "30000x30000 pixels are too many; scale it to at most 50 million"),
        ("text.png", b"no image", "not an image that this browser can read; use a PNG"),
        ("empty.jpg", b"", "empty; use a PNG"),
        ("area.png", png_of(area()), "a solid area instead of strokes"),
    ):
        (tmp_path / name).write_bytes(content)
        if name != "cut.png":
            with pytest.raises(DataError):
                read_digits(tmp_path / name)
        page.open(tmp_path / name)
        assert page.notice.startswith(f"{name}: {message}"), page.notice
        assert [list(image) for image in page.inputs()] == [list(image) for image in before]
    Image.fromarray(255 - digits()[0]).save(tmp_path / "good.png")
    page.open(tmp_path / "good.png")
    assert page.notice == ""
    page.page.get_by_role("button", name="Undo").click()
    page.settled()
    assert [list(image) for image in page.inputs()] == [list(image) for image in before]


def png_of(levels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(levels).save(file, "PNG")
    return file.getvalue()


def area() -> np.ndarray:
    levels = np.full((100, 100), 220, np.uint8)
    levels[20:80, 30:75] = 30
    return levels


def test_pictures_can_be_dropped_and_pasted(page: Opened, tmp_path: Path) -> None:
    drawing().save(tmp_path / "a.png")
    (expected,) = [prepare_digit(ink) for ink in read_digits(tmp_path / "a.png")]
    content = list((tmp_path / "a.png").read_bytes())
    for kind in ("drop", "paste"):
        page.page.reload()
        page.page.evaluate(
            """([kind, content]) => {
              const files = new DataTransfer();
              files.items.add(new File([Uint8Array.from(content)], "a.png", { type: "image/png" }));
              const event = kind === "drop" ? new DragEvent(kind, { dataTransfer: files, bubbles: true })
                : new ClipboardEvent(kind, { clipboardData: files, bubbles: true });
              document.body.dispatchEvent(event);
            }""",
            [kind, content],
        )
        page.until("window.netlet.inputs().length === 1")
        np.testing.assert_array_equal(page.inputs()[0].reshape(28, 28), expected)


def test_a_receptive_field_is_outlined_on_the_picture(page: Opened, tmp_path: Path) -> None:
    picture = Image.new("L", (600, 300), 250)
    picture.paste(drawing().resize((100, 100)), (450, 150))
    picture.save(tmp_path / "a.png")
    page.open(tmp_path / "a.png")
    page.page.locator(".layer").first.locator(".map").first.hover()
    outline = page.page.locator("#drawing-outline").evaluate(
        "(mark) => ['left', 'top'].map((side) => parseFloat(mark.style[side]))"
    )
    # The picture, twice as wide as high, fills the middle of the sheet; the digit is at its right.
    assert 60 < outline[0] < 95
    assert 45 < outline[1] < 75


# --- Links.


def shared(visit: Opened) -> str:
    visit.page.get_by_role("button", name="Share link").click()
    visit.until("!document.getElementById('link').hidden")
    link = visit.page.locator("#link").input_value()
    assert link == visit.page.url
    return str(link)


def test_a_link_shows_the_same_drawing_and_scores(opened: Callable[..., Opened]) -> None:
    first, second = opened(crest()), opened(crest())
    assert first.page.get_by_role("button", name="Share link").is_disabled()
    first.draw(
        [(0.2, 0.2), (0.4, 0.3), (0.3, 0.8)], [(0.7, 0.2), (0.7, 0.9)], [(0.9, 0.5), (1.2, 0.1)]
    )
    first.settled()
    link = shared(first)
    assert link.startswith("file://")
    assert len(link) < 400
    second.page.goto(second.uri + link[link.index("#") :])
    second.page.reload()
    second.settled()
    np.testing.assert_array_equal(second.ink(), first.ink())
    assert (
        second.page.locator("#probabilities").inner_text()
        == first.page.locator("#probabilities").inner_text()
    )
    assert [list(i) for i in second.inputs()] == [list(i) for i in first.inputs()]
    assert shared(second).split("#")[1] == link.split("#")[1]


def test_a_link_with_a_picture_shows_the_same_inputs(
    opened: Callable[..., Opened], tmp_path: Path
) -> None:
    first, second = opened(crest()), opened(crest())
    *_, row = (file for file in photos(tmp_path) if file.name == "row.png")
    first.open(row)
    link = shared(first)
    assert len(link) < 3_000
    second.page.goto(second.uri + link[link.index("#") :])
    second.settled()
    assert [list(i) for i in second.inputs()] == [list(i) for i in first.inputs()]
    assert len(second.inputs()) == 3
    assert second.best == first.best
    assert second.ink().any()


def write_fragment(*content: int) -> str:
    """Return the fragment of a link with these bytes and their checksum."""
    a, b = 1, 0
    for byte in content:
        a = (a + byte) % 255
        b = (b + a) % 255
    return base64.urlsafe_b64encode(bytes([*content, a, b])).decode().rstrip("=")


def test_a_damaged_link_is_ignored_with_a_line(opened: Callable[..., Opened]) -> None:
    visit = opened(crest())
    visit.draw([(0.2, 0.2), (0.4, 0.3), (0.3, 0.8)])
    link = shared(visit)
    start, content = link.split("#drawing=")
    changed = content[:9] + ("A" if content[9] != "A" else "B") + content[10:]
    half = content[: len(content) // 2]
    for fragment in (
        *(content[:-1], content[:-4], half, content + "AAAA", changed),
        *("", "%%%", "<script>", write_fragment(1, 1, 0)),  # the last: no picture at all
    ):
        visit.page.goto("about:blank")
        visit.page.goto(f"{start}#drawing={fragment}")
        assert visit.notice == (
            "The drawing in the link was ignored: the link is damaged; copy the whole link."
        ), fragment
        assert visit.inputs() == []
        visit.page.keyboard.press("7")
        assert visit.best == "7"
    visit.page.goto(f"{start}#layers")
    assert visit.notice == ""
    assert visit.complaints == []


def test_a_link_of_a_net_for_other_images_is_refused(
    opened: Callable[..., Opened], tmp_path: Path
) -> None:
    color, gray = opened(small((3, 32, 32))), opened(crest())
    drawing().save(tmp_path / "a.png")
    color.open(tmp_path / "a.png")
    link = shared(color)
    gray.page.goto(gray.uri + link[link.index("#") :])
    there = "The drawing in the link was ignored: the link is from {}; open it there."
    assert gray.notice == there.format("a page whose net takes other images")
    gray.page.goto("about:blank")
    gray.page.goto(f"{gray.uri}#drawing={write_fragment(2, 0)}")
    assert gray.notice == there.format("another version of this page")


# --- Other nets: colors, other sizes, other classes.


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 32, 32), (3, 28, 28), (3, 24, 40), (1, 9, 8)])
def test_logits_of_nets_for_other_images_are_those_of_pytorch(
    opened: Callable[..., Opened], shape: tuple[int, int, int]
) -> None:
    model = small(shape)
    some = torch.randint(
        256, (5, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    )
    with torch.inference_mode():
        expected = model.source.net(normalize(some, model.source.recipe))
    found = torch.tensor(opened(model).call("logits", some))
    assert (expected - found).abs().max() < 1e-4


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 32, 32), (3, 24, 40)])
def test_the_whole_drawing_is_averaged_in_color(
    opened: Callable[..., Opened], shape: tuple[int, int, int]
) -> None:
    visit = opened(small(shape))
    assert visit.inputs() == []
    visit.draw([(0.1, 0.1), (0.9, 0.2)])
    if shape[0] == 3:
        visit.page.get_by_role("button", name="Pen red").click()
        visit.draw([(0.2, 0.9), (0.9, 0.5)])
        visit.page.get_by_role("button", name="Paper blue").click()
    else:
        visit.page.get_by_role("button", name="Pen gray", exact=True).click()
        visit.draw([(0.2, 0.9), (0.9, 0.5)])
    visit.settled()
    sheet = visit.pixels()
    assert sheet.shape[:2] == ((336, 560) if shape == (3, 24, 40) else (560, 560))
    if shape[0] == 3:
        assert (sheet[-1, 0, :3] == [0x1F, 0x77, 0xB4]).all()
        assert (sheet[..., :3] == [0xD6, 0x27, 0x28]).all(axis=2).sum() > 1_000
    levels = sheet[..., : shape[0]].transpose(2, 0, 1)
    expected = average_levels(levels, *shape[1:])
    np.testing.assert_array_equal(visit.inputs()[0].reshape(shape), expected)
    with torch.inference_mode():
        net = visit_net(shape)
        wanted = net.net(normalize(torch.from_numpy(expected)[None], net.recipe)).softmax(1)[0]
    rows = visit.page.locator("#probabilities tr").all_inner_texts()
    assert [row.split() for row in rows] == [
        [name, f"{100 * p:.1f}%"] for name, p in zip(PETS, wanted.tolist(), strict=True)
    ]
    visit.page.get_by_role("button", name="Undo").click()
    visit.settled()
    assert (visit.pixels()[-1, 0, :3] == 0).all()
    link = shared(visit)
    again = opened(small(shape))
    again.page.goto(again.uri + link[link.index("#") :])
    again.settled()
    np.testing.assert_array_equal(again.pixels(), visit.pixels())
    assert visit.complaints == again.complaints == []


def visit_net(shape: tuple[int, int, int]) -> TrainedNet:
    return small(shape).source


@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 32, 32), (3, 24, 40), (1, 50, 64)])
def test_a_whole_picture_is_averaged_as_in_python_to_the_pixel(
    opened: Callable[..., Opened], tmp_path: Path, shape: tuple[int, int, int]
) -> None:
    visit = opened(small(shape))
    random = np.random.default_rng(1)
    noise = random.integers(0, 256, (61, 83, 4), dtype=np.uint8)
    files = [*png_files(tmp_path)]
    for name, image in (
        ("noise.png", Image.fromarray(noise[..., :3])),
        ("alpha.png", Image.fromarray(noise)),
        ("tiny.png", Image.fromarray(noise[:3, :2, :3])),
        ("wide.png", Image.fromarray(noise[:1, :, :3])),
        ("large.png", Image.fromarray(noise[..., :3]).resize((1_300, 1_100))),
    ):
        image.save(tmp_path / name)
        files.append(tmp_path / name)
    for file in files:
        expected = read_whole_picture(file, shape)
        visit.open(file)
        assert visit.notice == "", file.name
        found = visit.inputs()[0].reshape(shape)
        np.testing.assert_array_equal(found, expected, err_msg=file.name)
    answer = evaluation.predict(visit_net(shape).net, [expected], visit_net(shape).recipe)[0]
    assert visit.best == PETS[answer.best]
    link = shared(visit)
    again = opened(small(shape))
    again.page.goto(again.uri + link[link.index("#") :])
    again.settled()
    assert list(again.inputs()[0]) == list(visit.inputs()[0])


def test_a_net_of_mnist_in_three_channels_gets_the_same_ink_in_each(
    opened: Callable[..., Opened],
) -> None:
    model = small((3, 28, 28), tuple("0123456789"))
    visit = opened(model)
    visit.page.keyboard.press("4")
    visit.settled()
    (found,) = visit.inputs()
    frame = prepare_digit(visit.ink())
    np.testing.assert_array_equal(found.reshape(3, 28, 28), np.stack([frame] * 3))


def test_characters_of_other_classes_are_prepared_and_named(opened: Callable[..., Opened]) -> None:
    names = SOURCES["kmnist"].class_names
    source = dataclasses.replace(crest().source, name="kana", class_names=names)
    visit = opened(dataclasses.replace(crest(), source=source))
    visit.draw([(0.15, 0.2), (0.15, 0.8)], [(0.6, 0.2), (0.7, 0.8)])
    visit.settled()
    assert len(visit.inputs()) == 2
    name = visit.page.locator("#digits button").first.get_attribute("aria-label")
    assert name.startswith("Character 1 of 2: ")
    visit.until(
        "document.getElementById('announced-answer').textContent.startsWith('2 characters: ')"
    )
    assert "digit" not in visit.page.locator("body").inner_text().lower()
    snapshot = visit.page.locator("body").aria_snapshot()
    assert "digit" not in snapshot.lower()
    assert 'button "Open picture"' in snapshot
    assert 'button "Share link"' in snapshot
    visit.page.keyboard.press("4")
    assert len(visit.inputs()) == 2  # no sample


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_controls_fit_on_a_phone(
    opened: Callable[..., Opened], shape: tuple[int, int, int]
) -> None:
    visit = opened(small(shape, tuple(f"class number {i}" for i in range(40))), viewport=PHONE)
    visit.draw([(0.2, 0.2), (0.8, 0.8)])
    shared(visit)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_short_names_stay_on_one_line_and_long_ones_fit(opened: Callable[..., Opened]) -> None:
    names = ("tsu", "automobile", "T-shirt/top", "x" * 90, "many words in a name that is long")
    visit = opened(small((3, 32, 32), names), viewport=PHONE)
    heights = visit.page.evaluate(
        "[...document.querySelectorAll('#probabilities th span')].map((name) => name.offsetHeight)"
    )
    assert max(heights[:3]) < 30 < min(heights[3:])
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
