"""Lifecycles: what they add to a config."""

from __future__ import annotations

from typing import Any

import pytest

from cl.transpiler.fragments import merged
from components.payload.lifecycle import lifecycle_fragment
from components.settings.lifecycle import Lifecycle


def with_lifecycle(config: dict[str, Any], lifecycle: Lifecycle) -> dict[str, Any]:
    return merged(config, lifecycle_fragment(config, lifecycle))


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
