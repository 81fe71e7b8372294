"""Every recorded run of ct in ../shared/corpus, where there is one beside the checkout."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from cl.transpiler import transpile
from tests.support.ct import Run, disagreement, entries_of
from toolchain.places import ROOT

CORPUS = ROOT.parent / "shared" / "corpus"
CASES = CORPUS / "ct.jsonl"
RECORDED: list[dict[str, Any]] = (
    [json.loads(line) for line in CASES.read_text().split("\n") if line] if CASES.is_file() else []
)


@pytest.mark.skipif(not RECORDED, reason="no recorded cases beside the checkout")
def test_all_recorded_cases_agree() -> None:
    wrong = Counter[str]()
    for case in RECORDED:
        flags: list[str] = case["args"]
        ours = transpile(
            case["yaml"],
            dialect="clc",
            platform=flags[flags.index("-platform") + 1] if "-platform" in flags else "",
            files_dir=CORPUS / "files" if "-files-dir" in flags else None,
            strict="-strict" in flags,
        )
        accepted = case["rc"] == 0
        recorded = _compact(case["json"]) if accepted and "-pretty" in flags else case["json"]
        theirs = Run(recorded if accepted else None, entries_of(case["report"] or ""), "", crashed=False)
        if (difference := disagreement(theirs, ours)) is not None:
            wrong[f"{case['id']}: {difference}"] += 1
    assert not wrong
    assert len(RECORDED) > 100


def _compact(pretty: str) -> str:
    return json.dumps(json.loads(pretty), separators=(",", ":"), ensure_ascii=False)
