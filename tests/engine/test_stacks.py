"""Several stacks with one file of settings, by one command: `make up STACK=fleet` and its like."""

from __future__ import annotations

import json
import re
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]

from loopback.machine import LoopbackMachine, running_hosts, wait_until
from tests.engine.checkouts import Checkout, checkout

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.slow
STACKS = {"first": "fleet-canary", "second": "fleet-eu"}
"""Of each machine."""
CONFIG = """\
variant: flatcar
version: 1.0.0
storage:
  files:
    - path: /etc/page
      contents: {inline: "TEXT"}
"""


@dataclass
class Hosts:
    """A checkout whose stack file `fleet` is of two stacks with a host each."""

    clone: Checkout
    machines: dict[str, LoopbackMachine]

    @property
    def file(self) -> Path:
        """The one that people write."""
        return self.clone.folder / "stacks/Pulumi.fleet.yaml"

    def declare(self, text: str, *, token: str = "${token}", check: str = "true", **stacks: str) -> None:
        """Write the config, and for each machine which stack it is in, where that is another one than `STACKS` says."""
        host = self.machines["first"]
        key = Path(f"{host.key_file}.pub").read_text().strip()
        document = yaml.safe_load(self.file.read_text()) if self.file.exists() else {"config": {}}
        document["config"] |= {
            "flatcar:platform": "host",
            "flatcar:stacks": list(STACKS.values()),
            "flatcar:ssh": {"user": host.user, "private_key_file": str(host.key_file), "public_key": key},
            "flatcar:machines": {
                name: {
                    "config": "cl/rack.yaml",
                    "stack": {**STACKS, **stacks}[name],
                    "host": {"address": "127.0.0.1", "port": machine.port},
                    "rollback": False,
                    "allow": ["login", "reboot"],  # the stand-in's Ignition writes files alone, no users
                    "timeout": 60,
                    "health": {
                        "commands": [{"name": "served", "command": check if name == "first" else "true", "seconds": 1}]
                    },
                }
                for name, machine in self.machines.items()
            },
        }
        self.file.write_text(yaml.safe_dump(document))
        (self.clone.folder / "cl/rack.yaml").write_text(CONFIG.replace("TEXT", f"{text} {token}"))

    def make(self, verb: str, *words: str, code: int = 0, stack: str = "fleet") -> str:
        """`make VERB STACK=fleet YES=1`."""
        return self.clone.toolchain(verb, "--stack", stack, *words, code=code, YES="1")

    def pages(self) -> list[str]:
        return [machine.text("/etc/page") for machine in self.machines.values()]

    def boots(self) -> list[int]:
        return [machine.boots for machine in self.machines.values()]


@pytest.fixture
def hosts(tmp_path: Path) -> Iterator[Hosts]:
    with running_hosts(tmp_path, STACKS, seconds_down=1) as machines:
        (tmp_path / "state").mkdir()
        hosts = Hosts(checkout(tmp_path / "here", PULUMI_BACKEND_URL=(tmp_path / "state").as_uri()), machines)
        hosts.declare("one")
        yield hosts


def test_the_stacks_of_one_file_are_brought_up_one_after_the_other(hosts: Hosts) -> None:
    folder, machines = hosts.clone.folder, hosts.machines
    unset = hosts.make("preview", code=1)
    assert unset.count("token") >= 2, "the config wants a secret of either, which can be set now"
    links = [folder / f"stacks/Pulumi.{stack}.yaml" for stack in STACKS.values()]
    assert [link.readlink() for link in links] == [Path(hosts.file.name)] * 2
    set_secret = "printf hush | pulumi config set --secret --path flatcar:secrets.token --stack fleet-eu"
    hosts.clone.in_make_env("fleet-eu", set_secret)
    assert all(link.is_symlink() for link in links) and "secure:" in hosts.file.read_text()

    made = hosts.make("up")
    assert hosts.pages() == ["one hush"] * 2
    assert made.index("fleet-canary (1 of 2): up") < made.index("fleet-eu (2 of 2): up")
    assert machines["first"].went_down[0] < machines["second"].went_down[0]
    hosts.make("preview", "--", "--expect-no-changes")
    said = hosts.clone.toolchain("status", "--stack", "fleet", "--", "--json")
    shown: dict[str, Any] = json.loads(said[said.index("{") :])
    assert [(one["name"], one["group"], one["state"], one["wave"]) for one in shown["machines"]] == [
        ("first", "fleet-canary", "proven", "1/1"),
        ("second", "fleet-eu", "proven", "1/1"),
    ]

    hosts.declare("two", check="false")
    failed = hosts.make("up", code=1)
    assert hosts.pages() == ["two hush", "one hush"], "the canary's failure ends it"
    assert re.search(r"^fleet-canary  failed in \d+ s: ", failed, re.MULTILINE)
    assert re.search(r"^fleet-eu      not begun$", failed, re.MULTILINE)
    assert "`make up STACK=fleet` goes on with fleet-canary" in failed
    hosts.declare("two")
    boots = hosts.boots()
    assert "goes on" not in hosts.make("up")
    assert hosts.pages() == ["two hush"] * 2 and hosts.boots() == [boots[0], boots[1] + 1]

    # one of them, as any other stack
    hosts.declare("three")
    hosts.make("up", stack="fleet-eu")
    assert hosts.pages() == ["two hush", "three hush"]
    asked = hosts.clone.toolchain("exec", "--stack", "fleet", "--", "first", "--", "true", code=1)
    assert "Pulumi.fleet.yaml is the file of several" in asked and "name one: fleet-canary, fleet-eu" in asked

    # a machine stays where it is
    hosts.declare("three", second="fleet-canary")
    boots = hosts.boots()
    for stack in ("fleet", "fleet-canary"):
        refused = hosts.make("up", stack=stack, code=1)
        assert "machine second belongs to stack fleet-eu, and Pulumi.fleet.yaml has it in fleet-canary" in refused
    assert hosts.boots() == boots

    hosts.declare("three")
    gone = hosts.make("destroy")
    assert gone.index("fleet-eu (1 of 2): destroy") < gone.index("fleet-canary (2 of 2): destroy")
    for stack in STACKS.values():
        exported = json.loads(hosts.clone.in_make_env("fleet", f"pulumi stack export --stack {stack}"))
        assert not exported["deployment"].get("resources")


def test_an_interrupt_ends_the_stack_that_runs_and_begins_no_other(hosts: Hosts) -> None:
    hosts.declare("one", token="")
    hosts.make("up")
    machines, boots, downs = hosts.machines, hosts.boots(), len(hosts.machines["first"].went_down)
    machines["first"].seconds_down = 8
    hosts.declare("two", token="")
    with hosts.clone.running("up", "--stack", "fleet", YES="1") as running:
        wait_until(lambda: len(machines["first"].went_down) > downs, seconds=400)
        running.send_signal(signal.SIGINT)
        said, _ = running.communicate(timeout=400)
    assert running.returncode == 130, said
    assert re.search(r"^fleet-canary  failed", said, re.MULTILINE) and "fleet-eu      not begun" in said
    assert "Traceback" not in said
    assert machines["second"].boots == boots[1]
    hosts.make("up")
    assert hosts.pages() == ["two ", "two "] and hosts.boots() == [boots[0] + 1, boots[1] + 1]
    hosts.make("destroy")
