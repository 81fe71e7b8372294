"""A run without checkpoints: what it may be, and that it converges when the engine is killed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.engine.killed_engine import converges_wherever_it_is_killed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Project


def test_an_engine_that_is_killed_without_checkpoints_costs_no_second_reboot(tmp_path: Path, pulumi: Project) -> None:
    converges_wherever_it_is_killed(tmp_path, pulumi, points=4)
