"""Make `$TOOLCHAIN_DIR/image/image.json` up to date: `python -m toolchain.image`.

Without options the stand-in is built as far as needed. `--image PATH` takes a Flatcar image that is there already.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from pathlib import Path

from toolchain.image import given, stand_in
from toolchain.image.description import Image, ImageError, image_folder


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m toolchain.image", description=__doc__)
    parser.add_argument("--image", type=Path, metavar="PATH", help="use this Flatcar image (…_qemu_image.img)")
    parser.add_argument("--mirror", default="", help="Debian mirror or sources.list for the stand-in")
    parser.add_argument("--packages", action="store_true", help="only print the packages that building needs")
    options = parser.parse_args()
    if options.packages:
        print(" ".join(stand_in.build_packages(root=os.geteuid() == 0)))
        return 0
    folder = image_folder()
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two checkouts may share a toolchain
        try:
            image = _image(options, folder)
        except ImageError as problem:
            print(f"image: {problem}", file=sys.stderr)
            return 1
        image.write(folder)
    word = "stand-in, not Flatcar: " if image.kind == "stand-in" else ""
    print(f"image: {word}{image.description} ({image.path})")
    return 0


def _image(options: argparse.Namespace, folder: Path) -> Image:
    if options.image is not None:
        return given.describe(options.image)
    return stand_in.make(folder, mirror=options.mirror)


if __name__ == "__main__":
    sys.exit(main())
