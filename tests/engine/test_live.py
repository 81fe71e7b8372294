"""The lifecycle `live`: changes without a reboot, what they leave, and what happens where they can't be.

The law, over random pairs of configs: what `live` makes of a machine is what a reset makes of it, path by path, with
the same units running.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import shutil
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from cl.transpiler.fragments import merged
from components.payload.fragments import text_file
from components.payload.machine_config import STAMP
from components.payload.rollback import rollback_fragment
from components.settings.lifecycle import Lifecycle
from loopback.lab import SICK, Lab, running_lab
from loopback.machine import wait_until
from tests.engine.good_changes import new_seed
from tests.engine.live_pairs import APP, TIMER, Machine, changed, ignition, plan_of, some_config

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from subprocess import CompletedProcess

    from components.commands.reprovision.live_plan import Live
    from components.payload.fragments import IgnitionConfig

pytestmark = pytest.mark.engine

ROLLBACK_AFTER = 30
WEB = "[Service]\nExecStart=/usr/bin/web /srv/web\n[Install]\nWantedBy=multi-user.target\n"
PAGE = "/srv/web/index.html"
LEFT = ("/boot/flatcar/first_boot", "/selective-os-reset", "/.flatcar-unwiped", "/oem/config.ign")
"""What no change may leave behind."""


class LiveLab(Lab):
    """A machine with a page and the service that names it."""

    lifecycle = Lifecycle.LIVE

    def page(self, text: str, web: str = WEB, **more: Any) -> str:
        """Publish a config with this page; its config id."""
        unit = {"name": "web.service", "enabled": True, "contents": web}
        config: IgnitionConfig = {
            "storage": {"files": [text_file(PAGE, text), text_file("/srv/web/img/a", "same")]},
            "systemd": {"units": [unit]},
            **more,
        }
        config_id = hashlib.sha512(json.dumps([text, web, more]).encode()).hexdigest()
        stamp: IgnitionConfig = {"storage": {"files": [text_file(STAMP, config_id + "\n")]}}
        self.contents[config_id] = json.dumps(merged(config, merged(rollback_fragment(ROLLBACK_AFTER), stamp)))
        self.write(self.contents[config_id])
        return config_id

    def up(self, config_id: str, **changes: Any) -> tuple[int, dict[str, Any], str]:
        """The Command for `config_id`, on a machine that has run for longer than its own timer."""
        self.machine.path("/run/rollback-timer").unlink(missing_ok=True)
        return self.run(config_id, **changes)

    def runs(self, config_id: str, boots: int) -> None:
        """Assert that the machine runs a config, confirmed, in its boot of this number, and that nothing is left."""
        assert self.machine.text(STAMP).strip() == config_id
        assert self.machine.text("/oem/.flatcar-reprovision/last-good").split()[0] == config_id
        assert self.machine.boots == boots
        assert not [path for path in LEFT if self.machine.path(path).exists()]
        assert "web.service" in self.machine.text("/run/started-units").split()


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[LiveLab]:
    """A machine that runs the page "one", confirmed."""
    with running_lab(tmp_path, LiveLab, rollback_after=ROLLBACK_AFTER) as lab:
        lab.machine.makes_users = True
        lab.good = lab.page("one")
        code, _, progress = lab.up(lab.good)
        assert code == 0, progress
        yield lab


def test_a_changed_page_needs_no_reboot(lab: LiveLab) -> None:
    lab.machine.path("/var/lib/data").mkdir(parents=True)
    better = lab.page("two")
    code, outputs, progress = lab.up(better)
    assert code == 0, progress
    assert f"live: {PAGE} changes, web.service restarts" in progress
    assert "changed live, no reboot" in progress
    assert "rebooting" not in progress
    assert (outputs["config_id"], outputs["downtime_seconds"]) == (better, 0.0)
    assert lab.machine.text(PAGE) == "two"
    assert lab.machine.path("/var/lib/data").exists(), "what runs keeps its data"
    lab.runs(better, boots=1)
    history = [line.split()[1:] for line in lab.machine.text("/oem/.flatcar-history").splitlines()]
    assert history[-3:] == [["push", better, word] for word in ("staged", "live", "proven")]
    assert "manifest" not in outputs["record"], "the request has it"

    back = lab.page("one")
    code, _, progress = lab.up(back)
    assert code == 0, progress
    lab.runs(lab.good, boots=1)


def test_a_change_that_nobody_made_is_none(lab: LiveLab) -> None:
    code, _, progress = lab.up(lab.good)
    assert code == 0, progress
    assert "runs the wanted config already" in progress
    lab.runs(lab.good, boots=1)


def test_a_change_that_needs_a_reset_gets_one(lab: LiveLab) -> None:
    better = lab.page("two", kernelArguments={"shouldExist": ["quiet"]})
    code, _, progress = lab.up(better)
    assert code == 0, progress
    assert "not live: kernel arguments change" in progress
    lab.runs(better, boots=2)


def users(*users: dict[str, Any]) -> dict[str, Any]:
    return {"passwd": {"users": [*users]}}


def test_users_keys_and_passwords_change_live(lab: LiveLab) -> None:
    core = {"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAAa one"], "groups": ["wheel"]}
    code, _, progress = lab.up(lab.page("one", **users(core)))
    assert code == 0, progress
    assert "not live: there is a user core already" in progress
    core |= {"sshAuthorizedKeys": ["ssh-ed25519 AAAAb two"], "passwordHash": "$6$core", "groups": ["wheel", "docker"]}
    ann = {
        "name": "ann",
        "gecos": "Ann O'Nym",
        "shell": "/bin/sh",
        "groups": ["wheel"],
        "sshAuthorizedKeys": ["ssh-rsa AA=="],
    }
    better = lab.page("one", passwd={"users": [core, ann], "groups": [{"name": "ops", "gid": 2000}]})
    code, _, progress = lab.up(better)
    assert code == 0, progress
    assert "live: group ops, user core, user ann change" in progress
    assert "$6$core" not in progress
    lab.runs(better, boots=2)
    accounts = {name: lab.machine.text(f"/etc/{name}") for name in ("passwd", "shadow", "group")}
    assert "ann:x:1000:100:Ann O'Nym:/home/ann:/bin/sh\n" in accounts["passwd"]
    assert "\ncore:$6$core:" in accounts["shadow"]
    assert "\nann:*:" in accounts["shadow"]
    assert "wheel:x:10:root,core,ann\ndocker:x:233:core\n" in accounts["group"]
    assert "ops:x:2000:\n" in accounts["group"]
    assert lab.machine.text("/home/core/.ssh/authorized_keys").splitlines()[1:] == ["ssh-ed25519 AAAAb two"]
    assert lab.machine.text("/home/ann/.ssh/authorized_keys").splitlines()[1:] == ["ssh-rsa AA=="]


def test_the_key_of_the_deployer_does_not_go_live(lab: LiveLab) -> None:
    own = lab.machine.key_file.with_suffix(".pub").read_text().strip()
    user = {"name": lab.machine.user, "sshAuthorizedKeys": [own, "ssh-ed25519 AAAAa another", "ssh-rsa AA== third"]}
    code, _, progress = lab.up(lab.page("one", **users(user)))
    assert code == 0, progress
    better = lab.page("one", **users({**user, "sshAuthorizedKeys": [own, "ssh-rsa AA== third"]}))
    code, _, progress = lab.up(better)
    assert code == 0, progress
    lab.runs(better, boots=2)
    without = lab.page("one", **users({**user, "sshAuthorizedKeys": ["ssh-rsa AA== third"]}))
    code, _, progress = lab.up(without)
    assert code == 0, progress
    assert "not live: an SSH key goes that it is changed with" in progress
    lab.runs(without, boots=3)


DRIFT = {
    "a changed file": (f"echo drift >{PAGE}", f"{PAGE} has other content"),
    "another mode": (f"chmod 600 {PAGE}", f"{PAGE} has mode 0600"),
    "a missing file": (f"rm {PAGE}", f"{PAGE} is missing"),
    "another kind": (f"ln -sf /etc/x {PAGE}", f"{PAGE} is a link"),
    "a file that nobody declared": ("touch /etc/drift", "it has drifted: nobody declared /etc/drift"),
    "a unit that nobody declared": (
        "touch /etc/systemd/system/x.service",
        "nobody declared /etc/systemd/system/x.service",
    ),
    "a disabled unit": ("systemctl disable -- web.service", "web.service is disabled"),
    "a masked unit": ("ln -sf /dev/null /etc/systemd/system/web.service", "web.service is a link"),
    "a failed unit": ("echo 'db.service loaded failed' >/run/failed-units", "db.service has failed"),
    "an account": ("echo 'eve:x:1000:1000::/home/eve:/bin/sh' >>/etc/passwd", "eve is an account that nobody declared"),
}


@pytest.mark.parametrize("drift", DRIFT)
def test_what_has_drifted_is_reset(lab: LiveLab, drift: str) -> None:
    command, told = DRIFT[drift]
    assert lab.machine.inside(command).returncode == 0
    better = lab.page("two")
    code, _, progress = lab.up(better)
    assert code == 0, progress
    assert told in progress
    lab.runs(better, boots=2)


@pytest.mark.parametrize("drift", ["a changed file", "a file that nobody declared"])
def test_what_has_drifted_is_refused_by_choice(lab: LiveLab, drift: str) -> None:
    command, told = DRIFT[drift]
    assert lab.machine.inside(command).returncode == 0
    better, refuse = lab.page("two"), {"drift": "refuse"}
    code, _, progress = lab.up(better, live=refuse)
    assert code == 1
    assert told in progress
    assert "nothing was staged; undo it on the machine, or set live.drift: reset" in progress
    lab.runs(lab.good, boots=1)
    assert lab.machine.inside(f"rm -f /etc/drift && printf one >{PAGE}").returncode == 0
    code, _, progress = lab.up(better, live=refuse)
    assert code == 0, progress
    lab.runs(better, boots=1)


def test_what_needs_a_reset_gets_one_where_drift_is_refused(lab: LiveLab) -> None:
    lab.machine.path("/etc/drift").touch()
    better = lab.page("two", kernelArguments={"shouldExist": ["quiet"]})
    code, _, progress = lab.up(better, live={"drift": "refuse"})
    assert code == 0, progress
    lab.runs(better, boots=2)


def test_files_of_a_setting_restart_or_reload_its_units(lab: LiveLab) -> None:
    settings = {"restart": {"/etc/app/*": "web.service"}, "reload": {"/etc/re/*": "web.service other.service"}}
    files = {"/etc/app/a": "1", "/etc/re/b": "1"}
    other = {"name": "other.service", "enabled": True, "contents": WEB.replace("/srv/web", "/opt")}

    def publish(**changes: str) -> str:
        contents = [text_file(PAGE, "one"), *(text_file(path, text) for path, text in {**files, **changes}.items())]
        units = [{"name": "web.service", "enabled": True, "contents": WEB}, other]
        return lab.page("one", storage={"files": contents}, systemd={"units": units})

    code, _, progress = lab.up(publish(), live=settings)
    assert code == 0, progress
    assert "not live: no unit names /etc/app/a" not in progress
    lab.machine.path("/run/can-reload").write_text("web.service\n")
    lab.machine.path("/run/unit-changes").unlink()
    better = publish(**{"/etc/re/b": "2"})
    code, _, progress = lab.up(better, live=settings)
    assert code == 0, progress
    assert "live: /etc/re/b changes, web.service, other.service reload" in progress
    changes = [line for line in lab.machine.text("/run/unit-changes").splitlines() if "flatcar-" not in line]
    assert changes == ["stop other.service", "start other.service", "reload web.service"]
    both = publish(**{"/etc/re/b": "3", "/etc/app/a": "3"})
    code, _, progress = lab.up(both, live=settings)
    assert code == 0, progress
    assert "/etc/app/a, /etc/re/b change, web.service restarts, other.service reloads" in progress
    lab.runs(both, boots=1)
    code, _, progress = lab.up(publish(**{"/etc/re/b": "4", "/etc/app/a": "3"}))
    assert code == 0, progress
    assert "not live: no unit names /etc/re/b" in progress


def test_a_unit_that_can_not_reload_has_its_machine_reset(lab: LiveLab) -> None:
    settings = {"reload": {PAGE: "web.service"}}
    for name in ("can-reload", "bad-reload"):
        lab.machine.path(f"/run/{name}").write_text("web.service\n")
    better = lab.page("two")
    code, _, progress = lab.up(better, live=settings)
    assert code == 0, progress
    assert "not live: web.service could not reload" in progress
    lab.runs(better, boots=2)


def test_kept_files_are_no_drift(lab: LiveLab) -> None:
    lab.machine.path("/etc/kept-x").touch()
    better = lab.page("two")
    code, _, progress = lab.up(better, keep=["/etc/kept-.*"])
    assert code == 0, progress
    lab.runs(better, boots=1)


def is_back(lab: LiveLab, progress: str, wanted: str, boots: int) -> None:
    assert f"it is back on its last good config ({lab.good[:12]}); wanted was {wanted[:12]}" in progress, progress
    lab.runs(lab.good, boots=boots)
    assert lab.machine.text(PAGE) == "one"
    assert not lab.machine.path("/oem/.flatcar-reprovision/went-back").exists()
    assert not lab.machine.path("/run/failed-units").read_text()
    history = [line.split()[1:] for line in lab.machine.text("/oem/.flatcar-history").splitlines()]
    steps = [[by, word] for by, config_id, word in history if config_id == lab.good][-3:]
    assert steps[-1] == ["push", "proven"]
    if boots == 1:
        assert steps == [["push", word] for word in ("going-back", "live", "proven")]


def test_a_config_that_breaks_its_service_goes_back_live(lab: LiveLab) -> None:
    wanted = lab.page("two", web=WEB.replace("ExecStart=/usr/bin/web", "ExecStart=/bin/false\nExecStartPre=/bin/ls"))
    code, _, progress = lab.up(wanted)
    assert code == 1
    assert "web.service" in progress
    assert f"going back live: {PAGE}, /etc/systemd/system/web.service change, web.service restarts" in progress
    is_back(lab, progress, wanted, boots=1)


FAILED = {**SICK, "subject": f"! grep -q two {PAGE}"}


def test_a_failed_check_goes_back_live(lab: LiveLab) -> None:
    """With what comes and what goes; the next change is live again."""
    more = {"name": "more.service", "enabled": True, "contents": WEB.replace("/srv/web", "/srv/more")}
    web = {"name": "web.service", "enabled": True, "contents": WEB}
    wanted = lab.page("two", systemd={"units": [web, more]})
    code, _, progress = lab.up(wanted, health=[FAILED])
    assert code == 1
    assert "changed live, no reboot" in progress
    assert "going back live: " in progress
    is_back(lab, progress, wanted, boots=1)
    assert lab.object.read_text() == lab.contents[lab.good], "the object is put back"
    assert "more.service" not in lab.machine.text("/run/started-units")
    assert not lab.machine.path("/etc/systemd/system/more.service").exists()
    better = lab.page("three", systemd={"units": [web, more]})
    code, _, progress = lab.up(better)
    assert code == 0, progress
    lab.runs(better, boots=1)


BY_RESET: dict[str, tuple[dict[str, Any], str, str]] = {
    "the way back is none that is live": (
        {"passwd": {"users": [{"name": "ann"}]}},
        "true",
        "going back by a reset: a user goes, or they have another order, on which their ids depend",
    ),
    "the machine is not what it was after it": (
        {},
        "touch /etc/drift",
        "going back by a reset: after the change: nobody declared /etc/drift",
    ),
    "other paths are kept": (
        {},
        "echo /srv/more >>/oem/.flatcar-reprovision/last-good-keep",
        "going back by a reset: the reset to the wanted config is not staged",
    ),
}


@pytest.mark.parametrize("case", BY_RESET)
def test_a_failed_check_goes_back_by_a_reset_where_it_has_to(lab: LiveLab, case: str) -> None:
    more, command, told = BY_RESET[case]
    command = command.replace("last-good-keep", "$(sed -n 2p /oem/.flatcar-reprovision/last-good)/keep")
    wanted = lab.page("two", **more)
    code, _, progress = lab.up(wanted, health=[{**FAILED, "subject": f"{command}; {FAILED['subject']}"}])
    assert code == 1
    assert told in progress, progress
    is_back(lab, progress, wanted, boots=2)


def test_a_machine_that_nobody_confirms_rolls_back(lab: LiveLab) -> None:
    """The deployer dies when the change is applied; the machine's timer of that moment brings it back."""
    wanted = lab.page("two")
    lab.machine.path("/run/rollback-timer").unlink(missing_ok=True)
    deployer = lab.start(wanted, rollback_after=6, health=[{"name": "long", "subject": "sleep 60", "seconds": 60}])
    wait_until(lambda: lab.machine.text(PAGE) == "two")
    wait_until(lambda: lab.machine.text(STAMP).strip() == wanted)
    deployer.kill()
    deployer.communicate()
    wait_until(lambda: lab.machine.boots == 2 and lab.machine.is_up)
    assert lab.machine.text(STAMP).strip() == lab.good
    assert lab.machine.text(PAGE) == "one"


HANGS = """\
#!/bin/bash
if [ "$1" = restart ] && [ -e /run/hangs ]; then exec sleep 1000; fi
. /run/bin/systemctl.real
"""


def test_a_unit_that_never_starts_has_its_machine_reset(lab: LiveLab) -> None:
    """It keeps neither the lock nor the machine's own rollback."""
    systemctl = lab.machine.path("/run/bin/systemctl")
    systemctl.rename(systemctl.with_name("systemctl.real"))
    systemctl.write_text(HANGS)
    systemctl.chmod(0o755)
    lab.machine.path("/run/hangs").touch()
    wanted = lab.page("two")
    code, _, progress = lab.up(wanted, rollback_after=10)
    assert code == 0, progress
    assert "not live: units have not come to an end after 8 s: systemctl restart -- web.service" in progress
    lab.runs(wanted, boots=2)


def test_a_machine_that_goes_with_a_live_change_is_none_that_never_answered(lab: LiveLab) -> None:
    """Else a rollout that skips those goes on."""
    wanted = lab.page("two")
    lab.machine.path("/run/rollback-timer").unlink(missing_ok=True)
    deployer = lab.start(wanted, timeout=6, rollback_after=8)
    wait_until(lambda: lab.machine.text(PAGE) == "two")
    lab.machine.pull_the_plug()
    _, progress = deployer.communicate(timeout=60)
    assert deployer.returncode == 1, progress
    assert "did not answer within 14 s" in progress


@pytest.mark.parametrize("dies", [False, True])
def test_an_object_that_is_swapped_before_the_reset_runs_is_not_proven(lab: LiveLab, *, dies: bool) -> None:
    """Power is lost while the change is proven, so that the staged reset runs: of what is in the object by now."""
    wanted = lab.page("two")
    lab.machine.path("/run/rollback-timer").unlink(missing_ok=True)
    deployer = lab.start(wanted, health=[{"name": "long", "subject": "sleep 8", "seconds": 60}])
    wait_until(lambda: lab.machine.text(STAMP).strip() == wanted)
    if dies:
        deployer.kill()
        deployer.communicate()
    config = json.loads(lab.contents[wanted])
    config["storage"]["files"].append(text_file("/etc/more", "swapped"))
    lab.write(json.dumps(config))
    lab.machine.pull_the_plug()
    lab.machine.plug_in()
    if dies:
        wait_until(lambda: lab.machine.is_up)
        code, _, progress = lab.up(wanted)
    else:
        _, progress = deployer.communicate(timeout=120)
        code = deployer.returncode
    assert code == 1, progress
    assert "Ignition ran another object" in progress


@pytest.mark.parametrize("command", ["ln -s /var/log/of-root {}.flatcar-new", "mkfifo {}.flatcar-new"])
def test_what_lies_beside_a_file_is_not_written_to(lab: LiveLab, command: str) -> None:
    """Whoever owns the folder may have put it there."""
    lab.machine.path("/var/log/of-root").write_text("root's own")
    assert lab.machine.inside(command.format(PAGE)).returncode == 0
    wanted = lab.page("two")
    code, _, progress = lab.up(wanted)
    assert code == 0, progress
    assert lab.machine.text("/var/log/of-root") == "root's own"
    lab.runs(wanted, boots=1)


def test_the_next_run_ends_what_a_deployer_left(lab: LiveLab) -> None:
    wanted = lab.page("two")
    lab.machine.path("/run/rollback-timer").unlink(missing_ok=True)
    deployer = lab.start(wanted, health=[{"name": "long", "subject": "sleep 60", "seconds": 60}])
    wait_until(lambda: lab.machine.text(STAMP).strip() == wanted)
    deployer.kill()
    deployer.communicate()
    code, _, progress = lab.up(wanted)
    assert code == 0, progress
    lab.runs(wanted, boots=1)
    assert lab.machine.text(PAGE) == "two"


def live_pairs(dice: random.Random, folder: Path, count: int) -> Iterator[tuple[Machine, Live, list[Any]]]:
    """Machines that run the first of two configs, confirmed, where the second one can be live."""
    while count:
        one = some_config(dice)
        configs = [ignition(one), ignition(changed(dice, one))]
        plan = plan_of(configs[0][1], configs[1][1])
        if plan is None or configs[0] == configs[1]:
            continue
        machine = Machine(folder / "machine")
        machine.boot(configs[0][1])
        machine.confirm(*configs[0])
        yield machine, plan, configs
        for made in folder.iterdir():
            shutil.rmtree(made)
        count -= 1


def test_what_live_makes_is_what_a_reset_makes(tmp_path: Path) -> None:
    dice = random.Random(new_seed())
    applied = 0
    for machine, plan, ((old_id, _), (config_id, config)) in live_pairs(dice, tmp_path, 25):
        other = machine.copied(tmp_path / "other")
        machine.stage(config_id, config)
        done = machine.change(plan, old_id, config_id, config)
        if done.returncode:
            assert re.search("there already|user core already|app.timer starts app.service", done.stderr), done.stderr
            continue
        applied += 1
        machine.do({"CONFIG_ID": config_id}, "staging.sh", "live-done.sh")
        machine.confirm(config_id, config)
        other.stage(config_id, config)
        other.boot(config)
        other.confirm(config_id, config)
        assert machine.tree() == other.tree(), plan
        assert machine.accounts() == other.accounts(), plan
        assert machine.running() == other.running(), plan
    assert applied > 15


DOUBTS = {
    "mkdir -p /srv/kept && mkdir /srv/web/img/new.png": "/srv/web/img/new.png is a directory",
    "touch /run/rollback-timer": "its own timer would roll it back on the way",
    "mv /srv/web /srv/elsewhere && ln -s elsewhere /srv/web": "lies behind a link",
    "rm /selective-os-reset": "the reset to the wanted config is not staged",
    "rm /boot/flatcar/first_boot": "the reset to the wanted config is not staged",
    "echo x >/oem/.flatcar-reprovision/staged.object": "the reset to the wanted config is not staged",
    "echo x >/oem/.flatcar-reprovision/last-good": "the machine could not roll back to what it runs",
    "echo x >/etc/flatcar/config-id": "the machine runs another config by now",
    "rm /etc/systemd/system/flatcar-rollback.service": "nothing on this machine would roll it back",
    "touch /run/flatcar-going-back": "the machine is rolling back",
    "echo 'ann:x:1000:1000::/home/ann:/bin/sh' >>/etc/passwd": "there is a user ann already",
    "mkdir -p /home/ann": "/home/ann is there already",
    "rm /run/bin/update-ssh-keys": "update-ssh-keys is not there",
    "sed -i /^core:/d /etc/passwd": "there is no user core",
    "echo User=core >>/etc/systemd/system/web.service": "something runs as core, whose groups change",
    r"""cd /etc/systemd/system && printf '[Service]\nUser=core\n' >'a\x2db.service' && ls a* >>/run/started-units""": (
        "something runs as core, whose groups change"
    ),
    "mkdir -p /var/lib/systemd/linger/core": "something runs as core, whose groups change",
}


def page_machine(folder: Path, path: str, *, goes: bool = False) -> tuple[Machine, Live, list[Any]]:
    """A machine with a service, and the plan of a change where a file below /srv comes, with users, or goes."""
    file = {"path": path, "contents": {"source": "data:,x"}, "overwrite": True}
    unit = {"name": "web.service", "enabled": True, "contents": WEB.replace("/srv/web\n", "/srv/web /srv/kept\n")}
    core = {"name": "core", "sshAuthorizedKeys": ["ssh-rsa AA=="], "groups": ["wheel"]}
    configs = [
        ignition({"/srv/web/img/a.png": {**file, "path": "/srv/web/img/a.png"}, "web.service": unit, "core": core})
    ]
    storage = configs[0][1]["storage"]
    configs.append(("b" * 128, {**configs[0][1], "storage": {**storage, "files": [*storage["files"], file]}}))
    if not goes:
        configs[1][1]["passwd"] = {"users": [{**core, "groups": ["wheel", "docker"]}, {"name": "ann"}]}
    else:
        configs.reverse()
    plan = plan_of(configs[0][1], configs[1][1])
    assert plan is not None
    machine = Machine(folder / "machine")
    machine.boot(configs[0][1])
    machine.machine.path(STAMP).write_text(configs[0][0] + "\n")  # both have the same one in them
    machine.confirm(*configs[0])
    machine.stage(*configs[1])
    return machine, plan, configs


@pytest.mark.parametrize("command", DOUBTS)
def test_in_doubt_nothing_is_changed(tmp_path: Path, command: str) -> None:
    machine, plan, ((old_id, _), (config_id, config)) = page_machine(tmp_path, "/srv/web/img/new.png")
    assert machine.machine.inside(command).returncode == 0
    before = machine.tree()
    done = machine.change(plan, old_id, config_id, config)
    assert done.returncode == 3
    assert DOUBTS[command] in done.stderr
    assert machine.tree() == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (APP, "app.timer starts app.service"),
        (APP + "Also=web.service\n", "app.service is enabled and disabled with others"),
        (APP.replace("[Service]", "[Service]\nType=oneshot"), "what app.service has done stays"),
    ],
)
def test_in_doubt_no_unit_is_masked(tmp_path: Path, text: str, told: str) -> None:
    unit = {"name": "app.service", "contents": text}
    units = {"app.timer": {"name": "app.timer", "enabled": text == APP, "contents": TIMER.format(1)}}
    (old_id, old), (config_id, config) = (
        ignition({**units, "app.service": {**unit, "mask": masked}}) for masked in (False, True)
    )
    plan = plan_of(old, config)
    assert plan is not None and plan.masks == ("app.service",)
    machine = Machine(tmp_path / "machine")
    machine.boot(old)
    machine.confirm(old_id, old)
    machine.stage(config_id, config)
    done = machine.change(plan, old_id, config_id, config)
    assert done.returncode == 3
    assert told in done.stderr


@pytest.mark.parametrize("goes", [["app.service"], ["app.service", "app.timer"]])
def test_what_a_timer_starts_goes_with_it_alone(tmp_path: Path, goes: list[str]) -> None:
    """A timer does not start in a boot where the service is not there."""
    units = {
        "app.timer": {"name": "app.timer", "enabled": True, "contents": TIMER.format(1)},
        "app.service": {"name": "app.service", "contents": APP},
    }
    (old_id, old), (config_id, config) = (
        ignition({name: unit for name, unit in units.items() if name not in gone}) for gone in ([], goes)
    )
    plan = plan_of(old, config)
    assert plan is not None and sorted(plan.stops) == goes
    machine = Machine(tmp_path / "machine")
    machine.boot(old)
    machine.confirm(old_id, old)
    machine.stage(config_id, config)
    done = machine.change(plan, old_id, config_id, config)
    if len(goes) == 1:
        assert done.returncode == 3
        assert "app.timer starts app.service" in done.stderr
    else:
        assert done.returncode == 0, done.stderr
        assert machine.running() == ["flatcar-rollback.timer"]


def test_a_kept_file_that_goes_stays_in_a_reset(tmp_path: Path) -> None:
    machine, plan, ((old_id, _), (config_id, config)) = page_machine(tmp_path, "/srv/kept/a", goes=True)
    done = machine.change(plan, old_id, config_id, config)
    assert done.returncode == 3
    assert "/srv/kept/a is kept, and no config declares it any more" in done.stderr
    machine.boot(config)
    assert machine.machine.path("/srv/kept/a").exists()


CUT = """\
set -T
__step() {{
  local steps
  printf x >>/run/steps # a counter would start anew where two write it at once
  read -r steps </run/steps || true # it has no end of line
  [ "${{#steps}}" -le {at} ] || kill -9 0
}}
trap __step DEBUG
"""
"""For BASH_ENV: kills all at the step of this number."""


def cut_at(machine: Machine, folder: Path, at: int) -> Machine:
    """A copy of the machine, killed at this step of the next script."""
    cut = machine.copied(folder)
    cut.machine.path("/run/cut.bash").write_text(CUT.format(at=at))
    cut.prefix = "BASH_ENV=/run/cut.bash setsid --wait "
    return cut


def cuts_of(
    dice: random.Random, machine: Machine, folder: Path, change: Callable[[Machine], CompletedProcess[str]]
) -> Iterator[Machine]:
    """Copies of the machine, each killed at another step of a change: one in each eighth of its steps, in disorder."""
    whole = cut_at(machine, folder / "whole", sys.maxsize)
    assert change(whole).returncode in (0, 3)
    steps = whole.machine.path("/run/steps").stat().st_size
    for part in dice.sample(range(8), 8):
        cut = cut_at(machine, folder / "cut", at := dice.randrange(steps * part // 8, steps * (part + 1) // 8))
        assert change(cut).returncode not in (0, 3), f"not cut at step {at} of {steps}"
        cut.prefix = ""
        print(f"cut at step {at} of {steps}")
        yield cut
        shutil.rmtree(folder / "cut")


def test_a_cut_at_any_step_ends_in_the_wanted_config(tmp_path: Path) -> None:
    """Power is lost, or the deployer dies and the next one comes, for the same config or for the one before."""
    dice = random.Random(new_seed())
    for machine, plan, ((old_id, old), (config_id, config)) in live_pairs(dice, tmp_path, 1):
        machine.stage(config_id, config)
        reset = machine.copied(tmp_path / "reset")
        reset.boot(config)
        before = machine.copied(tmp_path / "before")
        change = partial(Machine.change, plan=plan, old_id=old_id, config_id=config_id, config=config)
        for cut in cuts_of(dice, machine, tmp_path, change):
            again = cut.copied(tmp_path / "again")
            cut.boot(config)
            assert cut.tree() == reset.tree(), "power lost"
            assert cut.accounts() == reset.accounts(), "power lost"
            wanted_id, wanted = dice.choice([(config_id, config), (old_id, old)])
            again.stage(wanted_id, wanted)
            if (again.machine.path("/boot/flatcar/first_boot")).exists():
                again.boot(wanted)
            expected = reset if wanted_id == config_id else before
            assert again.tree() == expected.tree(), "the deployer died"
            assert again.accounts() == expected.accounts(), "the deployer died"
            shutil.rmtree(tmp_path / "again")


def ways_back(dice: random.Random, folder: Path, count: int) -> Iterator[tuple[Machine, Machine, Live, list[Any]]]:
    """Machines that have been changed live, and are not confirmed; what they were before, and how they become that."""
    for machine, plan, configs in live_pairs(dice, folder, 20 * count):
        (old_id, old), (config_id, config) = configs
        back = plan_of(config, old)
        before = machine.copied(folder / "before")
        machine.stage(config_id, config)
        if back is None or machine.change(plan, old_id, config_id, config).returncode:
            continue
        machine.do({"CONFIG_ID": config_id}, "staging.sh", "live-done.sh")
        yield machine, before, back, configs
        count -= 1
        if not count:
            return
    raise AssertionError("too few ways back are live")


def test_a_cut_on_the_way_back_ends_in_one_of_both_configs(tmp_path: Path) -> None:
    """In the last good one from the moment on when anything changes."""
    dice = random.Random(new_seed())
    ends: set[bool] = set()
    for machine, before, back, ((old_id, old), (config_id, config)) in ways_back(dice, tmp_path, 8):
        change = partial(Machine.change, plan=back, old_id=config_id, config_id=old_id, config=old, is_back=True)
        refused = change(machine.copied(tmp_path / "tried")).returncode == 3
        shutil.rmtree(tmp_path / "tried")
        if refused or ends:
            continue
        after = machine.copied(tmp_path / "after")
        for cut in cuts_of(dice, machine, tmp_path, change):
            is_back = cut.machine.path("/oem/config.ign").exists()
            assert is_back or cut.tree() == after.tree()
            ends.add(is_back)
            again = cut.copied(tmp_path / "again")
            cut.boot(config)
            expected = before if is_back else after
            assert cut.tree() == expected.tree(), "power lost"
            assert cut.accounts() == expected.accounts(), "power lost"
            again.stage(config_id, config)  # the deployer died, and the next one tries the same config again
            if again.machine.path("/boot/flatcar/first_boot").exists():
                again.boot(config)
            assert again.tree() == after.tree(), "the deployer died"
            assert again.accounts() == after.accounts(), "the deployer died"
            shutil.rmtree(tmp_path / "again")
    assert ends == {False, True}


def test_the_way_back_makes_what_was(tmp_path: Path) -> None:
    dice, made = random.Random(new_seed()), 0
    for machine, before, back, ((old_id, old), (config_id, _)) in ways_back(dice, tmp_path, 8):
        done = machine.change(back, config_id, old_id, old, is_back=True)
        if done.returncode == 3:
            assert "app.timer starts app.service" in done.stderr
            continue
        assert done.returncode == 0, done.stderr
        made += 1
        machine.do({"CONFIG_ID": old_id}, "staging.sh", "live-done.sh")
        machine.confirm(old_id, old)
        assert machine.tree() == before.tree(), back
        assert machine.accounts() == before.accounts(), back
        assert machine.running() == before.running(), back
    assert made > 3
