"""Recorded Butane configs: the name of a file is its sentence, what is expected stands in comments at its end.

`RECORD=1 pytest tests/golden/test_butane.py` writes the expectations anew; `test_butane_oracle.py` holds them
against the original.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cl.transpiler import Transpiled, transpile

pytestmark = pytest.mark.covering

FOLDER = Path(__file__).parent / "butane"
FILES = FOLDER / "files"
MARK = "\n# --- expected\n"
CASES = sorted(FOLDER.glob("*.yaml"))


def source_of(case: Path) -> str:
    return case.read_text().partition(MARK)[0].rstrip("\n") + "\n"


def expectation(result: Transpiled) -> str:
    lines = result.report.render(pretty=False).replace(str(FILES), "FILES").splitlines()
    if result.json is not None:
        lines.append(result.json)
    return "".join(f"# {line}\n" for line in lines)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_case(case: Path) -> None:
    source, expected = source_of(case), case.read_text().partition(MARK)[2]
    files_dir = None if "without a files dir" in case.stem else FILES
    found = expectation(transpile(source, dialect="butane", files_dir=files_dir))
    if os.environ.get("RECORD"):
        case.write_text(source + MARK[1:] + found)
    assert found == expected or os.environ.get("RECORD")


def test_there_are_cases() -> None:
    assert len(CASES) > 80
