"""Thirty machines in waves; a hundred: `tests/long/test_large_fleet.py`.

In a file of its own, so that it runs beside the other tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.engine.large_fleet import keeps_its_waves

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Project

pytestmark = pytest.mark.slow


def test_thirty_machines_keep_their_waves_at_every_moment(tmp_path: Path, pulumi: Project) -> None:
    keeps_its_waves(tmp_path, pulumi, 30)
