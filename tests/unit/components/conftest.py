"""What tests of several layers share."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from loopback.bucket import LoopbackBucket

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackBucket]:
    """A bucket on loopback, and one key that opens it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIA1")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    made = LoopbackBucket()
    with made.running() as address:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", address)
        yield made
