"""The rollback through a bucket: the real program of the Command against moto's S3 server and a loopback machine.

The machine (real SSH, stand-in system) reads the object as a cloud's would; the deployer writes it with the
credentials of its environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from components.commands.objects.bucket import BucketWriter
from loopback.lab import Lab
from loopback.machine import LoopbackMachine, ObjectServer
from tests.fakes.aws import REGION, Aws, running_moto

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BUCKET, KEY = "configs", "machines/web.ign"
EVERYONE = "http://acs.amazonaws.com/groups/global/AllUsers"
SECRET = "hush-hush"
KINDS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"),
    "spaces": ("SPACES_ACCESS_KEY_ID", "SPACES_SECRET_ACCESS_KEY", "SPACES_ENDPOINT_URL"),
}


class BucketLab(Lab):
    """Its object lies in a versioned bucket; `pulumis` is the version that was last written as Pulumi would."""

    aws: Aws
    kind: str
    pulumis: str

    def write(self, content: str) -> None:
        rights = {"ACL": "public-read"} if self.kind == "spaces" else {}
        written = self.aws.s3.put_object(Bucket=BUCKET, Key=KEY, Body=content.encode(), **rights)
        self.pulumis = written["VersionId"]

    def place(self) -> dict[str, str]:
        acl = {"acl": "public-read"} if self.kind == "spaces" else {}
        return {"kind": self.kind, "bucket": BUCKET, "key": KEY, "region": REGION, **acl}

    def held(self) -> tuple[str, str]:
        """The object's content and version."""
        answer = self.aws.s3.get_object(Bucket=BUCKET, Key=KEY)
        return answer["Body"].read().decode(), answer["VersionId"]


@pytest.fixture(params=KINDS)
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BucketLab]:
    """A machine that runs the confirmed config "good"."""
    with running_moto() as endpoint:
        aws = Aws(endpoint)
        aws.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
        aws.s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        with LoopbackMachine(tmp_path, aws.signed(BUCKET, KEY)) as machine:
            lab = BucketLab(machine, ObjectServer(tmp_path), rollback_after=6)
            lab.aws, lab.kind = aws, request.param
            lab.environment = dict(zip(KINDS[lab.kind], ("a-key", SECRET, endpoint), strict=True))
            lab.good = lab.publish("good")
            code, _, progress = lab.run(lab.good)
            assert code == 0, progress
            yield lab


@pytest.mark.parametrize("lab", ["s3"], indirect=True)
def test_a_machine_stuck_in_its_initramfs_is_healed_by_its_object(lab: BucketLab) -> None:
    wanted = lab.publish("bad")
    lab.contents[wanted] = "{not json"
    lab.write("{not json")
    code, _, progress = lab.run(wanted)
    assert code == 1 and SECRET not in progress
    assert "Ignition failed in the initramfs" in progress and "the object holds the last good config again" in progress
    assert f"back on its last good config ({lab.good[:12]}); wanted was {wanted[:12]}" in progress
    content, version = lab.held()
    assert content == lab.contents[lab.good] and version != lab.pulumis

    lab.contents[wanted] = lab.contents[lab.good].replace("good", "mended").replace(lab.good, wanted)
    lab.write(lab.contents[wanted])
    code, outputs, progress = lab.run(wanted)
    assert (code, outputs.get("config_id")) == (0, wanted), progress
    assert lab.held() == (lab.contents[wanted], lab.pulumis)


def test_writing_the_wanted_config_again_leaves_the_version_that_pulumi_knows(lab: BucketLab) -> None:
    check = {"name": "sick", "subject": "! test -e /etc/sick", "seconds": 1}
    wanted = lab.publish("bad", "/etc/sick")
    assert lab.run(wanted, health=[check])[0] == 1
    assert lab.held()[1] != lab.pulumis
    grants = lab.aws.s3.get_object_acl(Bucket=BUCKET, Key=KEY)["Grants"]
    assert bool([grant for grant in grants if grant["Grantee"].get("URI") == EVERYONE]) == (lab.kind == "spaces")
    code, _, progress = lab.run(wanted)  # without the check it is fine
    assert code == 0 and "the object held another config: wrote the wanted one again" in progress, progress
    assert lab.held() == (lab.contents[wanted], lab.pulumis)


def test_without_credentials_the_machine_goes_back_and_the_object_stays(lab: BucketLab) -> None:
    lab.environment |= dict.fromkeys(KINDS[lab.kind][:2], "")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        lab.environment[name] = str(lab.machine.folder / "none")
    lab.environment["AWS_EC2_METADATA_DISABLED"] = "true"
    wanted = lab.publish("bad", "/etc/sick")
    check = {"name": "sick", "subject": "! test -e /etc/sick", "seconds": 1}
    code, _, progress = lab.run(wanted, health=[check])
    assert code == 1
    missing = "no AWS credentials in the environment" if lab.kind == "s3" else "SPACES_SECRET_ACCESS_KEY are not in"
    assert "the object can't be rolled back from here, should this config fail: " in progress and missing in progress
    assert "the object could not be rolled back: " in progress
    assert f"back on its last good config ({lab.good[:12]}); wanted was {wanted[:12]}" in progress
    assert lab.held() == (lab.contents[wanted], lab.pulumis)


def test_a_bucket_tells_what_an_object_was_before(lab: BucketLab, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in lab.environment.items():
        monkeypatch.setenv(name, value)
    lab.aws.s3.put_object(Bucket=BUCKET, Key=f"{KEY}2", Body=b"another machine's")
    second = lab.publish("second")
    found = [*BucketWriter(**lab.place()).versions()]
    assert [version.content.decode() for version in found] == [lab.contents[second], lab.contents[lab.good]]
    assert found[0].name == lab.pulumis and found[0].written.endswith("Z")
