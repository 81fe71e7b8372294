"""What a platform needs on this computer, as `needs.json` in its folder says: set-up imports nothing of components.

A folder without one needs nothing, and so does a name that is no platform's: the program itself tells that.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from toolchain.places import ROOT

PLATFORMS = ROOT / "components" / "platforms"
FILE = "needs.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What to set up for the machines of a platform."""

    plugin: str = ""
    """Pulumi's plugin, which the SDK `pulumi-PLUGIN` goes with; "" for none."""
    packages: tuple[str, ...] = ()
    """Debian packages."""
    image: bool = False
    """Whether machines start from the image that set-up makes, unless a stack names its own."""


def of(platform: str) -> Needs:
    """What machines on a platform need; "" is the default platform of Pulumi.yaml."""
    file = PLATFORMS / (platform or _default()) / FILE
    read = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return Needs(**{**read, "packages": tuple(read.get("packages", ()))})


def plugins() -> dict[str, str]:
    """The plugin of each platform that has one, by the platform's name."""
    names = sorted(file.parent.name for file in PLATFORMS.glob(f"*/{FILE}"))
    return {name: plugin for name in names if (plugin := of(name).plugin)}


def _default() -> str:
    text = (ROOT / "Pulumi.yaml").read_text(encoding="utf-8")
    match = re.search(r"^  platform:\n(?:    .*\n)*?    default: (\S+)$", text, re.MULTILINE)
    return match[1] if match else ""
