"""Rules, masking, the protocol and the policies with one thing wrong each: unit tests notice, or it is named why not.

`survivors.toml` names what they don't notice, each with its reason. What is in it and noticed all the same is out of
date, and fails too.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.mutants import TARGETS, Mutant, Target

ROOT = Path(__file__).parents[2]
SURVIVORS = Path(__file__).with_name("survivors.toml")


def named(file: str) -> Mapping[Mutant, str]:
    """The mutants of a file that are known to survive, with the reason of each."""
    entries = tomllib.loads(SURVIVORS.read_text()).get(file, [])
    return {Mutant(file=file, old=old, new=new): entry["reason"] for entry in entries for old, new in entry["mutants"]}


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.file)
def test_unit_tests_notice_what_is_wrong(target: Target, tmp_path: Path) -> None:
    file, results = target.file, tmp_path / "mutants.json"
    argv = [sys.executable, "-m", "tests.support.mutants", file, str(results)]
    done = subprocess.run(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert results.exists(), done.stdout
    made = json.loads(results.read_text())
    survivors = {Mutant(file=file, old=one["old"], new=one["new"]) for one in made if one["survives"]}
    known = named(file)
    print(f"{file}: {len(made)} mutants, {len(survivors)} survive")
    assert made, "no mutants were made"
    assert not [str(mutant) for mutant in sorted(survivors - known.keys())], "unit tests don't notice"
    assert not [str(mutant) for mutant in sorted(known.keys() - survivors)], "named in survivors.toml, and noticed"


def test_each_survivor_has_a_reason_and_a_file_that_is_mutated() -> None:
    entries = tomllib.loads(SURVIVORS.read_text())
    assert set(entries) <= {target.file for target in TARGETS}
    assert [entry for found in entries.values() for entry in found if not entry["reason"].strip()] == []
