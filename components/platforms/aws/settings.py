"""The stack config of AWS as frozen, typed settings; the SDK of AWS is not imported here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from components.config.section import Section
from components.config.values import (
    CHANNELS,
    OpenPort,
    checked,
    login_networks,
    open_ports,
    version_problem,
)
from components.platforms.aws.values import id_problem, is_arm, type_problem, zone_problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Ami:
    """The image of new machines: an `id`, or Flatcar's own by channel, exact version and architecture."""

    id: str = ""
    channel: str = "stable"
    version: str = ""
    architecture: str = "x86_64"

    @property
    def name(self) -> str:
        """The name under which Flatcar publishes it."""
        return f"Flatcar-{self.channel}-{self.version}-hvm"


@dataclass(frozen=True, slots=True, kw_only=True)
class AwsSettings:
    """`flatcar:aws`: what the instances of a stack share. `ssh_from` are the networks that may log in.

    `subnet`, `vpc` and `availability_zone` "" leave the choice to EC2: its default network. `address` says which
    of a machine's addresses ssh uses: `public` or `private` (through a jump host or a VPN).
    """

    instance_type: str
    ami: Ami
    key_name: str
    ssh_from: tuple[str, ...]
    open_ports: tuple[OpenPort, ...]
    tags: Mapping[str, str]
    vpc: str
    subnet: str
    availability_zone: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceSettings:
    """`ec2` of one machine. `volume` is GiB, 0 for none; `adopt` is the id of an existing instance."""

    instance_type: str = ""
    elastic_ip: bool = False
    volume: int = 0
    root_volume: int = 0
    termination_protection: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    adopt: str = ""


def aws_settings(section: Section) -> AwsSettings:
    """Read `flatcar:aws`; problems go to the section's list."""
    settings = AwsSettings(
        instance_type=checked(section, "instance_type", "t3.small", type_problem),
        ami=_ami(section.section("ami")),
        key_name=section.text("key_name"),
        ssh_from=login_networks(section, "ssh_from"),
        open_ports=open_ports(section, "open_ports"),
        tags=section.mapping_of_texts("tags"),
        vpc=checked(section, "vpc", "", id_problem("vpc")),
        subnet=checked(section, "subnet", "", id_problem("subnet")),
        availability_zone=checked(section, "availability_zone", "", zone_problem),
        address=section.choice("address", ("public", "private"), "public"),
    )
    _check_architecture(section, settings.instance_type, settings.ami)
    if bool(settings.vpc) != bool(settings.subnet):
        section.problem("subnet", "vpc and subnet go together: give both, or none for the default network")
    section.finish()
    return settings


def instance_settings(section: Section, shared: AwsSettings) -> InstanceSettings:
    """Read `ec2` of one machine. A data volume lies in one availability zone, so it needs a fixed one."""
    settings = InstanceSettings(
        instance_type=checked(section, "instance_type", "", type_problem),
        elastic_ip=section.flag("elastic_ip", False),
        volume=section.integer("volume", 0, maximum=65536),
        root_volume=section.integer("root_volume", 0, maximum=65536),
        termination_protection=section.flag("termination_protection", False),
        tags=section.mapping_of_texts("tags"),
        adopt=checked(section, "import", "", id_problem("i")),
    )
    _check_architecture(section, settings.instance_type, shared.ami)
    if settings.volume and not shared.availability_zone:
        section.problem("volume", "lies in one availability zone: set flatcar:aws.availability_zone too")
    section.finish()
    return settings


def _check_architecture(section: Section, instance_type: str, ami: Ami) -> None:
    """AWS starts no instance from the other architecture's image; of one that is named by its id nothing is known."""
    if ami.id or not instance_type:
        return
    own = "arm64" if is_arm(instance_type) else "x86_64"
    if own != ami.architecture:
        section.problem(
            "instance_type", f"{instance_type!r} is {own}, and flatcar:aws.ami.architecture is {ami.architecture}"
        )


def _ami(section: Section) -> Ami:
    found = checked(section, "id", "", id_problem("ami"))
    ami = Ami(
        id=found,
        channel=section.choice("channel", CHANNELS, "stable"),
        version=checked(section, "version", "", version_problem, required=not found),
        architecture=section.choice("architecture", ("x86_64", "arm64"), "x86_64"),
    )
    if found and ami.version:
        section.problem("id", "pins the image already; take the version out, or the id")
    for name in ("channel", "architecture"):
        if found and name in section.names():
            section.problem(name, "has no effect on an image that id names; take one of them out")
    section.finish()
    return ami
