"""Machine configs for tests: what a test doesn't care about has a default."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.payload.machine_config import MachineConfig, MachineConfigArgs, VariableValues, machine_config
from components.settings.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from cl.transpiler.butane import Butane

DEFAULTS: dict[str, Any] = {
    "files_dir": Path(), "platform": "qemu", "strict": True, "lifecycle": Lifecycle.RESET, "keep": (), "generation": 0,
    "rollback_after": 0,
}  # fmt: skip


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
    """`machine_config` of `DEFAULTS` with `changes`."""
    variables = VariableValues(own=own or {}, shared=shared or {}, secrets=secrets or {}, unknown=unknown)
    return machine_config(MachineConfigArgs(config=config, **{**DEFAULTS, **changes}), variables, salt)
