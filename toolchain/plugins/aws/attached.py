"""EC2: what belongs to an instance and outlives it (terraform-provider-aws 6, `internal/service/ec2`)."""

from __future__ import annotations

from pulumi_aws import ebs, ec2

from toolchain.plugins.aws.clients import WAIT, Clients, OnAws, all_tags, described, set_tags, tag_list
from toolchain.plugins.base import Call, Properties
from toolchain.plugins.bridge import Bridged, whole
from toolchain.plugins.objects import asked


def attached_types(clients: Clients) -> list[Bridged]:
    """All types of this file."""
    kinds: list[type[OnAws]] = [Eip, Volume, VolumeAttachment]
    return [kind(clients) for kind in kinds]


class Eip(OnAws):
    """An Elastic IP, which moves between instances in place; its id is the allocation's."""

    sdk = ec2.Eip
    replace_on = frozenset(
        {"domain", "address", "publicIpv4Pool", "networkBorderGroup", "customerOwnedIpv4Pool", "ipamPoolId"}
    )
    filled_in = frozenset({"region", "networkInterface", "networkBorderGroup", "publicIpv4Pool", "ipamPoolId"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        made = asked(lambda: self.clients.ec2.allocate_address(Domain="vpc"))
        id_ = str(made["AllocationId"])
        return id_, self.update(call, id_, {}, inputs)

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        client = self.clients.ec2
        if inputs.get("instance") and inputs["instance"] != state.get("instance"):
            asked(
                lambda: client.associate_address(
                    AllocationId=id_, InstanceId=str(inputs["instance"]), AllowReassociation=True
                )
            )
        set_tags(client, id_, inputs)
        return {**self._seen(id_), **all_tags(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        client = self.clients.ec2
        association = self._seen(id_).get("associationId")
        if association:
            asked(lambda: client.disassociate_address(AssociationId=association))
        asked(lambda: client.release_address(AllocationId=id_))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = described(lambda: self.clients.ec2.describe_addresses(AllocationIds=[id_])["Addresses"])
        if found is None:
            return None
        return {**state, "publicIp": found["PublicIp"], "instance": found.get("InstanceId") or None}

    def _seen(self, id_: str) -> Properties:
        found = asked(lambda: self.clients.ec2.describe_addresses(AllocationIds=[id_]))["Addresses"][0]
        return {
            "allocationId": id_,
            "publicIp": found["PublicIp"],
            "associationId": found.get("AssociationId", ""),
        }


class Volume(OnAws):
    """An EBS volume."""

    sdk = ebs.Volume
    replace_on = frozenset(
        {"availabilityZone", "encrypted", "kmsKeyId", "snapshotId", "multiAttachEnabled", "outpostArn"}
    )
    filled_in = frozenset({"region", "iops", "throughput", "kmsKeyId", "snapshotId"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        made = asked(
            lambda: self.clients.ec2.create_volume(
                AvailabilityZone=inputs["availabilityZone"],
                Size=whole(inputs["size"]),
                VolumeType=inputs.get("type", "gp2"),
                Encrypted=bool(inputs.get("encrypted", False)),
                TagSpecifications=[{"ResourceType": "volume", "Tags": tag_list(inputs.get("tags"))}],
            )
        )
        id_ = str(made["VolumeId"])
        asked(lambda: self.clients.ec2.get_waiter("volume_available").wait(VolumeIds=[id_], WaiterConfig=WAIT))
        return id_, {"arn": f"arn:aws:ec2:{self.clients.region}::volume/{id_}", **all_tags(inputs)}

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        if state.get("size") != inputs.get("size"):
            asked(lambda: self.clients.ec2.modify_volume(VolumeId=id_, Size=whole(inputs["size"])))
        set_tags(self.clients.ec2, id_, inputs)
        return {"arn": state["arn"], **all_tags(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        asked(lambda: self.clients.ec2.delete_volume(VolumeId=id_))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = described(lambda: self.clients.ec2.describe_volumes(VolumeIds=[id_])["Volumes"])
        if found is None:
            return None
        names = {"size": "Size", "availabilityZone": "AvailabilityZone", "encrypted": "Encrypted", "type": "VolumeType"}
        return {**state, **{name: found[theirs] for name, theirs in names.items() if found.get(theirs) is not None}}


class VolumeAttachment(OnAws):
    """A volume at an instance."""

    sdk = ec2.VolumeAttachment
    replace_on = frozenset({"deviceName", "instanceId", "volumeId"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        asked(
            lambda: self.clients.ec2.attach_volume(
                Device=inputs["deviceName"], InstanceId=inputs["instanceId"], VolumeId=inputs["volumeId"]
            )
        )
        return f"vai-{inputs['volumeId']}-{inputs['instanceId']}", {}

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        return {}  # how it is let go of one day, no more

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        client, instance = self.clients.ec2, str(state["instanceId"])
        if state.get("stopInstanceBeforeDetaching"):
            asked(lambda: client.stop_instances(InstanceIds=[instance]))
            asked(lambda: client.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig=WAIT))
        asked(lambda: client.detach_volume(VolumeId=state["volumeId"], InstanceId=instance))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = described(lambda: self.clients.ec2.describe_volumes(VolumeIds=[str(state["volumeId"])])["Volumes"])
        attached = found and [item["InstanceId"] for item in found["Attachments"]]
        return state if attached == [state["instanceId"]] else None
