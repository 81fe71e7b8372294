"""`make up`, `preview`, `destroy`, `audit`: set up what a stack needs, then hand over to `pulumi` or the audit."""

from __future__ import annotations

import difflib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from toolchain import checkpoints, needs, packages, pulumi_cli
from toolchain.clean import stacks_with_resources
from toolchain.image import chosen
from toolchain.places import EDIT_VERBS, LOCAL_STACK, MACHINES, ROOT, STATE, environment
from toolchain.plugins import install
from toolchain.steps import SetupError, hold, say

# Settings of a stack that tell what it needs, as `pulumi config set` writes them.
SETTING = r"""^[ \t]+["']?flatcar:{name}["']?[ \t]*:[ \t]*["']?([^\s"'#]+)["']?"""
GOES_ON = re.compile(r"""^[^#\n]*\b(?:max_failures|unreachable)["']?[ \t]*:""", re.MULTILINE)
"""Settings of a rollout that goes on after a failure, which Pulumi does with `--continue-on-error` alone."""
AGREED = {"--yes", "-y", "--skip-preview", "-f", "--preview-only"}
"""Flags with which `pulumi` doesn't ask."""
NO_LOGIN, NO_STACK = "PULUMI_ACCESS_TOKEN must be set for login", "no stack named"
"""What `pulumi stack select` says."""


def set_up(stack: str, arguments: Sequence[str] = (), *, image: bool = True) -> None:
    """Make sure that everything is there to run `pulumi` on a stack that it has; `image`: new machines too.

    Raises SetupError.
    """
    pulumi_cli.ensure()
    install.ensure("command")
    wanted = needs.of(_setting_or_asked(stack, "platform", arguments))
    if wanted.plugin:
        install.ensure(wanted.plugin)
    if wanted.packages:
        packages.install(wanted.packages)
    if wanted.image and image:
        version = chosen.ensure(_setting_or_asked(stack, "image", arguments), MACHINES / _name(stack))
        if version:
            pin_image(stack, version)


def settings_file(stack: str, arguments: Sequence[str] = ()) -> Path:
    """Where a stack's settings are, with these arguments for `pulumi`."""
    for flag, value in zip(arguments, [*arguments[1:], ""], strict=False):
        if flag.startswith("--config-file"):
            return ROOT / (flag.partition("=")[2] or value)
    return ROOT / "stacks" / f"Pulumi.{_name(stack)}.yaml"


def setting(stack: str, name: str, arguments: Sequence[str] = ()) -> str:
    """The text of a top-level setting `flatcar:NAME` in a stack's file, empty when that has none.

    Read without a YAML parser: set-up runs on the standard library alone.
    """
    settings = settings_file(stack, arguments)
    text = settings.read_text() if settings.is_file() else ""
    match = re.search(SETTING.format(name=name), text, re.MULTILINE)
    return match[1] if match else ""


def _setting_or_asked(stack: str, name: str, arguments: Sequence[str]) -> str:
    """A setting as in the stack's file; where that isn't all of its config (Pulumi ESC), also as Pulumi has it."""
    settings = settings_file(stack, arguments)
    found = setting(stack, name, arguments)
    if found or (settings.is_file() and not re.search(r"^environment\s*:", settings.read_text(), re.MULTILINE)):
        return found
    argv = ["pulumi", "config", "get", f"flatcar:{name}", "--stack", stack, "--non-interactive"]
    asked = subprocess.run(argv, cwd=ROOT, env=environment(stack), capture_output=True, text=True, check=False)
    return "" if asked.returncode else asked.stdout.strip()


def _name(stack: str) -> str:
    """A stack's own name, of ORGANIZATION/PROJECT/STACK."""
    return stack.rpartition("/")[2]


def pin_image(stack: str, version: str) -> None:
    """Write a version into a stack's config as `flatcar:image`, in a channel's place or anew; the rest stays as it is.

    Raises SetupError for a config that is written in another way than `pulumi config set` does.
    """
    path = settings_file(stack)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    pattern = re.compile(SETTING.format(name="image"), re.MULTILINE)
    if match := pattern.search(text):
        text = text[: match.start(1)] + version + text[match.end(1) :]
    elif re.search(r"^[\"']?config\b", text, re.MULTILINE):
        first = re.search(r"^config:.*\n(?:[ \t]*(?:#.*)?\n)*([ \t]+)", text, re.MULTILINE)
        line = f"{first[1] if first else '  '}flatcar:image: {version}"
        text = re.sub(r"^config:(?: *\{\})?( *(?:#.*)?)$", rf"config:\1\n{line}", text, count=1, flags=re.MULTILINE)
    else:
        text += "\n" * (text[-1:] not in ("", "\n")) + f"config:\n  flatcar:image: {version}\n"
    if not (found := pattern.search(text)) or found[1] != version:
        raise SetupError(
            f"{path} is written in a way that set-up can't add to",
            f"pulumi config set --stack {stack} flatcar:image {version}",
        )
    path.write_text(text, encoding="utf-8")
    say(f"{path.relative_to(ROOT)}: flatcar:image is {version} from now on; commit it")


def agreement(verb: str, stack: str, *, yes: bool, arguments: Sequence[str]) -> list[str]:
    """What says yes to `pulumi VERB`: nothing where Pulumi asks, at a terminal.

    Raises SetupError where nobody can be asked. CI=true says that nobody is there; it is no yes.
    """
    if verb not in ("up", "destroy", *EDIT_VERBS) or AGREED & set(arguments):
        return []
    if yes:
        return ["--yes"]
    if sys.stdin.isatty() and sys.stdout.isatty() and os.environ.get("CI") != "true":
        return []
    asks = "up" if verb in EDIT_VERBS else verb
    raise SetupError(
        f"`pulumi {asks}` asks before it changes anything, and without a terminal (or with CI=true) nobody can answer",
        f"see what it would do: make preview STACK={stack}; then say yes ahead: make {verb} STACK={stack} YES=1",
    )


def select(verb: str, stack: str, arguments: Sequence[str] = ()) -> None:
    """Select a stack in the user's backend. One that has settings, but no state yet, is made for `up` and `preview`.

    Raises SetupError when there is no such stack, no login, or when its state lies where earlier versions kept it.
    """
    if stack == LOCAL_STACK:
        STATE.mkdir(parents=True, exist_ok=True, mode=0o700)
    env = environment(stack)
    choose = ["pulumi", "stack", "select", stack]
    argv = [*choose, "--non-interactive", "--color=never"]
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    old = stack != LOCAL_STACK and _name(stack) in stacks_with_resources(STATE)
    settings = settings_file(stack, arguments)
    if done.returncode == 0:
        if old and _backend(env) != STATE.as_uri():
            say(f"note: {STATE.as_uri()} has a state of stack {stack} too, which is not used: docs/state.md")
        return
    no_login, missing = NO_LOGIN in done.stderr, NO_STACK in done.stderr
    if not (no_login or missing):
        raise SetupError(f"stack {stack} can't be selected:\n  {done.stderr.strip()}")
    backend = "no backend is logged in to" if no_login else f"{_backend(env)} doesn't have it"
    if old:
        raise SetupError(
            f"stack {stack} has its state where earlier versions kept it, and {backend}", _ways(stack, settings)
        )
    if not settings.is_file():
        names = sorted(file.stem.removeprefix("Pulumi.") for file in (ROOT / "stacks").glob("Pulumi.*.yaml"))
        near = difflib.get_close_matches(_name(stack), names, 1)
        raise SetupError(
            f"there is no stack {stack}: no file {os.path.relpath(settings, ROOT)}, and {backend}",
            (f"did you mean {near[0]}? " if near else "") + f"stacks/ has files for: {', '.join(names)}",
        )
    if no_login:
        raise SetupError(
            f"stack {stack} needs a place for its state, and {backend}",
            f'in a shell of `eval "$(make -s env STACK={stack})"`: `pulumi login` (Pulumi Cloud), '
            "`pulumi login s3://BUCKET` or `pulumi login --local`;\n"
            "  or set PULUMI_ACCESS_TOKEN or PULUMI_BACKEND_URL: docs/state.md",
        )
    if verb not in ("up", "preview"):
        raise SetupError(f"there is nothing of stack {stack}: {backend}", f"`make up STACK={stack}` makes it")
    say(f"stack {stack} is new, {backend}: it is made there, empty")
    choose += ["--create", "--secrets-provider", _secrets_provider(settings) or "default"]
    if subprocess.run(choose, cwd=ROOT, env=env, check=False).returncode:
        raise SetupError(f"stack {stack} can't be made (the reason is above)")


def _secrets_provider(settings: Path) -> str:
    """What a stack's settings say of who encrypts: without a word Pulumi would take them to say nothing."""
    text = settings.read_text() if settings.is_file() else ""
    match = re.search(r"""^secretsprovider:\s*["']?([^\s"'#]+)""", text, re.MULTILINE)
    return match[1] if match else ""


def _backend(env: dict[str, str]) -> str:
    """The address of the backend that the user is logged in to."""
    argv = ["pulumi", "whoami", "--json", "--non-interactive"]
    asked = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return str(json.loads(asked.stdout)["url"]) if asked.returncode == 0 else "the backend"


def _ways(stack: str, settings: Path) -> str:
    """What to do about a state that earlier versions have made below .toolchain."""
    there, file = f"PULUMI_BACKEND_URL={STATE.as_uri()}", f"{_name(stack)}.json"
    return (
        f"leave it there: export {there}\n"
        f"  or move it, after `pulumi login`, in a shell of `make env STACK={stack}`:\n"
        f"    {there} pulumi stack export --stack {stack} --file {file}\n"
        f"    pulumi stack init {stack} --secrets-provider {_secrets_provider(settings) or 'passphrase'}\n"
        f"    pulumi stack import --stack {stack} --file {file}\n"
        f"    {there} pulumi stack rm {stack} --force --yes --preserve-config"
    )


def run_environment(stack: str, arguments: Sequence[str] = ()) -> dict[str, str]:
    """The environment for a run of a stack's program."""
    env = environment(stack)
    if GOES_ON.search(settings.read_text() if (settings := settings_file(stack, arguments)).is_file() else ""):
        env.setdefault("PULUMI_CONTINUE_ON_ERROR", "true")
    return env


def begin() -> None:
    """From here on something runs with what set-up has made, in the project's folder."""
    if install.is_stand_in("command"):
        say("STAND-IN: the command plugin is this project's own, not Pulumi's")
    hold()
    os.chdir(ROOT)
    sys.stdout.flush()


def pulumi(verb: str, stack: str, arguments: Sequence[str], part: Sequence[str] = ()) -> None:
    """Replace this process by `pulumi VERB` on a stack that is there, or by the operator's verb that ends in it.

    `part` says which machines alone it is about, as that verb takes it.
    """
    begin()
    quiet = [] if sys.stdout.isatty() else ["--suppress-progress"]  # no dots between the lines of a log
    env = run_environment(stack, arguments)
    program = ["pulumi"]
    if verb in EDIT_VERBS or part:
        program = [sys.executable, "-m", "components.operate"]
    elif verb == "up":
        more, plan = checkpoints.skipped(stack, arguments)
        if plan:
            _preview_and_ask(stack, [*arguments, *quiet], env)
            env |= more
            arguments = [*[word for word in arguments if word not in AGREED], "--yes", "--skip-preview", *plan]
    its = [*part, "--"] if part else []
    sys.stdout.flush()
    os.execvpe(program[0], [*program, verb, "--stack", stack, *its, *arguments, *quiet], env)  # noqa: S606


def _preview_and_ask(stack: str, arguments: Sequence[str], env: dict[str, str]) -> None:
    """What `pulumi up` does before it begins, for a run that is kept to a plan: its own preview isn't what a run does.

    Exits where the answer is no, or the preview fails.
    """
    if {"--skip-preview", "-f"} & set(arguments):
        return
    words = [word for word in arguments if word not in checkpoints.FOR_UP_ALONE]
    code = subprocess.run(["pulumi", "preview", "--stack", stack, *words], env=env, check=False).returncode
    if code:
        sys.exit(code)
    if not AGREED & set(arguments) and input("Do you want to perform this update? (yes/no) ").strip() != "yes":
        raise SetupError("nothing was changed: the answer was not yes")


def operate(verb: str, stack: str, arguments: Sequence[str]) -> None:
    """Replace this process by an operator's verb that needs Pulumi to read a stack's state and nothing else."""
    hold()
    os.chdir(ROOT)
    sys.stdout.flush()
    argv = [sys.executable, "-m", "components.operate", verb, "--stack", stack, *arguments]
    os.execve(sys.executable, argv, environment(stack))  # noqa: S606
