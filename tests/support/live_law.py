"""What `live` makes of a machine in a container, held against what a reset makes of it."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.commands.reprovision.drift import HAS_FAILED, differences
from components.commands.reprovision.live_plan import Reset, live_plan
from components.commands.reprovision.manifest import Manifest
from components.commands.reprovision.os_made import is_os_made
from components.commands.reprovision.seen import asked, read_seen
from components.commands.ssh_session import Finished
from tests.engine.live_pairs import ByScripts, session
from tests.support.containers import Container

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path

    from components.commands.reprovision.live_plan import Live
    from components.payload.fragments import IgnitionConfig

Looks = dict[str, tuple[str, ...]]
OF_A_BOOT = re.compile(
    r"/boot/flatcar/.*|/oem/(\.flatcar-history|grub\.cfg)"
    r"|/var/(log|tmp|cache|vm)/.*|/var/lib/(systemd|private)/.*"
    r"|/etc/(\.ignition-result\.json|\.updated|\.pwd\.lock|(passwd|group|shadow|gshadow|subuid|subgid)-?)"
)
"""What each boot makes anew, or a reset leaves alone; accounts are looked at line by line."""
OF_THIS_RUN = re.compile(r"(run-|session-|user|init\.scope|flatcar-(live-deadline|reset-links|rollback)|sshd@).*")
"""Units of a boot, of a session, or of the change itself."""
OF_A_START = ("INVOCATION_ID=", "JOURNAL_STREAM=", "SYSTEMD_EXEC_PID=", "LISTEN_PID=")
LOOK = r"""
set -u
list() { # WHAT, then paths
  find "${@:2}" -xdev -printf "$1 %p %M %U:%G %l\n"
  find "${@:2}" -xdev -type f -print0 | xargs -0r sha256sum | sed -E "s/^(\w+)  (.*)/$1 \2 \1/"
}
list path /boot /etc /home /oem /opt /root /srv /var
# below the image's files, ROOT's own; a folder is there as soon as anything was written to it
unshare --mount bash -c "$(declare -f list)"'
  mkdir -p /run/look && mount --bind / /run/look && mount --bind /run/look/etc /etc && list own /etc' |
  grep -v "^own [^ ]* d"
rmdir /run/look
for file in passwd group shadow gshadow subuid subgid; do sed "s/^/account $file /" "/etc/$file"; done
systemctl list-units --all --plain --no-legend --no-pager | awk '{ print "unit", $1, $2, $3, $4 }'
systemctl list-unit-files --no-legend --no-pager | awk '{ print "file", $1, $2, $3 }'
for unit in $(systemctl list-units --plain --no-legend --no-pager --type=service --state=running | sed 's/ .*//'); do
  pid=$(systemctl show --value -p MainPID "$unit")
  echo "process $unit $(ps -o ni= -p "$pid") $(tr '\0' ' ' <"/proc/$pid/cmdline")"
  systemctl show -p NeedDaemonReload "$unit" | sed "s/^/reload $unit /"
  tr '\0' '\n' <"/proc/$pid/environ" | sed "s/^/environment $unit /"
done
"""
"""Prints all that the law is about, as `KIND NAME WHAT`."""
OVER = {
    "timer": "[Timer]\nOnBootSec=\nOnBootSec=1us\n",
    "service": "[Unit]\nConditionPathExists=/run/never\n",
}
"""Drop-ins of flatcar-rollback: the machine has been up for longer than its own timer waits."""


class LiveContainer(Container, ByScripts):
    """A machine in a container that the scripts change."""

    keep = ("/etc/ssh/ssh_host_.*", "/var/log", "/etc/kept.*", "/srv/kept")

    def __init__(self, folder: Path, usr: Path) -> None:
        Container.__init__(self, folder, usr)
        for kind, text in OVER.items():
            drop_in = folder / f"run/systemd/system/flatcar-rollback.{kind}.d/over.conf"
            drop_in.parent.mkdir(parents=True)
            drop_in.write_text(text)

    def run(self, values: Mapping[str, Any], *scripts: str) -> subprocess.CompletedProcess[str]:
        """Run scripts as one on the machine."""
        return self.bash(session({"KEEP": self.keep, **values}, *scripts))

    def reset(self, config_id: str, config: IgnitionConfig) -> None:
        """Boot into a config by a reset, as the first one or in place of another, and confirm it."""
        if self.is_on:
            self.bash("rm -f /etc/flatcar/config-id")  # else the same one would need none
            self.stage(config_id, config)
        self.boot(config)
        self.confirm(config_id, config)

    def drift(self, config: IgnitionConfig) -> list[str]:
        """What the audit finds."""
        manifest = Manifest.of(config)
        done = self.run(asked(manifest), "staging.sh", "audit.sh")
        seen = read_seen(Finished(code=0, lines=tuple(done.stdout.splitlines()), stderr=done.stderr))
        assert seen is not None, done.stderr
        found = [finding for finding in differences(manifest, seen, is_os_made) if finding.is_drift]
        return [f"{finding.subject} {finding.problem}" for finding in found]

    def looks(self) -> Looks:
        """All that the law is about."""
        return looks(self.bash(LOOK).stdout)


def looks(told: str) -> Looks:
    """What `LOOK` told, by what it is of, without what is of a boot or of a start."""
    found: Looks = {}
    for line in told.splitlines():
        kind, name, what = (*line.split(" ", 2), "")[:3]
        is_left_out = OF_A_BOOT if kind in ("path", "own") else OF_THIS_RUN
        if is_left_out.fullmatch(name) or (kind == "environment" and _is_of_a_start(name, what)):
            continue
        if kind == "account":  # who came first into a group is of no meaning, nor the day of a password
            parts = [",".join(sorted(part.split(","))) for part in what.split(":")]
            what = ":".join([*parts[:2], *parts[3:]] if name == "shadow" else parts)
        found[f"{kind} {name}"] = tuple(sorted((*found.get(f"{kind} {name}", ()), what)))
    return found


def unlike(live: Looks, reset: Looks) -> list[str]:
    """Where the two differ, in words."""
    names = (name for name in sorted(live.keys() | reset.keys()) if live.get(name) != reset.get(name))
    return [f"{name}: live {str(live.get(name))[:200]}, reset {str(reset.get(name))[:200]}" for name in names]


def _is_of_a_start(unit: str, variable: str) -> bool:
    return unit.startswith("systemd-") or variable.startswith(OF_A_START)


@dataclass(slots=True)
class Tally:
    """What became of changes: how many were live, why others were not; `broken` has where the law does not hold."""

    live: int = 0
    resets: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """For people."""
        lines = [f"{self.live} changes were live, the law is broken by {len(self.broken)}"]
        for what, counts in (("needs a reset", self.resets), ("the machine refused", self.refused)):
            lines += [f"{number:5} {what}: {reason}" for reason, number in counts.most_common()]
        return "\n".join(lines)


def plan_of(old: IgnitionConfig, new: IgnitionConfig, tally: Tally) -> Live | None:
    """The plan of a change that can be live, else None, counted."""
    plan = live_plan(Manifest.of(old), Manifest.of(new))
    if isinstance(plan, Reset):
        tally.resets[re.sub(r"/\S+|\S+\.(service|socket|timer|path)", "…", plan.reason)] += 1
        return None
    return plan


def hold(machine: LiveContainer, plan: Live, old: tuple[str, IgnitionConfig], new: tuple[str, IgnitionConfig],
         tally: Tally) -> None:  # fmt: skip
    """Make a change live on a machine that runs the old config, then the same by a reset."""
    stale = machine.drift(old[1])
    if stale:
        tally.refused.update(f"it is not what is declared: {re.sub(r'^[^ ]+', '…', problem)}" for problem in stale)
        machine.reset(*new)
        return
    machine.stage(*new)
    done = machine.change(plan, old[0], *new)
    if done.returncode:
        tally.refused[re.sub(r"/\S+", "…", done.stderr.strip().rpartition("\n")[2])] += 1
        machine.reset(*new)
        return
    found = [line for line in machine.drift(new[1]) if "config-id" not in line]
    if any(line.endswith(HAS_FAILED) for line in found):
        tally.refused["a unit has failed, which would be taken back"] += 1
        machine.reset(*new)
        return
    tally.live += 1
    problems = [f"the audit finds: {line}" for line in found]
    machine.do({"CONFIG_ID": new[0]}, "staging.sh", "live-done.sh")
    machine.confirm(*new)
    live = machine.looks()
    machine.reset(*new)
    reset = machine.looks()
    problems += unlike(live, reset)
    if problems:
        tally.broken.append(f"{plan}\n  " + "\n  ".join(problems[:12]) + (f"\n  {done.stderr}" if done.stderr else ""))
