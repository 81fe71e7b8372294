"""The readable summary of an Ignition config, and what it masks."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.payload.masking import MASK
from components.payload.summary import SECTIONS, digest, digests, is_digest, summarize


def file(path: str, source: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "contents": {"source": source, **more.pop("contents", {})}, **more}


def contents(node: dict[str, Any], *stand_ins: str) -> Any:
    shown_as = dict.fromkeys(stand_ins, MASK)
    return summarize({"storage": {"files": [node]}}, shown_as)["files"][node["path"]]["contents"]


def test_files_read_as_text() -> None:
    assert contents(file("/etc/motd", "data:,a%20b%0Ac%0A")) == "a b\nc\n"
    packed = base64.b64encode(gzip.compress(b"hi\n")).decode()
    assert contents(file("/x", "data:;base64," + packed, contents={"compression": "gzip"})) == "hi\n"


def test_modes_and_owners_are_shown() -> None:
    node = file("/x", "data:,", mode=0o644, user={"name": "core"}, group={"id": 500})
    summary = summarize({"storage": {"files": [node]}}, {})["files"]["/x"]
    assert (summary["mode"], summary["user"], summary["group"]) == ("0644", "core", "500")


def test_binary_and_long_content_is_named_by_its_hash() -> None:
    assert contents(file("/x", "data:;base64,/w==")).startswith("binary, 1 bytes, SHA-256 a8100ae6")
    assert contents(file("/x", "data:," + "a" * 70000)).startswith("70000 bytes")


def test_a_remote_source_keeps_its_credentials_to_itself() -> None:
    shown = contents(file("/x", "https://user:pw@host/f?X-Signature=abc"))
    assert shown == "from https://host/f?…"


@given(st.text(alphabet="abcdefg", min_size=6, max_size=12))
def test_what_stands_for_a_secret_is_masked_wherever_it_is(secret: str) -> None:
    config = {
        "storage": {"files": [file("/etc/app", "data:," + quote(f"password={secret}\n"))]},
        "systemd": {"units": [{"name": "a.service", "contents": f"ExecStart=/x {secret}"}]},
        "passwd": {"users": [{"name": "core", "gecos": secret, "passwordHash": "$6$abc"}]},
        "kernelArguments": {"shouldExist": [f"key={secret}"]},
    }
    shown = json.dumps(summarize(config, {secret: MASK}))
    assert secret not in shown
    assert "$6$abc" not in shown
    assert "password=" + MASK in shown


@pytest.mark.parametrize("packed", [False, True])
def test_what_stands_for_a_secret_is_masked_in_encoded_contents(packed: bool) -> None:
    data = b"a=1\ntoken=hunter2 \xc3\xa9\n"
    encoded = base64.b64encode(gzip.compress(data) if packed else data).decode()
    node = file("/x", "data:;base64," + encoded, contents={"compression": "gzip"} if packed else {})
    assert contents(node, "hunter2") == f"a=1\ntoken={MASK} é\n"


def test_private_keys_and_private_files_are_masked_whole() -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n"
    assert contents(file("/x", "data:," + quote(key), mode=0o644)) == MASK
    assert contents(file("/x", "data:,hello", mode=0o600)) == MASK
    assert contents(file("/x", "data:,hello", mode=0o640)) == "hello"


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        ({"keyFile": {"source": "data:,hunter2"}}, {"keyFile": MASK}),
        (
            {"clevis": {"tang": [{"url": "https://tang", "thumbprint": "hunter2"}], "threshold": 1}},
            {"clevis": {"tang": [{"url": "https://tang", "thumbprint": MASK}], "threshold": 1}},
        ),
        (
            {"clevis": {"tpm2": True, "custom": {"pin": "sss", "config": '{"thp": "hunter2"}'}}},
            {"clevis": {"tpm2": True, "custom": MASK}},
        ),
        (
            {"httpHeaders": [{"name": "Authorization", "value": "hunter2"}], "options": ["-q"]},
            {"httpHeaders": MASK, "options": ["-q"]},
        ),
        ({"thumbprint": "", "keyFile": {}, "httpHeaders": []}, {"thumbprint": "", "keyFile": {}, "httpHeaders": []}),
    ],
    ids=["a disk's key", "a Tang thumbprint", "a pin's config", "request headers", "nothing"],
)
def test_what_is_secret_by_its_field_is_masked_and_nothing_else(entry: dict[str, Any], shown: dict[str, Any]) -> None:
    config = {"storage": {"luks": [{"name": "data", **entry}]}}
    assert summarize(config, {}) == {"storage": {"luks": [{"name": "data", **shown}]}}


def test_a_password_hash_is_masked() -> None:
    users = [{"name": "core", "passwordHash": "$6$abc", "uid": 5}]
    assert summarize({"passwd": {"users": users}}, {}) == {"users": {"core": {"passwordHash": MASK, "uid": 5}}}


def test_request_headers_of_contents_are_not_shown() -> None:
    secret = {"httpHeaders": [{"name": "Authorization", "value": "hunter2"}]}
    node = file("/x", "https://host/f", contents=secret, append=[{"source": "https://host/g", **secret}])
    assert summarize({"storage": {"files": [node]}}, {}) == {
        "files": {"/x": {"mode": "default", "contents": "from https://host/f", "append": "from https://host/g"}}
    }


def test_units_links_and_users_read_by_name() -> None:
    config = {
        "storage": {"links": [{"path": "/a", "target": "/b"}], "directories": [{"path": "/d", "mode": 0o755}]},
        "systemd": {
            "units": [{"name": "u.service", "enabled": True, "dropins": [{"name": "1.conf", "contents": "x"}]}]
        },
        "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["k"]}], "groups": [{"name": "g"}]},
    }
    assert summarize(config, {}) == {
        "links": {"/a": "/b"},
        "directories": {"/d": {"mode": "0755"}},
        "units": {"u.service": {"enabled": True, "dropins": {"1.conf": "x"}}},
        "users": {"core": {"sshAuthorizedKeys": ["k"]}},
        "groups": {"g": {}},
    }


def test_links_units_and_kernel_arguments_are_shown_whole() -> None:
    links = [{"path": "/a", "target": "/b"}, {"path": "/c", "target": "/d", "hard": True}]
    dropins = [{"name": "10.conf", "contents": "[Unit]"}, {"name": "20.conf"}]
    units: list[dict[str, Any]] = [
        {"name": "x.service", "enabled": True, "dropins": dropins},
        {"name": "y.service", "mask": True, "dropins": []},
    ]
    arguments = {"shouldExist": ["quiet"]}
    config = {"storage": {"links": links}, "systemd": {"units": units}, "kernelArguments": arguments}
    assert summarize(config, {}) == {
        "links": {"/a": "/b", "/c": "hard link to /d"},
        "units": {
            "x.service": {"enabled": True, "dropins": {"10.conf": "[Unit]", "20.conf": ""}},
            "y.service": {"mask": True},
        },
        "kernelArguments": arguments,
    }


def test_what_is_appended_is_shown_in_one_and_an_empty_file_has_no_contents() -> None:
    parts = [{"source": "data:,a"}, {"source": "data:,b"}, {}]
    summary = summarize({"storage": {"files": [{"path": "/x", "append": parts}, {"path": "/y"}]}}, {})["files"]
    assert summary == {"/x": {"mode": "default", "append": "ab"}, "/y": {"mode": "default"}}


@pytest.mark.parametrize(("size", "is_shown"), [(65536, True), (65537, False)])
def test_texts_are_shown_up_to_64_kib(size: int, is_shown: bool) -> None:
    shown = contents(file("/x", "data:," + "a" * size))
    assert (shown == "a" * size) is is_shown
    assert is_shown or shown.startswith(f"{size} bytes, SHA-256 ")


def test_a_text_with_a_null_byte_is_named_by_its_hash() -> None:
    assert contents(file("/x", "data:,a%00b")).startswith("3 bytes, SHA-256 ")


def test_every_section_has_digests_and_a_digest_stays_what_it_is() -> None:
    names = ("files", "directories", "links", "units", "users", "groups", "storage", "kernelArguments")
    assert names == SECTIONS
    found = digests({name: {"x": {"a": 1}} for name in SECTIONS})
    assert tuple(found) == SECTIONS
    assert all(is_digest(found[name]["x"]) for name in SECTIONS[:6])
    assert all(is_digest(found[name]) for name in SECTIONS[6:])
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
    assert not is_digest("abc") and digest(digest("abc")) == digest("abc")
