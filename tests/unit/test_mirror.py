"""Unit tests lie as what they test does: a file's tests are found beside its name."""

from __future__ import annotations

from pathlib import Path

import pytest

UNIT = Path(__file__).parent
ROOT = UNIT.parents[1]
TREES = ("bench", "cl", "components", "toolchain")
FILES = sorted(path.relative_to(UNIT) for tree in TREES for path in (UNIT / tree).rglob("test_*.py"))


def names_in(folder: Path) -> set[str]:
    """What a test file may be named for: the folder's modules, packages and scripts, as they'd be named in Python."""
    found = [path for path in (ROOT / folder).glob("*") if path.is_dir() or path.suffix in {".py", ".sh", ""}]
    return {path.stem.replace("-", "_") for path in found}


@pytest.mark.parametrize("file", FILES, ids=str)
def test_a_test_lies_as_what_it_tests(file: Path) -> None:
    assert file.stem.removeprefix("test_") in names_in(file.parent)


def test_the_trees_are_found() -> None:
    assert {file.parts[0] for file in FILES} == set(TREES)
