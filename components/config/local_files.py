"""Where things lie on the operator's computer: in the project's folder, unless the environment says otherwise."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pulumi

from components.commands.environment import machines_folder


def machines_dir() -> Path:
    """Where what belongs to this stack's machines lies."""
    return machines_folder(pulumi.get_stack())


def objects_dir() -> Path:
    """The folder for the objects of this stack's machines, beside their state."""
    return machines_dir() / "objects"


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineImage:
    """A base image, and the MiB of memory that a machine made from it needs."""

    path: Path
    memory_mib: int
    version: str = ""
    """Flatcar's, "" where it is not known."""


_SET_UP = re.compile(r"|stand-in|stable|beta|alpha|lts|\d+\.\d+\.\d+")
"""What `flatcar:image` may say that is no file's name."""


def machine_image(chosen: str = "") -> MachineImage:
    """The image at `chosen`, taken for a Flatcar image (2048 MiB), else the one that set-up prepared.

    Set-up's is described in $TOOLCHAIN_DIR/image (.toolchain by default): a version of Flatcar or the stand-in by a
    file of this name, what `chosen` = "" stands for by image.json. A channel has none: set-up puts a version in its
    place. Raises `pulumi.RunError` when the description is missing or is none.
    """
    if not _SET_UP.fullmatch(chosen):
        return MachineImage(path=Path(chosen).expanduser(), memory_mib=2048)
    description = Path(os.environ.get("TOOLCHAIN_DIR") or ".toolchain") / "image" / f"{chosen or 'image'}.json"
    try:
        document = json.loads(description.read_text(encoding="utf-8"))
        version = chosen if "." in chosen else ""
        return MachineImage(path=Path(document["path"]), memory_mib=int(document["memory"]), version=version)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise pulumi.RunError(
            f"the machine image {f'{chosen} ' if chosen else ''}isn't there: {description}: {error}\n"
            "  `make up` gets it; or name a file with `pulumi config set flatcar:image FILE`"
        ) from None
