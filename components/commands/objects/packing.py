"""Objects' contents in a small form, for the inputs of Commands.

The engine writes all inputs and outputs of a stack again and again while it works, and encrypts the secret ones each
time: its memory and time for a change of all machines grow with the square of their number, times these bytes.
"""

from __future__ import annotations

import base64
import zlib


def packed(text: str) -> str:
    """`text`, compressed (zlib) and in base64: about a third of an Ignition config."""
    return base64.b64encode(zlib.compress(text.encode())).decode()


def unpacked(text: str) -> str:
    """What `packed` was given. Raises ValueError for anything that it did not make."""
    try:
        return zlib.decompress(base64.b64decode(text, validate=True)).decode()
    except zlib.error as error:
        raise ValueError(str(error)) from None
