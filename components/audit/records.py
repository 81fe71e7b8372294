"""The machines of a stack as the last `pulumi up` left them in Pulumi's state: what each should be, and the way to it.

The state has both in one place, the input of each machine's `Reprovision`: no settings to read again, no address to
guess, and the same pinned host key. What was edited since is `pulumi preview`'s to tell, not the audit's.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cl.transpiler.report import did_you_mean
from components.commands.reprovision.request import PRIVATE_VARIABLE, Request
from components.settings.part import matching

if TYPE_CHECKING:
    from collections.abc import Iterable

SUFFIX = "-reprovision"
COMMAND_TYPE = "command:local:Command"
MACHINE_TYPE = "flatcar:index:Machine"
_SECRET = "4dabf18193072939515e22adb298388d"  # noqa: S105 - the key that marks a secret in Pulumi's JSON


class NoRecordsError(Exception):
    """The stack's state can't be read, or tells nothing of the machines that were asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One machine: what was declared, and what was proven at the end of its last `Reprovision` ("" where unknown).

    `proven_host_keys` are those that it had then, as `TYPE BASE64`; `proven_objects` the SHA-512 sums (hex) of the
    objects that have run, the last one first. `declared_id` is the beginning of the config id that the last
    `pulumi up` wanted, proven or not.
    """

    request: Request
    proven_boot_id: str
    proven_os_version: str
    proven_host_keys: tuple[str, ...] = ()
    proven_config_id: str = ""
    proven_objects: tuple[str, ...] = ()
    declared_id: str = ""

    @property
    def name(self) -> str:
        """The machine's name."""
        return self.request.machine

    @property
    def stack(self) -> str:
        """The name of its stack."""
        return self.request.owner.split("/")[-2] if "/" in self.request.owner else ""


def export_state(stack: str, *, show_secrets: bool = True) -> str:
    """What `pulumi stack export --show-secrets` prints for the stack ("" means the selected one).

    Raises `NoRecordsError` with Pulumi's own words.
    """
    command = ["pulumi", "stack", "export", *["--show-secrets"] * show_secrets, "--non-interactive"]
    try:
        done = subprocess.run(
            [*command, *(["--stack", stack] if stack else [])],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError:
        raise NoRecordsError("there is no pulumi on the PATH; `make audit` finds this checkout's own") from None
    if done.returncode != 0:
        why = done.stderr.strip().removeprefix("error: ")
        raise NoRecordsError(
            f"the state of stack {stack or '(selected)'} can't be read: {why}\n"
            "  see whether that is the stack's name, and whether `make up` or `pulumi up` has made it"
        )
    return done.stdout


def read_records(exported: str, names: Iterable[str] = ()) -> tuple[list[Record], list[str]]:
    """The records in an exported state, and the machines that have none as they were never proven; in order of name.

    Of all machines, or of those that `names` and patterns in it stand for (`part.matching`).
    Raises `NoRecordsError` when there are none, when a name is unknown, or when secrets are still encrypted.
    """
    try:
        resources = json.loads(exported)["deployment"].get("resources", [])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise NoRecordsError("this is not what `pulumi stack export` prints") from None
    declared = {
        _name(resource): str(shown(resource.get("inputs", {}).get("configId")) or "")
        for resource in resources
        if resource.get("type") == MACHINE_TYPE
    }
    found = {
        record.name: replace(record, declared_id=declared.get(record.name, ""))
        for record in map(_record, resources)
        if record is not None
    }
    known = sorted({*declared, *found})
    wanted, unknown = matching(names, known) if (names := list(names)) else (known, [])
    if not wanted and not unknown:
        raise NoRecordsError("the stack has no machines yet: `pulumi up` makes them")
    if unknown:
        near = "".join(f"{hint} " for name in unknown if (hint := did_you_mean(name, known, 0.6)) is not None)
        raise NoRecordsError(
            f"the stack has no machine {', '.join(unknown)}; {near}it has {', '.join(known) or 'none'}"
        )
    return [found[name] for name in wanted if name in found], [name for name in wanted if name not in found]


def _record(resource: dict[str, Any]) -> Record | None:
    if resource.get("type") != COMMAND_TYPE or not resource["urn"].endswith(SUFFIX) or resource.get("delete"):
        return None
    inputs = resource.get("inputs", {})
    stdin, environment = shown(inputs.get("stdin")), shown(inputs.get("environment")) or {}
    private = shown(environment.get(PRIVATE_VARIABLE)) if isinstance(environment, dict) else ""
    lines = str(shown(resource.get("outputs", {}).get("stdout")) or "").strip().splitlines()
    try:
        request = Request.from_json(json.loads(str(stdin)), str(private or ""))
        proven = json.loads(lines[-1]) if lines else {}
    except (ValueError, KeyError, TypeError) as error:
        raise NoRecordsError(
            f"the record of {_name(resource)} can't be read ({error}): "
            "export with --show-secrets, and let this version of the program run `pulumi up` once"
        ) from None
    record = proven.get("record", {})
    return Record(
        request=request,
        proven_config_id=str(proven.get("config_id", "")),
        proven_objects=tuple(map(str, record.get("objects", ()))),
        proven_boot_id=str(proven.get("boot_id", "")),
        proven_os_version=str(proven.get("os_version", "")),
        proven_host_keys=tuple(map(str, record.get("host_keys") or filter(None, [proven.get("host_key")]))),
    )


def _name(resource: dict[str, Any]) -> str:
    return str(resource["urn"]).rsplit("::", 1)[-1]


def shown(value: object) -> object:
    """The plain value of a property; Pulumi exports a shown secret as an object with its JSON text."""
    if isinstance(value, dict) and _SECRET in value and "plaintext" in value:
        return json.loads(value["plaintext"])
    return value
