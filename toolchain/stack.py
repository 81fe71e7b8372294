"""`make up`, `preview`, `destroy`, `audit`: set up what a stack needs, then hand over to `pulumi` or the audit."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from toolchain import needs, packages, pulumi_cli
from toolchain.image import chosen
from toolchain.places import MACHINES, ROOT, STATE, environment
from toolchain.plugins import install
from toolchain.steps import SetupError, say

# Settings of a stack that tell what it needs, as `pulumi config set` writes them.
SETTING = r"""^[ \t]+["']?flatcar:{name}["']?[ \t]*:[ \t]*["']?([^\s"'#]+)["']?"""


def set_up(stack: str, *, image: bool = True) -> None:
    """Make sure that everything is there to run `pulumi` on a stack; `image`: new machines too. Raises SetupError."""
    pulumi_cli.ensure()
    install.ensure("command")
    wanted = needs.of(setting(stack, "platform"))
    if wanted.plugin:
        install.ensure(wanted.plugin)
    if wanted.packages:
        packages.install(wanted.packages)
    if wanted.image and image:
        version = chosen.ensure(setting(stack, "image"), MACHINES / stack)
        if version:
            pin_image(stack, version)


def setting(stack: str, name: str) -> str:
    """The text of a top-level setting `flatcar:NAME` of a stack, empty when it has none.

    Read without a YAML parser: set-up runs on the standard library alone.
    """
    match = re.search(SETTING.format(name=name), _settings(stack), re.MULTILINE)
    return match[1] if match else ""


def pin_image(stack: str, version: str) -> None:
    """Write a version into a stack's config as `flatcar:image`, in a channel's place or anew; the rest stays as it is.

    Raises SetupError for a config that is written in another way than `pulumi config set` does.
    """
    text, pattern = _settings(stack), re.compile(SETTING.format(name="image"), re.MULTILINE)
    if match := pattern.search(text):
        text = text[: match.start(1)] + version + text[match.end(1) :]
    elif re.search(r"^[\"']?config\b", text, re.MULTILINE):
        first = re.search(r"^config:.*\n(?:[ \t]*(?:#.*)?\n)*([ \t]+)", text, re.MULTILINE)
        line = f"{first[1] if first else '  '}flatcar:image: {version}"
        text = re.sub(r"^config:(?: *\{\})?( *(?:#.*)?)$", rf"config:\1\n{line}", text, count=1, flags=re.MULTILINE)
    else:
        text += "\n" * (text[-1:] not in ("", "\n")) + f"config:\n  flatcar:image: {version}\n"
    path = _path(stack)
    if not (found := pattern.search(text)) or found[1] != version:
        raise SetupError(
            f"{path} is written in a way that set-up can't add to",
            f"pulumi config set --stack {stack} flatcar:image {version}",
        )
    path.write_text(text, encoding="utf-8")
    say(f"{path.relative_to(ROOT)}: flatcar:image is {version} from now on; commit it")


def _path(stack: str) -> Path:
    return ROOT / "stacks" / f"Pulumi.{stack}.yaml"


def _settings(stack: str) -> str:
    return _path(stack).read_text(encoding="utf-8") if _path(stack).is_file() else ""


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
    quiet = [] if sys.stdout.isatty() else ["--suppress-progress"]  # no dots between the lines of a log
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execvpe("pulumi", ["pulumi", verb, "--stack", stack, *agreed, *quiet, *arguments], env)  # noqa: S606


def operate(program: Sequence[str], stack: str, arguments: Sequence[str]) -> None:
    """Replace this process by a program of `components` that needs Pulumi to read a stack's state and nothing else."""
    pulumi_cli.ensure()
    os.chdir(ROOT)
    sys.stdout.flush()
    argv = [sys.executable, "-m", *program, "--stack", stack, *arguments]
    os.execve(sys.executable, argv, environment(stack))  # noqa: S606
