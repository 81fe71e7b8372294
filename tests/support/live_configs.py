"""Random configs for the law of the lifecycle `live`, for machines with real Ignition and systemd.

Things meet: the same path as a file, a link or a directory, units that need, start or are part of each other, what the
image has as well, presets of all kinds. `changed` makes a few changes, as people do between two updates.
"""

from __future__ import annotations

import base64
import copy
import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any

from cl.transpiler.fragments import merged
from components.payload.fragments import text_file
from components.payload.machine_config import STAMP
from components.payload.rollback import rollback_fragment
from tests.engine.live_pairs import changed_by

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Mapping

    from components.payload.fragments import IgnitionConfig

Named = dict[str, dict[str, Any]]
PATHS = (
    "/srv/web/index.html", "/srv/web/img/a.png", "/srv/web/img/deep/b.png", "/srv/web/deep/er/est/c", "/srv/alone",
    "/etc/web/web.conf", "/etc/web/sites/one", "/etc/web.env", "/etc/app.conf", "/opt/app/app.conf", "/opt/app/img",
    "/var/lib/app/seed/one", "/srv/web/thing", "/srv/web/thing/in", "/opt/app/current", "/srv/web/empty",
    "/opt/app/lib/x/y", "/etc/opt/app/x", "/etc/mke2fs.conf", "/etc/ufw/applications.d/web", "/var/spool/app/job",
)  # fmt: skip
"""Each may be a file, a link or a directory."""
OF_THE_IMAGE = ("/etc/mke2fs.conf",)
"""Files there, which Ignition makes no directory of."""
WEB = """\
[Unit]
Description=Web {0}
[Service]
EnvironmentFile=-/etc/web.env
ExecStartPre=-/usr/bin/ls /srv/web /etc/web/ /etc/mke2fs.conf /etc/ufw/applications.d
ExecStart=/usr/bin/sleep {0}00000
[Install]
WantedBy={1}
"""
APP = """\
[Unit]
{2}
[Service]
ExecStartPre=-/usr/bin/ls /opt/app /var/lib/app /etc/app.conf /etc/opt/app /var/spool/app
ExecStart=/usr/bin/sleep {0}11111
[Install]
WantedBy={1}
"""
ONCE = """\
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/bin/echo /opt/app {0}
[Install]
WantedBy={1}
"""
STARTED = "[Service]\nExecStart=/usr/bin/sleep {0}33333\n"
UNITS: dict[str, str] = {
    "web.service": WEB,
    "app.service": APP,
    "late.service": APP.replace("11111", "22222"),
    "once.service": ONCE,
    "job.timer": "[Timer]\nOnCalendar=yearly\nRandomizedDelaySec={0}\n[Install]\nWantedBy=timers.target\n",
    "in.socket": "[Socket]\nListenStream=/run/in-{0}.socket\n[Install]\nWantedBy=sockets.target\n",
    "seen.path": "[Path]\nPathExists=/srv/never/{0}\n[Install]\nWantedBy=multi-user.target\n",
    "audit-rules.service": "",  # the image's
}
TIES = (
    "", "Requires=web.service", "PartOf=web.service", "BindsTo=web.service\nAfter=web.service", "Wants=once.service",
    "After=web.service once.service", "ConditionPathExists=/srv/web/index.html", "Conflicts=nothing.service",
)  # fmt: skip
TARGETS = ("multi-user.target", "multi-user.target", "graphical.target", "web.service", "timers.target")
USERS = ("core", "ann", "bob")
GROUPS = ("team", "crew")
NAMES = (*PATHS, *UNITS, *USERS, *GROUPS)
KEYS = [f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{letter * 43} {letter}@example" for letter in "AB"]
CONTENTS = ("", "one\n", "two\n", "A=1\nB=2\n", "ü %0A {}\n")


def some_config(dice: random.Random) -> Named:
    """A config by name of what is in it, for `changed`: half of all that there may be."""
    return _possible({name: _entry(dice, name) for name in NAMES if dice.random() < 0.5})


def changed(dice: random.Random, config: Mapping[str, dict[str, Any]]) -> Named:
    """The config with one to five changes: things go, come, or are others."""
    return _possible(changed_by(dice, config, NAMES, _entry))


def ignition(config: Mapping[str, dict[str, Any]], login: IgnitionConfig | None = None) -> tuple[str, IgnitionConfig]:
    """The config id and the Ignition config, with what this program adds to each, and what one can log in with."""
    storage: dict[str, list[dict[str, Any]]] = {"files": [], "links": [], "directories": []}
    units = []
    passwd: dict[str, list[dict[str, Any]]] = {"users": [], "groups": []}
    for name, entry in copy.deepcopy(dict(config)).items():
        if name in UNITS:
            units += [*entry.pop("starts", []), entry]
        elif name in USERS or name in GROUPS:
            passwd["users" if name in USERS else "groups"].append(entry)
        else:
            storage[entry.pop("kind")].append(entry)
    own: IgnitionConfig = {
        "ignition": {"version": "3.3.0"}, "storage": storage, "systemd": {"units": units}, "passwd": passwd
    }  # fmt: skip
    config_id = hashlib.sha512(json.dumps(own).encode()).hexdigest()
    stamp: IgnitionConfig = {"storage": {"files": [text_file(STAMP, config_id + "\n")]}}
    return config_id, merged(merged(own, login or {}), merged(rollback_fragment(3000), stamp))


def _possible(config: Named) -> Named:
    """Without what would lie below a file or a link: Ignition can't make it."""
    no_folders = tuple(f"{name}/" for name, entry in config.items() if entry.get("kind") in ("files", "links"))
    return {name: entry for name, entry in config.items() if not name.startswith(no_folders)}


def _entry(dice: random.Random, name: str) -> dict[str, Any]:
    if name in GROUPS:
        return {"name": name, **dice.choice([{}, {"gid": 1600 + GROUPS.index(name)}])}
    if name in USERS:
        return _user(dice, name)
    return _unit(dice, name) if name in UNITS else _node(dice, name)


def _user(dice: random.Random, name: str) -> dict[str, Any]:
    user: dict[str, Any] = {"name": name, "sshAuthorizedKeys": KEYS[: dice.randint(0, 2)]}
    user |= dice.choice([{}, {"passwordHash": "$6$salt$one"}, {"passwordHash": "$6$salt$two"}])
    user |= dice.choice([{}, {"groups": ["docker"]}, {"groups": ["docker", "adm"]}])
    if name != "core":
        user |= dice.choice([{}, {"uid": 1700 + USERS.index(name)}])
        no_home = {"noCreateHome": True, "sshAuthorizedKeys": []}  # else Ignition fails
        user |= dice.choice([{}, {}, {"shell": "/bin/bash"}, {"homeDir": f"/srv/{name}"}, no_home])
    return user


def _node(dice: random.Random, path: str) -> dict[str, Any]:
    node: dict[str, Any] = {"path": path, **dice.choice([{}, {}, *_OWNERS])}
    kind = dice.choices(["files", "links", "directories"], [6, 2, 0 if path in OF_THE_IMAGE else 1])[0]
    node |= {"kind": kind}
    if kind == "links":
        return node | {"overwrite": True, "target": dice.choice(["lib", "/srv/web/index.html", "nowhere", "."])}
    node |= dice.choice([{}, {"mode": 0o600}, {"mode": 0o755}, {"mode": 0o444}])
    if kind == "files":
        node |= {"overwrite": True, "contents": dice.choice(_ENCODINGS)(dice.choice(CONTENTS))}
    return node


def _unit(dice: random.Random, name: str) -> dict[str, Any]:
    unit: dict[str, Any] = {"name": name, **dice.choice([{}, {"enabled": True}, {"enabled": True}, {"enabled": False}])}
    if dice.random() < 0.15:
        return unit | {"mask": True}
    if UNITS[name]:
        unit["contents"] = UNITS[name].format(dice.randint(1, 3), dice.choice(TARGETS), dice.choice(TIES))
        if not name.endswith(".service"):
            service = f"{name.rpartition('.')[0]}.service"
            unit["starts"] = [{"name": service, "contents": STARTED.format(dice.randint(1, 2))}]
    section = {"service": "Service", "socket": "Socket", "timer": "Timer", "path": "Path"}[name.rpartition(".")[2]]
    setting = {"Service": "Nice={}", "Socket": "Backlog={}", "Timer": "OnBootSec={}h", "Path": "MakeDirectory=no\n#{}"}
    if dice.random() < 0.3 or not UNITS[name]:
        text = f"[{section}]\n{setting[section].format(dice.randint(1, 3))}\n"
        unit["dropins"] = [{"name": dice.choice(["10.conf", "20.conf"]), "contents": text}]
    return unit


def _plain(text: str) -> dict[str, Any]:
    return {"source": "data:," + "".join(f"%{byte:02x}" for byte in text.encode())}


def _encoded(text: str) -> dict[str, Any]:
    return {"source": f"data:text/plain;charset=utf-8;base64,{base64.b64encode(text.encode()).decode()}"}


def _packed(text: str) -> dict[str, Any]:
    data = base64.b64encode(gzip.compress(text.encode(), mtime=0)).decode()
    return {"source": f"data:;base64,{data}", "compression": "gzip"}


_ENCODINGS: tuple[Callable[[str], dict[str, Any]], ...] = (_plain, _encoded, _packed)
_OWNERS: tuple[dict[str, Any], ...] = (
    {"user": {"name": "core"}, "group": {"name": "core"}},
    {"user": {"id": 500}},
    {"group": {"id": 233}},
    {"group": {"name": "docker"}},
)
