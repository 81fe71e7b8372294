"""Choose the image of stacks that name none, `$TOOLCHAIN_DIR/image/image.json`: `python -m toolchain.image`.

Without options that is the stand-in, built as far as needed. `--image PATH` takes a Flatcar image that is there
already, `--channel` an official one from Flatcar's release server.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from toolchain.download import OutOfReachError
from toolchain.image import given, release, stand_in
from toolchain.image.chosen import STAND_IN
from toolchain.image.description import Image, alone
from toolchain.steps import SetupError, say


def main() -> int:
    """Do what the module's text says; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m toolchain.image", description=__doc__)
    real = parser.add_mutually_exclusive_group()
    real.add_argument("--image", type=Path, metavar="PATH", help="use this Flatcar image (…_qemu_image.img)")
    real.add_argument("--channel", choices=release.CHANNELS, help="download an official Flatcar image")
    parser.add_argument("--version", default="current", help="of the official image (default: the channel's newest)")
    parser.add_argument("--or-stand-in", action="store_true", help="build the stand-in when that can't be had")
    parser.add_argument("--mirror", default="", help="Debian mirror or sources.list for the stand-in")
    options = parser.parse_args()
    with alone() as folder:
        try:
            image = _image(options, folder)
        except SetupError as problem:
            say(f"machine image: {problem}" + (f"\n  {problem.hint}" if problem.hint else ""))
            return 1
        image.write(folder)
    say(f"machine image: {image.description} ({image.path})")
    return 0


def _image(options: argparse.Namespace, folder: Path) -> Image:
    try:
        if options.image is not None:
            return given.describe(options.image)
        if options.channel is not None:
            source = release.Source.chosen()
            version = options.version
            if version == "current":
                version = release.newest(options.channel, source)
            return release.make(folder, options.channel, version, source)
    except OutOfReachError as problem:
        if not options.or_stand_in:
            raise
        say(f"STAND-IN: Flatcar can't be had, the project's own image takes its place:\n  {problem}")
    image = stand_in.make(folder, mirror=options.mirror)
    image.write(folder, STAND_IN)
    return image


if __name__ == "__main__":
    sys.exit(main())
