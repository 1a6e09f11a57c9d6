"""The README's picture of the page, taken in a real browser.

    python -m tools.page_screenshot

Needs Playwright and Chromium; the same page gives the same picture but for the fonts that a machine
has.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from netlet.experiments import load_trained_net
from netlet.export import trace_model
from netlet.export.page_file import page
from tools.records import ROOT

NET, DIGIT = "crest", "3"
LAYER, CHANNEL, PLACE = 3, 6, (0.65, 0.35)  # that is pointed at; the place in shares of the map
SIZE = {"width": 1200, "height": 1060}


def taken(html: Path) -> bytes:
    """A page with a digit on it and a place pointed at, as PNG."""
    with sync_playwright() as running:
        browser = running.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        visit = browser.new_page(viewport=SIZE, reduced_motion="reduce")
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
    """Take it."""
    with tempfile.TemporaryDirectory() as folder:
        html = Path(folder) / "page.html"
        html.write_text(page(trace_model(load_trained_net(NET))), encoding="utf-8")
        picture = Image.open(io.BytesIO(taken(html))).convert("RGB")
    path = ROOT / "docs" / "page.png"
    picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    print(f"{path.relative_to(ROOT)}: {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
