"""The GitHub workflow that checks, trains and judges the net of a course repository."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from netlet.errors import RepositoryError
from netlet.files import safe_name

PYTHON = "3.14"
CHECKOUT = "actions/checkout@v7"
SETUP_PYTHON = "actions/setup-python@v7"
CACHE = "actions/cache@v6"
UPLOAD = "actions/upload-artifact@v7"
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
_TRAINED = "netlet-ci"  # folder of the study that the workflow trains
_REPORT = "netlet-report.html"
_MAX_LETTERS = 500  # of a requirement
_TEXT = """\
# Written by 'netlet init'. It is yours: netlet does not change it.
name: {name}

on:
  push:
    branches: [main, master]
{paths}  pull_request:
{paths}  workflow_dispatch:

permissions:
  contents: read

concurrency:
  group: ${{{{ github.workflow }}}}-${{{{ github.ref }}}}
  cancel-in-progress: true

jobs:
  netlet:
    runs-on: ubuntu-latest
    timeout-minutes: 60
{defaults}    env:
      # What pip installs. The variable NETLET of the repository or organization takes precedence
      # (Settings, Secrets and variables, Actions, Variables).
      NETLET: {requirement}
      # pip prefers 2.x.y+cpu from here to the CUDA build of the same version.
      PIP_EXTRA_INDEX_URL: {index}
    steps:
      - uses: {checkout}
      - uses: {setup_python}
        with:
          python-version: "{python}"
          cache: pip
          cache-dependency-path: {cached}
      - uses: {cache}
        with:
          path: ~/.cache/netlet
          key: netlet-${{{{ runner.os }}}}-{key}
      - name: Install netlet
        run: |
          if [ -z "$NETLET" ]; then
            echo "::error::Set the GitHub Actions variable NETLET to what pip should install"
            exit 1
          fi
          pip install "$NETLET"
      - name: Check the structure of the net
        run: netlet check
      - name: Train it and judge the result
        run: netlet study --out {trained}
      - name: Report
        if: ${{{{ !cancelled() }}}}
        run: netlet report {trained} --out {report}
      - uses: {upload}
        if: ${{{{ !cancelled() }}}}
        with:
          name: {artifact}
          path: {uploaded}
          if-no-files-found: ignore
"""


def workflow_name(folder: PurePosixPath) -> str:
    """Return the name of the workflow of a folder of the repository, ``netlet`` for its root."""
    label = safe_name("-".join(folder.parts)).strip("-.")
    return f"netlet-{label}" if label else "netlet"


def workflow_text(folder: PurePosixPath, requirement: str | None) -> str:
    """Return the content of the workflow's file.

    Args:
        folder: The folder of ``netlet.toml``, relative to the repository's root.
        requirement: What pip installs, such as ``netlet[report] @ git+https://...``; None leaves it
            to the Actions variable ``NETLET``.

    Raises:
        RepositoryError: The requirement cannot be written into a workflow.
    """
    name = workflow_name(folder)
    inside = folder.parts != ()
    default = "" if requirement is None else f" || {_quote_expression(requirement)}"
    paths = json.dumps([f"{folder}/**", f".github/workflows/{name}.yml"])
    run_in = f"    defaults:\n      run:\n        working-directory: {json.dumps(str(folder))}\n"
    return _TEXT.format(
        name=name,
        paths=f"    paths: {paths}\n" if inside else "",
        defaults=run_in if inside else "",
        requirement=f"${{{{ vars.NETLET{default} }}}}",
        index=CPU_INDEX,
        checkout=CHECKOUT,
        setup_python=SETUP_PYTHON,
        python=PYTHON,
        cached=json.dumps(f".github/workflows/{name}.yml"),
        cache=CACHE,
        key=name,
        trained=_TRAINED,
        report=_REPORT,
        upload=UPLOAD,
        artifact=f"{name}-report",
        uploaded=json.dumps(str(folder / _REPORT)),
    )


def installed_requirement() -> str | None:
    """Return what pip would install to get this netlet, if it came from a public git address."""
    try:
        text = metadata.distribution("netlet").read_text("direct_url.json")
    except metadata.PackageNotFoundError:
        return None
    source = json.loads(text) if text else {}
    commit = source.get("vcs_info", {}).get("commit_id")
    address = urlsplit(str(source.get("url", "")))
    if address.scheme != "https" or not commit or address.username or address.password:
        return None
    return f"netlet[report] @ git+{address.geturl()}@{commit}"


def _quote_expression(requirement: str) -> str:
    """Return a string of GitHub's expressions.

    Raises:
        RepositoryError: The requirement has characters that cannot be in one line of YAML.
    """
    if len(requirement) > _MAX_LETTERS or not re.fullmatch(r"[\x20-\x7e]+", requirement):
        raise RepositoryError(
            f"--install: give what pip installs as at most {_MAX_LETTERS} ASCII characters in one "
            "line"
        )
    if "}}" in requirement or re.search(r"\s#|:\s|:$", requirement):
        raise RepositoryError(
            f"--install {requirement!r} cannot be written into a workflow; leave out '}}}}', a "
            "comment, and a colon before a space"
        )
    return "'" + requirement.replace("'", "''") + "'"
