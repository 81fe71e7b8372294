"""The machine image: a stand-in built from Debian packages, an official Flatcar image, or one that is given.

`chosen.py` is set-up's way in, `python -m toolchain.image` the user's. Nothing outside of `toolchain` imports this
package; what it makes is described in `$TOOLCHAIN_DIR/image/*.json` (`description.py`).
"""
