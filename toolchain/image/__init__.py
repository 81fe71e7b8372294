"""The machine image: a stand-in built from Debian packages, an official Flatcar image, or one that is given.

`python -m toolchain.image` is the only way in. Nothing outside of `toolchain` imports this package; what it makes
is described by `$TOOLCHAIN_DIR/image/image.json` (`description.py`).
"""
