"""Each Container Linux Config in `clc/` becomes the JSON and the report that are written down with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cl.transpiler import transpile
from cl.transpiler.clc.to_butane import to_butane
from tests.support.cases import case_paths, check_case, read_case
from tests.support.spec3 import plain

pytestmark = pytest.mark.covering

CASES = case_paths("clc")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_case(path: Path) -> None:
    check_case(path, "clc")


@pytest.mark.parametrize("path", CASES, ids=lambda path: path.stem)
def test_rewritten_as_butane_it_makes_the_same_machine(path: Path) -> None:
    case = read_case(path)
    direct = transpile(case.config, dialect="clc", platform=case.platform, files_dir=case.files_dir, spec="3")
    butane = to_butane(case.config, platform=case.platform, files_dir=case.files_dir)
    only_flatcar = direct.json is not None and '"oem:' in direct.json.lower()
    assert (butane.text is None) == (direct.json is None or only_flatcar)
    if butane.text is not None and direct.json is not None:
        again = transpile(butane.text, dialect="butane")
        assert again.json is not None, again.report.render()
        assert plain(json.loads(again.json)) == plain(json.loads(direct.json))


def test_there_are_cases_of_both_verdicts() -> None:
    verdicts = [read_case(path).json != "" for path in CASES]
    assert verdicts.count(True) > 60 and verdicts.count(False) > 60
