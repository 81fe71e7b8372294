"""A real machine that pulls, with the lifecycle `live`: its agent changes it without a reboot, or resets it.

SSH is for looking alone. Object and reports are HTTP servers of the tests' own; the system is the image's, with
systemd, Ignition and all that writes into /etc by itself.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.commands.reprovision.request import HealthCheck
from components.payload.agent import text_at
from components.payload.machine_config import pointer
from components.settings.lifecycle import Lifecycle
from components.settings.pull import PullSettings
from loopback.live import OWN_TIMER_IS_OVER
from tests.fakes.objects import ObjectAndReports
from tests.support.keys import new_key
from tests.support.machine_configs import config_args, made_config
from tests.support.planned import Planned
from tests.vm.machines import VM, machine, needs_image

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = needs_image

DEADLINE_S = 900.0
LOOK = "sudo systemctl start --wait flatcar-pull.service"
CONFIG = """\
variant: flatcar
version: 1.0.0
passwd:
  users:
    - {name: core, ssh_authorized_keys: [KEYS]}
MORE
storage:
  files:
    - {path: /srv/web/page, contents: {inline: "PAGE"}}
systemd:
  units:
    - name: web.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/usr/bin/bash -c 'page=$(cat /srv/web/page); exec sleep infinity'
        [Install]
        WantedBy=multi-user.target
    - name: other.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/usr/bin/sleep infinity
        [Install]
        WantedBy=multi-user.target
"""
NEW_UNIT = """\
    - name: late.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/usr/bin/sleep infinity
        [Install]
        WantedBy=multi-user.target
"""
SICK = HealthCheck(name="not sick", subject="! grep sick /srv/web/page", seconds=2)


class Pulled:
    """A machine, its object and its reports."""

    def __init__(self, vm: VM, store: ObjectAndReports, address: str) -> None:
        self.vm, self.store, self.source = vm, store, f"{address}/web.ign"
        self.plans = Planned()
        # it looks when the test says so
        self.pull = PullSettings(interval=86400, jitter=0, report=f"{address}/status/web")

    def publish(self, page: str, *, keys: str = "", users: str = "", units: str = "") -> str:
        """Make the object this config; its config id."""
        keys = ", ".join(filter(None, [self.vm.public_key, keys]))
        text = CONFIG.replace("PAGE", page).replace("KEYS", keys).replace("MORE", users) + units
        arguments: dict[str, Any] = {
            "strict": False, "pull": self.pull, "lifecycle": Lifecycle.LIVE, "rollback_after": 300, "timeout": 300,
            "health": [SICK],
        }  # fmt: skip
        config, settings = made_config(text, **arguments), config_args(text, **arguments).settings
        self.store.put(text_at(self.plans.text(config, settings), self.source))
        return config.config_id

    def wait_for(self, state: str, config_id: str) -> None:
        """Wait for a report."""

        def arrived() -> bool:
            last = self.store.reports[-1] if self.store.reports else {}
            return (last.get("state"), last.get("config_id")) == (state, config_id)

        self.wait_until(arrived, f"{state} {config_id[:12]}")

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for anything."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            if time.monotonic() > end:
                said = self.vm.ssh_try("sudo journalctl --no-pager -o cat -u flatcar-pull -u flatcar-pull-proof").stdout
                raise AssertionError(f"{what} did not come: {self.store.reports[-3:]}\n{said}\n{self.vm.tail()}")
            time.sleep(0.2)

    def takes(self, config_id: str) -> str:
        """Have it look, on a machine that has run for longer than its own timer; what the agent said."""
        self.vm.ssh(OWN_TIMER_IS_OVER)
        since = self.vm.ssh("date +%s").strip()
        self.vm.ssh_try(LOOK)
        self.wait_for("proven", config_id)
        self.wait_until(lambda: self.vm.ssh_try("cat /etc/flatcar/config-id").stdout.strip() == config_id, "the config")
        return self.vm.ssh(f"sudo journalctl --no-pager -o cat -u flatcar-pull --since=@{since}")

    def process(self, unit: str) -> str:
        """The main process of a unit."""
        return self.vm.ssh(f"systemctl show --property=MainPID --value {unit}").strip()


def test_a_machine_that_pulls_changes_live(tmp_path: Path) -> None:
    store = ObjectAndReports()
    with store.running() as local:
        address = local.replace("127.0.0.1", "10.0.2.2")
        with machine(tmp_path, user_data=pointer(f"{address}/web.ign"), started=False) as vm:
            pulled, key = Pulled(vm, store, address), new_key(tmp_path / "other")
            first = pulled.publish("one")
            vm.start()
            pulled.wait_for("proven", first)
            boot = vm.wait_for_ssh()
            web, other = pulled.process("web"), pulled.process("other")

            # A page, without a reboot: its service is another process, another service's the same one.
            told = pulled.takes(pulled.publish("two"))
            assert "not live" not in told, told
            assert vm.boot_id() == boot
            assert vm.ssh("cat /srv/web/page") == "two"
            assert pulled.process("web") not in (web, "0")
            assert pulled.process("other") == other
            assert "unstaging" in told
            assert vm.ssh("ls /boot/flatcar/first_boot /selective-os-reset 2>&1 || true").count("No such file") == 2

            # A unit that comes, a user's key, a new user.
            users = "    - {name: ann, groups: [sudo]}"
            told = pulled.takes(wanted := pulled.publish("two", keys=key, users=users, units=NEW_UNIT))
            assert "not live" not in told, told
            assert vm.boot_id() == boot
            assert vm.ssh("systemctl is-active late; systemctl is-enabled late") == "active\nenabled\n"
            assert key in vm.ssh("cat .ssh/authorized_keys")
            assert "sudo" in vm.ssh("id ann")
            history = vm.ssh("sudo cut -d' ' -f2- /oem/.flatcar-history").splitlines()
            assert history[-3:] == [f"pull {wanted} {word}" for word in ("staged", "live", "proven")]

            # One that has drifted is reset.
            vm.ssh("echo by hand | sudo tee /etc/by-hand")
            told = pulled.takes(pulled.publish("three", keys=key, users=users, units=NEW_UNIT))
            boot = vm.wait_for_ssh(other_than=boot)
            assert vm.ssh("cat /srv/web/page; ls /etc/by-hand 2>&1 || true").startswith("threels: ")

            # It is live again after that, and one that can't be proven is left again.
            good = pulled.publish("four", keys=key, users=users, units=NEW_UNIT)
            told = pulled.takes(good)
            assert "not live" not in told, told
            assert vm.boot_id() == boot
            vm.ssh(OWN_TIMER_IS_OVER)
            sick = pulled.publish("sick", keys=key, users=users, units=NEW_UNIT)
            vm.ssh_try(LOOK)
            pulled.wait_for("went-back", sick)
            vm.wait_for_ssh(other_than=boot)
            assert vm.ssh("cat /etc/flatcar/config-id").strip() == good
