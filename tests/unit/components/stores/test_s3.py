"""The policies that S3 and IAM get, asked by an evaluator; SDKs are imported where they are needed, and only there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pulumi
import pytest

from components.payload.machine_config import pointer
from components.platforms.aws.machine import role_policy
from components.stores.s3 import PUBLIC_FOLDER, bucket_policy
from tests.engine.iam_policy import Request, is_allowed

REPOSITORY = Path(__file__).parents[4]
IMPORTS = """
import sys
from components.settings import stack as settings
assert not {"pulumi_aws", "pulumi_digitalocean"} & set(sys.modules), "settings"
for module in sys.argv[1].split(","):
    __import__(module)
print(sorted({"pulumi_aws", "pulumi_digitalocean"} & set(sys.modules)))
"""


def may(action: str, key: str, *, public: bool = False, role: str = "r", tls: bool = True) -> bool:
    return is_allowed(
        Request(action=action, resource=f"arn:aws:s3:::configs{key}", role=role, tls=tls),
        identity=[role_policy(pointer("s3://configs/machines/web.ign"))],
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


def test_a_public_bucket_is_read_by_address_alone() -> None:
    key = f"/{PUBLIC_FOLDER}/{'0' * 40}/web.ign"
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


@pytest.mark.parametrize(
    ("modules", "wanted"),
    [
        ("components.platforms.qemu.machine,components.stores.local_folder", "[]"),
        ("components.platforms.digitalocean.machine,components.stores.spaces", "['pulumi_digitalocean']"),
        ("components.platforms.aws.machine,components.stores.s3", "['pulumi_aws']"),
    ],
)
def test_a_stack_imports_the_sdk_of_its_own_cloud_alone(modules: str, wanted: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, modules], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, wanted), done.stderr


@pytest.mark.parametrize(("name", "variable"), [("aws", "AWS_ENDPOINT_URL"), ("digitalocean", "DIGITALOCEAN_API_URL")])
@pytest.mark.parametrize("address", ["", "https://api.example.com", "http://10.0.0.1:80"])
def test_a_stand_in_plugin_refuses_any_api_but_one_on_this_computer(name: str, variable: str, address: str) -> None:
    env = {key: value for key, value in os.environ.items() if key not in (variable, "HTTP_PROXY")}
    done = subprocess.run(
        [sys.executable, "-m", f"toolchain.plugins.{name}", "127.0.0.1:1"],
        cwd=REPOSITORY,
        env={**env, variable: address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "this plugin is a stand-in for tests" in done.stderr and "install the real plugin" in done.stderr
