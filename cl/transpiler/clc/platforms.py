"""Dynamic data: `{PRIVATE_IPV4}` and its kin in etcd and flannel options, and what each platform calls them.

Source: ct v0.9.4, config/templating/templating.go and config/platform/platform.go.
"""

from __future__ import annotations

from collections.abc import Sequence

_FIELDS = ("HOSTNAME", "PRIVATE_IPV4", "PUBLIC_IPV4", "PRIVATE_IPV6", "PUBLIC_IPV6")
_TABLE = """
azure                  - AZURE_IPV4_DYNAMIC AZURE_IPV4_VIRTUAL - -
digitalocean           DIGITALOCEAN_HOSTNAME DIGITALOCEAN_IPV4_PRIVATE_0 DIGITALOCEAN_IPV4_PUBLIC_0 \
                       DIGITALOCEAN_IPV6_PRIVATE_0 DIGITALOCEAN_IPV6_PUBLIC_0
ec2                    EC2_HOSTNAME EC2_IPV4_LOCAL EC2_IPV4_PUBLIC - -
gce                    GCE_HOSTNAME GCE_IP_LOCAL_0 GCE_IP_EXTERNAL_0 - -
packet                 PACKET_HOSTNAME PACKET_IPV4_PRIVATE_0 PACKET_IPV4_PUBLIC_0 - PACKET_IPV6_PUBLIC_0
openstack-metadata     OPENSTACK_HOSTNAME OPENSTACK_IPV4_LOCAL OPENSTACK_IPV4_PUBLIC - -
vagrant-virtualbox     VAGRANT_VIRTUALBOX_HOSTNAME VAGRANT_VIRTUALBOX_PRIVATE_IPV4 - - -
cloudstack-configdrive - - - - -
custom                 CUSTOM_HOSTNAME CUSTOM_PRIVATE_IPV4 CUSTOM_PUBLIC_IPV4 CUSTOM_PRIVATE_IPV6 \
                       CUSTOM_PUBLIC_IPV6
"""


def _read(line: str) -> dict[str, str]:
    names = zip(_FIELDS, line.split()[1:], strict=True)
    return {field: f"COREOS_{variable}" for field, variable in names if variable != "-"}


PLATFORMS: dict[str, dict[str, str]] = {line.split()[0]: _read(line) for line in _TABLE.strip().splitlines()}
"""The variable behind each field, by platform."""
PLATFORMS["cloudstack-configdrive"]["HOSTNAME"] = "CLOUDSTACK_LOCAL_HOSTNAME"  # the only one without COREOS_

METADATA_PROVIDERS = ("openstack-metadata", "cloudstack-configdrive")
"""Platforms whose metadata service must be told which provider to ask."""


class TemplatingError(ValueError):
    """A `{NAME}` that can't be filled; `str()` says why, `hint` what there is."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def has_templating(arguments: Sequence[str]) -> bool:
    """True when a brace is anywhere in the arguments."""
    return any("{" in argument or "}" in argument for argument in arguments)


def fill(argument: str, platform: str) -> str:
    """`argument` with each `{NAME}` as `${VARIABLE}`, from left to right, until braces don't pair up.

    Raises TemplatingError when no platform is given or the platform has no such field.
    """
    if not platform:
        raise TemplatingError("dynamic data like {PRIVATE_IPV4} needs a platform", f"one of {', '.join(PLATFORMS)}")
    fields = PLATFORMS[platform]
    start, end = argument.find("{"), argument.find("}")
    while -1 < start < end:
        name = argument[start + 1 : end]
        if name not in fields:
            raise TemplatingError(f"{platform} has no field {{{name}}}", f"one of {', '.join(fields)}")
        argument = argument.replace(f"{{{name}}}", f"${{{fields[name]}}}", 1)
        start = argument.find("{", end)
        end = argument.find("}", start) if start != -1 else -1
    return argument
