"""All platforms that the config of a stack can name, one line each; the first one is the default."""

from __future__ import annotations

from typing import Any

from components.platforms import Descriptor, IgnitionPlatform, aws, digitalocean, host, qemu

PLATFORMS: tuple[Descriptor[Any, Any], ...] = (
    qemu.PLATFORM,
    digitalocean.PLATFORM,
    aws.PLATFORM,
    host.PLATFORM,
)


def ignition_platform(name: str) -> IgnitionPlatform:
    """What is known of the platform that Ignition calls `name`; of one that is not registered, the defaults."""
    known = (platform.ignition for platform in PLATFORMS if platform.ignition.name == name)
    return next(known, IgnitionPlatform(name=name))
