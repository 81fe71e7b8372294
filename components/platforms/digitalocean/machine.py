"""Platform DigitalOcean: droplets from a custom image of Flatcar.

What trips people, and what is done about it here: an image, SSH key or region that changes replaces a droplet, and
user data can't change at all, so these are left alone on a machine that is there and told as pending; custom images
have no IPv6 and need an SSH key; a firewall that is there before the first droplet is found by its tag.
"""

from __future__ import annotations

import re

import pulumi
import pulumi_digitalocean as digitalocean

from components.platforms import PlatformMachine
from components.platforms.access import said, tell_example
from components.platforms.digitalocean import PLATFORM
from components.platforms.digitalocean.settings import DigitalOceanSettings, DropletSettings
from components.platforms.pending import checked_address, in_one_place, kept_as, tell_pending
from components.sdk import named

ANYWHERE = ["0.0.0.0/0", "::/0"]
IMPORT_TIME = "60m"
KEPT = ("image", "sshKeys", "userData", "region", "vpcUuid", "monitoring", "ipv6")
"""Inputs of a droplet that would replace it; a machine keeps its own until it is replaced by name."""
SIZE = "size"
"""A change powers a droplet off and on: done for the machine that names its size, not for all by the default."""
STAYS = pulumi.ResourceOptions(ignore_changes=["region"])
"""A reserved IP and a volume stay where they are, as their droplet does."""
BACK = (
    "and what is there already stays where it is. Put flatcar:digitalocean.region back, or add another machine for the "
    "other region"
)
PROTECTED = pulumi.ResourceOptions(protect=True)


class DigitalOcean:
    """What the droplets of a stack share: the image, the SSH keys, the tag and the firewall that follows the tag.

    With `retain` Pulumi forgets the tag and the firewall instead of deleting them: a droplet that stays needs them.
    """

    def __init__(
        self, settings: DigitalOceanSettings, opts: pulumi.ResourceOptions | None = None, *, retain: bool = False
    ) -> None:
        self.settings = settings
        tell_example("flatcar:digitalocean.ssh_from", settings.ssh_from)
        _look_at_region(settings, opts)
        guards = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(retain_on_delete=retain))
        self.tag = named(f"flatcar-{pulumi.get_stack()}", opts)
        tag = digitalocean.Tag(named("machines", opts), name=self.tag, opts=guards)
        self.image = self._image(opts)
        self.ssh_keys: list[pulumi.Input[str]] = [
            digitalocean.SshKey(named(f"login-{index}", opts), public_key=key, name=f"{self.tag}-{index}", opts=opts).id
            if " " in key
            else key
            for index, key in enumerate(settings.ssh_keys)
        ]
        self.firewall = digitalocean.Firewall(
            named("machines", opts),
            name=self.tag,
            tags=[tag.name],
            inbound_rules=[
                digitalocean.FirewallInboundRuleArgs(
                    protocol="tcp", port_range="22", source_addresses=list(settings.ssh_from)
                ),
                digitalocean.FirewallInboundRuleArgs(protocol="icmp", source_addresses=ANYWHERE),
                *[
                    digitalocean.FirewallInboundRuleArgs(
                        protocol=port.protocol, port_range=port.range, source_addresses=ANYWHERE
                    )
                    for port in settings.open_ports
                ],
            ],
            # All of it: a firewall without UDP would cut off DHCP, and so the machine.
            outbound_rules=[
                {"protocol": "tcp", "port_range": "1-65535", "destination_addresses": ANYWHERE},
                {"protocol": "udp", "port_range": "1-65535", "destination_addresses": ANYWHERE},
                {"protocol": "icmp", "destination_addresses": ANYWHERE},
            ],
            opts=guards,
        )

    def _image(self, opts: pulumi.ResourceOptions | None) -> pulumi.Input[str]:
        image = self.settings.image
        if image.id:
            return image.id
        # Named after the version: another pin imports another image beside it, then the old one goes. Droplets stay.
        # So for another region, which replaces the image: one that can't be imported must not have cost the old one.
        return digitalocean.CustomImage(
            named(image.name, opts),
            name=image.name,
            url=image.url,
            regions=[self.settings.region],
            distribution="Unknown OS",
            tags=[self.tag],
            opts=pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(
                    custom_timeouts=pulumi.CustomTimeouts(create=IMPORT_TIME), delete_before_replace=False
                ),
                opts,
            ),
        ).id


class Droplet:
    """One machine on DigitalOcean."""

    ignition_platform = PLATFORM.ignition.name
    login_user = "core"  # coreos-metadata-sshkeys@core.service; a droplet of a custom image always has keys

    def __init__(self, shared: DigitalOcean, machine: DropletSettings) -> None:
        self._shared = shared
        self._machine = machine
        self.described = PLATFORM, machine
        self.image_version = shared.settings.image.version

    def create(
        self, name: str, *, user_data: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> PlatformMachine:
        """A droplet, with a reserved IP and a volume of its own where wanted.

        Raises `pulumi.RunError` at preview when the droplet's user data is not the pointer.
        """
        shared, machine = self._shared, self._machine
        settings = shared.settings
        droplet = digitalocean.Droplet(
            name,
            name=name,
            region=settings.region,
            size=machine.size or settings.size,
            image=shared.image,
            ssh_keys=shared.ssh_keys,
            user_data=user_data,
            vpc_uuid=settings.vpc or None,
            tags=[shared.tag, *settings.tags, *machine.tags],
            # Another size takes memory and CPUs alone: a disk can't shrink again, so the way back would be closed.
            resize_disk=False,
            # A volume is let go of by a shutdown; without one, a machine that hangs must still be deletable.
            graceful_shutdown=bool(machine.volume),
            opts=pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(
                    ignore_changes=[*KEPT, *(() if machine.size else (SIZE,))],
                    depends_on=[shared.firewall],
                    import_=machine.adopt or None,
                    delete_before_replace=False,
                ),
                opts,
            ),
        )
        tell_pending(
            droplet,
            name,
            {
                "image": (shared.image, droplet.image),
                "region": (settings.region, droplet.region),
                "vpc": (settings.vpc, droplet.vpc_uuid),
                "ssh keys": (shared.ssh_keys, droplet.ssh_keys),
            },
        )
        tell_pending(
            droplet,
            name,
            {"size": ("" if machine.size else settings.size, droplet.size)},
            way=f"To power this one off and on for it: flatcar:machines.{name}.droplet.size: {settings.size}",
        )
        attached = kept_as(opts)
        address = self._address(name, droplet, attached)
        if machine.volume:
            address = self._with_volume(name, droplet, address, attached)
        return PlatformMachine(
            resource=droplet,
            ssh_host=checked_address(droplet, name, address, user_data=user_data, actual=droplet.user_data),
            ssh_port=22,
            console_log="",
            console_hint=droplet.id.apply(
                lambda number: (
                    f"the Recovery Console of droplet {number} (cloud.digitalocean.com/droplets/{number}/console)"
                )
            ),
        )

    def _address(self, name: str, droplet: digitalocean.Droplet, opts: pulumi.ResourceOptions) -> pulumi.Output[str]:
        if not self._machine.reserved_ip:
            return droplet.ipv4_address
        reserved = digitalocean.ReservedIp(
            name,
            region=self._shared.settings.region,
            droplet_id=droplet.id.apply(int),
            opts=pulumi.ResourceOptions.merge(opts, STAYS),
        )
        return in_one_place(
            reserved.ip_address,
            f"{name}: a droplet in {{}} can't use its reserved IP in {{}}, {BACK}",
            droplet.region,
            reserved.region,
        )

    def _with_volume(
        self, name: str, droplet: digitalocean.Droplet, address: pulumi.Output[str], opts: pulumi.ResourceOptions
    ) -> pulumi.Output[str]:
        """The address, known once the volume is there: whoever uses it finds the volume attached."""
        volume = digitalocean.Volume(
            f"{name}-data",
            name=f"{name}-data",
            region=self._shared.settings.region,
            size=self._machine.volume,
            tags=[self._shared.tag],
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions.merge(STAYS, PROTECTED)),
        )
        address = in_one_place(
            address, f"{name}: a droplet in {{}} can't use its volume in {{}}, {BACK}", droplet.region, volume.region
        )
        attachment = digitalocean.VolumeAttachment(
            f"{name}-data",
            droplet_id=droplet.id.apply(int),
            volume_id=volume.id,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
        )
        return pulumi.Output.all(address, attachment.id).apply(lambda both: str(both[0]))


def _look_at_region(settings: DigitalOceanSettings, opts: pulumi.ResourceOptions | None) -> None:
    """Ask DigitalOcean for the region, at preview: it refuses a wrong token, and tells which sizes there are.

    What is not on offer is a warning alone: it is for new droplets, and those that are there stay as they are.
    """
    there = f"flatcar:digitalocean.region: {settings.region}"
    try:
        region = digitalocean.get_region(
            slug=settings.region, opts=pulumi.InvokeOptions(parent=opts.parent if opts is not None else None)
        )
    except Exception as error:  # noqa: BLE001 # the SDK raises nothing more exact
        if re.search(r"\b401\b", str(error)):
            raise pulumi.RunError(
                f"DigitalOcean refuses the API token (digitalocean:token, else DIGITALOCEAN_TOKEN): {said(error)}"
            ) from None
        pulumi.log.warn(f"{there}: can't be looked at: {said(error)}")
        return
    if not region.available:
        pulumi.log.warn(f"{there} takes no new droplets now")
    if settings.size not in region.sizes:
        pulumi.log.warn(
            f"flatcar:digitalocean.size: {settings.region} has no {settings.size} now, so a new droplet would be "
            f"refused; it has {', '.join(sorted(region.sizes)[:12])} … (doctl compute size list)"
        )
