"""A stack of many loopback machines, and the record of when each was away: for tests and measurements of rollouts.

The machines are `LoopbackMachine`s: real SSH servers, stand-in systems. All between `pulumi up` and them is real.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.settings.rollout import Member, RolloutSettings, plan
from loopback.machine import LoopbackMachine, ObjectServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from loopback.pulumi import Pulumi

PROJECT = Path(__file__).parents[1]
PROGRAM = '''
import dataclasses, json, os
from pathlib import Path
import pulumi
from pulumi_command import local
from cl.transpiler.lint import Rule
from components import rollout
from components.commands.reprovision.request import HealthCheck
from components.sdk import settled
from components.flatcar_machine import FlatcarMachine, FlatcarMachineArgs
from components.platforms import PlatformMachine
from components.settings.lifecycle import Lifecycle
from components.settings.rollout import Member, RolloutSettings, plan
from components.settings.ssh import SshSettings
from components.stores.local_folder import LocalFolder

fleet = json.loads(Path(os.environ["TEST_FLEET"]).read_text())
known = pulumi.Output.from_input

class Loopback:
    """A platform whose machines the test has started already."""
    ignition_platform = "qemu"
    login_user = fleet["ssh"]["user"]

    def create(self, name, *, user_data, opts=None):
        made = local.Command(name, create="true", triggers=[user_data], opts=opts)
        machine = fleet["machines"][name]
        return PlatformMachine(
            resource=made, ssh_host=known("127.0.0.1"), ssh_port=known(machine["port"]),
            console_log=known(machine["console"]), console_hint=known(""),
        )

class Http:
    """The local folder, which the test serves over http."""
    def secrets_problem(self, secrets):
        return None

    def put(self, name, content, opts=None):
        address = known(f"{fleet['address']}/{name}/config.ign")
        stored = LocalFolder(directory=Path(fleet["objects"])).put(name, lambda _: content(address), opts)
        return dataclasses.replace(stored, source_url=address)

ssh = SshSettings(**fleet["ssh"])
groups = fleet["groups"]
members = [Member(name=name, config="config.yaml", group=groups.get(name, "")) for name in fleet["machines"]]
made = {}
for step in plan(RolloutSettings(**fleet["rollout"]), members):
    made[step.name] = FlatcarMachine(step.name, FlatcarMachineArgs(
        config=Path("config.yaml"), files_dir=Path("."), platform=Loopback(), store=Http(), ssh=ssh,
        health=[HealthCheck(name="not sick", subject="! test -e /etc/sick", seconds=1)],
        generation=fleet["generation"].get(step.name, 0), allow=[Rule("reboot")], rollback_after=300,
        timeout=fleet.get("timeout", 300),
        lifecycle=Lifecycle(fleet.get("lifecycle", "reset")),
        after=[made[name] for name in step.after], pause=step.pause,
        wave=f"{step.wave + 1} of {step.waves}", max_failures=step.max_failures,
        skips_unreachable=step.skips_unreachable,
    ))
    pulumi.export(step.name, made[step.name].config_id)

commands = [machine.reprovision for machine in made.values()]
pulumi.run(lambda: rollout.told(settled(commands), [command.ended for command in commands]))
'''
CONFIG = """\
variant: flatcar
version: 1.0.0
storage:
  files:
    - path: FILE
      contents: {inline: "x"}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Absence:
    """When a machine went down and when its new config was confirmed, in seconds since the epoch."""

    name: str
    down: float
    proven: float


class Fleet:
    """The machines by name, and the files that the program reads."""

    def __init__(self, folder: Path, machines: dict[str, LoopbackMachine], address: str) -> None:
        self.folder, self.machines = folder, machines
        first = next(iter(machines.values()))
        self.settings: dict[str, Any] = {
            "address": address,
            "objects": str(folder / "objects"),
            "machines": {
                name: {"port": machine.port, "console": str(machine.console)} for name, machine in machines.items()
            },
            "ssh": {"user": first.user, "private_key_file": str(first.key_file), "public_key": "ssh-ed25519 AAAA"},
            "rollout": {},
            "generation": {},
            "groups": {},
        }

    @property
    def environment(self) -> dict[str, str]:
        """What the program needs to find the fleet."""
        return {"TEST_FLEET": str(self.folder / "fleet.json"), "MACHINES_DIR": str(self.folder / "state")}

    def write(self, project: Path, file: str) -> None:
        """The config for the next `up`: one that writes `file`. Settings are written as well."""
        (project / "config.yaml").write_text(CONFIG.replace("FILE", file))
        (self.folder / "fleet.json").write_text(json.dumps(self.settings))

    def absences(self) -> list[Absence]:
        """The last absence of each machine that has been away, in the order in which they went."""
        found = []
        for name, machine in self.machines.items():
            if machine.went_down:
                note = machine.path("/oem/.flatcar-reprovision/last-good")
                found.append(Absence(name=name, down=machine.went_down[-1], proven=note.stat().st_mtime))
        return sorted(found, key=lambda absence: absence.down)

    def forget(self) -> None:
        """Start a new record."""
        for machine in self.machines.values():
            machine.went_down.clear()


def fleet_stack(fleet: Fleet, pulumi: Callable[..., Pulumi], **env: str) -> Pulumi:
    """A stack of the fleet's program; `env` is for `pulumi` as well."""
    stack = pulumi(PROGRAM, env={**fleet.environment, "PYTHONPATH": str(PROJECT), **env})
    (stack.directory / "components").symlink_to(PROJECT / "components")
    return stack


@contextlib.contextmanager
def running_fleet(folder: Path, names: Sequence[str]) -> Iterator[Fleet]:
    """Machines that wait in their initramfs until their objects are there."""
    (folder / "objects").mkdir(parents=True)
    key = folder / "login"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    with ObjectServer(folder / "objects").running() as address, contextlib.ExitStack() as on:
        machines = {}
        for name in names:
            (folder / name).mkdir()
            machine = LoopbackMachine(
                folder / name, f"{address}/{name}/config.ign", login=key, seconds_down=0.3, emergency_seconds=2
            )
            machines[name] = on.enter_context(machine)
        yield Fleet(folder, machines, address)


def waves_hold(fleet: Fleet, changed: list[str]) -> None:
    """At every moment: nobody is down before all of the earlier waves are proven, and not too many are."""
    settings, groups = RolloutSettings(**fleet.settings["rollout"]), fleet.settings["groups"]
    members = [Member(name=name, config="config.yaml", group=groups.get(name, "")) for name in fleet.machines]
    steps = {step.name: step for step in plan(settings, members)}
    absences = {absence.name: absence for absence in fleet.absences()}
    assert sorted(absences) == sorted(changed)
    for name, absence in absences.items():
        for other, before in absences.items():
            if steps[other].wave < steps[name].wave:
                assert before.proven < absence.down, f"{name} went down before {other} was proven"
    for absence in absences.values():
        away = [other for other in absences.values() if other.down <= absence.down < other.proven]
        assert len({steps[other.name].wave for other in away}) == 1
        if settings.max_unavailable:
            assert len(away) <= settings.max_unavailable
