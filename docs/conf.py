"""Configuration of the documentation site; build it with the command in docs/README.md."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

from sphinx.application import Sphinx

from netlet import __version__

project = "netlet"
author = "netlet contributors"
project_copyright = "netlet contributors"
release = version = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinxcontrib.mermaid",
    "command_reference",
]
exclude_patterns = ["_build", "README.md"]

myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
mermaid_fullscreen = False
smartquotes_action = "qe"  # dashes stay: they are options of commands
highlight_language = "none"  # indented blocks are terminal sessions, not Python

autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_member_order = "groupwise"
autodoc_preserve_defaults = True
autodoc_default_options = {"members": True, "imported-members": True}
napoleon_numpy_docstring = False
napoleon_use_ivar = True  # an attribute of a dataclass is described once

html_theme = "furo"
html_title = f"netlet {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": True}


def skip_other_packages(
    sphinx: Sphinx, what: str, name: str, value: object, skip: bool, options: object
) -> bool | None:
    """Skip what a package re-exports from another package, which has its own page."""
    module = str(getattr(value, "__module__", ""))
    package = Path(sphinx.env.docname).name
    elsewhere = module.startswith("netlet.") and module.split(".")[1] != package
    return True if what == "module" and elsewhere else None


def link_to_pages_of_the_site(sphinx: Sphinx, page: str, source: list[str]) -> None:
    """Let links to Markdown files of the repository's root lead to the pages that include them.

    On GitHub they lead to the files themselves.
    """
    here = "../" * page.count("/")
    source[0] = re.sub(
        r"\]\((?:\.\./)+(CHANGELOG|CONTRIBUTING|SECURITY)\.md",
        lambda link: f"]({here}{link[1].lower()}.md",
        source[0],
    )


def setup(sphinx: Sphinx) -> None:
    """Register the functions of this file."""
    sphinx.connect("source-read", link_to_pages_of_the_site)
    sphinx.connect("autodoc-skip-member", skip_other_packages)
