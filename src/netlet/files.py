"""Writing files whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, content: bytes | str) -> None:
    """Put ``content`` under ``path`` so that no reader, and no crash, ever sees half of it.

    The bytes go to a neighbour of ``path`` first, reach the disk, and are renamed in one step.

    Raises:
        OSError: The folder cannot be written to, or the disk is full; an earlier file under ``path`` is unharmed.
    """
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o666 & ~_umask())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _umask() -> int:
    # The only way to read the mask is to set it; mkstemp's 0600 would keep a team from reading its own records.
    mask = os.umask(0)
    os.umask(mask)
    return mask
