"""`pulumi up` for a part of a stack's machines, under the real engine, on hosts that exist already."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loopback.machine import LoopbackMachine, running_hosts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopback.pulumi import Pulumi
    from tests.conftest import Project

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).parents[2]
NAMES = ("a", "a-b", "c", "d")
CONFIG = """\
variant: flatcar
version: 1.0.0
storage:
  files:
    - path: /etc/page
      mode: 0644
      contents: {inline: "TEXT ${token}"}
"""


@dataclass
class Rack:
    """Hosts, and a stack of this project with those of them that are declared."""

    folder: Path
    hosts: dict[str, LoopbackMachine]
    stack: Pulumi
    rollout: dict[str, Any] = field(default_factory=lambda: {"canary": 0, "batch": "1"})

    def declare(self, *names: str, text: str, groups: tuple[tuple[str, str], ...] = ()) -> None:
        """Write the stack's file and the config, which says `text`."""
        (self.folder / "web.yaml").write_text(CONFIG.replace("TEXT", text))
        machines = {
            name: {
                "config": str(self.folder / "web.yaml"),
                "host": {"address": "127.0.0.1", "port": self.hosts[name].port},
                "rollback": False,
                "allow": ["login", "reboot"],  # the stand-in's Ignition writes files alone, no users
                "timeout": 60,
                "group": dict(groups).get(name, ""),
            }
            for name in names
        }
        host = self.hosts["a"]
        self.stack.set("flatcar:platform", "host")
        key = Path(f"{host.key_file}.pub").read_text().strip()
        ssh = {"user": host.user, "private_key_file": str(host.key_file), "public_key": key}
        self.stack.set("flatcar:ssh", json.dumps(ssh))
        self.stack.set("flatcar:secrets", json.dumps({"token": "hunter2-hunter2"}), secret=True)
        self.stack.set("flatcar:rollout", json.dumps(self.rollout))
        file = self.stack.directory / f"Pulumi.{self.stack.stack}.yaml"
        lines = [line for line in file.read_text().splitlines() if not line.startswith("  flatcar:machines:")]
        lines.insert(lines.index("config:") + 1, f"  flatcar:machines: {json.dumps(machines)}")
        file.write_text("\n".join([*lines, ""]))

    def operate(self, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        words = ["--yes", "--skip-preview"] if verb == "up" else []
        return subprocess.run(
            [sys.executable, "-m", "components.operate", verb, "--stack", self.stack.stack, *arguments, "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.stack.directory,
            env=self.stack.environment(),
            check=False,
        )

    def status(self, *arguments: str) -> str:
        """What `components.operate status` prints."""
        argv = [sys.executable, "-m", "components.operate", "status", "--stack", self.stack.stack, *arguments]
        environment, folder = self.stack.environment(), self.stack.directory
        return subprocess.run(argv, capture_output=True, text=True, cwd=folder, env=environment, check=True).stdout

    def boots(self) -> list[int]:
        return [self.hosts[name].boots for name in NAMES]

    def inputs(self, *names: str) -> dict[str, Any]:
        """What the state holds of all that belongs to machines."""
        exported = json.loads(self.stack.run("stack", "export", "--show-secrets").output)
        wanted = {f"{machine}{end}" for machine in names for end in ("", "-salt", "-reprovision")}
        return {
            resource["urn"]: {key: resource.get(key) for key in ("inputs", "outputs", "dependencies")}
            for resource in exported["deployment"].get("resources", [])
            if resource["urn"].rsplit("::", 1)[-1] in wanted
        }

    def has(self, *names: str) -> list[str]:
        """The names of what the state has of machines."""
        return sorted({urn.rsplit("::", 1)[-1] for urn in self.inputs(*names)})


@pytest.fixture
def rack(tmp_path: Path, pulumi: Project) -> Iterator[Rack]:
    with running_hosts(tmp_path, NAMES, seconds_down=0.3) as hosts:
        stack = pulumi((PROJECT / "__main__.py").read_text(), env={"MACHINES_DIR": str(tmp_path / "machines")})
        for package in ("cl", "components"):
            (stack.directory / package).symlink_to(PROJECT / package)
        yield Rack(tmp_path, hosts, stack)


def test_a_part_is_made_changed_and_looked_at_and_nothing_else(rack: Rack) -> None:
    rack.declare(*NAMES[:3], text="one")
    done = rack.operate("up", "c")  # of the last wave, before the others are there
    assert done.returncode == 0, done.stdout
    assert "a part of the stack: c; 2 others stay as they are\n" in done.stdout
    assert (rack.boots(), rack.inputs("a", "a-b")) == ([1, 1, 2, 1], {}), done.stdout
    rack.stack.up()
    assert rack.boots() == [2, 2, 2, 1]

    # one machine of a middle wave, whose name begins as another's
    rack.declare(*NAMES, text="two")
    before = rack.inputs("a-b", "c")
    assert rack.has("a-b", "c") == ["a-b", "a-b-reprovision", "a-b-salt", "c", "c-reprovision", "c-salt"]
    seen = rack.operate("preview", "a")
    assert (seen.returncode, "/etc/page changes" in seen.stdout) == (0, True), seen.stdout
    assert "    1 of 1 machine reboots\n" in seen.stdout and "taken away" not in seen.stdout, seen.stdout
    done = rack.operate("up", "a")
    assert done.returncode == 0, done.stdout
    assert rack.boots() == [3, 2, 2, 1]
    assert (rack.inputs("a-b", "c"), rack.inputs("d")) == (before, {})

    # the state's order is another than the rollout's by now; a pattern, with a machine that is new
    rack.rollout = {"canary": 0, "batch": "1", "groups": ["late", "early"]}
    groups = (("a", "early"), ("a-b", "early"), ("c", "late"), ("d", "early"))
    rack.declare(*NAMES, text="two", groups=groups)
    before = rack.inputs("a", "c")
    done = rack.operate("up", "d", "*-b")
    assert done.returncode == 0, done.stdout
    assert (rack.boots(), rack.inputs("a", "c")) == ([3, 3, 2, 2], before)

    # a whole `up` brings what is left, and a group is a part; a machine that was taken out of the file waits for it
    rack.declare("a", "a-b", "c", text="two", groups=groups)
    done = rack.operate("up", "--group", "late")
    assert (done.returncode, rack.boots()) == (0, [3, 3, 3, 2]), done.stdout
    assert rack.has("d") == ["d", "d-reprovision", "d-salt"]
    told = rack.operate("audit", "a*").stdout
    assert [f"{name}: clean" in told for name in NAMES] == [True, True, False, False], told
    rack.stack.up()
    assert (rack.boots(), rack.inputs("d")) == ([3, 3, 3, 2], {})


def test_a_machine_that_fails_is_told_among_those_of_its_part(rack: Rack) -> None:
    rack.declare("a", "c", "d", text="one")
    rack.stack.up()
    rack.hosts["c"].failed_units_after_boot = "broken.service loaded failed failed Broken\n"
    rack.declare("a", "c", "d", text="two")
    failed = rack.operate("up", "c", "d")
    assert failed.returncode != 0
    assert "rollout: failed: c; not tried: d\n" in failed.stdout, failed.stdout
    assert rack.boots() == [2, 1, 3, 2]

    # the same in the status, with what an audit has found
    rack.hosts["a"].path("/etc/mine").touch()
    rack.operate("audit", "a")
    shown = rack.status("--json", "--html", "fleet.html", "--metrics", "fleet.prom")
    found = {machine["name"]: machine for machine in json.loads(shown)["machines"]}
    assert {name: machine["state"] for name, machine in found.items()} == {
        "a": "proven",
        "c": "failed",
        "d": "not tried",
    }
    assert [found["a"][key] for key in ("drift", "lifecycle", "wave")] == [1, "reset", "1/3"]
    assert [event["step"] for event in found["a"]["history"]] == ["staged", "proven"]
    assert found["c"]["running"] != found["c"]["wanted"] and found["c"]["downtime_seconds"] > 0
    pages = [(rack.stack.directory / name).read_text() for name in ("fleet.html", "fleet.prom")]
    assert 'flatcar_machine_drift{stack="test",machine="a"} 1\n' in pages[1]
    assert not [text for text in (shown, *pages) if "hunter2" in text or "one hunter" in text]
    assert rack.status().startswith("test: 3 machines: 1 failed, 1 not tried, 1 proven, 1 drifted\n\nneeds a person:\n")


def test_a_name_that_is_not_known_stops_it(rack: Rack) -> None:
    rack.declare("a", "c", text="one")
    done = rack.operate("up", "a", "cc")
    assert (done.returncode, rack.boots()) == (2, [1, 1, 1, 1])
    assert "has no machine cc; did you mean 'c'? there are: a, c" in done.stdout
