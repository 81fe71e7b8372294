"""A real machine that pulls: it notices, waits for a lock, re-provisions itself, refuses, goes back; nobody logs in.

SSH is for looking alone. Object, reports and lock are HTTP servers of the tests' own (`tests/fakes`), the lock speaking
FleetLock as airlock does.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from components.audit.__main__ import table
from components.commands.qemu import state as qemu_state
from components.commands.reprovision.request import HealthCheck
from components.payload.agent import text_at
from components.payload.machine_config import MachineConfig, pointer
from components.settings.keep import kept_paths
from components.settings.pull import PullSettings
from tests.fakes.fleetlock import FleetLock
from tests.fakes.objects import ObjectAndReports
from tests.long.test_audit import audited, record
from tests.support.machine_configs import made_config
from tests.vm.machines import VM, machine, needs_image

ROOT = Path(__file__).resolve().parents[2]
KEEP = kept_paths(["logs", "/var/lib/data"])
INTERVAL = 20
DEADLINE_S = 1800.0
SERVED = HealthCheck(
    name="the page is served", subject="curl --fail http://127.0.0.1:8080/ && ! test -e /var/lib/data/sick", seconds=60
)


pytestmark = needs_image


class Pulled:
    """A machine, and everything that it talks to."""

    def __init__(self, vm: VM, store: ObjectAndReports, lock: FleetLock, address: str, lock_url: str) -> None:
        self.vm, self.store, self.lock = vm, store, lock
        self.source = f"{address}/web.ign"
        self.config: MachineConfig
        self.settings = PullSettings(interval=INTERVAL, jitter=3, lock=lock_url, report=f"{address}/status/web")

    def publish(self, generation: int) -> str:
        """Make the object this generation's; its config id."""
        config = made_config(
            ROOT / "cl/machine-web.yaml",
            files_dir=ROOT / "cl/files",
            shared={"ssh_public_key": self.vm.public_key, "machine_name": "web"},
            keep=KEEP,
            generation=generation,
            rollback_after=400,
            pull=self.settings,
            health=[SERVED],
            timeout=300,
        )
        self.config = replace(config, text=text_at(config.text, self.source))
        self.store.put(self.config.text)
        return config.config_id

    def wait_for(self, state: str, config_id: str) -> dict[str, str]:
        """Wait for a report."""

        def arrived() -> bool:
            last = self.store.reports[-1] if self.store.reports else {}
            return (last.get("state"), last.get("config_id")) == (state, config_id)

        self.wait_until(arrived, f"{state} {config_id[:12]}")
        return self.store.reports[-1]

    def wait_until(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for anything."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, f"{what} did not come: {self.store.reports[-3:]}\n{self.vm.tail()}"
            time.sleep(0.2)

    def journal(self) -> str:
        """What the agent said, for a failed test."""
        return self.vm.ssh_try("sudo journalctl --no-pager -o cat -u flatcar-pull -u flatcar-pull-proof").stdout


def test_a_machine_that_nobody_logs_in_to_takes_changes_by_itself(tmp_path: Path) -> None:
    store, lock = ObjectAndReports(), FleetLock()
    with store.running() as local, lock.running() as local_lock:
        address, lock_url = (url.replace("127.0.0.1", "10.0.2.2") for url in (local, local_lock))
        with machine(tmp_path, user_data=pointer(f"{address}/web.ign"), started=False) as vm:
            pulled = Pulled(vm, store, lock, address, lock_url)
            first = pulled.publish(0)
            vm.start()
            assert pulled.wait_for("proven", first)["running"] == first
            boot = vm.wait_for_ssh()
            vm.ssh("sudo mkdir /var/lib/data; echo mine | sudo tee /var/lib/data/kept /etc/by-hand >/dev/null")
            assert vm.ssh("sudo head -n 1 /oem/.flatcar-reprovision/last-good").strip() == first

            # It notices, and waits for a lock that another one holds.
            lock.holders["default"] = ["another machine"]
            published, answers = time.monotonic(), len(store.answers)
            second = pulled.publish(1)
            pulled.wait_until(lambda: 200 in store.answers[answers:], "a look at the object")
            print(f"noticed {time.monotonic() - published:.1f} s after it was written, at an interval of {INTERVAL} s")
            pulled.wait_until(lambda: len([entry for entry in lock.log if entry[2] == 500]) >= 3, "three refusals")
            assert "slots currently locked" in pulled.wait_for("waiting", second)["why"]
            assert vm.boot_id() == boot
            assert vm.ssh("test -e /boot/flatcar/first_boot || echo none") == "none\n"

            # It re-provisions itself, and gives the lock back after the proof.
            lock.holders["default"] = []
            freed = time.monotonic()
            report = pulled.wait_for("proven", second)
            print(f"proven {time.monotonic() - freed:.1f} s after the lock was free")
            assert report["boot_id"] != boot
            assert [entry[0] for entry in lock.log[-2:]] == ["pre-reboot", "steady-state"]
            assert lock.holders == {"default": []}
            boot = vm.wait_for_ssh(other_than=boot)
            assert vm.ssh("cat /etc/flatcar/config-id /var/lib/data/kept") == f"{second}\nmine\n"
            assert vm.ssh("ls /etc/by-hand 2>&1 || true").startswith("ls: ")
            assert store.states.count("staging") == 1
            history = vm.ssh("sudo cut -d' ' -f2- /oem/.flatcar-history").splitlines()
            assert history == [f"pull {first} proven", f"pull {second} staged", f"pull {second} proven"]
            report_of_audit = audited(record(vm, pulled.config, ""))
            assert report_of_audit.is_clean and not report_of_audit.findings, table([report_of_audit])

            # The power is cut while it stages: it goes on from there.
            third, answers = pulled.publish(2), store.states.count("staging")
            pulled.wait_until(lambda: store.states.count("staging") > answers, "staging")
            os.kill(qemu_state.holder(vm.directory / qemu_state.QEMU_PID) or 0, signal.SIGKILL)
            pulled.wait_until(lambda: not vm.status()["running"], "the end of QEMU")
            vm.start()
            pulled.wait_for("proven", third)
            assert lock.holders == {"default": []}
            boot = vm.wait_for_ssh(other_than=boot)
            assert vm.ssh("cat /etc/flatcar/config-id /var/lib/data/kept") == f"{third}\nmine\n"

            # A broken object is refused and reported, and the machine stays up.
            pulled.publish(3)
            whole = store.content
            store.put(whole.replace("flatcar", "flatcaR", 1))
            assert "damaged" in pulled.wait_for("refused", "")["why"]
            assert vm.boot_id() == boot
            assert vm.ssh("systemctl is-system-running") == "running\n"
            assert vm.ssh("test -e /boot/flatcar/first_boot || echo none") == "none\n"

            # A config that can't be proven is left again, and not taken twice.
            vm.ssh("sudo touch /var/lib/data/sick")
            fourth = pulled.publish(3)
            pulled.wait_for("went-back", fourth)
            assert lock.holders == {"default": []}
            pulled.wait_for("refused", fourth)
            vm.wait_for_ssh(other_than=boot)
            assert vm.ssh("cat /etc/flatcar/config-id").strip() == third
            assert vm.ssh("sudo test -e /oem/config.ign || echo gone") == "gone\n"
            assert vm.ssh("sudo tail -n 1 /oem/.flatcar-history | cut -d' ' -f2-") == f"pull {fourth} refused\n"
            print(pulled.journal())
