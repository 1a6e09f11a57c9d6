"""Upload a folder to the Hugging Face Hub, with the person's own token."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast

from netlet.errors import ExportError, first_line, install_hint

_REPOSITORY = re.compile(r"[\w.-]{1,96}/[\w.-]{1,96}")


class Hub(Protocol):
    """What of ``huggingface_hub.HfApi`` an upload needs."""

    def create_repo(self, repo_id: str, **options: Any) -> Any:
        """Create a repository."""

    def upload_folder(self, **options: Any) -> Any:
        """Upload the files of a folder as one commit."""


def check_upload(repository: str) -> str:
    """Check that a folder can be uploaded, before it is made.

    Args:
        repository: ``OWNER/NAME``.

    Returns:
        The person's token.

    Raises:
        ExportError: The name has another form, huggingface_hub is not installed, or there is no
            token.
    """
    if not _REPOSITORY.fullmatch(repository):
        raise ExportError(f"--push {repository}: write OWNER/NAME, like ada/crest")
    if importlib.util.find_spec("huggingface_hub") is None:
        raise ExportError(
            f"--push {repository}: huggingface_hub is not installed; {install_hint('hub')}"
        )
    from huggingface_hub import get_token

    token: str | None = get_token()
    if not token:
        raise ExportError(
            f"--push {repository}: there is no token of the Hugging Face Hub; run 'hf auth login', "
            "or set HF_TOKEN to a token that may write"
        )
    return token


def upload(
    folder: Path,
    files: Sequence[str],
    repository: str,
    *,
    space: bool = False,
    private: bool = False,
    hub: Hub | None = None,
) -> str:
    """Upload files of a folder, and create the repository if there is none.

    Args:
        folder: The folder.
        files: The names of the files to upload; what else lies there stays.
        repository: ``OWNER/NAME``.
        space: Whether it is a static Space, and not a model.
        private: Whether only its owner can see a repository that is created.
        hub: What uploads; None: the Hugging Face Hub, with the person's token.

    Returns:
        The address of the repository.

    Raises:
        ExportError: There is no token, or the upload fails.
    """
    if hub is None:
        from huggingface_hub import HfApi

        hub = cast("Hub", HfApi(token=check_upload(repository)))
    kind = "space" if space else "model"
    try:
        options = {"space_sdk": "static"} if space else {}
        hub.create_repo(repository, repo_type=kind, private=private, exist_ok=True, **options)
        hub.upload_folder(
            repo_id=repository,
            repo_type=kind,
            folder_path=str(folder),
            allow_patterns=list(files),
            commit_message=f"Publish a {kind} with netlet",
        )
    except Exception as error:
        reason = first_line(error)
        raise ExportError(
            f"--push {repository}: the upload failed ({reason}); {folder} is complete, run the "
            "same command again once the cause is removed"
        ) from error
    return f"https://huggingface.co/{'spaces/' * space}{repository}"
