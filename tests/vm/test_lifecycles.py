"""A machine from its creation through `flag` and `reset`, to a config that fails in Ignition's fetch and back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

from components.settings.keep import kept_paths
from tests.support.left_over import left_over
from tests.vm.walk import IN_PLACE, steps

if TYPE_CHECKING:
    from tests.vm.walk import Walk

pytestmark = pytest.mark.slow

UNFETCHABLE = 'ignition:\n  config:\n    merge:\n      - source: "tftp://10.0.2.2/there-is-no-such-file"\n'
FOLDERS = """\
storage:
  directories:
    - path: /srv/to-be-a-folder
  files:
    - path: /srv/above-a-file/file
      contents: {inline: below}
"""
LINKS = {
    "/srv/absolute": "/usr/bin",
    "/srv/relative": "../var/lib",
    "/srv/to-a-kept-one": "../var/log",
    "/srv/to-be-a-folder": "/usr/share",
    "/srv/above-a-file": "../var/log",
    "/etc/in-etc": "../var/lib",
    "/etc/dangling-afterwards": "../srv/mine",
    "/var/lib/another-file-system": "../../oem",
}
"""What Flatcar's initramfs takes for directories, and leaves."""


def test_creation_flag_reset_and_a_broken_config(walk: Walk) -> None:
    stack = walk.stack

    # Creation boots once.
    walk.write("a", lifecycle="reset")
    created = stack.up()
    assert any("no reboot" in line for line in created.progress("web-reprovision")), created.output
    assert stack.outputs()["web"]["downtimeSeconds"] == 0
    boot = walk.on_machine("cat /proc/sys/kernel/random/boot_id")
    assert json.loads(walk.on_machine("sudo cat /etc/.ignition-result.json"))["provisioningBootID"] == boot
    assert walk.enabled("unit-a.service") == "enabled"
    identity = walk.identity()
    pointer = (walk.machines / "web" / "pointer.ign").read_bytes()

    # A second `up` changes nothing and doesn't touch the machine.
    assert steps(stack.up()) == {}
    assert walk.on_machine("cat /proc/sys/kernel/random/boot_id") == boot

    # flag: the old file stays, and so does what was done by hand; the new unit is not enabled.
    walk.drift()
    walk.write("b", lifecycle="flag")
    preview = stack.preview("--diff")
    assert steps(preview).keys() == IN_PLACE
    assert re.search(r"- +this is a", preview.output), preview.output
    assert re.search(r"\+ +this is b", preview.output)
    changed = stack.up()
    assert steps(changed).keys() == IN_PLACE
    assert walk.on_machine("cat /etc/only-b") == "b"
    assert walk.exists("/etc/only-a")
    assert walk.exists("/etc/by-hand")
    assert walk.enabled("unit-b.service") != "enabled"
    assert walk.identity() == identity

    # reset: nothing old is left, the new unit is enabled; host key, machine id and kept path survive.
    made = "; ".join(f"sudo ln -s {target} {path}" for path, target in LINKS.items())
    walk.on_machine(f"set -e; sudo mkdir -p /srv/mine /srv/bound; {made}; sudo ln -s /usr/bin /var/log/kept-link")
    walk.on_machine("sudo mount --bind /var/log /srv/bound")  # a kept link, by a path that is not
    before = walk.root_files()
    assert not LINKS.keys() - before.keys()
    walk.write("c", lifecycle="reset")
    walk.config.write_text(walk.config.read_text().replace("storage:\n  files:\n", FOLDERS))
    reset = stack.up()
    told = reset.progress("web-reprovision")
    assert any("rebooting" in line for line in told)
    assert not any("may be left" in line for line in told), "the links were deleted to their end, with /oem mounted"
    left = left_over(before, walk.root_files(), kept_paths(["logs"]))
    print(f"undeclared paths left after a reset in QEMU: {len(left)} of {len(before)}")
    assert left == []
    assert walk.on_machine("stat -c %F /srv/to-be-a-folder /srv/above-a-file") == "directory\ndirectory"
    assert walk.on_machine("cat /srv/above-a-file/file") == "below"
    assert not walk.exists("/var/log/file")
    assert walk.on_machine("readlink /var/log/kept-link") == "/usr/bin"
    assert stack.outputs()["web"]["downtimeSeconds"] > 0
    assert walk.on_machine("cat /etc/only-c") == "c"
    for gone in ("/etc/only-a", "/etc/only-b", "/etc/by-hand", "/var/not-kept", "/etc/systemd/system/unit-a.service"):
        assert not walk.exists(gone), gone
    assert walk.enabled("unit-c.service") == "enabled"
    assert walk.on_machine("systemctl is-active unit-c.service") == "active"
    assert walk.on_machine("cat /var/log/kept") == "mine"
    assert walk.identity() == identity

    # A config that fails in Ignition's fetch is reported, the disk stays as it was, the repaired object heals.
    walk.drift()
    walk.settings |= {"timeout": 90, "rollback": False}
    walk.write("d", lifecycle="flag", extra=UNFETCHABLE)
    failed = stack.up(code=None)
    assert failed.code != 0
    assert "not back within 90 s" in failed.output
    assert "last lines of its console" in failed.output
    assert "Traceback" not in failed.output
    walk.settings |= {"timeout": 1200, "rollback": True}
    walk.write("e", lifecycle="flag")
    healed = stack.up()
    assert "web" not in steps(healed)
    assert walk.on_machine("cat /etc/only-e") == "e"
    assert walk.exists("/etc/by-hand")
    assert not walk.exists("/etc/only-d")
    assert walk.identity() == identity

    # Through all of this the user data stayed the same, byte by byte.
    assert (walk.machines / "web" / "pointer.ign").read_bytes() == pointer
