"""A loopback machine, its object, and the program of its Command: where tests of the protocol and of faults start."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from cl.transpiler.fragments import merged
from components.commands.objects.content import Content
from components.commands.objects.content_file import path_of
from components.payload.fragments import IgnitionConfig
from components.payload.lifecycle import lifecycle_fragment
from components.payload.machine_config import STAMP
from components.payload.rollback import rollback_fragment
from components.settings.lifecycle import Lifecycle
from loopback.machine import LoopbackMachine, ObjectServer

PROJECT = Path(__file__).parents[1]
KEEP = ["/etc/ssh/ssh_host_.*", "/var/log"]
ROLLBACK_AFTER = 6
SICK = {"name": "the sick file is absent", "subject": "! test -e /etc/sick", "seconds": 1}
"""A health check that a config with /etc/sick fails."""


class Lab:
    """A machine, its object, and the Command's program with its `environment`. `rollback_after` 0: no rollback.

    `record` is what Pulumi's state holds of the machine: what the last good run printed.
    """

    def __init__(self, machine: LoopbackMachine, server: ObjectServer, rollback_after: int = 0) -> None:
        self.machine, self.server, self.rollback_after = machine, server, rollback_after
        self.contents: dict[str, str] = {}
        self.good = ""
        self.environment: dict[str, str] = {}
        self.record = ""
        self._version = 0

    @property
    def object(self) -> Path:
        """What the pointer leads to."""
        return self.server.folder / "web.ign"

    @property
    def known_hosts(self) -> Path:
        """Where the machine's host key is pinned, by a name that a shell or ssh might take for more than that."""
        return self.machine.folder / "100%known hosts"

    lifecycle = Lifecycle.RESET
    """Of what is published and run from now on."""

    def publish(self, name: str, *files: str) -> str:
        """Put a config called `name` at the pointer, with more `files` of its own; returns its config id."""
        config_id = hashlib.sha512(name.encode()).hexdigest()
        contents = {f"/etc/only-{name}": "x", **dict.fromkeys(files, "x"), STAMP: f"{config_id}%0A"}
        nodes = [
            {"path": path, "overwrite": True, "contents": {"source": f"data:,{text}"}}
            for path, text in contents.items()
        ]
        config: IgnitionConfig = {"storage": {"files": nodes}}
        config = merged(config, lifecycle_fragment(config, self.lifecycle))
        if self.rollback_after:
            config = merged(config, rollback_fragment(self.rollback_after))
        self.contents[config_id] = json.dumps(config)
        self.write(self.contents[config_id])
        return config_id

    def write(self, content: str) -> None:
        """Put `content` where the pointer leads, as Pulumi would: who fetches it meanwhile gets the old or the new."""
        new = self.object.with_name(f"{self.object.name}.new")
        new.write_text(content)
        new.replace(self.object)

    @property
    def pulumi_home(self) -> Path:
        """Where the program's log lies, and where Pulumi's own settings would."""
        return self.machine.folder / "pulumi-home"

    def place(self) -> dict[str, str]:
        """Where the program can write the object."""
        return {"path": str(self.object), "written": "2025-01-31T12:00:00.000000Z"}

    def request(self, config_id: str, **changes: Any) -> dict[str, Any]:
        """What the program gets for `config_id`, which has been published before; `content` is given as text."""
        machine = self.machine
        self._version += 1  # each run looks at the machine, though the record may answer for it
        request = {
            "version": str(self._version),
            "machine": "web",
            "config_id": config_id,
            "source": machine.source,
            "place": self.place(),
            "lifecycle": self.lifecycle,
            "keep": KEEP,
            "target": {
                "host": machine.address,
                "port": machine.port,
                "user": machine.user,
                "known_hosts": str(self.known_hosts),
                "host_key_alias": "web-1",
                "identity_file": str(machine.key_file),
                "jump_host": "",
            },
            "health": [],
            "allow_degraded": False,
            "timeout": 40,
            "rollback_after": self.rollback_after,
            "pause": 0,
            "drain": "",
            "restore": "",
            "console_log": str(machine.console),
            "console_hint": "",
        }
        content = Content.of(str(changes.pop("content", self.contents.get(config_id, "{}"))))
        content.keep(path_of(self.known_hosts.parent.parent, "web", content.sha512))
        return {**request, "object_sha512": content.sha512, "object_bytes": content.size, **changes}

    def start(self, config_id: str, **changes: Any) -> subprocess.Popen[str]:
        """The program, running."""
        process = subprocess.Popen(
            [sys.executable, "-m", "components.commands.reprovision"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env={
                **os.environ,
                "PULUMI_HOME": str(self.pulumi_home),
                **self.environment,
                "PULUMI_COMMAND_STDOUT": self.record,
            },
        )
        assert process.stdin is not None
        process.stdin.write(json.dumps(self.request(config_id, **changes)))
        process.stdin.close()
        process.stdin = None
        return process

    def run(self, config_id: str, **changes: Any) -> tuple[int, dict[str, Any], str]:
        """Exit code, outputs, progress."""
        process = self.start(config_id, **changes)
        stdout, stderr = process.communicate(timeout=180)
        if process.returncode == 0:
            self.record = stdout
        return process.returncode, json.loads(stdout) if stdout else {}, stderr


AnyLab = TypeVar("AnyLab", bound=Lab)


@contextlib.contextmanager
def running_lab(folder: Path, kind: type[AnyLab], *, rollback_after: int) -> Iterator[AnyLab]:
    """A machine that has no config yet, which can go back to one that is confirmed."""
    for name in ("objects", "machine"):
        (folder / name).mkdir()
    server = ObjectServer(folder / "objects")
    with server.running() as address, LoopbackMachine(folder / "machine", f"{address}/web.ign") as machine:
        yield kind(machine, server, rollback_after=rollback_after)


@contextlib.contextmanager
def confirmed_lab(folder: Path) -> Iterator[Lab]:
    """A machine that runs the confirmed config "good" and can go back to it, with something to keep."""
    with running_lab(folder, Lab, rollback_after=ROLLBACK_AFTER) as lab:
        lab.good = lab.publish("good")
        code, _, progress = lab.run(lab.good)
        assert code == 0, progress
        lab.machine.path("/var/log/kept").write_text("kept")
        yield lab


def is_back(lab: Lab, progress: str, wanted: str) -> None:
    """The machine runs the last good config, confirmed, and nothing is left over."""
    assert f"it is back on its last good config ({lab.good[:12]}); wanted was {wanted[:12]}" in progress, progress
    assert lab.machine.path("/etc/only-good").exists()
    assert lab.object.read_text() == lab.contents[lab.good], "the object is put back"
    assert not lab.machine.path("/oem/config.ign").exists(), "nothing shadows the pointer"
    assert not lab.machine.path("/boot/flatcar/first_boot").exists()
    assert lab.machine.path("/var/log/kept").read_text() == "kept"


def is_untouched(lab: Lab, boots: int = 1) -> None:
    """Nothing was staged, nothing rebooted."""
    assert lab.machine.boots == boots
    assert not lab.machine.path("/boot/flatcar/first_boot").exists()
    assert not lab.machine.path("/selective-os-reset").exists()


def converges(lab: Lab, name: str = "better") -> None:
    """The next try with a good config succeeds."""
    wanted = lab.publish(name)
    code, outputs, progress = lab.run(wanted)
    assert (code, outputs.get("config_id")) == (0, wanted), progress
    assert lab.machine.path("/var/log/kept").read_text() == "kept"
