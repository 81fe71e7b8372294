"""Ignition configs held against ignition-validate of spec 2 and of spec 3, built from their Go modules."""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from cl.transpiler import transpile
from tests.support.ignition_values import odd_configs
from tests.support.originals import SEED, each, generated, original

EACH = generated(5000) // 1000
PROGRAMS = {
    2: ("ct", "github.com/flatcar/ignition/validate", "ignition-validate-2"),
    3: ("butane", "github.com/coreos/ignition/v2/validate", "ignition-validate-3"),
}
"""The Ignition that ct is built with, and the one that butane is built with."""
_SEVERITY = re.compile(r"^(error|warning|info|deprecated)(?= at |: )", re.MULTILINE)
_NOT_OURS = ("unrecognized key: tls", "context tree does not match content tree")
"""What it says of keys and nulls that it has read, when its own walk through the text misses them."""


def compare(program: Path, text: str) -> tuple[bool, str | None]:
    """(whether it is valid, what differs) for one config; spec 2 gives the end of a thing as its place."""
    done = subprocess.run([str(program), "-"], input=text.encode(), capture_output=True, check=False)
    valid, ours = done.returncode == 0, transpile(text, dialect="ignition")
    theirs = (done.stdout + done.stderr).decode("utf-8", "replace")
    said = f"{text}\ntheirs: {theirs}\nours: {ours.report.render()}"
    if valid != (ours.json is not None):
        return valid, said
    if not valid or any(words in theirs for words in _NOT_OURS):
        return valid, None
    severities = Counter("warning" if word == "deprecated" else word for word in _SEVERITY.findall(theirs))
    return valid, None if severities == Counter(str(entry.severity) for entry in ours.report.entries) else said


@pytest.mark.parametrize(("major", "minor"), [(2, minor) for minor in range(5)] + [(3, minor) for minor in range(7)])
def test_each_key_with_odd_values_is_judged_as_by_ignition(major: int, minor: int) -> None:
    program = original(*PROGRAMS[major])
    texts = odd_configs(Random(SEED), major, minor, EACH)
    if (major, minor) == (2, 0):  # whose numbers without a sign may be twice as large; we stop at 63 bits
        texts = (text for text in texts if str(2**63) not in text)
    answers = each(lambda text: compare(program, text), texts)
    wrong = [answer for _, answer in answers if answer is not None]
    assert not wrong, f"{len(wrong)} differ, the first: {wrong[0]}"
    verdicts = Counter(valid for valid, _ in answers)
    assert min(verdicts.values()) > len(answers) / 10
