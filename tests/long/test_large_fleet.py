"""A hundred machines in waves under the real engine; $ROLLOUT_MACHINES for another number."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.engine.large_fleet import keeps_its_waves

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Project


def test_a_large_fleet_keeps_its_waves_at_every_moment(tmp_path: Path, pulumi: Project) -> None:
    keeps_its_waves(tmp_path, pulumi, int(os.environ.get("ROLLOUT_MACHINES", "100")))
