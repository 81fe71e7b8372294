"""The stack config of DigitalOcean as frozen, typed settings; DigitalOcean's SDK is not imported here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.config.section import Section
from components.config.values import (
    CHANNELS,
    OpenPort,
    checked,
    checked_list,
    login_networks,
    open_ports,
    version_problem,
)
from components.platforms.digitalocean.values import size_problem, ssh_key_problem, tag_problem, vpc_problem
from components.stores.values import do_region_problem

IMAGE_URL = (
    "https://{channel}.release.flatcar-linux.net/amd64-usr/{version}/flatcar_production_digitalocean_image.bin.bz2"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DropletImage:
    """What droplets start from: an image that is there already (`id`: number or slug), or one to import from `url`.

    `version` is the OS version in it, "" where that is not known.
    """

    id: str = ""
    name: str = ""
    url: str = ""
    version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DigitalOceanSettings:
    """`flatcar:digitalocean`: what the droplets of a stack share. `ssh_from` are the networks that may log in."""

    region: str
    size: str
    image: DropletImage
    ssh_keys: tuple[str, ...]
    ssh_from: tuple[str, ...]
    open_ports: tuple[OpenPort, ...]
    tags: tuple[str, ...]
    vpc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DropletSettings:
    """`droplet` of one machine. `volume` is GiB, 0 for none; `adopt` is the id of an existing droplet."""

    size: str = ""
    reserved_ip: bool = False
    volume: int = 0
    tags: tuple[str, ...] = ()
    adopt: str = ""


def digitalocean_settings(section: Section, public_key: str) -> DigitalOceanSettings:
    """Read `flatcar:digitalocean`; problems go to the section's list.

    Without `ssh_keys`, `public_key` is registered.
    """
    keys = checked_list(section, "ssh_keys", ssh_key_problem) or ((public_key,) if public_key else ())
    if not keys:
        section.problem("ssh_keys", "is missing: a custom image needs an SSH key, or set flatcar:ssh public_key")
    settings = DigitalOceanSettings(
        region=checked(section, "region", "", do_region_problem, required=True),
        size=checked(section, "size", "s-1vcpu-1gb", size_problem),
        image=_image(section.section("image")),
        ssh_keys=keys,
        ssh_from=login_networks(section, "ssh_from"),
        open_ports=open_ports(section, "open_ports"),
        tags=checked_list(section, "tags", tag_problem),
        vpc=checked(section, "vpc", "", vpc_problem),
    )
    section.finish()
    return settings


def droplet_settings(section: Section) -> DropletSettings:
    """Read `droplet` of one machine."""
    adopt = section.text("import")
    if adopt and not adopt.isdecimal():
        section.problem("import", f"{adopt!r} is not a droplet's id, which is a number")
    settings = DropletSettings(
        size=checked(section, "size", "", size_problem),
        reserved_ip=section.flag("reserved_ip", False),
        volume=section.integer("volume", 0, maximum=16384),
        tags=checked_list(section, "tags", tag_problem),
        adopt=adopt,
    )
    section.finish()
    return settings


def _image(section: Section) -> DropletImage:
    found = section.text("id")
    url = section.text("url")
    channel = section.choice("channel", CHANNELS, "stable")
    version = checked(section, "version", "", version_problem, required=not found)
    if found and (url or version):
        section.problem("id", "names an image that is there already; then there is nothing to import by version or url")
    if found and "channel" in section.names():
        section.problem("channel", "has no effect on an image that id names; take one of them out")
    if url and not _is_web_address(url):
        section.problem("url", f"{url!r} is not an http(s) address that DigitalOcean could fetch")
    section.finish()
    if found:
        return DropletImage(id=found)
    return DropletImage(
        name=f"flatcar-{channel}-{version}",
        url=url or IMAGE_URL.format(channel=channel, version=version),
        version=version,
    )


def _is_web_address(url: str, schemes: Sequence[str] = ("https://", "http://")) -> bool:
    return url.startswith(tuple(schemes)) and not any(character.isspace() for character in url)
