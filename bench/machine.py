"""Row 5: one machine in QEMU: power-on, plain restart, each lifecycle's re-run, and replacement; real `pulumi up`s."""

from __future__ import annotations

import json
import shlex
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench.fleet import SALT, empty_stack
from bench.measure import BenchError, Sample, median, raw
from bench.table import Bar, Line, Row, at_most, seconds
from components.audit.records import read_records
from components.commands.reprovision.request import NotProvenError, Progress
from components.commands.reprovision.waiting import await_boot
from loopback.live import OWN_TIMER_IS_OVER
from loopback.pulumi import Pulumi
from toolchain.places import PLUGINS, ROOT

CONFIG = """\
variant: flatcar
version: 1.0.0
passwd: {users: [{name: core, ssh_authorized_keys: ["${ssh_public_key}"]}]}
storage: {files: [{path: /etc/round, overwrite: true, contents: {inline: "ROUND"}}]}
"""
PAGE = (
    CONFIG.replace("/etc/round", "/srv/web/page")
    + "systemd:\n  units:\n"
    + "".join(
        f"""\
    - name: {name}.service
      enabled: true
      contents: |
        [Service]
        ExecStartPre=-/usr/bin/ls /srv/{name}
        ExecStart=/usr/bin/sleep infinity
        [Install]
        WantedBy=multi-user.target
"""
        for name in ("web", "other")
    )
)
LIFECYCLES = ("flag", "reset", "reformat")
NAMES = ("web", "web-new")
"""A machine in QEMU is its disk: the one that replaces another has another name."""
GOALS = {"plain restart": 1.25, "replacement": 0.6}
"""Of the downtime of `reset`."""
DEADLINE_S = 1200


def measure(rounds: int) -> Row:
    """All steps of a round one after the other on the same machine, so that slow minutes hit all of them."""
    row = Row(title="one machine in QEMU")
    samples: dict[str, list[Sample]] = {}
    written: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        _Machine(Path(scratch)).walk(rounds, samples, written)
    row.raw["steps"] = raw(samples)
    row.raw["MiB written"] = written
    walls = {name: median(side) for name, side in samples.items()}
    for name, wall in walls.items():
        goals = GOALS if name == "reset, downtime" else {}
        peers = ["plain restart", "replacement"] if name.endswith("downtime") else ["replacement"]
        for peer in peers if name != "replacement" else []:
            row.lines.append(
                Line(
                    what=name,
                    ours=seconds(wall),
                    against=peer,
                    theirs=seconds(walls[peer]),
                    ratio=wall / walls[peer],
                    **at_most(goals.get(peer), wall / walls[peer]),
                )
            )
    wrote_by = {name: statistics.median(mebibytes) for name, mebibytes in written.items()}
    usual = wrote_by.pop("plain restart")
    for name, wrote in wrote_by.items():
        row.lines.append(
            Line(
                what=f"{name}: written to the disk",
                ours=f"{wrote:.1f} MiB",
                against="plain restart",
                theirs=f"{usual:.1f} MiB",
                ratio=wrote / usual,
            )
        )
    row.plot = [_bar(name, walls) for name in walls if not name.endswith("downtime")]
    row.notes.append("wall: the whole `pulumi up`; downtime and restart: from the order to reboot until all is up")
    row.notes.append("written: by the new boot, its initramfs and Ignition included, until all is up (/proc/diskstats)")
    row.notes.append("replacement: one `up` that makes a machine of another name, proves it, and removes the old one")
    row.notes.append("a new machine is a file made in a moment here; in clouds making one takes longer, not measured")
    row.notes.append("the image is a stand-in for Flatcar: real kernel, GRUB, Ignition and OpenSSH, Debian's userland")
    return row


def _bar(name: str, walls: Mapping[str, float]) -> Bar:
    """A step: what the `pulumi up` takes, and how long the machine is away in it; a plain restart has no `up`."""
    down = walls.get(f"{name}, downtime")
    if name == "plain restart":
        return Bar(label=name, values={"downtime": walls[name]})
    return Bar(label=name, values={"pulumi up": walls[name], **({"downtime": down} if down else {})})


class _Machine:
    text = CONFIG
    settings: Mapping[str, object] = {}

    def __init__(self, scratch: Path) -> None:
        home = scratch / "home"
        home.mkdir()
        (home / "plugins").symlink_to(PLUGINS)
        self._config = scratch / "machine.yaml"
        env = {"MACHINES_DIR": str(scratch / "machines")}
        self._stack: Pulumi = empty_stack(ROOT, "flatcar", scratch / "stack", home, env)
        self._round = 0
        self._name = NAMES[0]

    def walk(self, rounds: int, samples: dict[str, list[Sample]], written: dict[str, list[float]]) -> None:
        """Fill `samples` and `written` (MiB); the machine is gone at the end, whatever happens."""

        def add(name: str, wall: float, *, wrote: bool = True) -> None:
            samples.setdefault(name, []).append(Sample(wall=wall, cpu=0.0))
            if wrote:
                written.setdefault(name, []).append(self._written())

        try:
            for _ in range(rounds):
                add("power-on to a proven machine", _timed(lambda: self._up("reset")))
                add("plain restart", self._restart())
                for lifecycle in LIFECYCLES:
                    add(lifecycle, _timed(lambda wanted=lifecycle: self._up(wanted)))  # type: ignore[misc]
                    add(f"{lifecycle}, downtime", float(self._outputs()["downtimeSeconds"]), wrote=False)
                add("replacement", _timed(self._replace))
                self._stack.destroy()
        finally:
            if self._stack.is_populated():
                self._stack.destroy()

    def _up(self, lifecycle: str) -> None:
        self._round += 1
        self._config.write_text(self.text.replace("ROUND", str(self._round)))
        machine = {"config": str(self._config), "lifecycle": lifecycle, "timeout": DEADLINE_S, **self.settings}
        settings = {"encryptionsalt": SALT, "config": {"flatcar:machines": {self._name: machine}}}
        (self._stack.config_file or self._config).write_text(json.dumps(settings))
        self._stack.up()

    def _replace(self) -> None:
        """Another machine of the same config, and the old one goes when the new one is proven; in one `up`."""
        self._name = next(name for name in NAMES if name != self._name)
        self._up("reset")

    def _outputs(self) -> dict[str, str]:
        found: dict[str, str] = self._stack.outputs()[self._name]
        return found

    def _login(self) -> list[str]:
        return [*shlex.split(str(self._outputs()["ssh"])), "-oBatchMode=yes", "-oConnectTimeout=2"]

    def _written(self) -> float:
        """MiB that the machine has written to its disk in this boot."""
        return int(_asked(self._login(), "awk '$3 == \"vda\" { print $10 }' /proc/diskstats")) * 512 / 2**20

    def _restart(self) -> float:
        """From the order to reboot until the new boot has started all its units, waited for as the project does."""
        (record,), _ = read_records(self._stack.run("stack", "export", "--show-secrets").output)
        request, login = record.request, self._login()
        old = _asked(login, "cat /proc/sys/kernel/random/boot_id")
        start = time.monotonic()
        _asked(login, "sudo systemd-run --on-active=1s --timer-property=AccuracySec=100ms systemctl reboot")
        try:
            await_boot(request, Progress("web"), old_boot=old, config_id=request.config_id, seconds=DEADLINE_S)
        except NotProvenError as error:
            raise BenchError(f"the machine did not come back from a plain restart: {error}") from None
        return time.monotonic() - start


class PageMachine(_Machine):
    """One with a page and its service, and another service beside."""

    text = PAGE

    def changes(self, rounds: int) -> dict[str, list[Sample]]:
        """The page changed live, then with a reset: seconds of each `up`, and the downtime of the page's service."""
        samples: dict[str, list[Sample]] = {}

        def add(name: str, wall: float) -> None:
            samples.setdefault(name, []).append(Sample(wall=wall, cpu=0.0))

        try:
            self._up("live")
            for generation in range(1, rounds + 1):
                _asked(self._login(), OWN_TIMER_IS_OVER)
                other = self._shown("InvocationID", "other.service")
                add("live, wall", _timed(lambda: self._up("live")))
                if float(self._outputs()["downtimeSeconds"]) or self._shown("InvocationID", "other.service") != other:
                    raise BenchError("the page did not change live, or not by itself")
                stopped, started = (
                    int(self._shown(f"{what}TimestampMonotonic", "web.service"))
                    for what in ("InactiveEnter", "ActiveEnter")
                )
                add("live, downtime", (started - stopped) / 1e6)
                self.settings = {"generation": generation}
                add("reset, wall", _timed(lambda: self._up("live")))
                add("reset, downtime", float(self._outputs()["downtimeSeconds"]))
        finally:
            if self._stack.is_populated():
                self._stack.destroy()
        return samples

    def _shown(self, property_: str, unit: str) -> str:
        return _asked(self._login(), f"systemctl show --value --property={property_} {unit}")


def _asked(login: list[str], command: str) -> str:
    done = subprocess.run([*login, command], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    return done.stdout.strip()


def _timed(action: Callable[[], None]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start
