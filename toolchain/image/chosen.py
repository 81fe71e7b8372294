"""The image that a stack's new machines start from, as its setting `flatcar:image` has it.

A version of Flatcar is downloaded once. A channel stands for the newest release in it, and so does no setting at all
for the newest stable one: its version is written into the stack's config, so that every checkout has the same, and a
later release changes nothing by itself. Where no setting was made and Flatcar can't be had, and where the machines run
it already, it is the stand-in. A machine that is there keeps its disk, whatever is chosen.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from toolchain import packages
from toolchain.download import OutOfReachError
from toolchain.image import release, stand_in
from toolchain.image.description import alone, image_folder
from toolchain.steps import SetupError, say

DEFAULT = "stable"
STAND_IN = "stand-in"


def ensure(setting: str, machines: Path) -> str:
    """Make sure that the image is there; the version to write into the stack's config, "" for none.

    `machines` is the folder of the stack's machines. Raises SetupError.
    """
    try:
        if release.VERSION.fullmatch(setting):
            _release(release.channel_of(setting), setting)
            return ""
        if setting in release.CHANNELS:
            return _release(setting)
    except OutOfReachError as why:
        hint = "no network? a proxy? is there such a version? `pulumi config set flatcar:image stand-in` does without"
        raise SetupError(f"flatcar:image is {setting}, which can't be had:\n  {why}", hint) from why
    if setting == STAND_IN:
        ensure_stand_in()
    elif not setting:
        return _unless_stand_in(machines)
    return ""


def ensure_stand_in() -> None:
    """Make the stand-in; quick when nothing it is built from changed. Raises SetupError.

    It is what machines start from where a stack names nothing, unless another image was put there by hand.
    """
    if sys.platform != "linux":
        raise SetupError("the stand-in machine image is built on Linux alone", "use a stack in a cloud")
    packages.install(packages.IMAGE)
    with alone() as folder:
        image = stand_in.make(folder)
        image.write(folder, STAND_IN)
        if not _by_hand(folder):
            image.write(folder)
    say(f"machine image: {image.description} ({image.path})")


def _unless_stand_in(machines: Path) -> str:
    if image := _by_hand(image_folder()):
        say(f"machine image: {image}, as `python -m toolchain.image` was told")
        return ""
    running = [_image_of(record) for record in sorted(machines.glob("*/machine.json"))]
    versions = [match[1] for image in running if (match := re.search(r"/flatcar-([\d.]+)/[^/]*$", image))]
    if versions:
        return _release(release.channel_of(versions[0]), versions[0])
    if any("/stand-in-" in image for image in running):
        say("STAND-IN: this stack's machines run the project's own image, not Flatcar, and keep it")
    else:
        try:
            return _release(DEFAULT)
        except OutOfReachError as why:
            say(f"STAND-IN: Flatcar can't be had, the project's own image takes its place:\n  {why}")
            say("  another way: `pulumi config set flatcar:image FILE` (or a channel, or a version)")
    ensure_stand_in()
    return ""


def _release(channel: str, version: str = "") -> str:
    """Have a release's image there, the channel's newest unless a version is given; its version."""
    packages.install(packages.RELEASE)
    with alone() as folder:
        source = release.Source.chosen()
        version = version or release.newest(channel, source)
        image = release.make(folder, channel, version, source)
        image.write(folder, version)
    say(f"machine image: {image.description}")
    return version


def _by_hand(folder: Path) -> str:
    """What `python -m toolchain.image` was told to use instead of the stand-in; "" for nothing."""
    try:
        document = json.loads((folder / "image.json").read_bytes())
        return str(document["description"]) if document["kind"] == "flatcar" and Path(document["path"]).exists() else ""
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _image_of(record: Path) -> str:
    try:
        return str(json.loads(record.read_bytes())["image"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SetupError(f"{record} can't be read as a machine's record: {error}") from error
