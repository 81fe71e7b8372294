"""The transpiler's rules for configs that run again (`cl.transpiler.lint`), with what a stack knows about its machine.

A finding of severity error stops the preview: it would lose data or leave a machine that nobody reaches. The others are
shown once each, however many machines share a config. `allow` of a machine takes a rule back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from cl.transpiler.lint import Allowed, Rule, Situation, lint
from components.commands.reprovision.ignition_version import reads
from components.platforms.registry import ignition_platform
from components.settings.keep import is_kept, kept_paths
from components.settings.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cl.transpiler import Report
    from components.payload.fragments import IgnitionConfig
    from components.settings.machine import MachineSettings
    from components.settings.ssh import LoginKey

_ABOUT_STATE = (Rule.KEPT, Rule.WIPE, Rule.DISKS, Rule.REMOTE)
"""Rules about what is there already: a machine that is new each time, or left alone, does not meet them."""

_shown: set[str] = set()
"""The warnings that this run of the program has shown."""


def check_rules(
    config: IgnitionConfig,
    settings: MachineSettings,
    *,
    size: int,
    sources: Sequence[tuple[str, str]],
    variables: Mapping[str, str],
    platform: str,
    login_user: str | None,
    login_key: LoginKey | None = None,
    readable: Mapping[str, str] | None = None,
    image_version: str = "",
) -> Report:
    """What would go wrong when the machine runs this config again and again.

    `config` is the user's, without what the program adds; `size` the whole object's, in bytes. `sources` and
    `variables` are what it was made from (`lint`). `platform` is Ignition's name. `login_user` is who has to find an
    SSH key in the config, None when the platform brings it; `login_key` the one that logs in, if known. `readable` are
    the secrets that every user may read (`sensitive.readable_secrets`). `image_version` is the OS version that a new
    machine starts with, "" where it is not pinned.
    """
    ignition = ignition_platform(platform)
    lifecycle, keep = settings.lifecycle, kept_paths(settings.keep)
    flag, reset = lifecycle is Lifecycle.FLAG, lifecycle.resets
    situation = Situation(
        is_kept=lambda path: flag or (reset and is_kept(path, keep)),
        root_is_kept=flag or reset,
        ssh_user=login_user,
        ssh_key=login_key.public if login_key is not None else "",
        other_ssh_keys=login_key is not None and not login_key.alone,
        secrets=readable or {},
        managed_rollouts=True,
        limit=ignition.limit,
        limit_of=ignition.limit_of,
        image=image_version,
        reads=lambda spec: reads(image_version, spec),
    )
    allowed: set[Allowed] = {*settings.allow, *(() if lifecycle.is_in_place else _ABOUT_STATE)}
    return lint(config, situation, size=size, allow=allowed, sources=sources, variables=variables)


def warn_once(text: str) -> None:
    """A warning of the stack's, unless this run has shown it."""
    if text and text not in _shown:
        _shown.add(text)
        pulumi.log.warn(text.removeprefix("warning: "))  # the engine says that itself
