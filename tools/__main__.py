"""Draws everything in the repository's pages that comes from records.

    python -m tools            write what has changed
    python -m tools --check    write nothing; exit with 1 if a page differs from the records

A table is between ``<!-- records: NAME -->`` and ``<!-- end -->``; a test fails if it is edited by
hand. The pages of ladders, the report of a study, the frontier and the model cards of the weights
that come with the package are drawn as a whole, with their figures. The notebooks under
examples/ are stored without outputs.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Callable
from pathlib import Path

from netlet import data, nets, stats
from netlet.nets.shipped_weights import WEIGHTS_LICENSE
from netlet.report import Page, ladder_page, model_card, study_page, write
from tools import (
    documents,
    export,
    frontier,
    notebooks,
    operations,
    readme,
    recipe_settings,
    scale,
    speed,
    studies,
    tasks,
    techniques,
    trust,
)
from tools.records import ROOT, recorded_ladder, recorded_study

DOCS = ROOT / "docs"
PAGES = (
    ROOT / "README.md",
    DOCS / "results.md",
    DOCS / "speed.md",
    DOCS / "documents.md",
    DOCS / "export.md",
    DOCS / "microcontrollers.md",
    DOCS / "operations.md",
    DOCS / "pictures.md",
    DOCS / "scale.md",
    DOCS / "techniques.md",
    DOCS / "trust.md",
    DOCS / "tracks" / "student.md",
    DOCS / "api" / "recipes.md",
)
LADDERS = {DOCS / "ladders" / f"{name}.md": name for name in ("document_004", "own")}
FRONTIER = DOCS / "frontier.md"
REPORTS = {DOCS / "reports" / "mnistnet_1.md": "mnistnet_1"}
TABLES: dict[str, Callable[[], str]] = {
    **speed.TABLES,
    **studies.TABLES,
    **documents.TABLES,
    **export.TABLES,
    **operations.TABLES,
    **readme.TABLES,
    **recipe_settings.TABLES,
    **scale.TABLES,
    **tasks.TABLES,
    **techniques.TABLES,
    **trust.TABLES,
}


def fill_tables(page: str) -> str:
    """Return a page with the tables that the records give."""

    def draw(match: re.Match[str]) -> str:
        return f"<!-- records: {match[1]} -->\n{TABLES[match[1]]()}\n<!-- end -->"

    return re.sub(r"<!-- records: (\w+) -->\n.*?<!-- end -->", draw, page, flags=re.DOTALL)


def draw_ladder(path: Path) -> Page:
    """Return the page of a ladder."""
    return ladder_page(recorded_ladder(LADDERS[path]))


def draw_report(path: Path) -> Page:
    """Return the report of a study, with pictures of its mistakes."""
    study = recorded_study(REPORTS[path])
    return study_page(study, data.load(study.data["name"]).held_out)


def draw_cards() -> dict[Path, Page]:
    """Return the model cards of the weights that come with the package, by their paths."""
    cards = {}
    for name in nets.list_shipped_weights():
        weights, study = nets.find_shipped_weights(name), recorded_study(name)
        assert weights is not None
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        cards[weights.with_suffix(".md")] = model_card(
            study, stats.median_seed(study), weights.name, digest, WEIGHTS_LICENSE
        )
    return cards


def main() -> None:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; exit with 1 if a page differs from the records",
    )
    given = parser.parse_args()
    stale = [page for page in PAGES if fill_tables(page.read_text()) != page.read_text()]
    wholes = (
        {path: draw_ladder(path) for path in LADDERS}
        | {path: draw_report(path) for path in REPORTS}
        | draw_cards()
    )
    wholes[FRONTIER] = frontier.draw_frontier()
    stale += [
        path
        for path, page in wholes.items()
        if not path.is_file() or path.read_text() != page.markdown_at(path)
    ]
    stored = {
        path: notebooks.complete_notebook(path, notebooks.find_repository())
        for path in notebooks.NOTEBOOKS
    }
    stale += [path for path, text in stored.items() if text != path.read_text()]
    for path in stale:
        if not given.check:
            if path in stored:
                path.write_text(stored[path])
            elif path in wholes:
                write(wholes[path], path)
            else:
                path.write_text(fill_tables(path.read_text()))
        print(
            f"{path.relative_to(ROOT)}: {'differs from the records' if given.check else 'written'}"
        )
    if not given.check:
        # Figures are not compared: their bytes depend on the version of matplotlib.
        for path, page in wholes.items():
            if page.figures:
                write(page, path)
        for path in REPORTS:
            write(wholes[path], path.with_suffix(".html"))
    sys.exit(1 if given.check and stale else 0)


if __name__ == "__main__":
    main()
