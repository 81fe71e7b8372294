"""Stacks of many machines for the engine's rows: this project's own, and a bare program of the same resources.

No machine runs: `python3` on PATH is a stand-in that answers for the commands that would start or re-provision one,
and hands everything else to the real Python; what the program looks at to see that a machine is on (its record, its
disk, the lock on it) is there. The engine, the plugin, the state and the program are real.
"""

from __future__ import annotations

import json
import os
import re
import resource as limits
import shutil
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import configs, programs
from bench.measure import BenchError, Sample, process
from bench.opentofu import Tofu
from bench.transpile_many import variables
from components.commands.objects.content import Content
from components.commands.qemu import state as qemu_state
from loopback.first_resource import KEY
from loopback.pulumi import Pulumi
from toolchain.checkpoints import SKIPPED
from toolchain.places import PLUGINS, ROOT

PROGRAM = "pulumi-language-python-exec"
"""A word in the command line of the Pulumi program's process."""

PLUGIN = "resource-command-v"
"""One in that of the plugin's."""

SALT = "v1:Ip8bKmLPLYE=:v1:X53SINlPVXHqZpM3:XSO4wrR0aZHcqOOcfHj9F3q2XbkCbQ=="
"""Belongs to the empty passphrase."""

MOST_FOR_TOFU = int(os.environ.get("BENCH_TOFU", "100"))
"""Machines: OpenTofu writes its whole state after each resource, and its first `apply` of 3,000 takes many minutes."""

MARK = "4dabf18193072939515e22adb298388d"
"""The key that marks a secret in state (pulumi, sdk/go/common/resource/sig)."""

STAND_IN = """\
#!/bin/sh
# Stand-in for machines, for benchmarks of the engine alone.
case "$*" in
"reprovision")
  id=$(sed 's/.*"config_id": "\\([0-9a-f]*\\)".*/\\1/')
  echo "{{\\"config_id\\": \\"$id\\", \\"boot_id\\": \\"stand-in\\", \\"os_version\\": \\"stand-in\\", \\
\\"host_key\\": \\"stand-in\\", \\"downtime_seconds\\": 0.0, \\"failed_units\\": []}}" ;;
"qemu start") cat >/dev/null; echo '{{"ssh_port": 22022}}' ;;
"qemu delete") cat >/dev/null ;;
*) exec {python} -IS {programs} "$@" ;;
esac
"""

BARE = """\
import json
from pathlib import Path

import pulumi
from pulumi_command import local

made = {}
for one in json.loads(Path("resources.json").read_text()):
    opts = pulumi.ResourceOptions(parent=made.get(one["parent"]))
    inputs = one["inputs"]
    if one["custom"]:
        for name in one["secrets"]:
            inputs[name] = pulumi.Output.secret(inputs[name])
        made[one["urn"]] = local.Command(one["name"], opts=opts, **inputs)
    else:
        made[one["urn"]] = pulumi.ComponentResource(one["type"], one["name"], inputs, opts)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Stacks with the same resources: `ours` of this project, `bare` of a program of constants.

    `created` is what the first `up` of `ours` took, without checkpoints.
    `tofu` has machines of the same template, for OpenTofu; None where that can't be had, or for too many.
    """

    count: int
    created: Sample
    ours: Pulumi
    bare: Pulumi
    tofu: Tofu | None

    def run(self, stack: Pulumi, *arguments: str, **env: str) -> Sample:
        """One run of `pulumi`, with the peak memory of its processes; `env` is given to it as well."""
        return _run(stack, *arguments, **env)

    def change(self, names: Collection[str]) -> None:
        """Give these machines another rack, and none of the others; for the bare program, other texts and ids."""
        _settings(self.ours, self.count, names)
        if self.tofu is not None:
            self.tofu.change(variables_of(self.count, names))
        file = self.bare.directory / "resources.json"
        kept = file.with_name("kept.json")
        if not kept.exists():
            shutil.copy(file, kept)
        resources = json.loads(kept.read_text())
        for resource in resources:
            name, inputs = resource["name"], resource["inputs"]
            if name.endswith("-object"):
                document = json.loads(inputs["stdin"])
                text = file.with_name(f"{name}.first")
                if not text.exists():
                    shutil.copy(document["path"], text)
                content = Content.of(text.read_text())
                if name.removesuffix("-object") in names:
                    content = Content.of(content.text.replace("rack%20", "rack%2F"))
                    document |= {"file": str(file.with_name(name)), "sha512": content.sha512}
                    inputs["stdin"] = json.dumps(document)
                content.keep(Path(document["file"]))
            elif name.removesuffix("-reprovision") in names and name.endswith("-reprovision"):
                document = json.loads(inputs["stdin"])
                inputs["stdin"] = json.dumps(document | {"config_id": document["config_id"][::-1]})
            elif name in names and not resource["custom"]:
                inputs["configId"] = "another"
        file.write_text(json.dumps(resources))


@contextmanager
def fleet(count: int, scratch: Path) -> Iterator[Fleet]:
    """The stacks with all their resources made. Nothing is left behind: no machine runs, `scratch` is the caller's.

    Raises BenchError when there is no `pulumi`.
    """
    if shutil.which("pulumi") is None:
        raise BenchError("pulumi is not on PATH: `make bench` sets it up")
    with own_stack(count, scratch) as (ours, created):
        home, env = ours.home, ours.env
        bare = _bare(ours, scratch, home, env)
        program = programs.peer("tofu") if count <= MOST_FOR_TOFU else None
        template = (scratch / "template.yaml").read_text()
        tofu = Tofu.make(program, scratch / "tofu", template, variables_of(count)) if program else None
        yield Fleet(count=count, created=created, ours=ours, bare=bare, tofu=tofu)


@contextmanager
def own_stack(count: int, scratch: Path) -> Iterator[tuple[Pulumi, Sample]]:
    """This project's stack alone, with all its resources made, and what that took."""
    home = scratch / "home"
    home.mkdir()
    (home / "plugins").symlink_to(PLUGINS)
    stand_in = scratch / "stand-in"
    stand_in.write_text(STAND_IN.format(python=sys.executable, programs=ROOT / "components/commands/__main__.py"))
    stand_in.chmod(0o755)
    env = {"MACHINES_DIR": str(scratch / "machines"), "FLATCAR_COMMANDS": str(stand_in)}
    (scratch / "template.yaml").write_text(configs.config("butane", 150, variables=True))
    (scratch / "image").touch()

    ours = empty_stack(ROOT, "flatcar", scratch / "ours", home, env)
    _settings(ours, count)
    with _machines_on(scratch / "machines" / ours.stack, count):
        yield ours, make(ours)


def _bare(ours: Pulumi, scratch: Path, home: Path, env: dict[str, str]) -> Pulumi:
    """The stack of constants, with the same state as `ours`."""
    project = scratch / "project"
    project.mkdir()
    (project / "Pulumi.yaml").write_text("name: flatcar\nruntime: python\n")
    (project / "__main__.py").write_text(BARE)
    (project / "resources.json").write_text(json.dumps(_constants(ours)))
    bare = empty_stack(project, "flatcar", scratch / "bare", home, env)
    # The same project, stack and resources: the same state, but for edges in it, which the next `up` takes out.
    shutil.rmtree(bare.scratch / "state")
    shutil.copytree(ours.scratch / "state", bare.scratch / "state")
    make(bare)
    return bare


@contextmanager
def _machines_on(folder: Path, count: int) -> Iterator[None]:
    """All that the program sees of `count` machines that are on."""
    soft, hard = limits.getrlimit(limits.RLIMIT_NOFILE)
    limits.setrlimit(limits.RLIMIT_NOFILE, (min(hard, max(soft, count + 256)), hard))
    with ExitStack() as locks:
        for number in range(count):
            directory = folder / f"web-{number}"
            directory.mkdir(parents=True)
            (directory / qemu_state.DISK).touch()
            record = qemu_state.Record(
                power_on=1,
                disk_made=qemu_state.now(),
                image="stand-in",
                image_size=0,
                image_mtime_ns=0,
                ssh_port=22022,
                memory_mib=1024,
                cpus=1,
                accel="tcg",
                objects="",
                started_at=qemu_state.now(),
            )
            qemu_state.write_record(directory, record)
            locks.callback(os.close, qemu_state.hold(directory / qemu_state.SUPERVISOR_PID))
        yield


def empty_stack(directory: Path, project: str, scratch: Path, home: Path, env: dict[str, str]) -> Pulumi:
    """An empty stack. Its settings lie in `scratch`: made from elsewhere, it leaves none in the project's folder."""
    elsewhere = scratch / "elsewhere"
    elsewhere.mkdir(parents=True)
    (elsewhere / "Pulumi.yaml").write_text(f"name: {project}\nruntime: python\n")
    Pulumi(directory=elsewhere, scratch=scratch, home=home, env=env, stack="bench").start()
    settings = scratch / "Pulumi.bench.yaml"
    settings.write_text(json.dumps({"encryptionsalt": SALT}))
    return Pulumi(directory=directory, scratch=scratch, home=home, env=env, stack="bench", config_file=settings)


def make(stack: Pulumi) -> Sample:
    """The first `up`. State is written once, at the end: a file backend writes all of it after each resource."""
    return _run(stack, "up", "--yes", "--skip-preview", **SKIPPED)


def _run(stack: Pulumi, *arguments: str, **env: str) -> Sample:
    environment = {**stack.environment(), **env}
    return process(stack.argv(*arguments), cwd=stack.directory, env=environment, watch=PROGRAM, plugin=PLUGIN)


def _settings(stack: Pulumi, count: int, changed: Collection[str] = ()) -> None:
    scratch = stack.scratch.parent
    config = str(scratch / "template.yaml")
    machines = {name: {"config": config, "variables": own} for name, own in variables_of(count, changed).items()}
    file = scratch / "machines.json"  # JSON is YAML
    file.write_text(json.dumps(machines))
    values = {
        "flatcar:platform": "qemu",
        "flatcar:image": str(scratch / "image"),
        "flatcar:ssh": {"public_key": KEY},
        "flatcar:machine_files": [str(file)],
    }
    (stack.config_file or scratch).write_text(json.dumps({"encryptionsalt": SALT, "config": values}))


def variables_of(count: int, changed: Collection[str] = ()) -> dict[str, dict[str, str]]:
    """Each machine's own variables; those of `changed` name another rack."""
    names = {f"web-{number}": variables(number) for number in range(count)}
    return {name: own | ({"rack": "another"} if name in changed else {}) for name, own in names.items()}


def _constants(stack: Pulumi) -> list[dict[str, Any]]:
    """What a stack has registered, as constants, parents first; `secrets` names the inputs that are secret."""
    env = stack.environment()
    argv = stack.argv("stack", "export", "--show-secrets")
    done = subprocess.run(argv, cwd=stack.directory, env=env, capture_output=True, text=True, check=True)
    found = []
    for resource in json.loads(done.stdout)["deployment"]["resources"]:
        if resource["type"].startswith("pulumi:"):
            continue
        inputs = {
            _snake(name) if resource["custom"] else name: value for name, value in resource.get("inputs", {}).items()
        }
        secrets = [name for name, value in inputs.items() if isinstance(value, dict) and MARK in value]
        for name in secrets:
            inputs[name] = json.loads(inputs[name]["plaintext"])
        found.append(
            {
                "urn": resource["urn"],
                "parent": resource.get("parent"),
                "type": resource["type"],
                "name": resource["urn"].rsplit("::", 1)[-1],
                "custom": resource["custom"],
                "inputs": inputs,
                "secrets": secrets,
            }
        )
    return found


def _snake(name: str) -> str:
    return re.sub("[A-Z]", lambda letter: "_" + letter[0].lower(), name)
