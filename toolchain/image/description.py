"""What `image.json` says about the image that machines are made from, and how it is written.

    {"path": "/…/disk.qcow2", "format": "qcow2", "kind": "stand-in", "memory": 1024,
     "description": "…", "made_from": "<hash>"}
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["stand-in", "flatcar"]


class ImageError(Exception):
    """An image cannot be had. The text says what, why and what to do."""


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
    """`$TOOLCHAIN_DIR/image` (default: .toolchain/image in the checkout), made when missing."""
    checkout = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("TOOLCHAIN_DIR") or checkout / ".toolchain").resolve() / "image"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
