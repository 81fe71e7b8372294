"""On which platform a machine is, by what it is given."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.package.machine import on_platform
from components.platforms.host.machine import ExistingHost
from components.stores.s3 import S3Objects

BUCKET = {"kind": "s3", "bucket": "configs", "region": "eu-central-1", "public": True}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "needs one of qemu, digitalocean, aws, host; given is none of them"),
        ({"ec2": {}}, "needs one of qemu, digitalocean, aws, host; given is none of them"),
        ({"qemu": {}, "aws": None, "host": {"address": "h"}}, "given is qemu and host"),
        ({"host": {"address": "h"}, "ec2": {}}, "ec2 goes with aws, not with host"),
        ({"qemu": {}, "store": BUCKET}, "store goes with host"),
        ({"host": {"address": "h", "mode": "bucket"}}, "mode: 'bucket' needs a store that the host can read from"),
        ({"host": {"address": "h"}, "store": {"kind": "s3", "bucket": "b"}}, "`s3` that is `public`"),
        ({"host": {"address": "h"}, "store": {"kind": "elsewhere"}}, "a host reads from `spaces`"),
    ],
)
def test_what_makes_no_machine_is_refused(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        on_platform("web", given)
    assert problem in str(refused.value)


def test_another_program_s_component_is_refused() -> None:
    async def made() -> None:  # the resource needs an event loop
        on_platform("web", {"aws": pulumi.resource.DependencyResource("urn:a")})

    with (
        contextlib.closing(asyncio.new_event_loop()) as loop,
        pytest.raises(pulumi.RunError, match="aws: has to be the component AwsShared itself"),
    ):
        loop.run_until_complete(made())


def test_a_host_reads_its_config_from_a_bucket() -> None:
    platform, store = on_platform("web", {"host": {"address": "h", "port": 2222.0, "mode": "bucket"}, "store": BUCKET})
    assert platform == ExistingHost(address="h", port=2222, mode="bucket")
    assert isinstance(store, S3Objects)


def test_a_host_needs_no_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINES_DIR", str(tmp_path))
    platform, store = on_platform("web", {"host": {"address": "h"}})
    assert platform == ExistingHost(address="h")
    assert not isinstance(store, S3Objects)
