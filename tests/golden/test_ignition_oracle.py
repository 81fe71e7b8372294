"""Ignition 2 configs held against ignition-validate of the Ignition that ct is built with, from its Go module."""

from __future__ import annotations

import subprocess
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from cl.transpiler import transpile
from tests.support.ct import entries_of
from tests.support.ignition_values import odd_configs
from tests.support.originals import SEED, each, generated, original

EACH = generated(5000) // 1000


@pytest.fixture(scope="module")
def validate() -> Path:
    return original("ct", "github.com/flatcar/ignition/validate", "ignition-validate")


def compare(validate: Path, text: str) -> tuple[bool, str | None]:
    """(whether it is valid, what differs) for one config. Ignition's places are the ends of what is meant."""
    done = subprocess.run([str(validate), "-"], input=text.encode(), capture_output=True, check=False)
    valid, ours = done.returncode == 0, transpile(text, dialect="ignition")
    if valid != (ours.json is not None):
        return valid, f"{text}\ntheirs: {done.stdout.decode()}\nours: {ours.report.render()}"
    # A key that it knows, but its walk through the config doesn't; then it doesn't look inside either.
    theirs = done.stdout.decode("utf-8", "replace")
    if not valid or "unrecognized key: tls" in theirs:
        return valid, None
    severities = Counter[str]()
    for (severity, _, _), count in entries_of(theirs).items():
        severities["warning" if severity == "deprecated" else severity] += count
    found = Counter[str](entry.severity for entry in ours.report.entries)
    return valid, None if found == severities else f"{text}\ntheirs: {theirs}\nours: {ours.report.render()}"


@pytest.mark.parametrize("minor", range(5))
def test_each_key_with_odd_values_is_judged_as_by_ignition(validate: Path, minor: int) -> None:
    answers = each(lambda text: compare(validate, text), odd_configs(Random(SEED), minor, EACH))
    wrong = [answer for _, answer in answers if answer is not None]
    assert not wrong, f"{len(wrong)} differ, the first: {wrong[0]}"
    verdicts = Counter(valid for valid, _ in answers)
    assert min(verdicts.values()) > len(answers) / 10
