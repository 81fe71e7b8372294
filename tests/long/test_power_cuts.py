"""The tests of `tests/engine/test_power_cuts.py` that take a share of the disks there, with all of them."""

from __future__ import annotations

import pytest

from tests.engine import test_power_cuts
from tests.engine.test_power_cuts import (  # noqa: F401 # pytest collects them
    disk,
    test_power_lost_while_confirming,
    test_power_lost_while_going_back,
    test_power_lost_while_staging,
    test_power_lost_while_unstaging,
)


@pytest.fixture(autouse=True)
def all_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each disk that a cut may leave."""
    monkeypatch.setattr(test_power_cuts, "SHARE", 1)
