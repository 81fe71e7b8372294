"""Where things lie, and the environment in which `pulumi` finds them."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
TOOLCHAIN = Path(os.environ.get("TOOLCHAIN_DIR") or ROOT / ".toolchain").resolve()
MACHINES = Path(os.environ.get("MACHINES_DIR") or ROOT / ".machines").resolve()
BIN = TOOLCHAIN / "bin"
LOGS = TOOLCHAIN / "log"
STAMPS = TOOLCHAIN / "stamps"
PULUMI_HOME = Path(os.environ.get("PULUMI_HOME") or TOOLCHAIN / "pulumi-home").resolve()
PLUGINS = PULUMI_HOME / "plugins"
LOCAL_STACK = "local"
EDIT_VERBS = ("reprovision", "rollback")
"""The operator's verbs that edit a stack's file, and end in `pulumi up`."""
# Of the stack `local`. Never shared: two checkouts have two sets of machines.
STATE = ROOT / ".toolchain" / "state"
MADE = "FLATCAR_MAKE_ENV"
"""A variable of a shell of `make env`: what that has set there, as assignments."""


def given() -> dict[str, str]:
    """The user's own environment: without what `make env` has set in their shell, for whichever stack."""
    made = dict(word.split("=", 1) for word in shlex.split(os.environ.get(MADE, "")))
    return {name: value for name, value in os.environ.items() if name != MADE and made.get(name) != value}


def exports(stack: str) -> dict[str, str]:
    """The variables that `make env` prints for a stack; what the user has set is left alone.

    The stack `local` is a playground whose state never leaves this checkout: its passphrase is
    empty unless one is set. It also needs no cloud's plugin: Pulumi would download those of all SDKs
    that are installed, and offline try that for seconds in each run.

    Any other stack's backend, login and passphrase are the user's own. Only the plugins are the
    project's, since a stand-in must not reach other projects; so Pulumi's home is too, but for what
    `pulumi login` writes.
    """
    users = given()
    wanted = {"PULUMI_HOME": str(PULUMI_HOME), "PULUMI_SKIP_UPDATE_CHECK": "true"}
    if stack != LOCAL_STACK:
        wanted["PULUMI_CREDENTIALS_PATH"] = users.get("PULUMI_HOME") or str(Path.home() / ".pulumi")
    else:
        wanted["PULUMI_BACKEND_URL"] = STATE.as_uri()
        wanted["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
        if "PULUMI_CONFIG_PASSPHRASE_FILE" not in users:
            wanted["PULUMI_CONFIG_PASSPHRASE"] = ""
    made = {name: value for name, value in wanted.items() if name not in users}
    path = [str(VENV / "bin"), str(BIN)]
    path += [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry not in path]
    return {**made, "PATH": os.pathsep.join(path), MADE: shlex.join(f"{name}={made[name]}" for name in made)}


def environment(stack: str) -> dict[str, str]:
    """The whole environment for a program of a stack."""
    return {**given(), **exports(stack)}


def shell(stack: str) -> str:
    """Lines for a POSIX shell that make its environment a stack's, also where it was another stack's before."""
    wanted = exports(stack)
    stale = [name for name in os.environ if name not in wanted and name not in given()]
    return "\n".join(
        [f"unset {name}" for name in stale] + [f"export {name}={shlex.quote(value)}" for name, value in wanted.items()]
    )
