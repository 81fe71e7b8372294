"""EC2: instances, security groups, addresses and volumes (terraform-provider-aws 6, `internal/service/ec2`)."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import ClientError
from pulumi_aws import ebs, ec2

from toolchain.plugins.aws.clients import WAIT, Clients, OnAws, all_tags, tag_list, tag_map
from toolchain.plugins.base import Call, Properties, ProviderError, Value
from toolchain.plugins.bridge import Bridged, whole
from toolchain.plugins.objects import asked, is_gone


def instance_types(clients: Clients) -> list[Bridged]:
    """All types of this file."""
    kinds: list[type[OnAws]] = [SecurityGroup, Instance, Eip, Volume, VolumeAttachment]
    return [kind(clients) for kind in kinds]


def ami_ids(clients: Clients, arguments: Properties) -> Properties:
    """`aws:ec2/getAmiIds:getAmiIds`."""
    filters = [
        {"Name": str(item["name"]), "Values": [str(value) for value in item["values"]]}
        for item in _list(arguments.get("filters"))
    ]
    owners = [str(owner) for owner in _list(arguments.get("owners"))]
    found = asked(lambda: clients.ec2.describe_images(Owners=owners, Filters=filters))["Images"]
    newest_first = sorted(found, key=lambda image: str(image["CreationDate"]), reverse=True)
    return {"id": "ids", "ids": [image["ImageId"] for image in newest_first], **arguments, "region": clients.region}


class SecurityGroup(OnAws):
    """A security group whose rules stand in it; they change in place."""

    sdk = ec2.SecurityGroup
    automatic_name = "name"
    replace_on = frozenset({"name", "namePrefix", "description", "vpcId"})
    filled_in = frozenset({"region", "vpcId"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        client = self.clients.ec2
        vpc = {"VpcId": str(inputs["vpcId"])} if "vpcId" in inputs else {}
        made = asked(
            lambda: client.create_security_group(
                GroupName=inputs["name"], Description=inputs.get("description", "Managed by Pulumi"), **vpc
            )
        )
        id_ = str(made["GroupId"])
        return id_, self.update(call, id_, {}, inputs)

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        client = self.clients.ec2
        group = asked(lambda: client.describe_security_groups(GroupIds=[id_]))["SecurityGroups"][0]
        for present, name, take, give in (
            ("IpPermissions", "ingress", client.revoke_security_group_ingress, client.authorize_security_group_ingress),
            (
                "IpPermissionsEgress",
                "egress",
                client.revoke_security_group_egress,
                client.authorize_security_group_egress,
            ),
        ):
            if name in state and state[name] == inputs.get(name):
                continue
            if group[present]:
                asked(lambda take=take, rules=group[present]: take(GroupId=id_, IpPermissions=rules))
            rules = [_permission(rule) for rule in _list(inputs.get(name))]
            if rules:
                asked(lambda give=give, rules=rules: give(GroupId=id_, IpPermissions=rules))
        _tag(client, id_, inputs)
        return {"arn": f"arn:aws:ec2:::security-group/{id_}", "vpcId": group.get("VpcId", ""), **all_tags(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        asked(lambda: self.clients.ec2.delete_security_group(GroupId=id_))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = _described(lambda: self.clients.ec2.describe_security_groups(GroupIds=[id_])["SecurityGroups"])
        return None if found is None else {**state, "name": found["GroupName"]}


class Instance(OnAws):
    """An instance. Changed user data stops and starts it in place, unless `userDataReplaceOnChange` says otherwise."""

    sdk = ec2.Instance
    replace_on = frozenset(
        {
            "ami", "availabilityZone", "subnetId", "keyName", "placementGroup", "privateIp", "tenancy", "hostId",
            "associatePublicIpAddress", "rootBlockDevice.encrypted", "ephemeralBlockDevices",
        }
    )  # fmt: skip
    sets = frozenset({"vpcSecurityGroupIds"})
    filled_in = frozenset(
        {
            "region", "availabilityZone", "subnetId", "keyName", "privateIp", "tenancy", "rootBlockDevice",
            "ebsBlockDevices", "associatePublicIpAddress", "securityGroups", "cpuOptions", "sourceDestCheck",
            "secondaryPrivateIps", "ipv6Addresses", "capacityReservationSpecification", "placementGroup",
        }
    )  # fmt: skip

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        client = self.clients.ec2
        request: dict[str, Any] = {
            "ImageId": inputs["ami"],
            "InstanceType": inputs["instanceType"],
            "MinCount": 1,
            "MaxCount": 1,
            "SecurityGroupIds": [str(id_) for id_ in _list(inputs.get("vpcSecurityGroupIds"))],
            "UserData": str(inputs.get("userData", "")),
            "DisableApiTermination": bool(inputs.get("disableApiTermination", False)),
            "TagSpecifications": [{"ResourceType": "instance", "Tags": tag_list(inputs.get("tags"))}],
        }
        if "keyName" in inputs:
            request["KeyName"] = inputs["keyName"]
        if "subnetId" in inputs:
            request["SubnetId"] = inputs["subnetId"]
        if "availabilityZone" in inputs:
            request["Placement"] = {"AvailabilityZone": inputs["availabilityZone"]}
        if "iamInstanceProfile" in inputs:
            request["IamInstanceProfile"] = {"Name": inputs["iamInstanceProfile"]}
        options = inputs.get("metadataOptions")
        if isinstance(options, dict):
            request["MetadataOptions"] = _metadata_options(options)
        made = asked(lambda: client.run_instances(**request))["Instances"][0]
        id_ = str(made["InstanceId"])
        if inputs.get("disableApiTermination"):  # once more: moto takes it from this call alone
            protection = {"InstanceId": id_, "DisableApiTermination": {"Value": True}}
            asked(lambda: client.modify_instance_attribute(**protection))
        asked(lambda: client.get_waiter("instance_running").wait(InstanceIds=[id_], WaiterConfig=WAIT))
        return id_, {**self._seen(id_), **all_tags(inputs)}

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        client = self.clients.ec2
        before = {key: state.get(key) for key in inputs}
        other_data = before.get("userData") != inputs.get("userData")
        other_type = before.get("instanceType") != inputs["instanceType"]
        if other_data or other_type:
            asked(lambda: client.stop_instances(InstanceIds=[id_]))
            if other_type:
                kind = {"Value": str(inputs["instanceType"])}
                asked(lambda: client.modify_instance_attribute(InstanceId=id_, InstanceType=kind))
            if other_data:
                data = {"Value": str(inputs.get("userData", "")).encode()}
                asked(lambda: client.modify_instance_attribute(InstanceId=id_, UserData=data))
            asked(lambda: client.start_instances(InstanceIds=[id_]))
        if before.get("disableApiTermination") != inputs.get("disableApiTermination"):
            value = bool(inputs.get("disableApiTermination"))
            asked(lambda: client.modify_instance_attribute(InstanceId=id_, DisableApiTermination={"Value": value}))
        if before.get("vpcSecurityGroupIds") != inputs.get("vpcSecurityGroupIds"):
            groups = [str(group) for group in _list(inputs.get("vpcSecurityGroupIds"))]
            asked(lambda: client.modify_instance_attribute(InstanceId=id_, Groups=groups))
        options = inputs.get("metadataOptions")
        if isinstance(options, dict) and options != before.get("metadataOptions"):
            asked(lambda: client.modify_instance_metadata_options(InstanceId=id_, **_metadata_options(options)))
        gone = [key for key in _map(state.get("tags")) if key not in _map(inputs.get("tags"))]
        if gone:
            asked(lambda: client.delete_tags(Resources=[id_], Tags=[{"Key": key} for key in gone]))
        _tag(client, id_, inputs)
        return {**self._seen(id_), **all_tags(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        client = self.clients.ec2
        asked(lambda: client.terminate_instances(InstanceIds=[id_]))
        asked(lambda: client.get_waiter("instance_terminated").wait(InstanceIds=[id_], WaiterConfig=WAIT))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = _described(lambda: self._describe(id_))
        if found is None or found["State"]["Name"] in ("terminated", "shutting-down"):
            return None
        seen = {**state, **self._seen(id_), "tags": tag_map(found.get("Tags")), "ami": found["ImageId"]}
        seen["instanceType"] = found["InstanceType"]
        seen["vpcSecurityGroupIds"] = [group["GroupId"] for group in found.get("SecurityGroups", [])]
        profile = found.get("IamInstanceProfile", {}).get("Arn", "")
        if profile:
            seen["iamInstanceProfile"] = profile.rpartition("/")[2]
        kept = asked(lambda: self.clients.ec2.describe_instance_attribute(InstanceId=id_, Attribute="userData"))
        if data := kept.get("UserData", {}).get("Value"):
            seen["userData"] = base64.b64decode(data).decode()
        if not state:
            protection = asked(
                lambda: self.clients.ec2.describe_instance_attribute(InstanceId=id_, Attribute="disableApiTermination")
            )
            seen["disableApiTermination"] = protection["DisableApiTermination"]["Value"]
            options = found.get("MetadataOptions", {})
            seen["metadataOptions"] = {
                "httpEndpoint": options.get("HttpEndpoint", "enabled"),
                "httpTokens": options.get("HttpTokens", "optional"),
                "httpPutResponseHopLimit": options.get("HttpPutResponseHopLimit", 1),
            }
            seen["userDataReplaceOnChange"] = False
        return seen

    def _describe(self, id_: str) -> list[Any]:
        reservations = self.clients.ec2.describe_instances(InstanceIds=[id_])["Reservations"]
        return [instance for reservation in reservations for instance in reservation["Instances"]]

    def _seen(self, id_: str) -> Properties:
        found = asked(lambda: self._describe(id_))[0]
        return {
            "arn": f"arn:aws:ec2:{self.clients.region}::instance/{id_}",
            "instanceState": found["State"]["Name"],
            "publicIp": found.get("PublicIpAddress", ""),
            "privateIp": found.get("PrivateIpAddress", ""),
            "publicDns": found.get("PublicDnsName", ""),
            "privateDns": found.get("PrivateDnsName", ""),
            "availabilityZone": found["Placement"]["AvailabilityZone"],
            "subnetId": found.get("SubnetId", ""),
            "primaryNetworkInterfaceId": (found.get("NetworkInterfaces") or [{}])[0].get("NetworkInterfaceId", ""),
        }

    def recomputed(self, changed: frozenset[str]) -> frozenset[str]:
        return frozenset({"publicIp", "publicDns"}) if changed & {"userData", "instanceType"} else frozenset()


class Eip(OnAws):
    """An Elastic IP, which moves between instances in place; its id is the allocation's."""

    sdk = ec2.Eip
    replace_on = frozenset({"domain", "address", "publicIpv4Pool", "networkBorderGroup"})
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
        _tag(client, id_, inputs)
        return {**self._seen(id_), **all_tags(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        client = self.clients.ec2
        association = self._seen(id_).get("associationId")
        if association:
            asked(lambda: client.disassociate_address(AssociationId=association))
        asked(lambda: client.release_address(AllocationId=id_))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = _described(lambda: self.clients.ec2.describe_addresses(AllocationIds=[id_])["Addresses"])
        if found is None:
            return None
        attached = {"instance": found["InstanceId"]} if found.get("InstanceId") else {}
        return {**state, "publicIp": found["PublicIp"], **attached}

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
    replace_on = frozenset({"availabilityZone", "encrypted", "kmsKeyId", "snapshotId"})
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
        _tag(self.clients.ec2, id_, inputs)
        return {"arn": state["arn"], **all_tags(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        asked(lambda: self.clients.ec2.delete_volume(VolumeId=id_))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = _described(lambda: self.clients.ec2.describe_volumes(VolumeIds=[id_])["Volumes"])
        return None if found is None else {**state, "size": found["Size"]}


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

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        client, instance = self.clients.ec2, str(state["instanceId"])
        if state.get("stopInstanceBeforeDetaching"):
            asked(lambda: client.stop_instances(InstanceIds=[instance]))
            asked(lambda: client.get_waiter("instance_stopped").wait(InstanceIds=[instance], WaiterConfig=WAIT))
        asked(lambda: client.detach_volume(VolumeId=state["volumeId"], InstanceId=instance))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = _described(lambda: self.clients.ec2.describe_volumes(VolumeIds=[str(state["volumeId"])])["Volumes"])
        attached = found and [item["InstanceId"] for item in found["Attachments"]]
        return state if attached == [state["instanceId"]] else None


def _permission(rule: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"IpProtocol": rule["protocol"]}
    if rule["protocol"] != "-1":
        made |= {"FromPort": whole(rule["fromPort"]), "ToPort": whole(rule["toPort"])}
    made["IpRanges"] = [{"CidrIp": network} for network in rule.get("cidrBlocks", [])]
    made["Ipv6Ranges"] = [{"CidrIpv6": network} for network in rule.get("ipv6CidrBlocks", [])]
    return made


def _metadata_options(options: Mapping[str, Value]) -> dict[str, Any]:
    return {
        "HttpEndpoint": options.get("httpEndpoint", "enabled"),
        "HttpTokens": options.get("httpTokens", "optional"),
        "HttpPutResponseHopLimit": whole(options.get("httpPutResponseHopLimit", 1)),
    }


def _tag(client: Any, id_: str, inputs: Properties) -> None:
    if tags := tag_list(inputs.get("tags")):
        asked(lambda: client.create_tags(Resources=[id_], Tags=tags))


def _described(question: Any) -> Any:
    """The first thing of a describe call, None when there is none."""
    try:
        found = question()
    except ClientError as error:
        if is_gone(error):
            return None
        raise ProviderError(str(error)) from error
    return found[0] if found else None


def _list(value: Value) -> list[Any]:
    return value if isinstance(value, list) else []


def _map(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}
