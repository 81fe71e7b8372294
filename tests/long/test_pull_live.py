"""Machines that pull, with the lifecycle `live`: the agent changes them without a reboot, or resets them.

In containers with the image's systemd and Ignition: what the agent takes for drift, and for a change as planned, over
random configs (`LIVE_PULLED` changes, 60; `SEED` repeats a run). One in QEMU: SSH is for looking alone. Object and
reports are HTTP servers of the tests' own; the system is the image's, with all that writes into /etc by itself.
"""

from __future__ import annotations

import base64
import json
import os
import random
import shlex
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from components.commands.live_plans import Printed
from components.commands.reprovision.request import HealthCheck
from components.commands.ssh_session import script_text
from components.payload.agent import text_at
from components.payload.machine_config import pointer
from components.payload.plans import plan_file
from components.settings.lifecycle import Lifecycle
from components.settings.pull import PullSettings
from loopback.live import OWN_TIMER_IS_OVER
from tests.engine.good_changes import new_seed
from tests.fakes.objects import ObjectAndReports
from tests.long.test_live import DECLARED, DRIFT
from tests.support.containers import image_usr, needs_containers
from tests.support.keys import new_key
from tests.support.live_configs import changed, ignition, some_config
from tests.support.live_law import LiveContainer, Tally, plan_of
from tests.support.machine_configs import config_args, made_config
from tests.support.planned import Planned
from tests.support.published import whole
from tests.vm.machines import VM, machine, needs_image

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from components.commands.reprovision.live_plan import Live
    from components.payload.fragments import IgnitionConfig

pytestmark = needs_image

DEADLINE_S = 900.0
ROLLBACK_AFTER = 300
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
            "strict": False, "pull": self.pull, "lifecycle": Lifecycle.LIVE, "rollback_after": ROLLBACK_AFTER,
            "timeout": 300, "health": [SICK],
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


AGENT = r"""
HERE=/run/agent STATE=/run/agent/state RUN=/run/agent/run
mkdir -p "$STATE" "$RUN"
running() { cat /etc/flatcar/config-id; }
for name in staging keep; do . "$HERE/$name.sh"; done
SHELL_FOR_RUN=(bash -s)
. <(sed -n '/^run() {/,/^}/p' "$HERE/pull.sh"; sed -n '/^put() {/p' "$HERE/pull-object.sh")
. "$HERE/pull-live.sh"
"""
"""What the agent does beside fetching, staging and proving: pull-live.sh, in a folder that is no part of the config."""
PARTS = ("pull.sh", "pull-object.sh", "pull-live.sh", "staging.sh", "keep.sh", "audit.sh")


class AgentContainer(LiveContainer):
    """A machine in a container with the part of an agent that holds it against what it was."""

    def agent(self, script: str, config: IgnitionConfig, plans: Mapping[str, Live] | None = None) -> str:
        """Run `script` with an agent's functions; what it printed. The plans of `config` are in $PLAN."""
        settings = config_args("", rollback_after=300).settings
        files = {name: script_text(name) for name in PARTS}
        files["plan"] = plan_file(json.dumps(config), Printed(plans=plans or {}), settings)
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}
        write = "".join(f"base64 -d >/run/agent/{name} <<<{text}\n" for name, text in encoded.items())
        keep = f"KEEP=({shlex.join(self.keep)}) PLAN=/run/agent/plan\n"
        done = self.bash(f"mkdir -p /run/agent\n{write}{keep}{AGENT}{script}")
        assert done.returncode == 0, done.stderr
        return done.stdout

    def seen(self, config: IgnitionConfig) -> list[str]:
        """What the agent sees of the machine."""
        return self.agent('seen "$PLAN"', config).splitlines()

    def prove(self, config: IgnitionConfig) -> None:
        """What the agent notes when it has proven a config."""
        self.agent('cp "$PLAN" "$HERE/live"; note_seen; test -s "$STATE/seen"', config)

    def problems(self, config: IgnitionConfig) -> str:
        """What has drifted since."""
        return self.agent('cp "$PLAN" "$HERE/live"; is_clean "$(running)" || echo "$WHY"', config)

    def unplanned(self, plan: Live, config: IgnitionConfig) -> str:
        """What of a change is not as planned, after `problems`."""
        script = 'cp "$PLAN" "$RUN/live"; . "$RUN/live"; live_from old; is_as_planned || echo "$WHY"'
        return self.agent(script, config, {"old": plan})


@pytest.fixture(scope="module")
def usr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's /usr."""
    needs_containers()
    return image_usr(tmp_path_factory.mktemp("image"))


def test_drift_of_each_kind_is_found_by_the_agent(tmp_path: Path, usr: Path) -> None:
    with closing(AgentContainer(tmp_path / "machine", usr)) as machine:
        config_id, config = whole(DECLARED)
        machine.reset(config_id, config)
        machine.prove(config)
        assert machine.problems(config) == ""
        before = machine.seen(config)
        for command in DRIFT:
            assert machine.seen(config) == before
            machine.bash(command)
            after = machine.seen(config)
            assert after != before, command
            assert machine.problems(config).startswith("it has drifted: "), command
            before = after


def test_a_change_is_as_planned_and_whatever_else_is_not(tmp_path: Path, usr: Path) -> None:
    """A change that the deployer finds to be right is right for the agent; with one thing more, or less, it is not."""
    dice, count = random.Random(new_seed()), int(os.environ.get("LIVE_PULLED", "60"))
    tally, done, reasons = Tally(), 0, Counter[str]()
    with closing(AgentContainer(tmp_path / "machine", usr)) as machine:
        while done < count:
            config = some_config(dice)
            old, new = ignition(config), ignition(changed(dice, config))
            plan = plan_of(old[1], new[1], tally) if old != new else None
            if plan is None:
                continue
            machine.reset(*old)
            machine.prove(old[1])
            if machine.drift(old[1]):
                continue  # as one of its units fails
            assert machine.problems(old[1]) == ""
            machine.stage(*new)
            if machine.change(plan, old[0], *new).returncode or machine.drift(new[1]) != [STAMPLESS]:
                continue
            done += 1
            assert machine.unplanned(plan, new[1]) == "", plan
            written = [path for path in plan.writes if machine.bash(f"test -f {path} -a ! -L {path}").returncode == 0]
            more = dice.choice([*MORE, *(f"chown 4711 {path}" for path in written)])
            machine.bash(more)
            assert machine.unplanned(plan, new[1]).startswith("after the change: "), (plan, more)
            reasons[more.split()[0]] += 1
    print(reasons)


STAMPLESS = "/etc/flatcar/config-id is missing"
MORE = (
    "touch /etc/by-hand", "echo eve:x:0:0::/:/bin/bash >>/etc/passwd", "rm /etc/profile",
    "ln -s /dev/null /etc/systemd/system/some.service", "echo x >>/etc/systemd/system/flatcar-rollback.timer",
    "chmod 606 /etc/flatcar/rollback.sh", "usermod --password '$6$a$b' root",
)  # fmt: skip
"""What a change may have done besides."""


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
            # `OWN_TIMER_IS_OVER` would not last: systemd looks at the timer anew when its service is stopped
            pulled.wait_until(lambda: int(vm.ssh("cut -d. -f1 /proc/uptime")) > ROLLBACK_AFTER, "the end of its timer")
            presets = vm.ssh("cat /etc/systemd/system-preset/20-ignition.preset")
            sick = pulled.publish("sick", keys=key, users=users)
            vm.ssh_try(LOOK)
            pulled.wait_for("went-back", sick)
            assert vm.boot_id() == boot
            assert vm.ssh("cat /etc/flatcar/config-id /srv/web/page") == f"{good}\nfour"
            assert vm.ssh("systemctl is-active late; systemctl is-enabled late") == "active\nenabled\n"
            assert vm.ssh("cat /etc/systemd/system-preset/20-ignition.preset") == presets
            assert vm.ssh("sudo ls /oem/config.ign /boot/flatcar/first_boot 2>&1 || true").count("No such file") == 2
            told = pulled.takes(pulled.publish("five", keys=key, users=users, units=NEW_UNIT))
            assert "not live" not in told, told
            assert vm.boot_id() == boot
