"""The lifecycle `live` of a machine that pulls: its agent changes it without a reboot, or resets it.

Real scripts and curl, a stand-in for the machine's system; the object's plans are made as a program makes them.
"""

from __future__ import annotations

import base64
import json
import random
import re
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from components.commands.reprovision.live_plan import LiveSettings
from components.commands.reprovision.request import HealthCheck
from components.settings.lifecycle import Lifecycle
from loopback.fleet import PROGRAM, PROJECT, running_fleet
from loopback.machine import LoopbackMachine, wait_until
from tests.conftest import Project
from tests.engine.good_changes import new_seed
from tests.engine.pull_lab import Pulled, machine_of
from tests.support.keys import new_key
from tests.support.machine_configs import config_args
from tests.support.planned import Planned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from components.payload.machine_config import MachineConfig

pytestmark = pytest.mark.engine

PAGE = "/srv/web/page"
LEFT = (
    "/boot/flatcar/first_boot", "/selective-os-reset", "/.flatcar-unwiped", "/oem/config.ign",
    "/run/flatcar-pull/changing",
)  # fmt: skip
CONFIG = """\
variant: flatcar
version: 1.0.0
storage:
  files:
    - path: /srv/web/page
      contents: {inline: PAGE}
    - path: /etc/passwd   # ssh-keygen wants to know who runs it
      contents: {inline: "root:x:0:0:root:/root:/bin/bash"}
    - path: /etc/flatcar/update.conf
      contents: {inline: REBOOT_STRATEGY=off}
systemd:
  units:
    - name: web.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/usr/bin/web /srv/web
        [Install]
        WantedBy=multi-user.target
"""
ONCE = """\
    - name: once.service
      enabled: true
      contents: |
        [Service]
        Type=oneshot
        ExecStart=/usr/bin/true
        [Install]
        WantedBy=multi-user.target
"""
SICK = HealthCheck(name="not sick", subject="! grep -q sick /srv/web/page", seconds=1)


class LivePulled(Pulled):
    """One whose configs are a page, and the service that names it; with the page `sick` none is healthy."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.live = LiveSettings()
        self.plans = Planned()
        self.more = ""

    def written(self, name: str) -> Path:
        path = self.folder / "web.yaml"
        path.write_text(CONFIG.replace("PAGE", name) + self.more)
        return path

    def arguments(self, generation: int, **changes: Any) -> dict[str, Any]:
        own = {"lifecycle": Lifecycle.LIVE, "live": self.live, "rollback_after": 30, "health": [SICK]}
        return super().arguments(generation, **{**own, **changes})

    def config(self, name: str, generation: int = 0, **changes: Any) -> MachineConfig:
        self.made_with = config_args(self.written(name), **self.arguments(generation, **changes)).settings
        return super().config(name, generation, **changes)

    def text_of(self, config: MachineConfig) -> str:
        """With the plans."""
        return self.plans.text(config, self.made_with)

    def look(self) -> str:
        """On a machine that has run for longer than its own timer."""
        self.machine.path("/run/rollback-timer").unlink(missing_ok=True)
        return super().look()

    def resets(self, name: str, wanted: str, why: str, boots: int = 2) -> None:
        """Assert that the next look takes the config of this name by a reset, and says why."""
        told = self.look()
        assert "not live: " in told
        assert why in told
        self.wait_for("proven", wanted)
        self.runs(name, wanted, boots=boots)

    def has_reported(self, state: str, config_id: str) -> bool:
        """Whether this was one of its reports."""
        return (state, config_id) in [(report["state"], report["config_id"]) for report in self.store.reports]

    def has_left(self, sick: str, good: str) -> bool:
        """Whether it went back from a config, for good, and has proven what it runs."""
        files = [self.machine.text(f"/oem/.flatcar-pull/{name}").split()[:1] for name in ("went-back", "proven")]
        is_done = self.machine.path("/run/flatcar-pull/tried").exists()
        return is_done and [*files, [self.stamp()]] == [[sick], [good], [good]]

    def runs(self, name: str, config_id: str, boots: int) -> None:
        """Assert that the machine runs the config of this name, proven, and that nothing is left of its way there."""
        assert self.reports("proven", config_id)
        assert self.stamp() == config_id
        assert self.machine.text(PAGE) == name
        assert self.machine.boots == boots
        assert self.machine.text("/oem/.flatcar-reprovision/last-good").split()[0] == config_id
        assert not [path for path in LEFT if self.machine.path(path).exists()]
        assert self.lock.holders.get("default", []) == []


@pytest.fixture
def pulled(tmp_path: Path) -> Iterator[LivePulled]:
    with machine_of(tmp_path, LivePulled) as made:
        yield made


def test_a_changed_page_needs_no_reboot(pulled: LivePulled) -> None:
    for name in ("b", "c"):
        wanted = pulled.publish(name)
        told = pulled.look()
        assert "not live" not in told, told
        pulled.runs(name, wanted, boots=1)
        assert pulled.history()[-3:] == [f"pull {wanted} {word}" for word in ("staged", "live", "proven")]
    assert pulled.store.states == ["proven", *["staging", "proven"] * 2]


def test_a_look_after_a_live_change_finds_nothing_new(pulled: LivePulled) -> None:
    pulled.publish("b")
    pulled.look()
    reports = len(pulled.store.reports)
    assert pulled.look() == ""
    assert len(pulled.store.reports) == reports
    pulled.machine.inside("rm /run/flatcar-pull/tried; bash /etc/flatcar/pull/pull.sh prove")
    assert len(pulled.store.reports) == reports


def test_what_runs_is_what_a_reset_would_have_made(pulled: LivePulled, tmp_path: Path) -> None:
    """The agent's own files, too: another machine ran the object at its first boot."""
    wanted = pulled.publish("b")
    pulled.look()
    pulled.runs("b", wanted, boots=1)
    (tmp_path / "other").mkdir()
    with LoopbackMachine(tmp_path / "other", pulled.source) as other:
        wait_until(lambda: other.text("/oem/.flatcar-pull/proven").split()[:1] == [wanted])
        for folder in ("/etc/flatcar", "/etc/systemd", "/srv"):
            assert told(pulled.machine, folder) == told(other, folder)
    assert len(told(pulled.machine, "/etc/flatcar")) > 20


def told(machine: LoopbackMachine, folder: str) -> list[tuple[str, int, bytes]]:
    """Everything below a folder."""
    return [
        (str(path.relative_to(machine.root)), path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in sorted(machine.path(folder).rglob("*"))
    ]


def test_a_machine_that_missed_a_config_has_a_plan_from_the_one_before(pulled: LivePulled) -> None:
    for name in "bcd":
        wanted = pulled.publish(name)
    assert "not live" not in pulled.look()
    pulled.runs("d", wanted, boots=1)


def test_one_that_missed_too_many_is_reset(pulled: LivePulled) -> None:
    for name in "bcdefghij":
        wanted = pulled.publish(name)
    pulled.resets("j", wanted, "there is no plan from what this machine runs")
    wanted = pulled.publish("k")
    assert "not live" not in pulled.look()
    pulled.runs("k", wanted, boots=2)


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("kernel_arguments: {should_exist: [quiet]}\n", "kernel arguments change"),
        ("    - {name: sshd.service, enabled: true}\n", "sshd.service changes"),
    ],
)
def test_what_needs_a_reset_gets_one(pulled: LivePulled, more: str, why: str) -> None:
    pulled.more = more
    pulled.resets("b", pulled.publish("b"), why)


def test_what_is_kept_changes_by_a_reset(pulled: LivePulled) -> None:
    pulled.resets("b", pulled.publish("b", keep=("/etc/ssh/ssh_host_.*",)), "what is kept is another")


@pytest.mark.parametrize(
    ("drift", "told"),
    [
        ("echo by hand >/srv/web/page", "/srv/web/page is not as it was"),
        ("chmod 600 /srv/web/page", "/srv/web/page is not as it was"),
        ("rm /srv/web/page && ln -s /etc/passwd /srv/web/page", "/srv/web/page is not as it was"),
        ("rm /srv/web/page", "/srv/web/page is not as it was"),
        ("echo drift >/etc/by-hand", "/etc/by-hand is not as it was"),
        ("ln -s /dev/null /etc/systemd/system/other.service", "/etc/systemd/system/other.service is not as it was"),
        (r"printf '\neve:x:0:0::/:/bin/bash\n' >>/etc/passwd", "passwd eve is not as it was"),
        ("rm /etc/systemd/system/multi-user.target.wants/web.service", "multi-user.target.wants/web.service is not"),
        ("echo web.service loaded failed failed >>/run/failed-units", "web.service has failed"),
    ],
)
def test_what_has_drifted_is_reset(pulled: LivePulled, drift: str, told: str) -> None:
    done = pulled.machine.inside(drift)
    assert done.returncode == 0, done.stderr
    pulled.resets("b", pulled.publish("b"), told)


def test_what_has_drifted_is_refused_by_choice(pulled: LivePulled) -> None:
    pulled.live = LiveSettings(drift="refuse")
    pulled.machine.path("/etc/by-hand").write_text("drift")
    wanted = pulled.publish("b")
    for _ in range(2):
        pulled.look()
        assert pulled.reports("refused", wanted)
        assert "it has drifted: /etc/by-hand is not as it was" in pulled.store.reports[-1]["why"]
        assert pulled.lock.holders == {"default": []}
        assert not pulled.machine.path("/boot/flatcar/first_boot").exists()
    assert [line for line in pulled.history() if "refused" in line] == [f"pull {wanted} refused"]
    pulled.machine.path("/etc/by-hand").unlink()
    pulled.look()
    pulled.runs("b", wanted, boots=1)


def test_what_the_system_writes_and_what_is_kept_is_no_drift(pulled: LivePulled) -> None:
    pulled.machine.inside("echo new >/etc/resolv.conf; echo x >/var/log/journal; echo x >/etc/ssh/ssh_host_other_key")
    wanted = pulled.publish("b")
    assert "not live" not in pulled.look()
    pulled.runs("b", wanted, boots=1)


def test_what_becomes_another_beside_the_plan_ends_in_the_reset(pulled: LivePulled) -> None:
    """As a service that writes into /etc when it starts."""
    program = pulled.machine.path("/run/bin/systemctl")
    whole = program.read_text()
    program.write_text(
        whole.replace("#!/bin/bash\n", "#!/bin/bash\n[ $1 != restart ] || echo x >/etc/by-a-service\n", 1)
    )
    wanted = pulled.publish("b")
    assert "not live: after the change: /etc/by-a-service is another" in pulled.look()
    program.write_text(whole)
    pulled.wait_for("proven", wanted)
    pulled.runs("b", wanted, boots=2)
    assert not pulled.machine.path("/etc/by-a-service").exists()


def test_a_config_that_fails_its_proof_is_left_again_live(pulled: LivePulled) -> None:
    first, before = pulled.stamp(), told(pulled.machine, "/etc/flatcar")
    sick = pulled.publish("sick")
    pulled.look()
    assert pulled.reports("went-back", sick)
    assert pulled.store.states == ["proven", "staging", "not-proven", "went-back"]
    words = (
        f"{sick} staged",
        f"{sick} live",
        f"{sick} not-proven",
        f"{first} going-back",
        f"{first} live",
        f"{first} proven",
    )
    assert pulled.history()[-6:] == [f"pull {word}" for word in words]
    assert (pulled.stamp(), pulled.machine.text(PAGE), pulled.machine.boots) == (first, "a", 1)
    assert told(pulled.machine, "/etc/flatcar") == before
    assert not [path for path in LEFT if pulled.machine.path(path).exists()]
    assert pulled.lock.holders == {"default": []}
    pulled.look()
    assert pulled.reports("refused", sick)
    wanted = pulled.publish("c")  # by the plan from the one before the one that failed
    assert "not live" not in pulled.look()
    pulled.runs("c", wanted, boots=1)


def test_where_there_is_no_way_back_it_goes_back_by_a_reset(pulled: LivePulled) -> None:
    first = pulled.stamp()
    pulled.more = ONCE
    sick = pulled.publish("sick")
    assert "going back by a reset: what once.service has done stays" in pulled.look()
    pulled.wait_for("went-back", sick)
    assert (pulled.stamp(), pulled.machine.text(PAGE), pulled.machine.boots) == (first, "a", 2)
    pulled.more = ""
    wanted = pulled.publish("c")
    assert "not live" not in pulled.look()
    pulled.runs("c", wanted, boots=2)


def test_an_agent_of_before_resets(tmp_path: Path) -> None:
    with machine_of(tmp_path, LivePulled, lifecycle=Lifecycle.RESET) as pulled:
        wanted = pulled.publish("b")
        pulled.look()
        pulled.wait_for("proven", wanted)
        pulled.runs("b", wanted, boots=2)
        wanted = pulled.publish("c")
        assert "not live" not in pulled.look()
        pulled.runs("c", wanted, boots=2)
        wanted = pulled.publish("d", lifecycle=Lifecycle.RESET)
        pulled.look()
        pulled.wait_for("proven", wanted)
        pulled.runs("d", wanted, boots=3)


def test_a_signed_object_is_changed_to_live(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    key = new_key(tmp_path / "home/.ssh/ops")
    with machine_of(tmp_path, LivePulled, signers=(key,)) as pulled:
        for name in ("b", "c"):
            wanted = pulled.publish(name)
            assert "not live" not in pulled.look()
            pulled.runs(name, wanted, boots=1)
        older = pulled.store.content
        wanted = pulled.publish("d")
        whole = pulled.store.content
        assert "not live" not in pulled.look()
        for refused in (older, re.sub('(etc/flatcar/pull/live.*?base64,)[^"]*', r"\1AAAA", whole)):
            pulled.store.put(refused)
            pulled.look()
            assert pulled.store.reports[-1]["state"] == "refused"
        pulled.store.put(whole)
        pulled.look()
        pulled.runs("d", wanted, boots=1)


def test_killed_at_any_moment_it_ends_in_the_wanted_config(pulled: LivePulled) -> None:
    """All that the agent had started dies with it, as its service does; the next look goes on."""
    dice, boots = random.Random(new_seed()), set[int]()
    began = time.monotonic()
    pulled.publish("whole")
    pulled.look()
    whole = time.monotonic() - began
    for part in dice.sample(range(12), 12):
        name, before = f"page {part}", pulled.machine.boots
        wanted, moment = pulled.publish(name), whole * (part + dice.random()) / 12
        pulled.machine.path("/run/rollback-timer").unlink(missing_ok=True)
        cut = f"timeout --signal=KILL {moment} bash /etc/flatcar/pull/pull.sh look"
        done = pulled.machine.inside(f"flock /run/flatcar-pull/agent true; {cut}")
        print(f"killed after {moment} s ({done.returncode})")
        pulled.look()
        pulled.wait_for("proven", wanted)
        pulled.runs(name, wanted, boots=pulled.machine.boots)
        boots.add(pulled.machine.boots - before)
    assert boots == {0, 1}, "with and without a reboot"


def test_killed_at_any_moment_it_goes_back(pulled: LivePulled) -> None:
    """From a config that can't be proven."""
    dice, boots, first = random.Random(new_seed()), set[int](), pulled.stamp()
    known = pulled.plans.printed
    began = time.monotonic()
    pulled.publish("sick")
    pulled.look()
    whole = time.monotonic() - began
    for part in dice.sample(range(12), 12):
        pulled.plans.printed = known  # else it would know twelve configs that failed, and not the one that runs
        sick, moment = pulled.publish(f"sick {part}"), whole * (part + dice.random()) / 12
        before = pulled.machine.boots
        pulled.machine.path("/run/rollback-timer").unlink(missing_ok=True)
        cut = f"timeout --signal=KILL {moment} bash /etc/flatcar/pull/pull.sh look"
        done = pulled.machine.inside(f"flock /run/flatcar-pull/agent true; {cut}")
        print(f"killed after {moment} s ({done.returncode})")
        pulled.look()
        wait_until(partial(pulled.has_left, sick, first), 120)
        assert not [path for path in LEFT if pulled.machine.path(path).exists()]
        boots.add(pulled.machine.boots - before)
    assert 0 in boots
    assert boots & {1, 2}


def test_killed_before_it_has_gone_back_it_has_not(pulled: LivePulled) -> None:
    """That it goes back is noted before anything changes."""
    stamp = pulled.stamp()
    pulled.machine.path("/oem/.flatcar-reprovision/went-back").write_text(stamp + "\n")
    pulled.machine.inside("rm /run/flatcar-pull/tried; bash /etc/flatcar/pull/pull.sh prove")
    assert not pulled.has_reported("went-back", stamp)
    assert not pulled.machine.path("/oem/.flatcar-pull/went-back").exists()


# ---- under the real engine

PULL_PROGRAM = PROGRAM.replace("pause=step.pause,", "pause=step.pause, pull=PullSettings(jitter=0),").replace(
    "from components.settings.ssh import",
    "from components.settings.pull import PullSettings\nfrom components.settings.ssh import",
)


def test_pulumi_plans_what_changes_and_nothing_else(tmp_path: Path, pulumi: Project) -> None:
    with running_fleet(tmp_path / "fleet", ["web"]) as fleet:
        fleet.settings["lifecycle"] = "live"
        stack = pulumi(PULL_PROGRAM, env={**fleet.environment, "PYTHONPATH": str(PROJECT)})
        (stack.directory / "components").symlink_to(PROJECT / "components")

        def configure(page: str) -> None:
            fleet.write(stack.directory, page)
            (stack.directory / "config.yaml").write_text(CONFIG.replace("PAGE", page))

        def proven() -> bool:
            machine.path("/run/rollback-timer").unlink(missing_ok=True)
            machine.inside("flock /run/flatcar-pull/agent true; bash /etc/flatcar/pull/pull.sh look")
            return machine.text(PAGE) == page and machine.text("/oem/.flatcar-history").endswith("proven\n")

        machine = fleet.machines["web"]
        configure(page := "one")
        stack.up()
        wait_until(proven, 60)
        assert set(stack.up().ops().values()) == {"same"}

        for page in ("two", "three"):
            configure(page)
            looked_at = stack.preview()
            assert f"web: live: {PAGE} changes, web.service restarts; it takes its config by itself" in looked_at.output
            ops = stack.up().ops()
            assert (ops["web-live"], ops["web-object"], ops["web-live-salt"]) == ("update", "update", "same")
            assert set(stack.up().ops().values()) == {"same"}
            wait_until(proven, 60)
            assert machine.boots == 1
        exported = json.dumps(stack.export())
        assert "three" not in exported
        assert base64.b64encode(b"three").decode() not in exported
