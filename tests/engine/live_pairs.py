"""Pairs of configs for the law of the lifecycle `live`: what it makes of a machine is what a reset makes of it.

The machine is off: its disk is booted (stand-in initramfs), and changed by the scripts alone, without SSH.
"""

from __future__ import annotations

import abc
import base64
import copy
import hashlib
import json
import random
import re
import shlex
import shutil
import stat
import subprocess
from typing import TYPE_CHECKING, Any

from cl.transpiler.fragments import merged
from components.commands.reprovision.live import script_values
from components.commands.reprovision.live_plan import Live, live_plan
from components.commands.reprovision.manifest import Manifest
from components.commands.ssh_session import script_text
from components.payload.fragments import text_file
from components.payload.machine_config import STAMP
from components.payload.rollback import rollback_fragment
from loopback.machine import PARTS, LoopbackMachine

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from components.payload.fragments import IgnitionConfig

KEEP = ("/var/log", "/etc/kept.*", "/srv/kept", "/var/lib/base")
FOLDERS = ("etc", "home", "opt", "root", "srv", "var")
OF_A_BOOT = ("etc/.ignition-result.json", "var/log/journal")
"""What each boot with Ignition makes anew."""
ACCOUNT_FILES = {
    "etc/.pwd.lock",
    *(f"etc/{name}{end}" for name in ("passwd", "shadow", "group", "gshadow", "subuid", "subgid") for end in ("", "-")),
}
"""They are compared by what they say (`Machine.accounts`)."""
FILES = (
    "/srv/web/index.html", "/srv/web/img/a.png", "/srv/web/img/deep/b.png", "/etc/web/web.conf", "/etc/web.env",
    "/opt/app/app.conf", "/opt/app/lib/x/y", "/var/lib/app/seed/one", "/srv/alone",
)  # fmt: skip
LINKS = ("/opt/app/current", "/srv/web/latest")
DIRECTORIES = ("/srv/web/empty", "/opt/app/img", "/opt/app/lib")
WEB = """\
[Service]
EnvironmentFile=-/etc/web.env
ExecStart=/usr/bin/docker run -v /srv/web:/www -v /etc/web/:/etc/nginx --name {0} nginx
[Install]
WantedBy={1}
"""
APP = (
    "[Service]\nExecStart=/opt/app/run --{0}\nExecStartPre=/usr/bin/ls /opt/app /var/lib/app\n[Install]\nWantedBy={1}\n"
)
TIMER = "[Timer]\nOnCalendar=*:0{0}\n[Install]\nWantedBy=timers.target\n"
USERS = ("core", "ann", "bob")
GROUPS = ("web", "ops")
UNITS = {"web.service": WEB, "app.service": APP, "app.timer": TIMER, "late.service": APP}
THINGS = (*FILES, *LINKS, *DIRECTORIES, *USERS, *GROUPS, *UNITS)


def some_config(dice: random.Random) -> dict[str, Any]:
    """A config by name of what is in it, for `changed`: half of all that there may be."""
    return {name: _entry(dice, name) for name in THINGS if dice.random() < 0.6}


def changed(dice: random.Random, config: Mapping[str, Any]) -> dict[str, Any]:
    """The config with one to five changes: things go, come, or are others."""
    return changed_by(dice, config, THINGS, _entry)


def changed_by(
    dice: random.Random, config: Mapping[str, Any], names: Sequence[str], entry: Callable[[random.Random, str], Any]
) -> dict[str, Any]:
    """The same of another kind of configs: there may be these `names`, each of which is an `entry`."""
    other = dict(config)
    for name in dice.sample(names, dice.randint(1, 5)):
        if name in other and dice.random() < 0.4:
            del other[name]
        else:
            other[name] = entry(dice, name)
    return other


def _entry(dice: random.Random, name: str) -> dict[str, Any]:
    mode = dice.choice([{}, {"mode": 0o600}, {"mode": 0o755}])
    if name in UNITS:
        text = UNITS[name].format(dice.randint(1, 3), dice.choice(["multi-user.target", "graphical.target"]))
        unit = {"name": name, "contents": text, **dice.choice([{}, *[{"enabled": True}] * 3, {"enabled": False}])}
        if dice.random() < 0.2:
            unit["mask"] = True
        if dice.random() < 0.3:
            unit["dropins"] = [{"name": "10.conf", "contents": f"[Service]\nNice={dice.randint(1, 3)}\n"}]
        return unit
    if name in USERS:
        keys = [f"ssh-ed25519 AAAA{letter}AAA a {letter}" for letter in "abc" if dice.random() < 0.6]
        groups = [group for group in ("docker", "wheel") if dice.random() < 0.5]
        password = dice.choice([{}, {"passwordHash": f"$6${dice.choice('ab')}$x"}])
        return {"name": name, "sshAuthorizedKeys": keys, "groups": groups, **password}
    if name in GROUPS:
        return {"name": name, "gid": 2000 + GROUPS.index(name)}
    if name in LINKS:
        return {"path": name, "target": dice.choice(["lib", "/srv/web/index.html", "nowhere"])}
    if name in DIRECTORIES:
        return {"path": name, **mode}
    return {"path": name, "overwrite": True, **mode, "contents": {"source": f"data:,{dice.choice('abc')}%0A"}}


def ignition(config: Mapping[str, Any]) -> tuple[str, IgnitionConfig]:
    """The config id and the Ignition config, with what this program adds to each."""
    own: IgnitionConfig = {
        "ignition": {"version": "3.3.0"},
        "storage": {
            "files": [copy.deepcopy(config[name]) for name in FILES if name in config],
            "links": [{**config[name], "overwrite": True} for name in LINKS if name in config],
            "directories": [config[name] for name in DIRECTORIES if name in config],
        },
        "systemd": {"units": [config[name] for name in UNITS if name in config]},
        "passwd": {
            "users": [config[name] for name in USERS if name in config],
            "groups": [config[name] for name in GROUPS if name in config],
        },
    }
    config_id = hashlib.sha512(json.dumps(own).encode()).hexdigest()
    stamp: IgnitionConfig = {"storage": {"files": [text_file(STAMP, config_id + "\n")]}}
    return config_id, merged(own, merged(rollback_fragment(300), stamp))


class ByScripts(abc.ABC):
    """A machine that is changed by the scripts alone, as the deployer would have them run."""

    keep: Sequence[str] = KEEP

    @abc.abstractmethod
    def run(self, values: Mapping[str, Any], *scripts: str) -> subprocess.CompletedProcess[str]:
        """Run scripts as one on the machine."""

    def confirm(self, config_id: str, config: IgnitionConfig) -> None:
        """As the deployer does after the proof."""
        content = base64.b64encode(json.dumps(config).encode()).decode()
        values = {"CONFIG_ID": config_id, "LIFECYCLE": "reset", "CONTENT": content, "OEM": "", "OEM_CONFIG": ""}
        self.do(values, "staging.sh", "confirm.sh")

    def stage(self, config_id: str, config: IgnitionConfig) -> None:
        """stage.sh, without a boot."""
        content = json.dumps(config)
        values = {
            "CONFIG_ID": config_id, "LIFECYCLE": "reset", "SOURCE": "s3://object", "WAY_BACK_WANTED": "yes",
            "OBJECT_SHA512": hashlib.sha512(content.encode()).hexdigest(), "OBJECT_BYTES": str(len(content)),
            "OEM_CONFIG": "",
        }  # fmt: skip
        self.do(values, "staging.sh", "keep.sh", "preview.sh", "live-stage.sh", "stage.sh")

    def change(
        self, plan: Live, old_id: str, config_id: str, config: IgnitionConfig, *, is_back: bool = False
    ) -> subprocess.CompletedProcess[str]:
        """live.sh; `is_back`: to the last good config, from one that was not proven."""
        values = script_values(plan, config)
        values |= {"OLD_ID": old_id, "CONFIG_ID": config_id, "LIFECYCLE": "reset"}
        values |= {"SECONDS_LEFT": "300", "MOST_SECONDS": "240"}
        values["GOOD_ID"] = config_id if is_back else old_id
        return self.run(values, "staging.sh", "keep.sh", "live.sh")

    def do(self, values: Mapping[str, Any], *scripts: str) -> str:
        """Run scripts as one, to a good end; what they print."""
        done = self.run(values, *scripts)
        assert done.returncode == 0, done.stdout[-500:] + done.stderr[-500:]
        return done.stdout


def session(values: Mapping[str, str | Sequence[str]], *scripts: str) -> str:
    """The text of scripts that run as one."""
    text = ""
    for name, value in values.items():
        text += f"{name}={shlex.quote(value)}\n" if isinstance(value, str) else f"{name}=({shlex.join(value)})\n"
    return text + script_text(*scripts)


class Machine(ByScripts):
    """A machine that is off, and the scripts that change it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.object = folder / "object.ign"
        self.machine = LoopbackMachine(folder, "http://pointer", login=folder, serves=f"file://{self.object}")
        self.machine.makes_users = True
        for name in ("etc/ssh", "etc/flatcar", "var/log"):  # a wipe takes what is empty
            (self.machine.root / name).rmdir()
        (self.machine.root / "var/lib").mkdir()
        (self.machine.root / "var/lib/base").touch()  # there always is some

    def copied(self, folder: Path) -> Machine:
        """Another machine with the same disk."""
        other = Machine(folder)
        shutil.rmtree(other.machine.root)
        shutil.copytree(self.machine.root, other.machine.root, symlinks=True)
        return other

    def boot(self, config: IgnitionConfig) -> None:
        """Boot into a config that is to run."""
        self.object.write_text(json.dumps(config))
        assert self.machine.boot_from_disk(), self.machine.console.read_text()[-500:]

    def run(self, values: Mapping[str, Any], *scripts: str) -> subprocess.CompletedProcess[str]:
        """Run scripts as one on the machine."""
        enter = [str(PARTS / "enter"), str(self.machine.root), f"{self.prefix}bash -s"]
        text = session({"KEEP": self.keep, **values}, *scripts)
        return subprocess.run(enter, input=text, capture_output=True, text=True, check=False)

    prefix = ""

    def tree(self) -> dict[str, tuple[str, ...]]:
        """Type, mode, and content or target of each path on ROOT."""
        found: dict[str, tuple[str, ...]] = {}
        for top in FOLDERS:
            for path in sorted(self.machine.path(f"/{top}").rglob("*")):
                name, mode = str(path.relative_to(self.machine.root)), path.lstat().st_mode
                if name.startswith(OF_A_BOOT) or name in ACCOUNT_FILES:
                    continue
                if path.is_symlink():
                    found[name] = ("link", str(path.readlink()))
                elif path.is_dir():
                    found[name] = ("directory", oct(stat.S_IMODE(mode)))
                else:
                    found[name] = ("file", oct(stat.S_IMODE(mode)), path.read_bytes().decode("latin-1"))
        return found

    def accounts(self) -> dict[str, list[list[object]]]:
        """The lines of /etc/passwd and its like; members in any order, passwords without the day when they were set."""
        return {
            name: [
                [sorted(field.split(",")) if name in ("group", "gshadow") else field for field in line.split(":")]
                for line in re.sub(
                    r"^([^:]*:[^:]*:)\d+", r"\1", self.machine.text(f"/etc/{name}"), flags=re.MULTILINE
                ).splitlines()
            ]
            for name in ("passwd", "shadow", "group", "gshadow")
        }

    def running(self) -> list[str]:
        """The units that run."""
        return sorted(self.machine.path("/run/started-units").read_text().split())


def plan_of(old: IgnitionConfig, new: IgnitionConfig) -> Live | None:
    """The plan of a change that can be live."""
    plan = live_plan(Manifest.of(old), Manifest.of(new))
    return plan if isinstance(plan, Live) else None
