"""Where things lie on the operator's computer: in the project's folder, unless the environment says otherwise."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pulumi


def machines_dir() -> Path:
    """Where what belongs to this stack's machines lies: $MACHINES_DIR/STACK, .machines/STACK by default."""
    return Path(os.environ.get("MACHINES_DIR") or ".machines") / pulumi.get_stack()


def objects_dir() -> Path:
    """The folder for the objects of this stack's machines, beside their state."""
    return machines_dir() / "objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineImage:
    """A base image, and the MiB of memory that a machine made from it needs."""

    path: Path
    memory_mib: int


def machine_image(chosen: str = "") -> MachineImage:
    """The image at `chosen`, taken for a Flatcar image (2048 MiB), else the one that set-up prepared.

    Set-up's is described by $TOOLCHAIN_DIR/image/image.json (.toolchain by default). Raises `pulumi.RunError` when that
    is missing or is no such description.
    """
    if chosen:
        return MachineImage(path=Path(chosen), memory_mib=2048)
    description = Path(os.environ.get("TOOLCHAIN_DIR") or ".toolchain") / "image" / "image.json"
    try:
        document = json.loads(description.read_text(encoding="utf-8"))
        return MachineImage(path=Path(document["path"]), memory_mib=int(document["memory"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise pulumi.RunError(
            f"there is no machine image: {description}: {error}\n"
            "  `make up` prepares one; or name yours with `pulumi config set flatcar:image FILE`"
        ) from None
