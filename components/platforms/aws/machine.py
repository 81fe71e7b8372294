"""Platform AWS: EC2 instances from Flatcar's own AMIs.

What trips people, and what is done about it here: a changed AMI, key or subnet replaces an instance, and changed user
data stops and starts it without running anything, so these are left alone on a machine that is there and told as
pending; the object and the right to read it have to be there before the first boot, else Ignition fails and tries again
minutes later; any process on a machine can ask the metadata service for its credentials, unless tokens are required and
end at the first hop.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urlsplit

import pulumi
from pulumi_aws import ebs, ec2, iam

from components.platforms import PlatformMachine
from components.platforms.access import said, tell_example
from components.platforms.aws import PLATFORM
from components.platforms.aws.settings import AwsSettings, InstanceSettings
from components.platforms.pending import checked_address, in_one_place, kept_as, tell_pending
from components.sdk import named

FLATCAR_ACCOUNT = "075585003325"
DATA_DEVICE = "/dev/sdf"
KEPT = ("ami", "keyName", "userData", "subnetId", "availabilityZone", "rootBlockDevice")
"""Inputs of an instance that would replace it, or stop and start it; a machine keeps its own until replaced by name."""
TYPE = "instanceType"
"""A change stops and starts an instance: done for the machine that names its type, not for all by the stack's."""


class Aws:
    """What the instances of a stack share: the AMI and the security group.

    With `retain` Pulumi forgets the group instead of deleting it: AWS deletes none that an instance is in.
    """

    def __init__(
        self, settings: AwsSettings, opts: pulumi.ResourceOptions | None = None, *, retain: bool = False
    ) -> None:
        self.settings = settings
        tell_example("flatcar:aws.ssh_from", settings.ssh_from)
        self.tags = {"flatcar:stack": pulumi.get_stack(), **settings.tags}
        self.ami = settings.ami.id or _find_ami(settings, opts)
        login = ec2.SecurityGroupIngressArgs(
            description="ssh",
            protocol="tcp",
            from_port=22,
            to_port=22,
            cidr_blocks=[network for network in settings.ssh_from if ":" not in network],
            ipv6_cidr_blocks=[network for network in settings.ssh_from if ":" in network],
        )
        services = [
            ec2.SecurityGroupIngressArgs(
                protocol=port.protocol,
                from_port=port.first,
                to_port=port.last,
                cidr_blocks=["0.0.0.0/0"],
                ipv6_cidr_blocks=["::/0"],
            )
            for port in settings.open_ports
        ]
        self.security_group = ec2.SecurityGroup(
            named("machines", opts),
            description=f"Flatcar machines of the stack {pulumi.get_stack()}",
            vpc_id=settings.vpc or None,
            ingress=[login, *services],
            egress=[
                ec2.SecurityGroupEgressArgs(
                    protocol="-1", from_port=0, to_port=0, cidr_blocks=["0.0.0.0/0"], ipv6_cidr_blocks=["::/0"]
                )
            ],
            tags={"Name": f"flatcar-{pulumi.get_stack()}", **self.tags},
            opts=pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(retain_on_delete=retain, ignore_changes=["vpcId"])
            ),
        )
        self.group_id = in_one_place(
            self.security_group.id,
            "flatcar:aws.vpc: is {}, but this stack's machines and their security group are in {} and can't leave it. "
            "Put vpc and subnet back, or make another stack for the other network",
            pulumi.Output.from_input(settings.vpc),
            self.security_group.vpc_id,
        )
        self.partition = self.security_group.arn.apply(lambda arn: arn.split(":")[1])
        """`aws`, or `aws-cn`, `aws-us-gov` …: what ARNs begin with there."""


class Ec2:
    """One machine on EC2."""

    ignition_platform = PLATFORM.ignition.name

    def __init__(self, shared: Aws, machine: InstanceSettings) -> None:
        self.login_user = "core" if shared.settings.key_name else None  # coreos-metadata-sshkeys@core.service
        self._shared = shared
        self._machine = machine
        self.described = PLATFORM, machine
        self.image_version = shared.settings.ami.version

    def create(
        self,
        name: str,
        *,
        user_data: pulumi.Input[str],
        report: str = "",
        opts: pulumi.ResourceOptions | None = None,
    ) -> PlatformMachine:
        """An instance with a role that may read the object of its pointer, and write its `report` (s3://, "" for none);
        an Elastic IP and a volume where wanted.

        Raises `pulumi.RunError` at preview when the instance's user data is not the pointer.
        """
        shared, machine, settings = self._shared, self._machine, self._shared.settings
        tags = {"Name": name, **shared.tags, **machine.tags}
        attached = kept_as(opts)
        its_own = pulumi.ResourceOptions.merge(attached, pulumi.ResourceOptions(protect=False))
        policy_text = pulumi.Output.all(user_data, shared.partition).apply(
            lambda known: json.dumps(role_policy(known[0], known[1], report))
        )
        profile, policy = _role(name, policy_text, tags, its_own)
        instance = ec2.Instance(
            name,
            ami=shared.ami,
            instance_type=machine.instance_type or settings.instance_type,
            key_name=settings.key_name or None,
            subnet_id=settings.subnet or None,
            availability_zone=settings.availability_zone or None,
            vpc_security_group_ids=[shared.group_id],
            iam_instance_profile=profile.name,
            user_data=user_data,
            user_data_replace_on_change=False,
            disable_api_termination=machine.termination_protection,
            metadata_options={"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1},
            root_block_device={
                "encrypted": True,
                "volume_type": "gp3",
                **({"volume_size": machine.root_volume} if machine.root_volume else {}),
            },
            tags=tags,
            opts=pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(
                    ignore_changes=[*KEPT, *(() if machine.instance_type else (TYPE,))],
                    depends_on=[policy],
                    import_=machine.adopt or None,
                    delete_before_replace=False,
                ),
                opts,
            ),
        )
        tell_pending(
            instance,
            name,
            {
                "ami": (shared.ami, instance.ami),
                "key_name": (settings.key_name, instance.key_name),
                "subnet": (settings.subnet, instance.subnet_id),
                "availability_zone": (settings.availability_zone, instance.availability_zone),
                "root volume": (
                    machine.root_volume or None,
                    instance.root_block_device.apply(lambda device: device.volume_size if device else None),
                ),
            },
        )
        tell_pending(
            instance,
            name,
            {"instance_type": ("" if machine.instance_type else settings.instance_type, instance.instance_type)},
            way="To stop and start this one for it: "
            f"flatcar:machines.{name}.ec2.instance_type: {settings.instance_type}",
        )
        address = self._address(name, instance, tags, attached)
        if machine.volume:
            address = self._with_volume(name, instance, address, tags, attached)
        return PlatformMachine(
            resource=instance,
            ssh_host=checked_address(instance, name, address, user_data=user_data, actual=instance.user_data),
            ssh_port=22,
            console_log="",
            console_hint=instance.id.apply(lambda id_: f"aws ec2 get-console-output --latest --instance-id {id_}"),
        )

    def _address(
        self, name: str, instance: ec2.Instance, tags: Mapping[str, str], opts: pulumi.ResourceOptions
    ) -> pulumi.Output[str]:
        elastic = (
            ec2.Eip(name, domain="vpc", instance=instance.id, tags=tags, opts=opts)
            if self._machine.elastic_ip
            else None
        )
        if self._shared.settings.address == "private":
            return instance.private_ip
        return elastic.public_ip if elastic else instance.public_ip

    def _with_volume(
        self,
        name: str,
        instance: ec2.Instance,
        address: pulumi.Output[str],
        tags: Mapping[str, str],
        opts: pulumi.ResourceOptions,
    ) -> pulumi.Output[str]:
        """The address, known once the volume is there: whoever uses it finds the volume attached."""
        volume = ebs.Volume(
            f"{name}-data",
            availability_zone=self._shared.settings.availability_zone,
            size=self._machine.volume,
            type="gp3",
            encrypted=True,
            tags={**tags, "Name": f"{name}-data"},
            opts=pulumi.ResourceOptions.merge(
                opts, pulumi.ResourceOptions(protect=True, ignore_changes=["availabilityZone"])
            ),
        )
        attachment = ec2.VolumeAttachment(
            f"{name}-data",
            device_name=DATA_DEVICE,
            instance_id=instance.id,
            volume_id=volume.id,
            stop_instance_before_detaching=True,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(delete_before_replace=True)),
        )
        address = in_one_place(
            address,
            f"{name}: an instance in {{}} can't use its volume in {{}}, which stays where it is. Put "
            "flatcar:aws.availability_zone back, or add another machine for the other zone",
            instance.availability_zone,
            volume.availability_zone,
        )
        return pulumi.Output.all(address, attachment.id).apply(lambda both: str(both[0]))


def role_policy(user_data: str, partition: str = "aws", report: str = "") -> dict[str, object]:
    """The right to read the one object that a pointer leads to: no other key, no listing, no other version's id.

    And where it has a `report` (s3://), to write that, which no machine may read or delete.
    """
    source = str(json.loads(user_data)["ignition"]["config"]["replace"]["source"])
    scheme = urlsplit(source).scheme
    if scheme != "s3":
        raise pulumi.RunError(f"a machine on AWS reads its config from s3://, not from {scheme}://")
    rights = [("ReadItsOwnConfig", "s3:GetObject", source)]
    if report:
        rights.append(("WriteItsOwnReport", "s3:PutObject", report))
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": sid,
                "Effect": "Allow",
                "Action": action,
                "Resource": f"arn:{partition}:s3:::{address.removeprefix('s3://')}",
            }
            for sid, action, address in rights
        ],
    }


def _role(
    name: str, policy_text: pulumi.Output[str], tags: Mapping[str, str], opts: pulumi.ResourceOptions
) -> tuple[iam.InstanceProfile, iam.RolePolicy]:
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}],
    }
    role = iam.Role(name, assume_role_policy=json.dumps(trust), tags=tags, opts=opts)
    policy = iam.RolePolicy(name, role=role.name, policy=policy_text, opts=opts)
    return iam.InstanceProfile(name, role=role.name, tags=tags, opts=opts), policy


def _find_ami(settings: AwsSettings, opts: pulumi.ResourceOptions | None) -> str:
    """The id of Flatcar's AMI of exactly that name. Raises `pulumi.RunError` when the region has none."""
    ami = settings.ami
    try:
        found = ec2.get_ami_ids(
            owners=[FLATCAR_ACCOUNT],
            include_deprecated=True,  # which public images are after two years; machines may still be made of them
            filters=[
                {"name": "name", "values": [ami.name]},
                {"name": "architecture", "values": [ami.architecture]},
                {"name": "virtualization-type", "values": ["hvm"]},
            ],
            opts=pulumi.InvokeOptions(parent=opts.parent if opts is not None else None),
        )
    except Exception as error:  # noqa: BLE001 # the SDK raises nothing more exact
        raise pulumi.RunError(
            f"flatcar:aws.ami: AWS doesn't tell which image {ami.name} is: {said(error)}\n"
            "Are the credentials right (AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), is aws:region "
            "set, and is ec2:DescribeImages allowed? `aws sts get-caller-identity` tells who you are to AWS"
        ) from None
    if len(found.ids) != 1:
        raise pulumi.RunError(
            f"flatcar:aws.ami: {len(found.ids)} images of Flatcar's account {FLATCAR_ACCOUNT} are called {ami.name} "
            f"({ami.architecture}) in this region; look at the version, or pin an image by its id"
        )
    return found.ids[0]
