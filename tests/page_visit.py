"""A visit to the exported page in a real browser, offline."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--disable-sync",
]
DESK, PHONE = {"width": 1200, "height": 900}, {"width": 390, "height": 844}
SHEET, PEN = 560, 46  # as page/drawing.js has it


class Visit:
    """A page opened from a file, offline."""

    def __init__(self, browser: Any, file: Path, **options: Any) -> None:
        self.context = browser.new_context(
            **{"viewport": DESK, "reduced_motion": "reduce"} | options
        )
        self.context.set_offline(True)
        self.page = self.context.new_page()
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.uri = file.as_uri()
        self.page.goto(self.uri)

    def call(self, name: str, images: torch.Tensor) -> Any:
        """Call the page's function of that name for each image and return the results."""
        # As text: Playwright passes an array number by number, which is slow.
        given = json.dumps(images.flatten(1).tolist())
        return json.loads(
            self.page.evaluate(
                f"(given) => JSON.stringify(JSON.parse(given).map(window.netlet.{name}))", given
            )
        )

    def prepared(self, ink: np.ndarray) -> list[int]:
        given = json.dumps([ink.ravel().tolist(), ink.shape[1], ink.shape[0]])
        return json.loads(
            self.page.evaluate(
                "(given) => JSON.stringify(window.netlet.prepare(...JSON.parse(given)))", given
            )
        )

    def digits(self, ink: np.ndarray) -> list[int]:
        """Return the numbers of the digits that the page finds in ink."""
        given = json.dumps([ink.ravel().tolist(), ink.shape[1], ink.shape[0]])
        return json.loads(
            self.page.evaluate(
                "(given) => JSON.stringify(window.netlet.digits(...JSON.parse(given)))", given
            )
        )

    def draw(self, *strokes: list[tuple[float, float]]) -> None:
        """Draw strokes with the mouse; x and y are shares of the drawing area."""
        box = self.page.locator("#drawing").bounding_box()
        for stroke in strokes:
            for i, (x, y) in enumerate(stroke):
                place = box["x"] + box["width"] * x, box["y"] + box["height"] * y
                self.page.mouse.move(*place, steps=2 if i else 1)
                if not i:
                    self.page.mouse.down()
            self.page.mouse.up()

    def until(self, condition: str) -> None:
        """Wait until a JavaScript condition is true."""
        for _ in range(100):
            if self.page.evaluate(condition):
                return
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never true: {condition}")

    def tap(self, target: Any) -> None:
        """Tap until a click follows: of quick taps, Chromium's touch emulation loses some."""
        self.page.evaluate(
            "addEventListener('click', () => { clicks++; }, true), window.clicks = 0"
        )
        for _ in range(5):
            target.tap()
            self.page.wait_for_timeout(100)
            if self.page.evaluate("clicks"):
                return
        raise AssertionError("no click followed five taps")

    def settled(self) -> None:
        self.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    @property
    def best(self) -> str:
        self.settled()
        return str(self.page.locator("#prediction b").text_content())

    def ink(self) -> np.ndarray:
        return self.pixels()[..., 3]

    def pixels(self) -> np.ndarray:
        """Return the drawing area, ``H W`` and red, green, blue and alpha."""
        width, height, levels = self.page.evaluate(
            "() => { const c = document.getElementById('drawing');"
            "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
            "let s = ''; for (let i = 0; i < d.length; i++) s += String.fromCharCode(d[i]);"
            "return [c.width, c.height, btoa(s)]; }"
        )
        return np.frombuffer(base64.b64decode(levels), np.uint8).reshape(height, width, 4)

    def seen(self) -> np.ndarray:
        levels = self.page.evaluate(
            "() => Array.from(document.getElementById('input').getContext('2d')"
            ".getImageData(0, 0, 28, 28).data)"
        )
        return np.array(levels, np.uint8).reshape(28, 28, 4)

    def sheet(self, x: float, y: float) -> tuple[float, float]:
        """Return the screen position of a point of the unit square that a digit fills."""
        box = self.page.locator("#drawing").bounding_box()
        return box["x"] + box["width"] * (0.25 + x / 2), box["y"] + box["height"] * (
            0.17 + y * 0.66
        )
