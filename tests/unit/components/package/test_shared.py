"""What machines share on a cloud: what is wrong with it is told by the inputs' names, before anything is made."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.package.shared import AwsShared, DigitalOceanShared, References


def test_all_that_is_wrong_is_told_at_once() -> None:
    given: Any = {
        "ami": {"version": "newest"}, "ssh_from": [], "availability_zone": "here",
        "store": {"bucket": "B", "keep_days": 0.0},
    }  # fmt: skip
    with pytest.raises(pulumi.RunError) as refused:
        AwsShared("machines", given)
    assert [line.partition(": ")[0].strip() for line in str(refused.value).splitlines()] == [
        "'machines' can't be used:",
        "ami.version",
        "ssh_from",
        "availability_zone",
        "store.bucket",
        "store.keep_days",
    ]


def test_a_droplets_bucket_on_s3_is_public() -> None:
    given: Any = {
        "region": "fra1", "image": {"version": "4459.2.1"}, "ssh_keys": ["1"], "ssh_from": ["192.0.2.7/32"],
        "store": {"kind": "s3", "bucket": "configs", "region": "eu-central-1"},
    }  # fmt: skip
    with pytest.raises(pulumi.RunError, match=r"store\.public: has to be true"):
        DigitalOceanShared("machines", given)


def test_a_reference_to_another_process_is_no_component() -> None:
    urn = "urn:pulumi:dev::p::flatcar:index:AwsShared::machines"
    assert not isinstance(References().construct("machines", "flatcar:index:AwsShared", urn), AwsShared)
