"""A Flatcar image in a file: checked to be a disk image, then used as it is."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from toolchain.image.description import Image
from toolchain.steps import SetupError

FLATCAR_MEMORY_MIB = 2048
MINIMUM_BYTES = 1 << 30


def describe(path: Path, description: str = "") -> Image:
    """The image at `path`, a raw or qcow2 file as Flatcar publishes it, unpacked. Raises SetupError."""
    path = path.expanduser().resolve()
    if not path.is_file():
        raise SetupError(f"there is no image at {path}")
    if path.suffix in (".bz2", ".gz", ".xz", ".zip"):
        raise SetupError(f"{path} is packed", f"unpack it first; for .bz2: bunzip2 --keep {path}")
    try:
        shown = subprocess.run(
            ["qemu-img", "info", "--output=json", str(path)], capture_output=True, text=True, check=False
        )
    except FileNotFoundError as missing:
        raise SetupError("qemu-img is not installed", "install the package qemu-utils") from missing
    if shown.returncode != 0:
        raise SetupError(f"{path} is not a disk image: {shown.stderr.strip()}")
    info = json.loads(shown.stdout)
    if info["virtual-size"] < MINIMUM_BYTES:
        raise SetupError(f"{path} is too small for a Flatcar image: {info['virtual-size']} bytes")
    return Image(
        path=path,
        format=info["format"],
        kind="flatcar",
        memory=FLATCAR_MEMORY_MIB,
        description=description or f"image given by the user: {path.name}",
        made_from=f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}",
    )
