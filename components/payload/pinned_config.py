"""What a pinned machine should be: the very object that was proven before, from a file, in place of its config.

`make rollback` writes such files (`operate/rollback.py`). The object is taken byte for byte: with its stamp it has the
config id that was proven, so a machine that runs it already is left alone.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pulumi

from cl.transpiler.ignition.checks import CheckError, decode_data_url
from components.commands.untrusted import config_id
from components.payload.machine_config import SALT, STAMP
from components.payload.masking import MASK
from components.payload.rules import check_rules, warn_once
from components.payload.sensitive import sensitive_parts
from components.payload.wanted_config import WantedConfig, shown_summary

if TYPE_CHECKING:
    from pathlib import Path

    from components.payload.fragments import IgnitionConfig
    from components.payload.machine_config import MachineConfigArgs

SECRET = ".secret"  # noqa: S105 - a part of a name
"""In the name of a file that holds secrets, which no repository should have."""
_UNSHOWN = "it holds secrets, and their places in it are not known, so none of it is shown"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenObject:
    """An object as it lies in a store: its bytes, decoded, and the config id in its stamp."""

    config_id: str
    text: str
    ignition: IgnitionConfig

    @classmethod
    def of(cls, content: bytes) -> ProvenObject:
        """Raises ValueError for what is no object of this program's."""
        text = content.decode()
        ignition = json.loads(text)
        try:
            files = {file["path"]: file for file in ignition["storage"]["files"]}
            stamp = config_id(decode_data_url(files[STAMP]["contents"]["source"]).decode().strip())
        except (LookupError, TypeError, CheckError):
            stamp = ""
        if not stamp:
            raise ValueError(f"there is no {STAMP} in it")
        return cls(config_id=stamp, text=text, ignition=ignition)

    @property
    def has_secrets(self) -> bool:
        """Whether it used secret variables, or holds keys or hashes that others should not read."""
        return self.is_salted or bool(self.sensitive)

    @property
    def sensitive(self) -> list[str]:
        """The keys and hashes, by name (`sensitive_parts`)."""
        return sensitive_parts(self.ignition, self.ignition)

    @property
    def is_salted(self) -> bool:
        """Whether it used secret variables."""
        return any(file["path"] == SALT for file in self.ignition["storage"]["files"])

    def file_name(self, machine: str) -> str:
        """By which a file of it is told from another machine's, and from one that was edited."""
        digest = hashlib.sha512(self.text.encode()).hexdigest()
        return f"{machine}-{self.config_id[:12]}-{digest[:12]}{SECRET if self.has_secrets else ''}.ign"


def read_pinned(file: Path, machine: str) -> ProvenObject:
    """The object in a machine's file. Raises `pulumi.RunError` for one that is none, or not the one it is called."""
    try:
        proven = ProvenObject.of(file.read_bytes())
    except OSError as error:
        raise pulumi.RunError(f"{file}: can't be read: {error.strerror}") from None
    except ValueError as error:
        raise pulumi.RunError(f"{file} is no object that `make rollback` has written: {error}") from None
    if (name := proven.file_name(machine)) != file.name:
        raise pulumi.RunError(
            f"{file} is not what was pinned for {machine}: by what it holds it would be called {name}; "
            f"`make rollback MACHINE={machine} TO={proven.config_id[:12]}` writes it anew"
        )
    return proven


def pinned_config(args: MachineConfigArgs, proven: ProvenObject, name: str) -> WantedConfig:
    """The object of a file called `name`, held against the machine's settings of today.

    Raises `pulumi.RunError` where it would do harm.
    """
    findings = check_rules(
        proven.ignition,
        args.settings,
        size=len(proven.text.encode()),
        sources=[(name, "{}")],
        variables={},
        platform=args.platform,
        login_user=args.login_user if args.login_user != args.platform_user else None,
        login_key=args.login_key,
        image_version=args.image_version,
    )
    if findings.is_fatal:
        raise pulumi.RunError(f"{name} would do harm when the machine runs it again\n\n{findings.render()}")
    warn_once(findings.render())
    summary: dict[str, Any] = {"files": {MASK: _UNSHOWN}} if proven.is_salted else shown_summary(proven.ignition, {})
    return WantedConfig(
        config_id=proven.config_id,
        unsalted_id=proven.config_id,
        salt=None,
        text=proven.text,
        masked="{}" if proven.has_secrets else None,  # where its secrets are is not known
        summary=summary,
    )
