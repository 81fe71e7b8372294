"""Machines on clouds through the package: what they share is a component of its own.

The clouds are stand-ins on loopback, as in `test_ec2` and `test_droplet`; machines are loopback ones.
"""

from __future__ import annotations

import json
import os
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.cloud_lab import in_place, steps_of, touched
from tests.engine.test_droplet import cloud_environment, fake_digitalocean
from tests.engine.test_package import CONFIG, program
from tests.fakes.aws import CREDENTIALS, REGION, Aws, loopback_addresses, running_moto, switched_on
from tests.fakes.machines import MachinePark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopback.pulumi import Pulumi
    from tests.conftest import Project

pytestmark = pytest.mark.slow

VERSION = "4459.2.1"
BUCKET = "flatcar-configs-package"
EC2 = """
shared = Of("AwsShared", ["bucket"], {{
    "ami": {{"version": "{version}"}}, "sshFrom": ["198.18.0.0/15"], "openPorts": ["443/tcp"],
    "tags": {{"team": "web"}}, "store": {{"bucket": "{bucket}", "keepDays": 7}},
}}, name="machines")

def machine(name, opts=None, **more):
    return Of("Machine", ["address", "configId", "downtimeSeconds"], {{
        "config": Path(f"{{name}}.yaml").read_text(), "configName": f"{{name}}.yaml",
        "variables": {{"greeting": pulumi.Output.from_input("hello")}},
        "secrets": {{"token": pulumi.Output.secret("hunter2")}},
        "allow": ["login"], "timeout": 60, "rollbackAfter": 400, "aws": shared, {login} **more,
    }}, opts, name=name)

db = machine("db", pulumi.ResourceOptions(protect=True))
web = machine("web", pulumi.ResourceOptions(depends_on=[db]), ec2={{"elasticIp": True, "tags": {{"role": "web"}}}})
pulumi.export("ids", {{"db": db.configId, "web": web.configId}})
pulumi.export("address", web.address)
"""


class Ec2Lab:
    """A program of two instances; `aws` is the account."""

    def __init__(self, stack: Pulumi, aws: Aws, park: MachinePark) -> None:
        self.stack, self.aws, self.park = stack, aws, park

    def edit(self, name: str, text: str) -> None:
        """Change a machine's config."""
        (self.stack.directory / f"{name}.yaml").write_text(text)

    def id(self, name: str) -> str:
        """Of the one running instance of a name."""
        (found,) = [item for item in self.aws.instances() if {"Key": "Name", "Value": name} in item["Tags"]]
        return str(found["InstanceId"])

    def page(self, name: str) -> str:
        """What the instance has in the file of its config."""
        return self.park.machines[self.id(name)].text("/etc/page")


@pytest.fixture
def lab(tmp_path: Path, pulumi: Project, free_port: int) -> Iterator[Ec2Lab]:
    with ExitStack() as closes, running_moto() as endpoint:
        park = closes.enter_context(closing(MachinePark(tmp_path / "park", endpoint, free_port)))
        aws = Aws(endpoint)
        park.signed = aws.signed
        aws.publish_ami(VERSION)
        text = EC2.format(version=VERSION, bucket=BUCKET, login=login(park))
        env = {**CREDENTIALS, "AWS_ENDPOINT_URL": endpoint, "AWS_REGION": REGION}
        stack = program(pulumi, tmp_path, text, env)
        for name in ("skipCredentialsValidation", "skipRequestingAccountId", "s3UsePathStyle"):
            stack.run("config", "set", f"aws:{name}", "true")  # for the real plugin; the stand-in needs none of them
        lab = Ec2Lab(stack, aws, park)
        for name in ("db", "web"):
            lab.edit(name, CONFIG)
        with loopback_addresses(park), switched_on(aws, park):
            yield lab
            if stack.is_populated():
                stack.run("state", "unprotect", "--all", "--yes")
                stack.destroy()


def login(park: MachinePark) -> str:
    """The input `ssh` of a machine of the park."""
    ssh: dict[str, Any] = {"user": os.environ.get("USER") or "root", "port": park.port, "privateKeyFile": str(park.key)}
    ssh["publicKey"] = Path(f"{park.key}.pub").read_text().strip()
    return f'"ssh": {json.dumps(ssh)},'


def test_instances_share_what_is_declared_once_and_change_in_place(lab: Ec2Lab) -> None:
    lab.stack.preview()
    assert lab.aws.left() == {}, "a preview changes nothing"
    lab.stack.up()
    ids = {name: lab.id(name) for name in ("db", "web")}
    left = lab.aws.left()
    assert [len(left[kind]) for kind in ("instances", "groups", "roles")] == [2, 1, 2] and left["buckets"] == [BUCKET]
    (expiry,) = lab.aws.s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert expiry["NoncurrentVersionExpiration"]["NoncurrentDays"] == 7
    assert lab.stack.outputs()["address"] == left["addresses"][0]
    pointer = json.loads(lab.aws.user_data(ids["web"]))["ignition"]["config"]["replace"]
    assert pointer == {"source": f"s3://{BUCKET}/machines/web.ign"}
    assert {name: lab.page(name) for name in ids} == dict.fromkeys(ids, "hello hunter2")
    protected = {name for name, resource in lab.stack.resources().items() if resource.get("protect")}
    assert protected == {"db"}
    assert touched(lab.stack.up()) == {}

    lab.edit("web", CONFIG.replace("${greeting}", "${greeting}, again"))
    wanted = in_place("web", stored="BucketObjectv2")
    assert touched(lab.stack.preview()) == wanted
    assert touched(lab.stack.up()) == wanted
    assert lab.page("web") == "hello, again hunter2" and lab.page("db") == "hello hunter2"
    assert {name: lab.id(name) for name in ids} == ids
    assert [lab.park.machines[id_].boots for id_ in ids.values()] == [1, 2]

    lab.edit("db", CONFIG.replace("${greeting}", "${greeting}, db"))
    lab.stack.up()
    assert lab.page("db") == "hello, db hunter2", "a protected machine changes in place"
    assert "hunter2" not in json.dumps(lab.stack.export())

    program = lab.stack.directory / "__main__.py"
    program.write_text(program.read_text().replace("ec2={", 'lifecycle="replace", ec2={'))
    assert not [step for step in steps_of(lab.stack.up()) if step[1] == "Instance web"], "a switch replaces nothing"
    lab.edit("web", CONFIG.replace("${greeting}", "${greeting}, anew"))
    steps = steps_of(lab.stack.up())
    assert steps.index(("update", "Command web-reprovision")) < steps.index(("delete-replaced", "Instance web"))
    assert lab.page("web") == "hello, anew hunter2" and lab.id("web") != ids["web"] and lab.id("db") == ids["db"]
    assert lab.stack.outputs()["address"] == left["addresses"][0], "the Elastic IP went along"


def test_an_instance_that_shares_pulls_its_config(lab: Ec2Lab) -> None:
    program = lab.stack.directory / "__main__.py"
    program.write_text(program.read_text().replace("ec2={", 'pull={"window": "Sun 03:00-04:00"}, ec2={'))
    lab.stack.up()
    id_ = lab.id("web")
    key = "machines/web.ign"
    first = lab.aws.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode()
    assert "pull.sh" in first, "the agent is in the object"
    lab.edit("web", CONFIG.replace("${greeting}", "${greeting}, again"))
    assert "it takes its config by itself" in lab.stack.preview().output
    lab.stack.up()
    assert lab.aws.s3.get_object(Bucket=BUCKET, Key=key)["Body"].read().decode() != first
    assert lab.id("web") == id_ and lab.park.machines[id_].boots == 1, "nobody has pushed it"


DROPLET = """
shared = Of("DigitalOceanShared", ["bucket"], {{
    "region": "fra1", "image": {{"version": "{version}"}}, "sshKeys": [{key}], "sshFrom": ["198.18.0.0/15"],
    "store": {{"bucket": "{bucket}", "region": "fra1", "allowSecrets": ["token"]}},
}}, name="machines")
web = Of("Machine", ["address"], {{
    "config": Path("web.yaml").read_text(), "configName": "web.yaml",
    "variables": {{"greeting": pulumi.Output.from_input("hello")}},
    "secrets": {{"token": pulumi.Output.secret("hunter2")}},
    "allow": ["login"], "timeout": 60, "digitalocean": shared, "droplet": {{"tags": ["front"]}}, {login}
}})
pulumi.export("address", web.address)
"""


def test_droplets_share_what_is_declared_once_and_change_in_place(
    tmp_path: Path, pulumi: Project, free_port: int
) -> None:
    with ExitStack() as closes, running_moto() as objects:
        park = closes.enter_context(closing(MachinePark(tmp_path / "park", objects, free_port)))
        api = fake_digitalocean(park)
        address = closes.enter_context(api.running())
        spaces = Aws(objects)
        key = json.dumps(Path(f"{park.key}.pub").read_text().strip())
        stack = program(
            pulumi,
            tmp_path,
            DROPLET.format(version=VERSION, bucket=BUCKET, key=key, login=login(park)),
            cloud_environment(api, address, objects),
        )
        stack.preview()
        assert not api.requests, "a preview changes nothing"
        stack.up()
        (droplet,) = api.droplets.values()
        machine = park.machines[str(droplet["id"])]
        assert machine.text("/etc/page") == "hello hunter2"
        assert stack.outputs()["address"] == droplet["networks"]["v4"][0]["ip_address"]
        assert set(droplet["tags"]) == {"machines-flatcar-test", "front"}
        (firewall,) = api.firewalls.values()
        assert firewall["tags"] == ["machines-flatcar-test"]
        (stack.directory / "web.yaml").write_text(CONFIG.replace("${greeting}", "${greeting}, again"))
        wanted = in_place("web", stored="SpacesBucketObject")
        assert touched(stack.preview()) == wanted
        assert touched(stack.up()) == wanted
        assert machine.text("/etc/page") == "hello, again hunter2" and machine.boots == 2
        stack.destroy()
        assert api.left() == {"tags": ["front"]}, "DigitalOcean keeps a tag that came with a droplet"
        assert spaces.left() == {}
