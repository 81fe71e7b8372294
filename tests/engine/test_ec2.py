"""The stack `production` (EC2, S3, IAM) on the real engine, against moto's server on loopback.

Machines are loopback machines: real SSH, stand-in system (`loopback_machine`). The tests run with the real aws plugin
where it is installed, else with the stand-in; their output ends with which. moto refuses what is not signed, but asks
no role: what policies allow is asked of an evaluator (`iam_policy`), with those that the stack wrote.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from components.operate.reports import read_reports
from components.operate.status import State, statuses
from components.payload.machine_config import pointer
from loopback.machine import wait_until
from tests.engine.cloud_lab import (
    CloudLab,
    a_failed_change_is_put_back_and_tried_again,
    copy_project,
    in_place,
    other_computers_go_on,
    stack_config,
    steps_of,
    touched,
)
from tests.engine.iam_policy import Request, is_allowed
from tests.fakes.aws import CREDENTIALS, REGION, Aws, loopback_addresses, running_moto, switched_on
from tests.fakes.machines import MachinePark

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopback.sshd import Sshd
    from tests.conftest import Project

pytestmark = pytest.mark.slow

BUCKET = "flatcar-configs-production"
VERSION = "4459.2.1"


class Ec2Lab(CloudLab):
    """The stack `production`; `aws` is the account, `temporary` the folder that $TMPDIR names."""

    aws: Aws
    temporary: Path

    def copies(self) -> list[str]:
        """What plugins have left of objects in the temporary folder."""
        return [path.name for path in self.temporary.glob("pulumi-*asset*")]

    def instance(self, name: str) -> dict[str, Any]:
        """The one running instance of a name."""
        (found,) = [item for item in self.aws.instances() if {"Key": "Name", "Value": name} in item["Tags"]]
        return found

    def held(self) -> tuple[str, str]:
        """The content and the version of the object of web-1."""
        answer = self.aws.s3.get_object(Bucket=BUCKET, Key="machines/web-1.ign")
        return answer["Body"].read().decode(), answer["VersionId"]

    def keys(self) -> list[str]:
        """The keys of all objects."""
        return [item["Key"] for item in self.aws.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def object_of(self, name: str) -> tuple[str, str]:
        """A machine's object: its text and its version."""
        answer = self.aws.s3.get_object(Bucket=BUCKET, Key=f"machines/{name}.ign")
        return answer["Body"].read().decode(), answer["VersionId"]

    def config_id(self, name: str) -> str:
        """The config id in it."""
        return str(re.findall(r'"data:,([0-9a-f]{128})%0A"', self.object_of(name)[0])[-1])

    def policies(self, name: str) -> list[dict[str, Any]]:
        """What a machine's role may do."""
        (role,) = [
            role["RoleName"]
            for role in self.aws.iam.list_roles()["Roles"]
            if {"Key": "Name", "Value": name} in self.aws.iam.list_role_tags(RoleName=role["RoleName"])["Tags"]
        ]
        names = self.aws.iam.list_role_policies(RoleName=role)["PolicyNames"]
        return [self.aws.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"] for name in names]

    def put_report(self, name: str, content: bytes) -> None:
        """What a machine's agent does."""
        self.aws.s3.put_object(Bucket=BUCKET, Key=f"reports/{name}.json", Body=content, ContentType="application/json")

    def report(self, name: str) -> dict[str, str]:
        """The last one."""
        report: dict[str, str] = json.load(self.aws.s3.get_object(Bucket=BUCKET, Key=f"reports/{name}.json")["Body"])
        return report

    def reports_when_its_object_changes(self, name: str, before: str) -> str:
        """Do what a machine does that takes its config at once; the config's id."""
        wait_until(lambda: self.config_id(name) != before, 120)
        wanted = self.config_id(name)
        proven = {"state": "proven", "config_id": wanted, "running": wanted, "boot_id": "b", "os_version": "1"}
        for report in ({**proven, "state": "staging", "running": before}, proven):
            self.put_report(name, json.dumps(report).encode())
        return wanted

    def two_plain_machines(self) -> None:
        """Leave the fleet's protection and addresses to the test that is about them."""
        shared = ("config", "lifecycle", "timeout", "health", "allow")
        plain = {key: value for key, value in self.machines()["web-1"].items() if key in shared}
        self.config["flatcar:machines"] = {"web-1": dict(plain), "web-2": dict(plain)}
        self.config["flatcar:store"]["protect"] = False


@pytest.fixture
def lab(tmp_path: Path, pulumi: Project, free_port: int) -> Iterator[Ec2Lab]:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with ExitStack() as closes, running_moto() as endpoint:
        park = closes.enter_context(closing(MachinePark(tmp_path / "park", endpoint, free_port)))
        aws = Aws(endpoint)
        park.signed = aws.signed
        env = {
            **CREDENTIALS,
            "AWS_ENDPOINT_URL": endpoint,
            "AWS_REGION": REGION,
            "MACHINES_DIR": str(tmp_path / "machines"),
            "TMPDIR": str(temporary),
        }
        project = copy_project(tmp_path)
        stack = pulumi(project, env=env)
        config = stack_config("production", park)
        # For the real plugin; the stand-in needs none of them.
        skipped = ("skipCredentialsValidation", "skipRequestingAccountId", "s3UsePathStyle")
        config |= {f"aws:{name}": True for name in skipped}
        lab = Ec2Lab(project=project, pulumi=stack, config=config, park=park)
        lab.aws, lab.temporary = aws, temporary
        aws.publish_ami(VERSION)
        with loopback_addresses(park), switched_on(aws, park):
            yield lab
            for instance in aws.instances():
                protection = {"InstanceId": instance["InstanceId"], "DisableApiTermination": {"Value": False}}
                aws.ec2.modify_instance_attribute(**protection)
            lab.take_down()


def test_a_change_reaches_the_changed_machines_alone_and_in_place(lab: Ec2Lab) -> None:
    lab.two_plain_machines()
    (lab.project / "cl/machine-two.yaml").write_text((lab.project / "cl/machine-web.yaml").read_text())
    lab.machines()["web-2"]["config"] = "cl/machine-two.yaml"
    lab.preview()
    assert lab.aws.left() == {} and lab.copies() == [], "a preview changes nothing"
    lab.up()
    assert lab.copies() == []
    what_guards_the_configs(lab)
    ids = {name: lab.instance(name)["InstanceId"] for name in ("web-1", "web-2")}
    pointer = lab.aws.user_data(ids["web-1"])
    assert json.loads(pointer)["ignition"]["config"]["replace"] == {"source": f"s3://{BUCKET}/machines/web-1.ign"}
    assert [lab.park.machines[id_].boots for id_ in ids.values()] == [1, 1]
    assert touched(lab.up()) == {}

    lab.edit_web("A new line.")
    wanted = in_place("web-1", stored="BucketObjectv2")
    assert touched(lab.preview()) == wanted and lab.copies() == []
    assert touched(lab.up()) == wanted and lab.copies() == []
    assert "A new line." in lab.motd(ids["web-1"])
    assert [lab.park.machines[id_].boots for id_ in ids.values()] == [2, 1], "web-2 was not touched"
    assert lab.aws.user_data(ids["web-1"]) == pointer
    a_failed_change_is_put_back_and_tried_again(lab, "web-1", stored="BucketObjectv2", held=lab.held, refresh=True)
    assert lab.park.machines[ids["web-2"]].boots == 1, "nor by a failure"
    lab.pulumi.run("refresh", "--yes", "--skip-preview")
    assert touched(lab.up()) == {}

    lab.config["flatcar:aws"] |= {"ami": {"id": "ami-0123456789abcdef0"}, "key_name": "other", "tags": {"team": "new"}}
    lab.config["flatcar:aws"]["instance_type"] = "t3.large"
    del lab.config["flatcar:aws"]["availability_zone"]
    changed = lab.up()
    assert not [step for step in steps_of(changed) if "replace" in step[0]]
    assert {name: lab.instance(name)["InstanceId"] for name in ids} == ids
    assert {"Key": "team", "Value": "new"} in lab.instance("web-1")["Tags"]
    assert [lab.instance(name)["InstanceType"] for name in ids] == ["t3.small", "t3.small"], "none was stopped for it"

    lab.machines()["web-1"]["ec2"] = {"instance_type": "t3.large"}
    resized = lab.up()
    assert touched(resized)["Instance web-1"] == "update" and "Instance web-2" not in touched(resized)
    assert {name: lab.instance(name)["InstanceType"] for name in ids} == {"web-1": "t3.large", "web-2": "t3.small"}
    assert {name: lab.instance(name)["InstanceId"] for name in ids} == ids
    assert "web-1: pending: ami is " in resized.output and "'**:Instance::web-1'" in resized.output
    assert "web-2: pending: instance_type is t3.small and would be t3.large" in resized.output
    assert "To stop and start this one for it: flatcar:machines.web-2.ec2.instance_type: t3.large" in resized.output

    lab.pulumi.destroy()
    assert lab.aws.left() == {}


def test_other_computers_go_on_with_what_is_in_the_state(lab: Ec2Lab) -> None:
    lab.two_plain_machines()
    del lab.machines()["web-2"]
    lab.up()
    at = {"Bucket": BUCKET, "Key": "machines/web-1.ign"}
    other_computers_go_on(
        lab,
        lab.instance("web-1")["InstanceId"],
        stored="BucketObjectv2",
        overwrite=lambda: lab.aws.s3.put_object(**at, Body=b"{}"),
        delete=lambda: lab.aws.s3.delete_object(**at),
    )
    assert lab.aws.left() == {}


def what_guards_the_configs(lab: Ec2Lab) -> None:
    """Bucket, policies and options of a stack that has just been made."""
    s3 = lab.aws.s3
    access = s3.get_public_access_block(Bucket=BUCKET)["PublicAccessBlockConfiguration"]
    assert set(access.values()) == {True} and len(access) == 4
    assert s3.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    (rule,) = s3.get_bucket_encryption(Bucket=BUCKET)["ServerSideEncryptionConfiguration"]["Rules"]
    assert rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"] == "AES256"
    (expiry,) = s3.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert expiry["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    options = lab.instance("web-1")["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 1)
    order = [name for op, name in steps_of_last_creation(lab)]
    assert order.index("RolePolicy web-1") < order.index("Instance web-1")
    assert order.index("BucketObjectv2 web-1-object") < order.index("Instance web-1")
    assert order.index("BucketPolicy configs") < order.index("BucketObjectv2 web-1-object")

    bucket = json.loads(s3.get_bucket_policy(Bucket=BUCKET)["Policy"])
    role = lab.instance("web-1")["IamInstanceProfile"]["Arn"].rpartition("/")[2]
    (role,) = [
        item["RoleName"]
        for item in lab.aws.iam.get_instance_profile(InstanceProfileName=role)["InstanceProfile"]["Roles"]
    ]
    identity = [
        lab.aws.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        for name in lab.aws.iam.list_role_policies(RoleName=role)["PolicyNames"]
    ]

    def may(action: str, resource: str, **how: Any) -> bool:
        return is_allowed(
            Request(action=action, resource=f"arn:aws:s3:::{resource}", **{"role": role, **how}),
            identity=identity,
            bucket=bucket,
        )

    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{lab.aws.endpoint}/{BUCKET}/machines/web-1.ign")
    own = f"{BUCKET}/machines/web-1.ign"
    assert may("s3:GetObject", own)
    assert not may("s3:GetObject", own, tls=False), "plain http"
    assert not may("s3:GetObject", own, role=""), "the public"
    assert not may("s3:GetObject", f"{BUCKET}/machines/web-2.ign"), "another machine's key"
    assert not may("s3:GetObject", f"{BUCKET}/machines/web-1.ign.old")
    assert not may("s3:ListBucket", BUCKET), "listing"
    assert not may("s3:PutObject", own) and not may("s3:DeleteObject", own)


def steps_of_last_creation(lab: Ec2Lab) -> list[tuple[str, str]]:
    """(operation, `TYPE NAME`) of the steps that were completed, from the events of the last run."""
    found = []
    for line in (lab.pulumi.scratch / "events.jsonl").read_text().splitlines():
        metadata = json.loads(line).get("resOutputsEvent", {}).get("metadata")
        if metadata:
            kind = metadata["urn"].split("::")[2].rsplit(":", 1)[-1]
            found.append((metadata["op"], f"{kind} {metadata['urn'].rsplit('::', 1)[-1]}"))
    return found


def test_the_fleet_of_the_stack_production_and_what_protection_holds_back(lab: Ec2Lab) -> None:
    del lab.machines()["web-2"]
    lab.up()
    web, worker = lab.instance("web-1"), lab.instance("worker-1")
    elastic = lab.aws.ec2.describe_addresses()["Addresses"]
    assert [item["InstanceId"] for item in elastic] == [web["InstanceId"]]
    assert lab.pulumi.outputs()["web-1"]["address"] == elastic[0]["PublicIp"]
    (volume,) = lab.aws.ec2.describe_volumes(Filters=[{"Name": "tag:Name", "Values": ["worker-1-data"]}])["Volumes"]
    assert volume["Encrypted"] and volume["Size"] == 20
    assert volume["Attachments"][0]["InstanceId"] == worker["InstanceId"]
    protected = lab.aws.ec2.describe_instance_attribute(InstanceId=web["InstanceId"], Attribute="disableApiTermination")
    assert protected["DisableApiTermination"]["Value"] is True

    held = lab.pulumi.destroy(code=None)
    assert held.code != 0
    for name in ("Eip::web-1", "VolumeAttachment::worker-1-data"):
        assert name in held.output and "protect" in held.output, f"{name} is not named as held back"
    assert {item["State"]["Name"] for item in lab.aws.instances()} == {"running"}
    assert lab.aws.ec2.describe_addresses()["Addresses"] == elastic, "the address stays where it was"
    (kept,) = lab.aws.ec2.describe_volumes(VolumeIds=[volume["VolumeId"]])["Volumes"]
    assert kept["Attachments"] == volume["Attachments"], "and so does the volume"
    lab.up()

    worker_config = lab.project / "cl/machine-worker.yaml"
    worker_config.write_text(worker_config.read_text().replace("mode: 0755", "mode: 0700", 1))
    assert touched(lab.preview()) == in_place("worker-1", stored="BucketObjectv2")
    lab.machines()["worker-1"]["lifecycle"] = "reset"  # a loopback machine has no host keys to bring back
    assert touched(lab.up()) == in_place("worker-1", stored="BucketObjectv2"), "with a volume"
    lab.machines()["worker-2"] = {**lab.machines()["worker-1"], "ec2": {"root_volume": 30}, "protect": False}
    came = touched(lab.up())
    assert came and all("worker-2" in name for name in came) and set(came.values()) == {"create"}
    (disk,) = lab.instance("worker-2")["BlockDeviceMappings"]
    (disk,) = lab.aws.ec2.describe_volumes(VolumeIds=[disk["Ebs"]["VolumeId"]])["Volumes"]
    assert (disk["Size"], disk["Encrypted"]) == (30, True)
    lab.machines()["worker-2"]["ec2"]["root_volume"] = 40
    larger = lab.up()
    assert touched(larger) == {} and "worker-2: pending: root volume is 30 and would be 40" in larger.output
    del lab.machines()["worker-2"]
    gone = touched(lab.up())
    assert gone and all("worker-2" in name for name in gone) and set(gone.values()) == {"delete"}
    assert {item["InstanceId"] for item in lab.aws.instances()} == {web["InstanceId"], worker["InstanceId"]}

    lab.config["flatcar:aws"]["availability_zone"] = "eu-central-1b"
    assert touched(lab.preview()) == {}, "for new machines"
    lab.machines()["worker-1"]["protect"] = False
    lab.up()
    refused = lab.preview("--replace", "**:Instance::worker-1", code=None)
    assert refused.code != 0
    assert "worker-1: an instance in eu-central-1b can't use its volume in eu-central-1a" in refused.output
    lab.config["flatcar:aws"]["availability_zone"] = "eu-central-1a"
    lab.config["flatcar:aws"] |= {"vpc": "vpc-0123456789abcdef0", "subnet": "subnet-0123456789abcdef0"}
    refused = lab.preview(code=None)
    assert refused.code != 0 and "flatcar:aws.vpc: is vpc-0123456789abcdef0, but this stack's mach" in refused.output
    assert "Traceback" not in refused.output
    for name in ("vpc", "subnet"):
        del lab.config["flatcar:aws"][name]

    lab.machines()["web-1"]["lifecycle"] = "replace"
    refused = lab.preview(code=None)
    assert refused.code != 0
    assert "flatcar:machines.web-1.protect: a protected machine can't be replaced" in refused.output


def test_replace_makes_the_new_instance_first(lab: Ec2Lab) -> None:
    lab.two_plain_machines()
    del lab.machines()["web-2"]
    lab.machines()["web-1"]["ec2"] = {"elastic_ip": True}
    lab.up()
    first = lab.instance("web-1")["InstanceId"]
    address = lab.pulumi.outputs()["web-1"]["address"]
    lab.machines()["web-1"]["lifecycle"] = "replace"
    assert not [step for step in steps_of(lab.up()) if step[1] == "Instance web-1"], "a switch replaces nothing"
    assert lab.keys() == ["machines/web-1.ign"]
    lab.edit_web("Only on a new machine.")
    run = lab.up()
    steps = steps_of(run)
    assert steps.index(("update", "Command web-1-reprovision")) < steps.index(("delete-replaced", "Instance web-1"))
    second = lab.instance("web-1")["InstanceId"]
    assert second != first and lab.park.ever == [first, second]
    assert "Only on a new machine." in lab.motd(second)
    assert lab.pulumi.outputs()["web-1"]["address"] == address, "the Elastic IP goes with the name"
    (key,) = lab.keys()
    assert re.fullmatch(rf"machines/web-1/{lab.pulumi.outputs()['web-1']['configId'][:12]}-[0-9a-f]{{40}}\.ign", key)
    assert lab.aws.user_data(second) == pointer(f"s3://{BUCKET}/{key}")
    (role,) = [item["RoleName"] for item in lab.aws.iam.list_roles()["Roles"]]
    (name,) = lab.aws.iam.list_role_policies(RoleName=role)["PolicyNames"]
    (may,) = lab.aws.iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]["Statement"]
    assert may["Resource"] == f"arn:aws:s3:::{BUCKET}/{key}"

    lab.machines()["web-1"]["lifecycle"] = "reset"
    lab.edit_web("In place again.")
    assert touched(lab.up()) == in_place("web-1", stored="BucketObjectv2")
    assert lab.keys() == [key] and "In place again." in lab.motd(second)
    lab.machines()["web-1"]["lifecycle"] = "replace"
    assert not [step for step in steps_of(lab.up()) if step[1] in ("Instance web-1", "Command web-1-address")]
    assert lab.keys() == [key] and lab.park.ever == [first, second]


def test_an_instance_that_the_state_has_lost_is_adopted(lab: Ec2Lab) -> None:
    lab.two_plain_machines()
    del lab.machines()["web-2"]
    lab.up()
    id_ = lab.instance("web-1")["InstanceId"]
    lab.lose("web-1")
    lab.machines()["web-1"]["ec2"] = {"import": id_}
    run = lab.up()
    assert ("import", "Instance web-1") in steps_of(run), run.output
    assert lab.park.ever == [id_] and lab.park.machines[id_].boots == 1
    del lab.machines()["web-1"]["ec2"]
    assert touched(lab.up()) == {}


def test_of_a_state_that_is_lost_bucket_and_instance_are_imported(lab: Ec2Lab) -> None:
    lab.two_plain_machines()
    del lab.machines()["web-2"]
    lab.up()
    id_ = lab.instance("web-1")["InstanceId"]
    lab.pulumi.run("stack", "rm", "--force", "--yes", "--preserve-config")
    lab.pulumi.run("stack", "init", "test", "--cwd", str(lab.pulumi.scratch / "init"))
    bucket = ("aws:s3/bucket:Bucket", "configs", BUCKET)
    lab.pulumi.run("import", *bucket, "--protect=false", "--generate-code=false", "--yes", "--skip-preview")
    lab.machines()["web-1"]["ec2"] = {"import": id_}
    run = lab.up()
    assert ("import", "Instance web-1") in steps_of(run) and "replace" not in str(steps_of(run)), run.output
    assert lab.park.ever == [id_] and lab.park.machines[id_].boots == 1
    del lab.machines()["web-1"]["ec2"]
    assert touched(lab.up()) == {}
    lab.edit_web("After the loss.")
    assert touched(lab.up()) == in_place("web-1", stored="BucketObjectv2")
    assert "After the loss." in lab.motd(id_) and lab.park.machines[id_].boots == 2


def test_a_private_machine_is_reached_through_a_jump_host(lab: Ec2Lab, sshd: Sshd) -> None:
    lab.two_plain_machines()
    del lab.machines()["web-2"]
    lab.config["flatcar:aws"]["address"] = "private"
    lab.config["flatcar:ssh"]["jump_host"] = f"{sshd.user}@{sshd.host}:{sshd.port}"
    lab.pulumi.env["PATH"] = clients_config(lab, sshd) + lab.pulumi.environment()["PATH"]
    lab.up()
    machine = lab.instance("web-1")
    outputs = lab.pulumi.outputs()["web-1"]
    assert outputs["address"] == machine["PrivateIpAddress"] != machine["PublicIpAddress"]
    assert f"ProxyJump {sshd.user}@{sshd.host}:{sshd.port}\n" in Path(shlex.split(outputs["ssh"])[2]).read_text()
    lab.edit_web("Through the jump host.")
    before = logins(sshd)
    assert touched(lab.up()) == in_place("web-1", stored="BucketObjectv2")
    assert "Through the jump host." in lab.motd(machine["InstanceId"])
    assert logins(sshd) > before


def clients_config(lab: Ec2Lab, sshd: Sshd) -> str:
    """A PATH whose ssh has a config of its own, as a user's ~/.ssh/config would: the way into the jump host."""
    folder = lab.project / "bin"
    folder.mkdir()
    config = folder / "config"
    config.write_text(
        f'Match host {sshd.host} user {sshd.user} exec "test %p = {sshd.port}"\n'
        f"  IdentityFile {sshd.key}\n  UserKnownHostsFile {sshd.known_hosts}\n"
    )
    ssh = folder / "ssh"
    ssh.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    ssh.chmod(0o755)
    return f"{folder}{os.pathsep}"


def logins(sshd: Sshd) -> int:
    """How many there were on the jump host."""
    return sshd.log.read_text().count("Accepted publickey")


def test_what_a_retained_instance_needs_stays_with_it(lab: Ec2Lab) -> None:
    lab.two_plain_machines()
    lab.machines()["web-2"] |= {"retain_on_delete": True, "ec2": {"elastic_ip": True}}
    lab.up()
    kept = lab.instance("web-2")["InstanceId"]
    (group,) = lab.instance("web-2")["SecurityGroups"]
    client = lab.aws.ec2
    ssh = next(
        rule
        for rule in client.describe_security_groups(GroupIds=[group["GroupId"]])["SecurityGroups"][0]["IpPermissions"]
        if rule["FromPort"] == 22
    )
    client.revoke_security_group_ingress(GroupId=group["GroupId"], IpPermissions=[ssh])
    mended = lab.up("--refresh")
    assert touched(mended) == {"SecurityGroup machines": "update"}, "what someone else took out comes back"

    lab.pulumi.destroy()
    left = lab.aws.left()
    assert set(left) == {"instances", "groups", "addresses", "roles", "profiles"}, left
    assert left["instances"] == [kept] and left["groups"] == [group["GroupId"]]
    assert len(left["addresses"]) == len(left["roles"]) == 1
    client.terminate_instances(InstanceIds=[kept])


def test_reports_of_a_machine_that_pulls_lie_in_its_bucket(lab: Ec2Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a machine of this test would report, the test puts there: the agent itself is shown by test_pull_s3."""
    lab.two_plain_machines()
    for name in ("web-1", "web-2"):
        lab.machines()[name] |= {"pull": {"jitter": 0}, "timeout": 30}
    lab.up()
    plain, policy = lab.object_of("web-2"), lab.policies("web-2")
    assert [lab.keys(), len(lab.policies("web-1"))] == [["machines/web-1.ign", "machines/web-2.ign"], 1]

    lab.machines()["web-1"]["pull"] |= {"report": "store"}
    wanted = in_place("web-1", stored="BucketObjectv2") | {
        "BucketObjectv2 web-1-report": "create",
        "RolePolicy web-1": "update",
    }
    assert touched(lab.preview()) == wanted
    assert touched(lab.up()) == wanted
    assert (lab.object_of("web-2"), lab.policies("web-2")) == (plain, policy)
    bucket = json.loads(lab.aws.s3.get_bucket_policy(Bucket=BUCKET)["Policy"])

    def may(action: str, key: str) -> bool:
        request = Request(action=action, resource=f"arn:aws:s3:::{BUCKET}/{key}", role="web-1")
        return is_allowed(request, identity=lab.policies("web-1"), bucket=bucket)

    assert may("s3:PutObject", "reports/web-1.json") and may("s3:GetObject", "machines/web-1.ign")
    for action, key in (
        ("s3:PutObject", "reports/web-2.json"),
        ("s3:PutObject", "machines/web-1.ign"),
        ("s3:GetObject", "reports/web-1.json"),
        ("s3:DeleteObject", "reports/web-1.json"),
        ("s3:DeleteObjectVersion", "reports/web-1.json"),
    ):
        assert not may(action, key)

    lab.machines()["web-1"]["pull"] |= {"wait": "report"}
    lab.edit_web("Proven by its report.")
    del lab.machines()["web-2"]
    before = lab.config_id("web-1")
    with ThreadPoolExecutor(1) as threads:
        machine = threads.submit(lab.reports_when_its_object_changes, "web-1", before)
        lab.up()
        wanted_id = machine.result()
    assert lab.pulumi.outputs()["web-1"]["configId"] == wanted_id != before
    lab.pulumi.run("refresh", "--yes", "--skip-preview")
    assert touched(lab.up()) == {}, "what a machine wrote is no drift"
    assert lab.report("web-1")["config_id"] == wanted_id

    for name, value in {**CREDENTIALS, "AWS_ENDPOINT_URL": lab.aws.endpoint}.items():
        monkeypatch.setenv(name, value)
    exported = json.dumps({"deployment": lab.pulumi.export()})
    (status,), _ = statuses(exported, settings={}, notes={}, machines_dir=lab.project / "none", read=read_reports)
    assert (status.state, status.reported, status.running) == (State.PROVEN, "proven", wanted_id[:12])
    assert status.reported_at is not None and status.history[-1].by == "report"

    lab.put_report("web-1", b"<html>proven</html>")
    lab.edit_web("Never proven.")
    failed = lab.up(code=None)
    assert failed.code != 0 and "within 30 s; last seen: the agent has not reported yet" in failed.output

    del lab.machines()["web-1"]["pull"]["report"], lab.machines()["web-1"]["pull"]["wait"]
    gone = touched(lab.up())
    assert (gone["BucketObjectv2 web-1-report"], gone["RolePolicy web-1"]) == ("delete", "update")
    assert lab.keys() == ["machines/web-1.ign"] and not may("s3:PutObject", "reports/web-1.json")

    lab.machines()["web-1"]["pull"] |= {"report": "store"}
    lab.up()
    for number in range(3):
        lab.put_report("web-1", b'{"state": "waiting", "why": "%d"}' % number)
    lab.pulumi.destroy()
    assert lab.aws.left() == {}, "reports go with their machine, all of their versions"


def test_credentials_that_are_missing_fail_the_preview_with_what_to_do(lab: Ec2Lab) -> None:
    lab.pulumi.env |= {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_EC2_METADATA_DISABLED": "true"}
    refused = lab.preview(code=None)
    assert refused.code != 0
    assert "flatcar:aws.ami: AWS doesn't tell which image Flatcar-stable-4459.2.1-hvm is" in refused.output
    assert "AWS_PROFILE, or AWS_ACCESS_KEY_ID" in refused.output and "Traceback" not in refused.output


def test_an_ami_that_does_not_exist_is_refused_at_preview(lab: Ec2Lab) -> None:
    lab.config["flatcar:aws"]["ami"] = {"channel": "stable", "version": "9999.9.9"}
    refused = lab.preview(code=None)
    assert refused.code != 0
    assert "flatcar:aws.ami: 0 images of Flatcar's account 075585003325 are called " in refused.output
    assert "Flatcar-stable-9999.9.9-hvm" in refused.output
    assert "Traceback" not in refused.output
