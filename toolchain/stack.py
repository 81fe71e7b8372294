"""`make up`, `preview`, `destroy`, `audit`: set up what a stack needs, then hand over to `pulumi` or the audit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence

from toolchain import needs, packages, pulumi_cli
from toolchain.places import LOCAL_STACK, ROOT, STATE, environment
from toolchain.plugins import install
from toolchain.steps import SetupError, say

# Settings of a stack that tell what it needs, as `pulumi config set` writes them.
SETTING = r"""^\s+["']?flatcar:{name}["']?\s*:\s*["']?([^\s"'#]+)"""


def set_up(stack: str) -> None:
    """Make sure that everything is there to run `pulumi` on a stack. Raises SetupError."""
    pulumi_cli.ensure()
    install.ensure("command")
    wanted = needs.of(setting(stack, "platform"))
    if wanted.plugin:
        install.ensure(wanted.plugin)
    if wanted.packages:
        packages.install(wanted.packages)
    if wanted.image and not setting(stack, "image"):  # a Flatcar image of the user's own needs no building
        ensure_image()


def setting(stack: str, name: str) -> str:
    """The text of a top-level setting `flatcar:NAME` of a stack, empty when it has none.

    Read without a YAML parser: set-up runs on the standard library alone.
    """
    settings = ROOT / "stacks" / f"Pulumi.{stack}.yaml"
    text = settings.read_text() if settings.is_file() else ""
    match = re.search(SETTING.format(name=name), text, re.MULTILINE)
    return match[1] if match else ""


def ensure_image() -> None:
    """Make the machine image; quick when nothing it is built from changed. Raises SetupError."""
    if sys.platform != "linux":
        raise SetupError("the machine image is built on Linux alone", "use a stack in a cloud")
    packages.install(packages.IMAGE)
    argv = [sys.executable, "-m", "toolchain.image"]
    if subprocess.run(argv, cwd=ROOT, env=environment(LOCAL_STACK), check=False).returncode:
        raise SetupError("the machine image can't be made (the reason is above)")


def pulumi(verb: str, stack: str, arguments: Sequence[str]) -> None:
    """Replace this process by `pulumi VERB` on a stack, which is created when there is none.

    At a terminal Pulumi asks before it changes anything; without one nobody can answer, so the
    answer is yes.
    """
    STATE.mkdir(parents=True, exist_ok=True, mode=0o700)
    env = environment(stack)
    if install.is_stand_in("command"):
        say("STAND-IN: the command plugin is this project's own, not Pulumi's")
    select = ["pulumi", "stack", "select", "--create", stack]
    if subprocess.run(select, cwd=ROOT, env=env, check=False).returncode:
        raise SetupError(f"stack {stack} can't be selected (the reason is above)")
    agreed = [] if verb == "preview" or sys.stdin.isatty() else ["--yes"]
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execvpe("pulumi", ["pulumi", verb, "--stack", stack, *agreed, *arguments], env)  # noqa: S606


def audit(stack: str, arguments: Sequence[str]) -> None:
    """Replace this process by the audit of a stack, which needs Pulumi to read its state and nothing else."""
    pulumi_cli.ensure()
    os.chdir(ROOT)
    sys.stdout.flush()
    argv = [sys.executable, "-m", "components.audit", "--stack", stack, *arguments]
    os.execve(sys.executable, argv, environment(stack))  # noqa: S606
