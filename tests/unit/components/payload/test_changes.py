"""What changes between two configs of a machine, in an operator's words."""

from __future__ import annotations

import re
from typing import Any

import pytest

from components.payload.changes import changes
from components.payload.masking import MASK
from components.payload.summary import digests

FILE = {"contents": "a", "mode": "0644"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ({"files": {"/a": FILE}}, {"files": {"/a": FILE}}, ""),
        ({"files": {"/a": FILE}}, {"files": {"/a": {**FILE, "contents": "b"}}}, "/a changes"),
        ({"files": {"/a": FILE}}, {"files": {"/b": FILE}}, "/b is new; /a goes"),
        ({"files": {"/a": FILE}}, {"units": {"web.service": {}}}, "web.service is new; /a goes"),
        ({}, {"users": {"me": {}, "you": {}}, "groups": {"us": {}}}, "user me, user you, group us are new"),
        ({"files": {f"/{n}": n for n in range(5)}}, {"files": {f"/{n}": 9 for n in range(5)}},
         "/0, /1 and 3 more change"),
        ({"keep": ["logs"], "lifecycle": "reset"}, {"keep": [], "lifecycle": "flag"},
         "what is kept, the lifecycle change"),
        ({"configId": "a"}, {"configId": "b"}, ""),
        ({"storage": {"disks": [1]}}, {}, "the disk setup changes"),
        ({"files": {"/a": FILE}}, {"files": {"/b": FILE}, "pinned": "3f2b"},
         "goes back to config 3f2b, and is pinned to it; /b is new; /a goes"),
        ({"pinned": "3f2b", "keep": []}, {"pinned": "3f2b", "keep": [1]}, "what is kept changes"),
        ({"files": {"/a": FILE}}, {"files": {MASK: ""}, "pinned": "3f2b"},
         "goes back to config 3f2b, and is pinned to it"),
        ({"files": {MASK: ""}, "pinned": "3f2b"}, {"files": {"/a": FILE}}, "is pinned no more"),
    ],
)  # fmt: skip
def test_each_change_is_named_and_many_are_counted(old: dict[str, Any], new: dict[str, Any], told: str) -> None:
    assert changes(old, new) == told


def test_a_section_that_is_not_known_yet_counts_as_changed() -> None:
    assert changes({"files": {"/a": FILE}}, {"files": object()}) == "files changes"


def test_texts_of_an_earlier_version_are_held_against_digests() -> None:
    old = {"files": {"/a": FILE, "/b": FILE}, "links": {"/l": "/a"}, "storage": {"disks": [1]}}
    assert changes(old, digests(old)) == ""
    new = {**old, "files": {"/a": FILE, "/b": {**FILE, "contents": "b"}}}
    assert changes(old, digests(new)) == "/b changes"
    assert not re.search("contents|0644", str(digests(old))), "no text is left"
