"""Contents on their way through Pulumi's state."""

from __future__ import annotations

import base64
import zlib

import pytest

from components.commands.objects.packing import packed, unpacked


@pytest.mark.parametrize("text", ["", "{}", '{"name": "ä\\u2028 \\ud800"}', "x" * 100_000])
def test_what_is_packed_comes_back(text: str) -> None:
    assert unpacked(packed(text)) == text


@pytest.mark.parametrize("text", ["{}", "AAAA", "x", base64.b64encode(zlib.compress(b"text")[:-2]).decode(), "ä"])
def test_what_was_never_packed_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        unpacked(text)
