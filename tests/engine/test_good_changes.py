"""A sample of `tests/long/test_good_changes.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.engine.good_changes import change_loopback_machines

if TYPE_CHECKING:
    from pathlib import Path


def test_twelve_good_changes_with_random_faults_are_all_proven(tmp_path: Path) -> None:
    tally = change_loopback_machines(tmp_path, machines=3, each=4)
    assert (tally.changes, tally.false_rollbacks) == (12, [])
