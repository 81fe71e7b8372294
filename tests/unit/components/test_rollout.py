"""What is said when a machine fails."""

from __future__ import annotations

import pytest

from components.rollout import cause, in_words


@pytest.mark.parametrize(
    ("error", "first"),
    [
        ('exit status 1: running "reprovision":\nweb: it is broken\nweb: mend it\n', "web: it is broken"),
        ('signal: killed: running "reprovision":\n', "web: the run was ended (signal: killed)"),
        ("the plugin is gone", "the plugin is gone"),
    ],
)
def test_the_cause_is_the_first_line_that_the_command_said(error: str, first: str) -> None:
    assert cause("web", error) == first


def test_the_rollout_names_each_machine_that_takes_part() -> None:
    states = {"a": "proven", "b": "unchanged", "c": "failed", "d": "under way", "e": "not tried", "f": "proven"}
    assert in_words(states) == "proven: a, f; failed: c; under way: d; not tried: e"
    many = {f"m{number}": "not tried" for number in range(14)}
    assert in_words(many).endswith("m11 and 2 more")
