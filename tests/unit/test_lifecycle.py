"""Lifecycles: what is kept, what a config needs for its next run, what is added to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.lifecycle import (
    HOST_KEYS,
    KEEP_PRESETS,
    Lifecycle,
    is_kept,
    keep_problem,
    kept_paths,
    with_lifecycle,
)


@pytest.mark.parametrize("entry", ["logs", "/var/log", "/srv/[ab].*", "(/a|/b)", r"\/x", "^/x$", *KEEP_PRESETS])
def test_good_entries(entry: str) -> None:
    assert keep_problem(entry) is None


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("", "is empty"),
        ("/it's", "holds a quote"),
        ('/a"b', "holds a quote"),
        ("/a\nb", "a newline"),
        ("/a\0b", "a NUL"),
        ("log", "is no preset"),
        ("./var", "is no preset"),
        ("*/x", "is no preset"),
        ("/etc/machine-id", "machine id is kept anyway"),
        ("/var/(log", "is not a regular expression"),
    ],
)
def test_bad_entries(entry: str, problem: str) -> None:
    assert problem in (keep_problem(entry) or "")


def test_host_keys_are_always_kept_and_presets_resolved() -> None:
    assert kept_paths([]) == (HOST_KEYS,)
    assert kept_paths(["logs", "/srv", "/var/log"]) == (HOST_KEYS, "/var/log", "/srv")


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("/var/log", True),
        ("/var/log/a/b", True),
        ("/var/logs", False),
        ("/var", False),
        ("/etc/ssh/ssh_host_rsa_key", True),
        ("/etc/ssh/sshd_config", False),
        ("/srv/x", True),
        ("/opt/a", True),
        ("/opt/a/b", False),  # an entry that ends in ] is not taken for a folder
    ],
)
def test_what_survives(path: str, kept: bool) -> None:
    assert is_kept(path, [HOST_KEYS, "/var/log", "/srv/", "/opt/[ab]"]) is kept


@given(st.from_regex(r"(/[a-z]{1,4}){1,3}", fullmatch=True), st.from_regex(r"(/[a-z]{1,4}){0,3}", fullmatch=True))
def test_a_plain_folder_keeps_all_under_it(folder: str, below: str) -> None:
    assert is_kept(folder + below, [folder])
    assert not is_kept(folder + "x" + below, [folder])


FILES = {"storage": {"files": [{"path": "/var/log/x", "contents": {"source": "data:,"}}], "links": []}}


def test_reformat_wipes_root_and_brings_the_host_keys_back() -> None:
    config = with_lifecycle({"ignition": {"version": "3.3.0"}}, Lifecycle.REFORMAT)
    (root,) = config["storage"]["filesystems"]
    assert root == {"device": "/dev/disk/by-partlabel/ROOT", "format": "ext4", "label": "ROOT", "wipeFilesystem": True}
    (unit,) = config["systemd"]["units"]
    assert unit["enabled"]
    assert "/oem/.flatcar-host-keys" in unit["contents"]


def test_reformat_respects_a_root_of_the_users_own_and_leaves_the_input_alone() -> None:
    root = {"device": "/dev/disk/by-label/ROOT", "format": "xfs"}
    data = {"device": "/dev/vdb", "format": "ext4"}
    config = {"storage": {"filesystems": [root, data]}, "systemd": {"units": [{"name": "a.service"}]}}
    done = with_lifecycle(config, Lifecycle.REFORMAT)
    assert done["storage"]["filesystems"] == [{**root, "wipeFilesystem": True}, data]
    assert done["systemd"]["units"][0]["name"] == "a.service"
    assert "wipeFilesystem" not in root


@pytest.mark.parametrize("lifecycle", [Lifecycle.RESET, Lifecycle.FLAG])
def test_the_others_add_nothing(lifecycle: Lifecycle) -> None:
    assert with_lifecycle(FILES, lifecycle) == FILES
