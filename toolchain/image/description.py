"""What `image.json` says about the image that machines are made from, and how it is written.

It holds one JSON object with the fields of `Image`.
"""

from __future__ import annotations

import json
import os
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

    def write(self, folder: Path) -> None:
        """Make this the image of `folder`/image.json, atomically."""
        text = json.dumps({**asdict(self), "path": str(self.path)}, indent=2) + "\n"
        temporary = folder / f".image.json.{os.getpid()}"
        temporary.write_text(text)
        temporary.replace(folder / "image.json")


def image_folder() -> Path:
    """`$TOOLCHAIN_DIR/image`, made when missing."""
    folder = TOOLCHAIN / "image"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
