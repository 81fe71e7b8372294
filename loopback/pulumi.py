"""Real runs of the `pulumi` program on a file backend of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from toolchain.plugins import install

TIMEOUT_S = 600.0
"""No run takes this long; it only ends tests that would hang."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What one run of `pulumi` came to."""

    argv: Sequence[str]
    code: int
    output: str
    """stdout and stderr, in order."""
    events: Sequence[Mapping[str, Any]] = ()
    """The engine's events (`--event-log`), in order."""

    def ops(self) -> dict[str, str]:
        """What is (a preview) or was done, by resource name: `create`, `update`, `replace`, `same`, `delete` …

        A replacement counts as `replace`. Stacks and providers are left out.
        """
        found: dict[str, str] = {}
        for event in self.events:
            metadata = event.get("resourcePreEvent", {}).get("metadata")
            if not metadata or metadata["type"].startswith(("pulumi:pulumi:", "pulumi:providers:")):
                continue
            name, op = metadata["urn"].rsplit("::", 1)[-1], metadata["op"]
            if op in {"create-replacement", "delete-replaced"}:
                op = "replace"
            found[name] = op
        return found

    def replacing_keys(self) -> dict[str, Any]:
        """What the provider names as the inputs that replace a resource, by resource name."""
        found = [event["resourcePreEvent"]["metadata"] for event in self.events if "resourcePreEvent" in event]
        return {step["urn"].rsplit("::", 1)[-1]: step.get("keys") for step in found if step["op"] == "replace"}

    def id(self, name: str) -> str:
        """The id of a resource after its step, also in a preview; "" where it is not known."""
        found = [event["resOutputsEvent"]["metadata"] for event in self.events if "resOutputsEvent" in event]
        return next(str(step["new"]["id"]) for step in found if step["urn"].rsplit("::", 1)[-1] == name)

    def outputs(self, name: str) -> dict[str, Any]:
        """The properties of a resource after its step, in a preview as far as they are known."""
        found: dict[str, Any] = {}
        for event in self.events:
            metadata = event.get("resOutputsEvent", {}).get("metadata", {})
            if metadata.get("urn", "").rsplit("::", 1)[-1] == name and metadata.get("new"):
                found = metadata["new"]["outputs"]
        return found

    def progress(self, name: str) -> list[str]:
        """The lines that were shown at a resource, in order; of a machine's Command those at the machine as well."""
        machine = name.removesuffix("-reprovision")
        places = {name} if machine == name else {name, machine, f"{machine}-machine"}
        lines = []
        for event in self.events:
            diagnostic = event.get("diagnosticEvent", {})
            if diagnostic.get("urn", "").rsplit("::", 1)[-1] in places:
                lines.append(diagnostic["message"].rstrip("\n"))
        return lines


@contextlib.contextmanager
def beside(
    argv: Sequence[str], *, cwd: Path, env: Mapping[str, str], end: signal.Signals
) -> Iterator[subprocess.Popen[str]]:
    """A program without a terminal that runs beside a test, and gets the signal `end` with the block."""
    process = subprocess.Popen(
        argv,
        cwd=cwd,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(end)


@dataclass(slots=True, kw_only=True)
class Pulumi:
    """One stack of a project in `directory`, with its backend and settings in `scratch`."""

    directory: Path
    scratch: Path
    home: Path
    stack: str = "test"
    env: dict[str, str] = field(default_factory=dict)
    """Variables for `pulumi` beside this process's own."""
    config_file: Path | None = None

    @property
    def log(self) -> Path:
        """Where the engine writes its events, one JSON document a line."""
        return self.scratch / "events.jsonl"

    def environment(self) -> dict[str, str]:
        """The environment `pulumi` runs in: this Python first on PATH, a backend of its own, no passphrase."""
        keep = {key: value for key, value in os.environ.items() if not key.startswith("PULUMI_")}
        return {
            **keep,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PULUMI_HOME": str(self.home),
            "PULUMI_BACKEND_URL": (self.scratch / "state").as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",  # set-up has made what the tests need
            "PULUMI_DEBUG_COMMANDS": "true",  # for --event-log
            **self.env,
        }

    def start(self) -> None:
        """Make the backend and the stack.

        In a copy of `Pulumi.yaml`'s folder: `stack init` writes a file beside it, and tests that run side by side
        would write the same one.
        """
        (self.scratch / "state").mkdir(parents=True)
        folder = self.scratch / "init"
        folder.mkdir()
        shutil.copyfile(self.directory / "Pulumi.yaml", folder / "Pulumi.yaml")
        self.run("stack", "init", self.stack, "--cwd", str(folder))

    def argv(self, *arguments: str) -> list[str]:
        """The command line of a run."""
        takes_file = self.config_file is not None and arguments[0] not in ("stack", "state")
        settings = ["--config-file", str(self.config_file)] if takes_file else []
        return ["pulumi", *arguments, "--stack", self.stack, "--non-interactive", "--color=never", *settings]

    def run(self, *arguments: str, code: int | None = 0, events: bool = False, stdin: str = "") -> Run:
        """Run `pulumi`; fails the test when it ends with another code than wanted (None: any)."""
        self.log.unlink(missing_ok=True)
        if arguments[:2] == ("stack", "init"):
            argv = ["pulumi", *arguments, "--non-interactive", "--color=never"]
        else:
            argv = self.argv(*arguments)
        if events:
            argv += ["--event-log", str(self.log)]
        done = subprocess.run(
            argv,
            cwd=self.directory,
            env=self.environment(),
            input=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        result = Run(argv=argv, code=done.returncode, output=done.stdout, events=self.seen().events)
        if code is not None:
            assert done.returncode == code, f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}"
        return result

    @contextlib.contextmanager
    def running(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """Run `pulumi` beside the test; `seen` reads its events meanwhile. It is ended with the block."""
        self.log.unlink(missing_ok=True)
        argv = [*self.argv(*arguments), "--event-log", str(self.log)]
        with beside(argv, cwd=self.directory, env=self.environment(), end=signal.SIGKILL) as process:
            yield process

    def seen(self) -> Run:
        """The events of a run so far."""
        text = self.log.read_text() if self.log.is_file() else ""
        whole = text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]
        return Run(argv=(), code=-1, output="", events=[json.loads(line) for line in whole])

    def preview(self, *arguments: str, code: int | None = 0) -> Run:
        return self.run("preview", *arguments, code=code, events=True)

    def up(self, *arguments: str, code: int | None = 0) -> Run:
        return self.run("up", "--yes", "--skip-preview", *arguments, code=code, events=True)

    def destroy(self, *arguments: str, code: int | None = 0) -> Run:
        return self.run("destroy", "--yes", "--skip-preview", *arguments, code=code, events=True)

    def set(self, key: str, value: str, *, secret: bool = False) -> None:
        """`pulumi config set`; the value is not on the command line."""
        self.run("config", "set", key, "--secret" if secret else "--plaintext", stdin=value)

    def export(self) -> dict[str, Any]:
        """The deployment in the state, secrets encrypted: read from the backend's file, which costs no run."""
        (file,) = (self.scratch / "state").glob(f".pulumi/stacks/*/{self.stack}.json")
        latest: dict[str, Any] | None = json.loads(file.read_bytes())["checkpoint"].get("latest")
        return latest or {}

    def is_populated(self) -> bool:
        """Whether the state has any resource."""
        return bool(self.export().get("resources"))

    def resources(self) -> dict[str, dict[str, Any]]:
        """The resources in state, by name, stacks and providers left out."""
        found = self.export().get("resources", [])
        return {
            resource["urn"].rsplit("::", 1)[-1]: resource
            for resource in found
            if not resource["type"].startswith(("pulumi:pulumi:", "pulumi:providers:"))
        }

    def outputs(self) -> dict[str, Any]:
        """The stack's outputs, secrets shown."""
        outputs: dict[str, Any] = json.loads(self.run("stack", "output", "--json", "--show-secrets").output)
        return outputs


def plugin_in_use(name: str) -> str:
    """Which plugin the tests run with."""
    if not install.program_of(name).exists():
        return f"the {name} plugin: not installed"
    return f"the {name} plugin: " + ("STAND-IN of this project" if install.is_stand_in(name) else "the real one")
