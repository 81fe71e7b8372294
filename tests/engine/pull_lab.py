"""A loopback machine that pulls (real scripts and curl, stand-in system), its object, its reports and a FleetLock.

Where the tests of the agent start. Object, reports and lock are servers of the tests' own.
"""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from components.commands.reprovision.request import HealthCheck
from components.commands.sign import Statement, digest, sign
from components.payload.agent import addressed, text_at
from components.payload.machine_config import MachineConfig
from components.settings.pull import PullSettings
from loopback.machine import LoopbackMachine, wait_until
from tests.fakes.fleetlock import FleetLock
from tests.fakes.objects import ObjectAndReports
from tests.support.machine_configs import made_config

if TYPE_CHECKING:
    from collections.abc import Iterator

KEEP = ("/etc/ssh/ssh_host_.*", "/var/log")
CONFIG = """\
variant: flatcar
version: 1.0.0
storage:
  files:
    - path: /etc/only-NAME
      contents: {inline: x}
    - path: /etc/passwd   # ssh-keygen wants to know who runs it
      contents: {inline: "root:x:0:0:root:/root:/bin/bash"}
    - path: /etc/flatcar/update.conf
      contents: {inline: REBOOT_STRATEGY=off}
"""
HEALTHY = HealthCheck(name="not sick", subject="! test -e /etc/only-sick", seconds=1)


class Pulled:
    """A machine that pulls, its object, its reports, and the lock."""

    def __init__(self, folder: Path, store: ObjectAndReports, lock: FleetLock, address: str, lock_url: str) -> None:
        self.folder, self.store, self.lock, self.address = folder, store, lock, address
        self.settings = PullSettings(jitter=0, report=f"{address}/status/web", lock=lock_url)
        self.source = f"{address}/web.ign"
        self.counter = 0
        self.machine: LoopbackMachine

    def config(self, name: str, generation: int = 0, **changes: Any) -> MachineConfig:
        return made_config(self.written(name), **self.arguments(generation, **changes))

    def written(self, name: str) -> Path:
        """The file with the config of this name."""
        path = self.folder / "web.yaml"
        path.write_text(CONFIG.replace("NAME", name))
        return path

    def arguments(self, generation: int, **changes: Any) -> dict[str, Any]:
        """Of `made_config`."""
        arguments: dict[str, Any] = {
            "files_dir": self.folder, "strict": False, "keep": KEEP, "generation": generation, "rollback_after": 3600,
            "pull": self.settings, "health": [HEALTHY], "timeout": 20,
        }  # fmt: skip
        return {**arguments, **changes}

    def publish(self, name: str, generation: int = 0, **changes: Any) -> str:
        """Make the object a config of this name; its config id."""
        config = self.config(name, generation, **changes)
        self.store.put(self.object_of(config, changes.get("pull") or self.settings))
        return config.config_id

    def object_of(self, config: MachineConfig, settings: PullSettings) -> str:
        """The object's text, signed where the settings say so: the config's own text where there is no agent in it."""
        keys, signature, text = settings.signing_keys, "", self.text_of(config)
        if keys:
            sum_of_it = digest(addressed(text, self.source))
            statement = Statement(machine="web", address=self.source, config_id=config.config_id, sha512=sum_of_it)
            self.counter = (made := sign(statement, keys, last=self.counter)).counter
            signature = made.text
        return text_at(text, self.source, signature)

    def text_of(self, config: MachineConfig) -> str:
        """The object's text without address and signature."""
        return config.text

    def look(self) -> str:
        """What the timer does, when no agent is at work any more; the agent's words."""
        done = self.machine.inside("flock /run/flatcar-pull/agent true; bash /etc/flatcar/pull/pull.sh look")
        assert done.returncode == 0, done.stderr
        return done.stderr

    def reports(self, state: str, config_id: str) -> bool:
        """Whether the last report is this one."""
        last = self.store.reports[-1] if self.store.reports else {}
        return (last.get("state"), last.get("config_id")) == (state, config_id)

    def wait_for(self, state: str, config_id: str) -> None:
        """Wait until the last report is this one; a busy computer takes long for a boot."""
        wait_until(lambda: self.reports(state, config_id), 120)

    def history(self) -> list[str]:
        lines = self.machine.path("/oem/.flatcar-history").read_text().splitlines()
        return [" ".join(line.split()[1:]) for line in lines]

    def stamp(self) -> str:
        """What the machine runs; "" in the middle of a boot."""
        return self.machine.text("/etc/flatcar/config-id").strip()


P = TypeVar("P", bound=Pulled)


@contextlib.contextmanager
def machine_of(
    folder: Path,
    kind: type[P],
    *,
    address: str = "127.0.0.1",
    agent: bool = True,
    signers: tuple[str, ...] = (),
    **changes: Any,
) -> Iterator[P]:
    """A machine after its first boot, which it has proven and reported, unless it has no agent yet."""
    store, lock = ObjectAndReports(), FleetLock()
    (folder / "machine").mkdir()
    with store.running(address) as place, lock.running() as lock_url:
        made = kind(folder, store, lock, place, lock_url)
        made.settings = replace(made.settings, signers=signers)
        first = made.publish("a", **changes) if agent else made.publish("a", pull=None)
        with LoopbackMachine(folder / "machine", made.source) as machine:
            made.machine = machine
            if agent:
                made.wait_for("proven", first)
            else:
                wait_until(lambda: machine.text("/etc/flatcar/config-id"))
            yield made


def pulled_machine(folder: Path, **changes: Any) -> contextlib.AbstractContextManager[Pulled]:
    """`machine_of` this file's configs."""
    return machine_of(folder, Pulled, **changes)
