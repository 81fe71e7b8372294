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
# Never shared: two checkouts have two sets of machines.
STATE = ROOT / ".toolchain" / "state"
PULUMI_HOME = Path(os.environ.get("PULUMI_HOME") or TOOLCHAIN / "pulumi-home").resolve()
PLUGINS = PULUMI_HOME / "plugins"
LOCAL_STACK = "local"


def exports(stack: str) -> dict[str, str]:
    """The variables that `make env` prints for a stack; what the user has set is left alone.

    The stack `local` is a playground whose state never leaves this checkout: its passphrase is
    empty unless one is set. For any other stack the passphrase is the user's to give. It also needs
    no cloud's plugin: Pulumi would download those of all SDKs that are installed, and offline try
    that for seconds in each run.
    """
    path = [str(VENV / "bin"), str(BIN)]
    path += [entry for entry in os.environ.get("PATH", "").split(os.pathsep) if entry not in path]
    wanted = {"PATH": os.pathsep.join(path), "PULUMI_HOME": str(PULUMI_HOME)}
    if "PULUMI_BACKEND_URL" not in os.environ:
        wanted["PULUMI_BACKEND_URL"] = STATE.as_uri()
    passphrases = {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"}
    if stack == LOCAL_STACK and not passphrases & os.environ.keys():
        wanted["PULUMI_CONFIG_PASSPHRASE"] = ""
    if stack == LOCAL_STACK and "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION" not in os.environ:
        wanted["PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION"] = "true"
    if "PULUMI_SKIP_UPDATE_CHECK" not in os.environ:
        wanted["PULUMI_SKIP_UPDATE_CHECK"] = "true"
    return wanted


def environment(stack: str) -> dict[str, str]:
    """The whole environment for a program of a stack."""
    return {**os.environ, **exports(stack)}


def shell(stack: str) -> str:
    """`export` lines for a POSIX shell."""
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in exports(stack).items())
