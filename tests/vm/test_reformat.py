"""A machine made from a Container Linux Config, through `reformat` and a crash of QEMU.

In a file of its own, so that it runs beside `test_lifecycles.py`.
"""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from components.commands.qemu.state import QEMU_PID
from tests.vm.walk import IN_PLACE, PROJECT, steps

if TYPE_CHECKING:
    from tests.vm.walk import Walk

pytestmark = pytest.mark.slow


def test_a_container_linux_config_reformat_and_a_crash(walk: Walk) -> None:
    stack = walk.stack
    walk.use(PROJECT / "cl" / "machine-worker.yaml", lifecycle="reset")
    stack.up()
    assert walk.on_machine("cat /etc/motd") == "This is web. Changes belong into cl/machine-worker.yaml."
    assert walk.on_machine("systemctl is-active worker.service; systemctl show -P Restart worker.service") == (
        "active\nalways"
    )
    identity = walk.identity()
    walk.drift()

    # reformat: nothing is left, and it is still the same machine.
    walk.write("f", lifecycle="reformat")
    assert steps(stack.up()).keys() == IN_PLACE
    assert walk.on_machine("cat /etc/only-f") == "f"
    for gone in ("/etc/worker/work", "/etc/by-hand", "/var/log/kept", "/oem/.flatcar-host-keys"):
        assert not walk.exists(gone), gone
    assert walk.enabled("unit-f.service") == "enabled"
    assert walk.identity() == identity

    # A crashed QEMU is started again on the same disk, waited for and proven again; nothing is re-provisioned.
    os.kill(json.loads((walk.machines / "web" / QEMU_PID).read_text())["pid"], signal.SIGKILL)
    assert steps(stack.up()) == {"web": "update", "web-reprovision": "update"}
    assert walk.on_machine("cat /etc/only-f") == "f"
    assert walk.identity() == identity
