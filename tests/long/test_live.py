"""The law of the lifecycle `live`: what it makes of a machine is what a reset of the same config makes of it.

On machines in containers (the stand-in's own initramfs scripts, Ignition and systemd), and in QEMU by the deployer's
own program. `SEED` in the environment repeats a run; how many changes are made: `LIVE_CHANGES` (500), `LIVE_CUTS` (20),
`LIVE_BACKS` (50), `LIVE_EDITS` (2 of each published config), `LIVE_QEMU_CHANGES` (25).
"""

from __future__ import annotations

import copy
import json
import os
import random
import re
import shutil
import subprocess
import sys
from contextlib import closing
from threading import Timer
from typing import TYPE_CHECKING, Any

import pytest

from components.payload.fragments import text_file
from loopback.live import OWN_TIMER_IS_OVER
from tests.engine.good_changes import new_seed
from tests.support.containers import NotUpError, image_usr, needs_containers
from tests.support.live_configs import UNITS, WEB, changed, ignition, some_config
from tests.support.live_law import LOOK, LiveContainer, Tally, hold, looks, plan_of, unlike
from tests.support.published import CORPUS, KEY, add_programs, edits, fits_a_container, published, whole
from tests.vm.machines import VM, login_config, machine, needs_image
from toolchain.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from components.payload.fragments import IgnitionConfig
    from tests.support.live_law import Looks

ROLLBACK_AFTER = 3000
MOST_STANDSTILL = 300
"""Changes in a row that need a reset, after which another config is taken."""


@pytest.fixture(scope="module")
def usr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The image's /usr."""
    needs_containers()
    return image_usr(tmp_path_factory.mktemp("image"))


def test_resets_of_one_config_are_the_same(tmp_path: Path, usr: Path) -> None:
    """Else the law could not be told from chance."""
    config = whole(DECLARED)
    with closing(LiveContainer(tmp_path / "machine", usr)) as machine:
        machine.reset(*config)
        first = machine.looks()
        assert machine.drift(config[1]) == []
        machine.reset(*config)
        assert machine.looks() == first
        for command in (
            "systemctl stop web.service",
            "systemctl disable web.service",
            "chmod 700 /srv/folder",
            "rm /etc/mke2fs.conf",
        ):
            before = machine.looks()
            machine.bash(command)
            assert machine.looks() != before, command


DECLARED: IgnitionConfig = {
    "ignition": {"version": "3.3.0"},
    "passwd": {
        "users": [
            {"name": "core", "sshAuthorizedKeys": [KEY]},
            {
                "name": "ann", "uid": 1500, "homeDir": "/home/ann", "shell": "/bin/bash", "groups": ["docker"],
                "passwordHash": "$6$salt$hash", "sshAuthorizedKeys": [KEY],
            },
        ],
        "groups": [{"name": "team", "gid": 1600}],
    },
    "storage": {
        "files": [{"path": "/srv/page", "contents": {"source": "data:,page"}}],
        "links": [{"path": "/srv/link", "target": "page"}],
        "directories": [{"path": "/srv/folder", "mode": 0o755}],
    },
    "systemd": {
        "units": [
            {"name": "web.service", "enabled": True, "contents": WEB.format(1, "multi-user.target")},
            {"name": "off.service", "enabled": False, "contents": WEB.format(2, "multi-user.target")},
            {"name": "audit-rules.service", "mask": True},
        ]
    },
}  # fmt: skip
DRIFT = {
    "echo x >/srv/page": "/srv/page has other content",
    "chmod 600 /srv/page": "/srv/page has mode 0600, declared is 0644",
    "chown core /srv/page": "/srv/page belongs to user core, declared is root",
    "chgrp core /srv/page": "/srv/page belongs to group core, declared is root",
    "rm /srv/page && mkdir /srv/page": "/srv/page is a directory, declared as a file",
    "rmdir /srv/page": "/srv/page is missing",
    "ln -sfn /tmp /srv/link": "/srv/link leads to /tmp, declared is page",
    "chmod 700 /srv/folder": "/srv/folder has mode 0700, declared is 0755",
    "rm /etc/mke2fs.conf": "/etc/mke2fs.conf was deleted; the image ships it",
    "echo x >/etc/ld.so.conf": "/etc/ld.so.conf is a file that nobody declared",
    "touch /etc/by-hand": "/etc/by-hand is a file that nobody declared",
    "ln -s /tmp /etc/link-by-hand": "/etc/link-by-hand is a link to /tmp that nobody declared",
    "echo >/etc/systemd/system/more.service": "/etc/systemd/system/more.service is a file that nobody declared",
    "systemctl stop web.service": "web.service is stopped, declared as enabled",
    "touch /etc/systemd/system/web.service": "web.service was changed on disk since systemd read it",
    "systemctl disable web.service": "web.service is disabled, declared as enabled",
    "systemctl enable off.service": "off.service is enabled, declared as disabled",
    "ln -sf /dev/null /etc/systemd/system/off.service; systemctl daemon-reload": "off.service is masked by hand",
    "systemctl unmask audit-rules.service": "audit-rules.service is not masked, declared as masked",
    "systemd-run --wait --unit=bad false; true": "bad.service has failed",
    "usermod --home /srv/ann ann": "ann has home directory /srv/ann, declared is /home/ann",
    "usermod --home /home/ann --shell /bin/sh ann": "ann has shell /bin/sh, declared is /bin/bash",
    "gpasswd --delete ann docker": "ann is not in group docker",
    "usermod --password '$6$salt$other' ann": "ann has another password than the declared one",
    "rm -r /home/ann/.ssh": "ann lacks 1 of 1 declared SSH keys",
    "usermod --uid 1501 ann": "ann has id 1501, declared is 1500",
    "userdel ann": "ann is missing",
    "groupmod --gid 1601 team": "team has id 1601, declared is 1600",
    "groupdel team": "team is missing",
    "useradd --uid 2000 --shell /usr/sbin/nologin eve": "eve is an account that nobody declared",
    "usermod --password '$6$salt$hash' core": "core has a password that nobody declared",
    "echo 'ssh-rsa AAAA' >>/home/core/.ssh/authorized_keys": "core can log in with 1 SSH keys that nobody declared",
}
"""What may happen to a machine by hand, one after the other, and what is found before a live change."""


def test_drift_of_each_kind_is_found_before_a_change(tmp_path: Path, usr: Path) -> None:
    with closing(LiveContainer(tmp_path / "machine", usr)) as machine:
        config = whole(DECLARED)
        machine.reset(*config)
        assert machine.drift(config[1]) == []
        for command, finding in DRIFT.items():
            assert finding not in machine.drift(config[1])
            done = machine.bash(command)
            assert done.returncode == 0, (command, done.stderr)
            assert finding in machine.drift(config[1]), (command, machine.drift(config[1]))


HELPER = "[Service]\nExecStart=/usr/bin/sleep 12345\n"
WANTER = "[Unit]\n{0}\n[Service]\nExecStart=/usr/bin/sleep 54321\n[Install]\nWantedBy={1}\n"
ENDED = "[Unit]\nWants=helper.service\n[Service]\nType=oneshot\nExecStart=/usr/bin/true\n[Install]\nWantedBy={0}\n"
BOOTS = {
    "no boot starts it any more": (
        {"app.service": WANTER.format("", "multi-user.target")},
        {"app.service": WANTER.format("", "graphical.target")},
        "",
    ),
    "what it had pulled in": (
        {"app.service": WANTER.format("Wants=helper.service", "multi-user.target"), "helper.service": HELPER},
        {"app.service": WANTER.format("", "multi-user.target"), "helper.service": HELPER},
        "helper.service runs, and would not after a boot",
    ),
    "one that needs what is not there starts at boot alone": (
        {"app.service": WANTER.format("Requires=missing.service", "multi-user.target")},
        {"app.service": WANTER.format("Requires=missing.service\n#", "multi-user.target")},
        "not all of them have started",
    ),
    "what has an escape in its name": (
        {"app.service": WANTER.format("", "multi-user.target")},
        {
            "app.service": WANTER.format("", "multi-user.target"),
            "some\\x2dname.service": WANTER.format("", "multi-user.target"),
        },
        "",
    ),
    "what one that has ended pulls in": (
        {"app.service": ENDED.format("multi-user.target")},
        {"app.service": ENDED.format("multi-user.target"), "helper.service": HELPER},
        "",
    ),
}


@pytest.mark.parametrize("case", BOOTS)
def test_what_a_boot_would_start_runs(tmp_path: Path, usr: Path, case: str) -> None:
    *texts, refused = BOOTS[case]
    old, new = (
        whole(
            {
                "ignition": {"version": "3.3.0"},
                "systemd": {
                    "units": [{"name": name, "enabled": True, "contents": text} for name, text in units.items()]
                },
            }
        )
        for units in texts
    )
    tally = Tally()
    with closing(LiveContainer(tmp_path / "machine", usr)) as machine:
        machine.reset(*old)
        plan = plan_of(old[1], new[1], tally)
        assert plan is not None
        hold(machine, plan, old, new, tally)
    assert not tally.broken
    assert list(tally.refused) == ([refused] if refused else [])


def config_of(units: Mapping[str, Any], files: Mapping[str, str]) -> tuple[str, IgnitionConfig]:
    """That of units, which are texts of what is enabled or all that is said, and of files."""
    return whole(
        {
            "ignition": {"version": "3.3.0"},
            "storage": {"files": [text_file(path, text) for path, text in files.items()]},
            "systemd": {
                "units": [
                    {"name": name, **({"contents": unit, "enabled": True} if isinstance(unit, str) else unit)}
                    for name, unit in units.items()
                ]
            },
        }
    )


KEPT_UP = {
    "web.service": "[Service]\nEnvironmentFile=/etc/web.env\n" + WANTER.format("", "multi-user.target"),
    "upholds.service": WANTER.format("Upholds=web.service", "multi-user.target"),
}
READER = {"web.service": KEPT_UP["web.service"], "other.service": WANTER.format("", "multi-user.target")}
DROP_IN = "/etc/systemd/system/other.service.d/10.conf"
BY_PATH = {
    "job.path": "[Path]\nPathExists=/srv/job/flag\n[Install]\nWantedBy=multi-user.target\n",
    "job.service": {"contents": HELPER},
}
BY_TIMER = {
    "job.timer": "[Timer]\nOnBootSec=10h\n[Install]\nWantedBy=timers.target\n",
    "job.service": {"contents": "[Service]\nEnvironmentFile=/etc/web.env\nExecStart=/usr/bin/true\n"},
}
ONLY_ONCE = """\
[Unit]
ConditionPathExists=!/opt/made
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/touch /opt/made
[Install]
WantedBy=multi-user.target
#{0}
"""
WITH_STATE = {"app.service": "[Service]\nStateDirectory=app\n" + WANTER.format("", "multi-user.target")}
STATE_READER = "[Service]\nExecStartPre=/usr/bin/ls /var/lib/app/seed\n" + WANTER.format("", "multi-user.target")
IMAGES = "audit-rules.service"
TIED: dict[str, tuple[Any, Any, str]] = {
    "what something keeps up runs anew": (
        (KEPT_UP, {"/etc/web.env": "V=1\n"}), (KEPT_UP, {"/etc/web.env": "V=2\n"}), ""
    ),
    "what a path has started": (
        (BY_PATH, {"/srv/job/flag": ""}), (BY_PATH, {}), "job.path has started job.service"
    ),
    "what a timer starts after a boot": (
        (BY_TIMER, {"/etc/web.env": "V=1\n"}), (BY_TIMER, {"/etc/web.env": "V=2\n"}),
        "job.timer starts job.service after each boot",
    ),
    "what is made once": (
        ({"once.service": ONLY_ONCE.format(1)}, {}), ({"once.service": ONLY_ONCE.format(2)}, {}),
        "a condition of once.service does not hold, and may after a reset",
    ),
    "what has been done once": (
        ({"once.service": ONLY_ONCE.format(1)}, {}), ({}, {}), "what once.service has done stays"
    ),
    "a drop-in that enables": (
        ({IMAGES: {"dropins": [{"name": "1.conf", "contents": "[Install]\nWantedBy=timers.target\n"}]}}, {}),
        ({IMAGES: {"dropins": [{"name": "1.conf", "contents": "[Install]\nWantedBy=sockets.target\n"}]}}, {}),
        "… says what is enabled",
    ),
    "a drop-in among the files": (
        (READER, {"/etc/web.env": "V=1\n", DROP_IN: "[Service]\nEnvironmentFile=/etc/web.env\n"}),
        (READER, {"/etc/web.env": "V=2\n", DROP_IN: "[Service]\nEnvironmentFile=/etc/web.env\n"}),
        "what names … would not restart",
    ),
    "a folder of a unit's own": (
        ({**WITH_STATE, "seed.service": STATE_READER}, {"/var/lib/app/seed": "x"}), (WITH_STATE, {}), ""
    ),
    "the image's own is disabled as it is": (
        ({IMAGES: WANTER.format("", "multi-user.target")}, {}),
        ({IMAGES: {"enabled": False, "dropins": [{"name": "1.conf", "contents": "[Service]\nNice=1\n"}]}}, {}),
        "",
    ),
}  # fmt: skip
"""The old and the new config, and why the machine refuses to go live; "" where it makes what a reset makes."""


@pytest.mark.parametrize("case", TIED)
def test_units_that_are_tied_are_as_after_a_reset(tmp_path: Path, usr: Path, case: str) -> None:
    before, after, refused = TIED[case]
    old, new = config_of(*before), config_of(*after)
    tally = Tally()
    with closing(LiveContainer(tmp_path / "machine", usr)) as machine:
        machine.reset(*old)
        plan = plan_of(old[1], new[1], tally)
        assert plan is not None, tally
        hold(machine, plan, old, new, tally)
    assert not tally.broken, tally.broken[0]
    assert list(tally.refused) == ([refused] if refused else [])


def test_what_live_makes_is_what_a_reset_makes(tmp_path: Path, usr: Path) -> None:
    dice, count = random.Random(new_seed()), int(os.environ.get("LIVE_CHANGES", "500"))
    tally, standstill = Tally(), MOST_STANDSTILL
    with closing(LiveContainer(tmp_path / "machine", usr)) as machine:
        while tally.live < count and len(tally.broken) < 10:
            if standstill >= MOST_STANDSTILL:
                config, standstill = some_config(dice), 0
                machine.reset(*ignition(config))
            other = changed(dice, config)
            old, new = ignition(config), ignition(other)
            plan = plan_of(old[1], new[1], tally) if old != new else None
            if plan is None:
                standstill += 1
                continue
            broken = len(tally.broken)
            hold(machine, plan, old, new, tally)
            config, standstill = other, 0
            for told in tally.broken[broken:]:
                print(told, flush=True)
    print(tally)
    assert not tally.broken, "\n".join(tally.broken)
    assert tally.refused.total() < tally.live, "the machine's own doubts are exceptions"


def test_a_cut_at_a_random_moment_ends_in_the_wanted_config(tmp_path: Path, usr: Path) -> None:
    """The plug is pulled while the change is applied: the next boot makes the reset that was staged before."""
    dice, count = random.Random(new_seed()), int(os.environ.get("LIVE_CUTS", "20"))
    with closing(LiveContainer(tmp_path / "machine", usr)) as machine:
        cuts = 0
        while cuts < count:
            config = some_config(dice)
            old, new = ignition(config), ignition(changed(dice, config))
            plan = plan_of(old[1], new[1], Tally()) if old != new else None
            if plan is None:
                continue
            machine.reset(*old)
            machine.bash("mkdir -p /srv/kept; echo kept >/srv/kept/data")
            machine.stage(*new)
            plug = Timer(dice.uniform(0.05, 1.0), machine.close)
            plug.start()
            machine.change(plan, old[0], *new)
            plug.join()
            machine.boot(new[1])
            machine.confirm(*new)
            cut = machine.looks()
            assert machine.bash("cat /srv/kept/data").stdout == "kept\n"
            machine.reset(*new)
            assert unlike(cut, machine.looks()) == [], plan
            cuts += 1


def test_going_back_makes_what_was(tmp_path: Path, usr: Path) -> None:
    """A change that is not proven, as one of its services fails or for another reason, is taken back."""
    dice, count = random.Random(new_seed()), int(os.environ.get("LIVE_BACKS", "50"))
    tally = Tally()
    with closing(LiveContainer(tmp_path / "machine", usr)) as machine:
        while tally.live < count:
            config = some_config(dice)
            other = copy.deepcopy(changed(dice, config))
            if dice.random() < 0.7:
                for unit in (other[name] for name in other.keys() & UNITS.keys()):
                    unit["contents"] = unit.get("contents", "").replace(
                        "ExecStart=/usr/bin/sleep", "ExecStart=/bin/false"
                    )
            old, new = ignition(config), ignition(other)
            there, back = plan_of(old[1], new[1], tally), plan_of(new[1], old[1], tally)
            if old == new or there is None or back is None:
                continue
            machine.reset(*old)
            before = machine.looks()
            machine.stage(*new)
            if machine.change(there, old[0], *new).returncode:
                continue
            machine.do({"CONFIG_ID": new[0]}, "staging.sh", "live-done.sh")
            done = machine.change(back, new[0], *old, is_back=True)
            if done.returncode:
                tally.refused[re.sub(r"\S+\.(service|socket|timer|path)|/\S+", "…", done.stderr.strip())] += 1
                continue
            tally.live += 1
            problems = [line for line in machine.drift(old[1]) if "config-id" not in line]
            machine.do({"CONFIG_ID": old[0]}, "staging.sh", "live-done.sh")
            machine.confirm(*old)
            if problems := [*problems, *unlike(machine.looks(), before)]:
                tally.broken.append(f"{back}\n  " + "\n  ".join(problems[:12]))
                print(tally.broken[-1], flush=True)
    print(tally)
    assert not tally.broken, "\n".join(tally.broken)
    assert tally.refused.total() < tally.live, "the machine's own doubts are exceptions"


@pytest.mark.skipif(not CORPUS.is_file(), reason="no published configs beside the checkout")
def test_the_law_holds_for_published_configs(tmp_path: Path, usr: Path) -> None:
    """Edits of each, and the edits taken back."""
    dice, count = random.Random(new_seed()), int(os.environ.get("LIVE_EDITS", "2"))
    configs = {name: config for name, config in published().items() if fits_a_container(config)}
    add_programs(usr, configs.values())
    tally, planned = Tally(), Tally()
    for number, (name, config) in enumerate(configs.items()):
        pairs = [(what, whole(config), whole(other)) for what, other in edits(config)]
        live = [pair for pair in pairs if plan_of(pair[1][1], pair[2][1], planned)]
        planned.live += len(live)
        with closing(LiveContainer(tmp_path / str(number), usr)) as machine:
            try:
                for what, *pair in dice.sample(live, min(count, len(live))):
                    broken = len(tally.broken)
                    machine.reset(*pair[0])
                    for old, new in (pair, pair[::-1]):
                        if plan := plan_of(old[1], new[1], tally):
                            hold(machine, plan, old, new, tally)
                    for told in tally.broken[broken:]:
                        print(name, what, told, flush=True)
            except NotUpError:
                tally.refused["it does not come up in a container"] += 1
        shutil.rmtree(tmp_path / str(number))
    print("all edits:", planned, "those that were made:", tally, sep="\n")
    assert not tally.broken, "\n".join(tally.broken)
    assert tally.live


class VirtualMachine:
    """A machine in QEMU, changed by the program of the `Reprovision` resource."""

    def __init__(self, vm: VM) -> None:
        self._vm, self._record = vm, ""

    def up(self, config_id: str, config: IgnitionConfig, lifecycle: str) -> str:
        """Make it run a config; what was said on the way."""
        text = json.dumps(config)
        self._vm.put(text)
        if lifecycle == "reset":
            self._vm.ssh("sudo rm -f /etc/flatcar/config-id")  # else the same config would need none
        request = self._vm.request(
            config_id, text, keep=LiveContainer.keep, lifecycle=lifecycle, rollback_after=ROLLBACK_AFTER
        )
        done = subprocess.run(
            [sys.executable, "-m", "components.commands.reprovision"],
            input=request, capture_output=True, text=True, cwd=ROOT, check=False,
            env={**os.environ, "PULUMI_COMMAND_STDOUT": self._record},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        self._record = done.stdout
        self._vm.ssh(OWN_TIMER_IS_OVER)
        return done.stderr

    def looks(self) -> Looks:
        """All that the law is about."""
        return looks(self._vm.ssh(f"sudo bash <<'END'\n{LOOK}END\n"))


@needs_image
def test_the_law_holds_in_qemu(tmp_path: Path) -> None:
    dice, count = random.Random(new_seed()), int(os.environ.get("LIVE_QEMU_CHANGES", "25"))
    tally, config = Tally(), some_config(dice)
    with machine(tmp_path) as vm:
        vm.wait_for_ssh()
        login = login_config(vm.public_key)
        virtual = VirtualMachine(vm)
        virtual.up(*ignition(config, login), "reset")
        while tally.live < count:
            other = changed(dice, config)
            old, new = ignition(config, login), ignition(other, login)
            if old == new or not plan_of(old[1], new[1], tally):
                continue
            config, told = other, virtual.up(*new, "live")
            if "changed live, no reboot" not in told:
                tally.refused[told] += 1
                print(told, flush=True)
                continue
            live = virtual.looks()
            virtual.up(*new, "reset")
            tally.live += 1
            print(f"{tally.live} of {count} were live", flush=True)
            if broken := unlike(live, virtual.looks()):
                tally.broken.append("\n  ".join([told, *broken]))
                print(tally.broken[-1], flush=True)
    print(tally)
    assert not tally.broken, "\n".join(tally.broken)
