"""The file that has an object's text for the run that needs it, known by the text's hash. Standard library only.

It lies beside the machines (`path_of`), has mode 0600, and is removed once the text lies in a folder, or the machine is
proven. A program that writes one object starts with each of them, and imports little.
"""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path

FOLDER = ".objects"
"""Beside the machines: no machine's name begins with a dot."""


def sha512_of(text: str) -> str:
    """SHA-512 (hex) of a text's bytes."""
    return hashlib.sha512(text.encode()).hexdigest()


def path_of(machines: Path, machine: str, sha512: str) -> Path:
    """Where the program writes the object of `machine` that has this hash, below the folder of all machines.

    Another text lies elsewhere: a preview of one is not in the way of an update to another.
    """
    return machines / FOLDER / f"{machine}-{sha512[:16]}.ign"


def read(path: Path, sha512: str) -> str | None:
    """The text in a file, None where that has not this hash, or is not there."""
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return data.decode() if hashlib.sha512(data).hexdigest() == sha512 else None


def forget(path: Path) -> None:
    """Remove what `Content.keep` wrote, and its folder with the last one; harmless when it is gone."""
    path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # others are in there, or it is gone
        path.parent.rmdir()
