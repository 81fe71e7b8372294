"""Fixtures of the VM tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.vm.walk import PROJECT, Walk

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Project


@pytest.fixture
def walk(tmp_path: Path, pulumi: Project) -> Walk:
    """A machine that its first `pulumi up` makes."""
    return Walk(pulumi(PROJECT, env={"MACHINES_DIR": str(tmp_path / "machines")}), tmp_path)
