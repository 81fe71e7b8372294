"""What is known of an image that machines are made from, and how it is written.

`image.json` describes the one for stacks that name none, `4593.2.0.json` a release of Flatcar, `stand-in.json` the
stand-in: one JSON object each, with the fields of `Image`.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from toolchain.places import TOOLCHAIN

Kind = Literal["stand-in", "flatcar"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A read-only base image.

    `path` is absolute; `format` is what `qemu-img` calls it; `memory` is what a machine made of it needs, in MiB;
    `made_from` identifies what it was made from, so that it is made again when that changes.
    """

    path: Path
    format: str
    kind: Kind
    memory: int
    description: str
    made_from: str

    def write(self, folder: Path, name: str = "image") -> None:
        """Make this the image of `folder`/NAME.json, atomically."""
        text = json.dumps({**asdict(self), "path": str(self.path)}, indent=2) + "\n"
        temporary = folder / f".{name}.json.{os.getpid()}"
        temporary.write_text(text)
        temporary.replace(folder / f"{name}.json")


def image_folder() -> Path:
    """`$TOOLCHAIN_DIR/image`, made when missing."""
    folder = TOOLCHAIN / "image"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def alone() -> Iterator[Path]:
    """`image_folder()`, for this process alone: several checkouts may share a toolchain."""
    folder = image_folder()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder
