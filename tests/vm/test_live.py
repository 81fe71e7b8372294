"""The lifecycle `live` on a real system: its systemd, and its overlay on /etc."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.vm.walk import IN_PLACE, steps

if TYPE_CHECKING:
    from tests.vm.walk import Walk

pytestmark = pytest.mark.slow

HEAD = """\
variant: flatcar
version: 1.0.0
passwd:
  users:
    - name: core
      ssh_authorized_keys: ["${ssh_public_key}"]
storage:
  files:
    - {path: /etc/flatcar/update.conf, overwrite: true, contents: {inline: "REBOOT_STRATEGY=off\\n"}}
"""
SLEEPS = """\
    - name: NAME.service
      enabled: true
      contents: |
        [Service]
        EnvironmentFile=-/srv/NAME/env
        EnvironmentFile=-/etc/NAME/env
        ExecStartPre=-/usr/bin/ls /srv/NAME /etc/NAME
        ExecStart=/usr/bin/sleep infinity
        [Install]
        WantedBy=multi-user.target
"""
TIMER = """\
    - name: late.timer
      enabled: true
      contents: |
        [Timer]
        OnCalendar=yearly
        [Install]
        WantedBy=timers.target
    - name: late.service
      contents: |
        [Service]
        ExecStart=/usr/bin/true
"""


def files(**contents: str) -> str:
    """Files below /srv and /etc, by `srv__web__env` and the like."""
    lines = (
        f'    - {{path: /{name.replace("__", "/")}, contents: {{inline: "{text}\\n"}}}}\n'
        for name, text in contents.items()
    )
    return "".join(lines)


def sleeps(*names: str) -> str:
    return "".join(SLEEPS.replace("NAME", name) for name in names)


ONE = HEAD + files(srv__web__env="PAGE=one", etc__web__env="A=1", srv__old__env="B=1") + "systemd:\n  units:\n"
ONE += sleeps("web", "other", "old")
TWO = HEAD + files(srv__web__env="PAGE=two", srv__web__deep__page="new", srv__other__same="x")
TWO = TWO.replace("/srv/other/same", "/etc/web/more") + "systemd:\n  units:\n" + sleeps("web", "other") + TIMER


def write(walk: Walk, text: str, **settings: object) -> None:
    walk.config.write_text(text)
    walk.settings |= {"rollback_after": 120, **settings}
    walk.use(walk.config, lifecycle="live")


def test_a_change_without_a_reboot(walk: Walk) -> None:
    stack = walk.stack
    write(walk, ONE)
    stack.up()
    boot = walk.on_machine("cat /proc/sys/kernel/random/boot_id")
    other = walk.on_machine("systemctl show --value -p InvocationID other.service")
    for _ in range(60):  # its own timer has to be over
        if walk.on_machine("systemctl show --value -p SubState flatcar-rollback.timer") != "waiting":
            break
        time.sleep(5)

    write(walk, TWO)
    preview = stack.preview()
    assert "web: live: " in preview.output, preview.output
    assert "nothing reboots" in preview.output
    began = time.monotonic()
    changed = stack.up()
    print(f"live: proven {time.monotonic() - began:.1f} s after pulumi up began")
    assert steps(changed).keys() == IN_PLACE
    assert any("changed live, no reboot" in line for line in changed.progress("web-reprovision")), changed.output
    assert walk.on_machine("cat /proc/sys/kernel/random/boot_id") == boot
    assert stack.outputs()["web"]["downtimeSeconds"] == 0
    environment = walk.on_machine(
        "sudo cat /proc/$(systemctl show --value -p MainPID web.service)/environ | tr '\\0' '\\n'"
    )
    assert "PAGE=two" in environment
    assert "A=1" not in environment, "a file that went is not there any more"
    assert walk.on_machine("systemctl show --value -p InvocationID other.service") == other, "nothing else restarts"
