"""From what the package's components are given to what the others take."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pulumi

from cl.transpiler import Snippet
from components.config.section import Section
from components.flatcar_machine import FlatcarMachineArgs
from components.settings.machine import MachineSettings, common_settings
from components.settings.ssh import SshSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from components.platforms import Platform
    from components.stores import Store

_CONFIG = ("config", "config_name", "snippets", "files_dir", "variables", "secrets", "strict", "ssh")
"""What is not written as in a stack's config: `settings_of` and `machine_args` read it."""


def settings_of(name: str, given: Mapping[str, Any], *, beside: tuple[str, ...] = ()) -> MachineSettings:
    """A machine's settings. Raises `pulumi.RunError` that tells all that is wrong with their types and names.

    `beside` names what else is given, for the component itself.
    """
    common = {key: value for key, value in given.items() if key not in (*_CONFIG, *beside)}
    with section_of(name, common) as section:
        settings = common_settings(name, section)
        section.finish()
    config_name = given.get("config_name") or "<config>"
    return MachineSettings(
        config=Snippet(given["config"], config_name),
        snippets=[Snippet(text, f"<snippet {number}>") for number, text in enumerate(given.get("snippets") or (), 1)],
        variables=given.get("variables") or {},
        **settings,
    )


def machine_args(
    given: Mapping[str, Any], settings: MachineSettings, platform: Platform, store: Store
) -> FlatcarMachineArgs:
    """The settings of a machine, and what it has from elsewhere."""
    return FlatcarMachineArgs(
        **settings.by_name(),
        platform=platform,
        store=store,
        ssh=ssh_of(given),
        files_dir=Path(given.get("files_dir") or ""),
        secrets=given.get("secrets") or {},
        strict=given.get("strict", True),
    )


@contextlib.contextmanager
def section_of(name: str, given: Mapping[str, Any], problems: list[str] | None = None) -> Iterator[Section]:
    """What is given as a section of a stack's config. Raises `pulumi.RunError` at the end for all that is wrong.

    `problems` is where that goes, for who has more to add.
    """
    problems = [] if problems is None else problems
    yield Section(name, _as_in_a_stack(given), problems)
    if problems:
        lines = "".join(f"\n  {problem.removeprefix(f'{name}:')}" for problem in problems)
        raise pulumi.RunError(f"{name!r} can't be used:{lines}")


def protection(opts: pulumi.ResourceOptions | None) -> tuple[bool, pulumi.ResourceOptions]:
    """Whether a component is protected, and its options without that: objects and Commands in it have to change."""
    is_protected = bool(opts is not None and opts.protect)
    return is_protected, pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(protect=False))


_AS_IN_A_STACK = {"vantage": "from", "import_id": "import"}
"""Names that are keywords in some languages."""


def _as_in_a_stack(value: Any) -> Any:
    """Numbers without a fraction as whole numbers, which the wire doesn't know, and the names of a stack's config."""
    if isinstance(value, dict):
        return {_AS_IN_A_STACK.get(key, key): _as_in_a_stack(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_in_a_stack(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def ssh_of(given: Mapping[str, Any]) -> SshSettings:
    """The login."""
    ssh = _as_in_a_stack(given.get("ssh") or {})
    file = ssh.get("private_key_file", "")
    return SshSettings(
        user=ssh.get("user", "core"),
        port=ssh.get("port"),
        private_key_file=str(Path(file).expanduser()) if file else "",
        public_key=ssh.get("public_key", ""),
        jump_host=ssh.get("jump_host", ""),
    )
