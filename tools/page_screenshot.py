"""Takes docs/page.png, the README's picture of the exported page, in a browser, and a dark one.

    python -m tools.page_screenshot

Needs Playwright and Chromium. The same page gives the same picture except for the fonts of the
machine.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path
from typing import Literal

from PIL import Image
from playwright.sync_api import ViewportSize, sync_playwright

from netlet.cli.card import read_card
from netlet.experiments import load_confidence, load_trained_net
from netlet.export import trace_model
from netlet.export.page_export import build_page
from tools.records import ROOT

NET, DIGIT = "crest", "3"
LAYER, CHANNEL, PLACE = (
    3,
    6,
    (0.65, 0.35),
)  # under the pointer; the place as shares of the feature map
SIZE: ViewportSize = {"width": 1200, "height": 1150}


def take_screenshot(html: Path, scheme: Literal["light", "dark"]) -> bytes:
    """Return a PNG of the page with a digit drawn and the pointer on a feature map."""
    with sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        visit = browser.new_page(viewport=SIZE, reduced_motion="reduce", color_scheme=scheme)
        visit.goto(html.as_uri())
        visit.keyboard.press(DIGIT)
        maps = visit.locator(".layer").nth(LAYER).locator(".map").nth(CHANNEL)
        box = maps.bounding_box()
        assert box is not None
        maps.hover(position={"x": PLACE[0] * box["width"], "y": PLACE[1] * box["height"]})
        visit.wait_for_timeout(200)
        picture = visit.screenshot()
        browser.close()
    return picture


def main() -> None:
    """Write docs/page.png and docs/page-dark.png."""
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder) / "page.html"
        trained = load_trained_net(NET)
        page = build_page(
            trace_model(trained), confidence=load_confidence(trained), card=read_card(NET)
        )
        html.write_text(page, encoding="utf-8")
        _save(take_screenshot(html, "light"), ROOT / "docs" / "page.png")
        _save(take_screenshot(html, "dark"), ROOT / "docs" / "page-dark.png")


def _save(screenshot: bytes, path: Path) -> None:
    picture = Image.open(io.BytesIO(screenshot)).convert("RGB")
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
