"""Files that others read while they are written. Standard library only."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def write_atomically(
    path: Path, text: str, mode: int = 0o600, *, ready: Callable[[Path], object] | None = None
) -> None:
    """Write a file so that readers see the old or the new text, whole, however many processes write it at a time.

    `mode` is that of the new file, less the umask. `ready` gets the whole new file before it takes the old one's place.
    Raises OSError and what `ready` raises, and leaves nothing of the new text then.
    """
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
        if ready is not None:
            ready(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
