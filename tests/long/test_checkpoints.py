"""The engine killed at fifty points of a run without checkpoints; $KILL_POINTS for another number."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from tests.engine.killed_engine import converges_wherever_it_is_killed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Project


def test_an_engine_that_is_killed_anywhere_costs_no_second_reboot(tmp_path: Path, pulumi: Project) -> None:
    converges_wherever_it_is_killed(tmp_path, pulumi, points=int(os.environ.get("KILL_POINTS", "50")))
