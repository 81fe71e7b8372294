"""Each Butane config in `butane/` becomes the JSON and the report that are written down with it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cases import case_paths, check_case

pytestmark = pytest.mark.covering

CASES = case_paths("butane")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    check_case(path, "butane")


def test_there_are_cases() -> None:
    assert len(CASES) > 80
