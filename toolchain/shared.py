"""Several stacks that share one file of settings, as set-up sees them: which there are, and whose each machine is.

The file names them, in their order, as `flatcar:stacks`; each machine names its own (components/settings/stacks.py).
Every stack's own file is a link to it, so that plain `pulumi` and the operator's verbs find a stack's settings.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from toolchain.places import ROOT, environment
from toolchain.steps import SetupError, say

_NAME = re.compile(r"[A-Za-z0-9_.-]+")  # Pulumi's rule
MACHINE = "::flatcar:index:Machine::"


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """A file of settings: the stacks that share it, and the stack that each machine names."""

    file: Path
    stacks: tuple[str, ...]
    machines: Mapping[str, str]

    def beside(self, stack: str) -> list[str]:
        """The stacks by names as `stack` has one, which may be ORGANIZATION/PROJECT/NAME."""
        start = stack.rpartition("/")[0]
        return [f"{start}/{name}" if start else name for name in self.stacks]


def shared_by(file: Path) -> Shared | None:
    """What a stack's file says of several stacks; None where it is one stack's own.

    What is wrong with it otherwise is the program's to tell. Raises SetupError for stacks that are no list of names.
    """
    if not file.is_file() or "flatcar:stacks" not in file.read_text(encoding="utf-8", errors="replace"):
        return None
    file = file.resolve()
    config = _mapping(_mapping(_read(file)).get("config"))
    stacks = config.get("flatcar:stacks")
    if not stacks:
        return None
    if not isinstance(stacks, list) or not all(isinstance(stack, str) and _NAME.fullmatch(stack) for stack in stacks):
        raise SetupError(f"flatcar:stacks in {file.name} has to be a list of stacks' names")
    machines = dict(_mapping(config.get("flatcar:machines")))
    for name in config.get("flatcar:machine_files") or []:
        machines |= _mapping(_read(ROOT / str(name)))
    return Shared(
        file=file,
        stacks=tuple(stacks),
        machines={str(name): str(_mapping(own).get("stack") or "") for name, own in machines.items()},
    )


def link(of: Shared) -> None:
    """Make each stack's own file a link to the one that they share. Raises SetupError where another file is there."""
    for stack in of.stacks:
        path = of.file.with_name(f"Pulumi.{stack}.yaml")
        if path.is_symlink() or path.exists():
            if not path.exists() or path.resolve() != of.file.resolve():
                raise SetupError(
                    f"{path.name} is a file of its own, and stack {stack} takes its settings from {of.file.name}",
                    f"what it says belongs into {of.file.name}; then remove it: a link takes its place",
                )
        else:
            path.symlink_to(of.file.name)
            say(f"stacks/{path.name} is a link to {of.file.name} from now on; commit it")


def stay(of: Shared, exported: Mapping[str, str]) -> None:
    """Raise SetupError for machines that the state of one stack has, and the settings name another for.

    `exported` has the state of each stack that is there.
    """
    for full, text in exported.items():
        stack = full.rpartition("/")[2]
        urns = [str(one["urn"]) for one in json.loads(text)["deployment"].get("resources") or []]
        for name in sorted({urn.rpartition("::")[2] for urn in urns if MACHINE in urn}):
            wanted = of.machines.get(name) or stack
            if wanted != stack:
                raise SetupError(
                    f"machine {name} belongs to stack {stack}, and {of.file.name} has it in {wanted}: it would be made "
                    "anew there, and deleted here",
                    f"give it `stack: {stack}` again. If it is to be made anew: take it out of the file, `make up`, "
                    f"and put it back with `stack: {wanted}`; a host is only let go of (docs/stacks.md)",
                )


def states(stacks: Sequence[str]) -> dict[str, str]:
    """The exported states of those that are there."""
    found = {}
    for stack in stacks:
        argv = ["pulumi", "stack", "export", "--stack", stack, "--non-interactive"]
        done = subprocess.run(argv, cwd=ROOT, env=environment(stack), capture_output=True, text=True, check=False)
        if done.returncode == 0:
            found[stack] = done.stdout
        elif "no stack named" not in done.stderr:
            raise SetupError(f"the state of stack {stack} can't be read:\n  {done.stderr.strip()}")
    return found


def _read(file: Path) -> Any:
    try:
        return yaml.load(file.read_text(encoding="utf-8"), yaml.CSafeLoader)  # a safe one
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
