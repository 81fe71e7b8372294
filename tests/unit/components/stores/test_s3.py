"""The policies that S3 and IAM get, asked by an evaluator."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

import pulumi
import pytest

from components.commands.objects.bucket import report_key
from components.commands.objects.content import Content
from components.payload.machine_config import pointer
from components.platforms.aws.machine import role_policy
from components.stores.s3 import _make_key, asset, bucket_policy, forget_copy
from tests.engine.iam_policy import Request, is_allowed


def may(action: str, key: str, *, public: bool = False, role: str = "r", tls: bool = True, report: str = "") -> bool:
    return is_allowed(
        Request(action=action, resource=f"arn:aws:s3:::configs{key}", role=role, tls=tls),
        identity=[role_policy(pointer("s3://configs/machines/web.ign"), report=report)],
        bucket=bucket_policy("arn:aws:s3:::configs", public=public),
    )


def test_a_machine_reads_its_own_object_over_tls_and_nothing_else() -> None:
    own = "/machines/web.ign"
    assert may("s3:GetObject", own)
    assert not may("s3:GetObject", own, tls=False)
    assert not may("s3:GetObject", own, role="")
    for other in ("/machines/web2.ign", "/machines/web.ign2", "/machines/", "/"):
        assert not may("s3:GetObject", other)
    for action in ("s3:ListBucket", "s3:PutObject", "s3:DeleteObject", "s3:GetObjectVersion", "s3:GetBucketPolicy"):
        assert not may(action, own) and not may(action, "")


def test_a_machine_puts_its_own_report_over_tls_and_does_nothing_else_with_it_or_with_others() -> None:
    own, address = f"/{report_key('web')}", "s3://configs/reports/web.json"
    assert own == "/reports/web.json"
    assert may("s3:PutObject", own, report=address) and not may("s3:PutObject", own)
    assert not may("s3:PutObject", own, report=address, tls=False)
    assert not may("s3:PutObject", own, report=address, role="")
    for other in ("/reports/web2.json", "/reports/web.json2", "/reports/", "/", "/machines/web.ign", "/reports/*"):
        assert not may("s3:PutObject", other, report=address)
    for action in (
        "s3:GetObject", "s3:GetObjectVersion", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:PutObjectAcl",
        "s3:PutObjectTagging", "s3:PutObjectRetention", "s3:RestoreObject",
    ):  # fmt: skip
        assert not may(action, own, report=address)
    for action in ("s3:ListBucket", "s3:ListBucketVersions", "s3:PutBucketPolicy"):
        assert not may(action, "", report=address)
    assert may("s3:GetObject", "/machines/web.ign", report=address)


def test_a_machine_without_reports_has_the_policy_that_it_had() -> None:
    assert role_policy(pointer("s3://configs/machines/web.ign")) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "ReadItsOwnConfig",
                "Effect": "Allow",
                "Action": "s3:GetObject",
                "Resource": "arn:aws:s3:::configs/machines/web.ign",
            }
        ],
    }


def test_a_public_bucket_is_read_by_address_alone() -> None:
    key = f"/public/{'0' * 40}/web.ign"
    assert may("s3:GetObject", key, public=True, role="")
    assert not may("s3:GetObject", key, public=True, role="", tls=False)
    assert not may("s3:GetObject", "/machines/web.ign", public=True, role="")
    assert not may("s3:ListBucket", "", public=True, role="")
    assert not may("s3:PutObject", key, public=True, role="")


def test_arns_are_of_the_partition_that_the_machine_is_in() -> None:
    (right,) = json.loads(json.dumps(role_policy(pointer("s3://configs/machines/web.ign"), "aws-cn")))["Statement"]
    assert right["Resource"] == "arn:aws-cn:s3:::configs/machines/web.ign"
    policy = json.dumps(bucket_policy("arn:aws-us-gov:s3:::configs", public=True))
    assert "arn:aws:" not in policy and policy.count("arn:aws-us-gov:s3:::configs") == 3


def test_a_pointer_that_a_role_can_not_serve_is_refused() -> None:
    with pytest.raises(pulumi.RunError, match="reads its config from s3://, not from https://"):
        role_policy(pointer("https://example.com/web.ign"))


def test_a_key_is_the_machines_own_and_one_for_a_config_is_new_each_time() -> None:
    def made(config_id: str | None) -> str:
        return subprocess.run(["sh", "-c", _make_key("web", config_id)], capture_output=True, text=True).stdout

    assert made(None) == "machines/web.ign"
    first, again = made("c" * 128), made("c" * 128)
    assert re.fullmatch(r"machines/web/c{12}-[0-9a-f]{40}\.ign", first) and first != again


def test_the_copy_that_the_bridge_makes_stays_until_the_last_object_with_its_text_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("MACHINES_DIR", str(tmp_path / "machines"))
    content, another = Content.of("a config"), Content.of("another")
    copies = []
    for machine, text in (("web-1", content), ("web-2", content), ("db", another)):
        file = Path(str(asset(machine, text).path))
        copies.append(tmp_path / f"pulumi-asset-{hashlib.sha256(file.read_bytes()).hexdigest()}")
        copies[-1].touch()
    for text, left in ((content, {copies[0], copies[2]}), (another, {copies[0]}), (content, set())):
        forget_copy(text)
        assert set(tmp_path.glob("pulumi-asset-*")) == left
