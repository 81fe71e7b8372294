"""What outlives a reset: two lists of a root's paths, made by a script, compared."""

from __future__ import annotations

import base64
import re
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from components.settings.keep import is_kept

if TYPE_CHECKING:
    from collections.abc import Sequence

OF_THE_OS = r"/usr|/s?bin|/lib(32|64|x32)?|/var/(run|lock)"
"""Stays in Flatcar's own wipe: links to directories, and where USR is mounted."""


def listing(*roots: str) -> str:
    """A shell command that prints each path below `roots` with its inode and when it was made, for `read_listing`."""
    return f'find {" ".join(roots)} -mindepth 1 -xdev -exec stat --printf "%n\\n%i %.W\\0" {{}} + | base64 -w0'


def read_listing(text: str) -> dict[str, str]:
    """Whole paths, each with what tells it from a later one of its name."""
    entries = base64.b64decode(text).decode().split("\0")[:-1]
    return dict(entry.removeprefix(".").rsplit("\n", 1) for entry in entries)


def left_over(before: dict[str, str], after: dict[str, str], keep: Sequence[str]) -> list[str]:
    """Paths that stayed, though they are neither kept, nor a folder of what is, nor the OS's."""
    kept = {path for path in after if is_kept(path, keep)}
    folders = {str(folder) for path in kept for folder in PurePosixPath(path).parents}
    stayed = {path for path in before.keys() & after.keys() if before[path] == after[path]}
    return sorted(path for path in stayed - folders - kept if not re.fullmatch(OF_THE_OS, path))
