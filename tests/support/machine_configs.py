"""Machine configs for tests: what a test doesn't care about has a default."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.payload.machine_config import MachineConfig, MachineConfigArgs, VariableValues, machine_config
from components.settings.machine import MachineSettings

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cl.transpiler.butane import Butane

_SETTINGS = {field.name for field in fields(MachineSettings)}
_DEFAULTS: dict[str, Any] = {
    "files_dir": Path(), "platform": "qemu", "strict": True, "keep": (), "rollback_after": 0, "machine": "web",
    "owner": "", "login_user": "core", "platform_user": "core",
}  # fmt: skip


def config_args(config: Path | str | Butane, **changes: Any) -> MachineConfigArgs:
    """`_DEFAULTS` with `changes`: settings of the machine, and the other arguments."""
    values = {**_DEFAULTS, "config": config, **changes}
    settings = MachineSettings(**{name: values.pop(name) for name in _SETTINGS & values.keys()})
    return MachineConfigArgs(settings=settings, **values)


def made_config(
    config: Path | str | Butane,
    *,
    own: Mapping[str, str] | None = None,
    shared: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    unknown: Collection[str] = (),
    salt: str = "",
    **changes: Any,
) -> MachineConfig:
    """`machine_config` of `config_args`."""
    variables = VariableValues(own=own or {}, shared=shared or {}, secrets=secrets or {}, unknown=unknown)
    return machine_config(config_args(config, **changes), variables, salt)
