"""EC2: instances and security groups (terraform-provider-aws 6, `internal/service/ec2`)."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

from pulumi_aws import ec2

from toolchain.plugins.aws.clients import WAIT, Clients, OnAws, all_tags, described, set_tags, tag_list, tag_map
from toolchain.plugins.base import Call, Properties, Value
from toolchain.plugins.bridge import Bridged, listed, whole
from toolchain.plugins.objects import asked


def instance_types(clients: Clients) -> list[Bridged]:
    """All types of this file."""
    kinds: list[type[OnAws]] = [SecurityGroup, Instance]
    return [kind(clients) for kind in kinds]


def ami_ids(clients: Clients, arguments: Properties) -> Properties:
    """`aws:ec2/getAmiIds:getAmiIds`."""
    filters = [
        {"Name": str(item["name"]), "Values": [str(value) for value in item["values"]]}
        for item in listed(arguments.get("filters"))
    ]
    owners = [str(owner) for owner in listed(arguments.get("owners"))]
    request = {
        "Owners": owners,
        "Filters": filters,
        "IncludeDeprecated": bool(arguments.get("includeDeprecated", False)),
    }
    found = asked(lambda: clients.ec2.describe_images(**request))["Images"]
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
            rules = [_permission(rule) for rule in listed(inputs.get(name))]
            if rules:
                asked(lambda give=give, rules=rules: give(GroupId=id_, IpPermissions=rules))
        set_tags(client, id_, inputs)
        return {"arn": f"arn:aws:ec2:::security-group/{id_}", "vpcId": group.get("VpcId", ""), **all_tags(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        asked(lambda: self.clients.ec2.delete_security_group(GroupId=id_))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = described(lambda: self.clients.ec2.describe_security_groups(GroupIds=[id_])["SecurityGroups"])
        if found is None:
            return None
        seen: Properties = {"name": found["GroupName"], "description": found["Description"]}
        for name, present in (("ingress", "IpPermissions"), ("egress", "IpPermissionsEgress")):
            rules: list[Any] = [_rule(permission) for permission in found[present]]
            if _openings(rules) != _openings(listed(state.get(name))):  # else as the program wrote them
                seen[name] = rules
        return {**state, **seen}


class Instance(OnAws):
    """An instance. Changed user data stops and starts it in place, unless `userDataReplaceOnChange` says otherwise."""

    sdk = ec2.Instance
    replace_on = frozenset(
        {
            "ami", "availabilityZone", "subnetId", "keyName", "placementGroup", "privateIp", "tenancy", "hostId",
            "associatePublicIpAddress", "rootBlockDevice.encrypted", "rootBlockDevice.kmsKeyId", "ebsOptimized",
            "ephemeralBlockDevices", "hibernation", "ipv6AddressCount", "ipv6Addresses", "launchTemplate",
            "securityGroups", "cpuOptions", "enclaveOptions", "instanceMarketOptions",
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
            "SecurityGroupIds": [str(id_) for id_ in listed(inputs.get("vpcSecurityGroupIds"))],
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
        root = inputs.get("rootBlockDevice")
        if isinstance(root, dict):
            image = asked(lambda: client.describe_images(ImageIds=[inputs["ami"]]))["Images"][0]
            request["BlockDeviceMappings"] = [{"DeviceName": image["RootDeviceName"], "Ebs": _disk(root, image)}]
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
            groups = [str(group) for group in listed(inputs.get("vpcSecurityGroupIds"))]
            asked(lambda: client.modify_instance_attribute(InstanceId=id_, Groups=groups))
        options = inputs.get("metadataOptions")
        if isinstance(options, dict) and options != before.get("metadataOptions"):
            asked(lambda: client.modify_instance_metadata_options(InstanceId=id_, **_metadata_options(options)))
        gone = [key for key in _map(state.get("tags")) if key not in _map(inputs.get("tags"))]
        if gone:
            asked(lambda: client.delete_tags(Resources=[id_], Tags=[{"Key": key} for key in gone]))
        set_tags(client, id_, inputs)
        return {**self._seen(id_), **all_tags(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        client = self.clients.ec2
        asked(lambda: client.terminate_instances(InstanceIds=[id_]))
        asked(lambda: client.get_waiter("instance_terminated").wait(InstanceIds=[id_], WaiterConfig=WAIT))

    def read(self, id_: str, state: Properties) -> Properties | None:
        found = described(lambda: self._describe(id_))
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
            "rootBlockDevice": self._root(found),
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

    def _root(self, found: Mapping[str, Any]) -> Properties:
        """The root volume as it is."""
        ids = [
            item["Ebs"]["VolumeId"]
            for item in found["BlockDeviceMappings"]
            if item["DeviceName"] == found["RootDeviceName"]
        ]
        if not ids:
            return {}
        volume = asked(lambda: self.clients.ec2.describe_volumes(VolumeIds=ids))["Volumes"][0]
        return {
            "deviceName": found["RootDeviceName"],
            "volumeId": volume["VolumeId"],
            "volumeSize": volume["Size"],
            "volumeType": volume.get("VolumeType", ""),
            "encrypted": volume.get("Encrypted", False),
        }

    def recomputed(self, changed: frozenset[str]) -> frozenset[str]:
        return frozenset({"publicIp", "publicDns"}) if changed & {"userData", "instanceType"} else frozenset()


def _permission(rule: Mapping[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"IpProtocol": rule["protocol"]}
    if rule["protocol"] != "-1":
        made |= {"FromPort": whole(rule["fromPort"]), "ToPort": whole(rule["toPort"])}
    made["IpRanges"] = [{"CidrIp": network} for network in rule.get("cidrBlocks", [])]
    made["Ipv6Ranges"] = [{"CidrIpv6": network} for network in rule.get("ipv6CidrBlocks", [])]
    return made


def _rule(permission: Mapping[str, Any]) -> Properties:
    """A rule as AWS tells it, as the provider keeps it."""
    return {
        "protocol": permission["IpProtocol"],
        "fromPort": permission.get("FromPort", 0),
        "toPort": permission.get("ToPort", 0),
        "cidrBlocks": [item["CidrIp"] for item in permission.get("IpRanges", [])],
        "ipv6CidrBlocks": [item["CidrIpv6"] for item in permission.get("Ipv6Ranges", [])],
    }


def _openings(rules: Sequence[Mapping[str, Any]]) -> set[tuple[str, int, int, str]]:
    """What rules let through, one network each: AWS groups them in its own way."""
    return {
        (str(rule["protocol"]), whole(rule.get("fromPort", 0)), whole(rule.get("toPort", 0)), str(network))
        for rule in rules
        for network in [*rule.get("cidrBlocks", []), *rule.get("ipv6CidrBlocks", [])]
    }


def _disk(root: Mapping[str, Value], image: Mapping[str, Any]) -> dict[str, Any]:
    """The root volume of a new instance; AWS takes the image's size without another, moto wants to be told."""
    sizes = [item["Ebs"].get("VolumeSize", 8) for item in image.get("BlockDeviceMappings", []) if "Ebs" in item]
    disk: dict[str, Any] = {"DeleteOnTermination": True, "Encrypted": bool(root.get("encrypted", False))}
    disk["VolumeSize"] = whole(root["volumeSize"]) if "volumeSize" in root else next(iter(sizes), 8)
    if "volumeType" in root:
        disk["VolumeType"] = root["volumeType"]
    return disk


def _metadata_options(options: Mapping[str, Value]) -> dict[str, Any]:
    return {
        "HttpEndpoint": options.get("httpEndpoint", "enabled"),
        "HttpTokens": options.get("httpTokens", "optional"),
        "HttpPutResponseHopLimit": whole(options.get("httpPutResponseHopLimit", 1)),
    }


def _map(value: Value) -> dict[str, Value]:
    return value if isinstance(value, dict) else {}
