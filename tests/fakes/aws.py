"""AWS on loopback: moto's server in this process, with public addresses that lead to loopback machines.

moto answers S3, EC2 and IAM on one port. Two things are told to it: which addresses new instances get, and that an
image of Flatcar's account exists. Instances that run become loopback machines, terminated ones go.
"""

from __future__ import annotations

import base64
import contextlib
import json
import threading
import urllib.request
from collections.abc import Iterator
from typing import Any
from unittest import mock

import boto3
from moto.ec2.exceptions import DependencyViolationError
from moto.ec2.models import ec2_backends
from moto.ec2.models.security_groups import SecurityGroupBackend
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from moto.s3.models import FakeBucket
from moto.server import ThreadedMotoServer

from tests.fakes.machines import MachinePark

REGION = "eu-central-1"
FLATCAR_ACCOUNT = "075585003325"
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}


@contextlib.contextmanager
def running_moto() -> Iterator[str]:
    """A moto server with nothing in it; yields its address.

    It enforces bucket policies, for which each request counts as one over TLS: loopback has none. And it deletes no
    security group that an instance is in.
    """
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    with (
        mock.patch.object(FakeBucket, "get_permission", _permission_over_tls),
        mock.patch.object(SecurityGroupBackend, "delete_security_group", _delete_unused(SecurityGroupBackend)),
        mock.patch.object(DomainDispatcherApplication, "__call__", _one_by_one(DomainDispatcherApplication)),
    ):
        yield from _serve(server)


def _serve(server: ThreadedMotoServer) -> Iterator[str]:
    server.start()
    try:
        host, port = server.get_host_and_port()
        reset = urllib.request.Request(f"http://{host}:{port}/moto-api/reset", method="POST")
        urllib.request.urlopen(reset).close()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def _one_by_one(application: Any) -> Any:
    """It answers each request in a thread of its own, and none of its backends is made for that."""
    answer, lock = application.__call__, threading.Lock()

    def answer_alone(self: Any, environ: Any, start_response: Any) -> list[bytes]:
        with lock:
            return list(answer(self, environ, start_response))

    return answer_alone


def _delete_unused(backend: Any) -> Any:
    delete = backend.delete_security_group

    def delete_unused(self: Any, name: str | None = None, group_id: str | None = None) -> Any:
        for instance in self.all_instances():
            if instance.state != "terminated" and group_id in [group.id for group in instance.security_groups]:
                raise DependencyViolationError(f"resource {group_id} has a dependent object")
        return delete(self, name, group_id)

    return delete_unused


def _permission_over_tls(bucket: Any, action: str, resource: str) -> Any:
    if bucket.policy is None:
        return PermissionResult.NEUTRAL
    policy = json.loads(bucket.policy.decode())
    without_tls = {"Bool": {"aws:SecureTransport": "false"}}
    policy["Statement"] = [part for part in policy["Statement"] if part.get("Condition") != without_tls]
    return IAMPolicy(json.dumps(policy)).is_action_permitted(action, resource)


class Aws:
    """boto3's clients at a moto server."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.ec2, self.iam, self.s3 = (self.client(service) for service in ("ec2", "iam", "s3"))

    def client(self, service: str, *, account: str = "") -> Any:
        """A client of a service; in another account where wanted."""
        client = boto3.client(service, endpoint_url=self.endpoint, region_name=REGION, **_keys())
        if account:

            def of_another(params: Any, **_: object) -> None:
                params["headers"]["x-moto-account-id"] = account

            client.meta.events.register("before-call", of_another)
        return client

    def signed(self, bucket: str, key: str) -> str:
        """An address that reads a key with credentials."""
        parameters = {"Bucket": bucket, "Key": key}
        return str(self.s3.generate_presigned_url("get_object", Params=parameters, ExpiresIn=86400))

    def publish_ami(self, version: str) -> str:
        """An image of Flatcar's account, stable, x86_64; its id."""
        id_ = str(self.ec2.register_image(Name=f"Flatcar-stable-{version}-hvm")["ImageId"])
        # moto keeps no more of it than the name.
        for account in ec2_backends.values():
            if (image := account[REGION].amis.get(id_)) is not None:
                image.owner_id = FLATCAR_ACCOUNT
                image.architecture, image.virtualization_type = "x86_64", "hvm"
        return id_

    def instances(self) -> list[dict[str, Any]]:
        """The instances that are not terminated."""
        found = self.ec2.describe_instances()["Reservations"]
        all_ = [instance for reservation in found for instance in reservation["Instances"]]
        return [instance for instance in all_ if instance["State"]["Name"] not in ("terminated", "shutting-down")]

    def user_data(self, id_: str) -> str:
        """An instance's user data, decoded."""
        found = self.ec2.describe_instance_attribute(InstanceId=id_, Attribute="userData")["UserData"]
        return base64.b64decode(found.get("Value", "")).decode()

    def left(self) -> dict[str, list[str]]:
        """What the account holds of what a stack makes, by kind; kinds without anything are left out."""
        tagged = {"Name": "tag-key", "Values": ["flatcar:stack"]}
        found = {
            "instances": [item["InstanceId"] for item in self.instances()],
            "volumes": [item["VolumeId"] for item in self.ec2.describe_volumes(Filters=[tagged])["Volumes"]],
            "groups": [
                item["GroupId"] for item in self.ec2.describe_security_groups(Filters=[tagged])["SecurityGroups"]
            ],
            "addresses": [item["PublicIp"] for item in self.ec2.describe_addresses()["Addresses"]],
            "roles": [item["RoleName"] for item in self.iam.list_roles()["Roles"]],
            "profiles": [item["InstanceProfileName"] for item in self.iam.list_instance_profiles()["InstanceProfiles"]],
            "buckets": [item["Name"] for item in self.s3.list_buckets()["Buckets"]],
        }
        return {kind: sorted(names) for kind, names in found.items() if names}


@contextlib.contextmanager
def loopback_addresses(park: MachinePark) -> Iterator[None]:
    """New instances and Elastic IPs of this process's moto get addresses of the park, private ones too."""
    models = "moto.ec2.models"
    with (
        mock.patch(f"{models}.elastic_network_interfaces.random_public_ip", park.address),
        mock.patch(f"{models}.elastic_ip_addresses.random_ip", park.address),
        mock.patch(f"{models}.instances.random_private_ip", park.address),
    ):
        yield


@contextlib.contextmanager
def switched_on(aws: Aws, park: MachinePark) -> Iterator[None]:
    """Keep the park in step with the instances, looking several times a second."""
    stop = threading.Event()

    def watch() -> None:
        while not stop.wait(0.2):
            present = {item["InstanceId"]: item for item in aws.instances()}
            for id_ in set(park.machines) - set(present):
                park.switch_off(id_)
            elastic = {item["PublicIp"]: item.get("InstanceId") for item in aws.ec2.describe_addresses()["Addresses"]}
            for id_ in sorted(set(present) - set(park.ever)):
                public, private = present[id_]["PublicIpAddress"], present[id_]["PrivateIpAddress"]
                # its own address is one that stays with it
                park.switch_on(id_, private if public in elastic else public, aws.user_data(id_))
            for id_, machine in park.machines.items():
                address = present[id_].get("PublicIpAddress", machine.address)
                for other in {address, present[id_]["PrivateIpAddress"]} - {machine.address}:  # an Elastic IP, inside
                    if elastic.get(other, id_) == id_:  # moto leaves one that has moved at the instance before, too
                        park.also_at(id_, other)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _keys() -> dict[str, str]:
    return {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
