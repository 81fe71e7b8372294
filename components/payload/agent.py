"""What the Ignition config of a machine that pulls gets: the agent, its settings, and what makes the object checkable.

The agent is `scripts/pull.sh`; it takes a new config by the settings in that config, so all that is needed to take it
lies in the object. The object's own address is filled in last, and after it a checksum of the whole text.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import shlex
from typing import TYPE_CHECKING
from urllib.parse import quote

from components.commands.objects.bucket import report_key
from components.commands.reprovision.health import on_the_machine, script_values
from components.commands.reprovision.pulling import STORE
from components.commands.sign import NO_SIGNATURE, NO_SUM, allowed_signers
from components.commands.ssh_session import script_text
from components.payload.fragments import enabling_link, file, text_file
from components.settings.keep import kept_paths
from components.settings.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.payload.fragments import IgnitionConfig
    from components.settings.machine import MachineSettings
    from components.settings.pull import PullSettings

FOLDER = "/etc/flatcar/pull"
INTERVAL = f"{FOLDER}/interval"
"""Written before the config id is taken: that a machine pulls, and how often, is part of its config."""
REPORTS = f"{FOLDER}/reports"
"""The same, where reports go into the store: an agent of before could not put them there."""
PARTS = (
    "pull.sh", "pull-object.sh", "pull-lock.sh", "staging.sh", "ran.sh", "keep.sh", "preview.sh", "stage.sh",
    "confirm.sh", "health.sh",
)  # fmt: skip
LIVE_PARTS = ("pull-live.sh", "audit.sh", "live-stage.sh", "live.sh", "live-done.sh")
"""What an agent needs besides for the lifecycle `live`."""
LIVE = f"{FOLDER}/live"
"""With the lifecycle `live`: how a machine becomes what this object says, and how it is then held against it."""
SIGNERS = f"{FOLDER}/signers"
"""Who may sign this machine's next config, as ssh-keygen reads it. Written before the config id is taken, too: signers
count once a machine runs the config that names them."""
ADDRESS = "@flatcar-object-address@"
"""Stands for the object's address until that is known."""
NO_PLANS = "data:,%40flatcar-live-plans%40"
"""Stands for what `plans.with_plans` fills in."""
_SUM = NO_SUM.rstrip("0")
# Type=exec: `systemctl is-system-running --wait` would wait for a start that waits for it
_SERVICE = f"""\
[Unit]
Description={{description}}
RequiresMountsFor=/oem /boot
Wants=network-online.target
After=network-online.target

[Service]
Type=exec
ExecStart=/usr/bin/bash {FOLDER}/pull.sh {{command}}
"""
_LOOK_SERVICE = _SERVICE.format(
    description="Ask the object of this machine for another config, and take it", command="look"
)
_PROVE_SERVICE = _SERVICE.format(description="Prove a config that this machine pulled", command="prove")
_PROVE_SERVICE += "\n[Install]\nWantedBy=multi-user.target\n"
_LOOK_TIMER = """\
[Unit]
Description=When to ask the object of this machine for another config

[Timer]
OnBootSec={first}
OnUnitInactiveSec={pause}
RandomizedDelaySec={random}
AccuracySec=1s
Unit=flatcar-pull.service

[Install]
WantedBy=timers.target
"""


def agent_fragment(
    settings: MachineSettings, *, machine: str, login_user: str, owner: str, pointer: str
) -> IgnitionConfig:
    """The agent of a machine that pulls, without the object's address, signature and checksum (`text_at`).

    `machine` is its name, `owner` whom it belongs to. `pointer` is what a host without user data has in
    /oem/config.ign, a function of `ADDRESS`; "" for other machines.
    """
    pull = settings.pull
    if pull is None:
        return {}
    text = shell(
        {
            "MACHINE": machine,
            # an agent of before would wait for ever at a lifecycle that it does not know
            "LIFECYCLE": "reset" if settings.lifecycle is Lifecycle.LIVE else settings.lifecycle.value,
            **({"LIVE": "yes"} if settings.lifecycle is Lifecycle.LIVE else {}),
            "KEEP": kept_paths(settings.keep),
            "WAY_BACK_WANTED": "yes" if settings.rollback_after else "no",
            "POINTER": pointer,
            "ALLOW_DEGRADED": "yes" if settings.allow_degraded else "no",
            "TIMEOUT": str(settings.timeout),
            "LOGIN_USER": login_user,
            "OS_UPDATE": settings.os_update,
            "OWNER": owner,
            "WINDOWS": [f"{first}-{end}" for first, end in pull.windows],
            "JITTER": str(pull.jitter),
            "LOCK_URL": pull.lock,
            "LOCK_GROUP": pull.lock_group,
            "REPORT": f"s3:///{report_key(machine)}" if pull.report == STORE else pull.report,
            **script_values(on_the_machine(settings.health)),
        }
    )
    known = [ADDRESS, NO_SUM, *([NO_SIGNATURE] if pull.signing_keys else [])]
    is_live = settings.lifecycle is Lifecycle.LIVE
    files = [
        *(file(f"{FOLDER}/{part}", _compressed(part), 0o755) for part in (*PARTS, *(LIVE_PARTS if is_live else ()))),
        # the agent reads it out of an object by this very form
        file(f"{FOLDER}/settings", {"source": "data:;base64," + base64.b64encode(text.encode()).decode()}, 0o600),
        text_file(f"{FOLDER}/object", "\n".join(known) + "\n", 0o600),
        *([file(LIVE, {"source": NO_PLANS}, 0o600)] if is_live else []),
    ]
    timer = _LOOK_TIMER.format(first=min(60, pull.interval), pause=pull.interval * 9 // 10, random=pull.interval // 10)
    units = [
        {"name": "flatcar-pull.service", "contents": _LOOK_SERVICE},
        {"name": "flatcar-pull.timer", "enabled": True, "contents": timer},
        {"name": "flatcar-pull-proof.service", "enabled": True, "contents": _PROVE_SERVICE},
    ]
    links = [
        enabling_link("flatcar-pull.timer", "timers.target"),
        enabling_link("flatcar-pull-proof.service", "multi-user.target"),
    ]
    return {"storage": {"files": files, "links": links}, "systemd": {"units": units}}


def signers_file(settings: PullSettings) -> str:
    """What `SIGNERS` holds, without the last newline; "" for a machine that takes unsigned configs."""
    return allowed_signers(settings.signers).rstrip("\n")


def addressed(text: str, source_url: str) -> str:
    """The object's text with its own address in it: what is signed."""
    return text.replace(quote(ADDRESS), quote(source_url))


def text_at(text: str, source_url: str, signature: str = "") -> str:
    """The object's text with its own address in it, its signature where it has one, and a checksum over all of that.

    The checksum is the last one made and the first one checked; it is not part of what is signed.
    """
    whole = addressed(text, source_url)
    if signature:
        whole = whole.replace(NO_SIGNATURE, signature)
    return whole.replace(NO_SUM, _SUM + hashlib.sha256(whole.encode()).hexdigest())


def _compressed(part: str) -> dict[str, str]:
    return {"source": compressed(script_text(part)), "compression": "gzip"}


def compressed(text: str) -> str:
    """A data URL of `text`, compressed by gzip."""
    return "data:;base64," + base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()


def shell(values: Mapping[str, str | Sequence[str]]) -> str:
    """Assignments of variables and arrays, quoted, a line each."""
    lines = []
    for name, value in values.items():
        quoted = shlex.quote(value) if isinstance(value, str) else f"({' '.join(map(shlex.quote, value))})"
        lines.append(f"{name}={quoted}\n")
    return "".join(lines)
