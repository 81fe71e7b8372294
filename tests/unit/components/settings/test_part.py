"""A part of a stack: who takes part, and in which order the others are declared."""

from __future__ import annotations

import pytest

from components.settings.part import Part, matching
from components.settings.rollout import Member, RolloutSettings, plan_of


def test_a_part_comes_through_the_environment() -> None:
    part = Part(machines=frozenset({"web-1", "db"}), others=("late", "early"))
    assert Part.of(part.environment) == part
    assert Part.of({}) is None
    assert Part.of({"FLATCAR_MACHINES": " "}) is None


@pytest.mark.parametrize(
    ("wanted", "found", "unknown"),
    [
        (["web"], ["web"], []),
        (["web*"], ["web", "web-1", "web-2"], []),
        (["web-2", "web-*"], ["web-2", "web-1"], []),
        (["w?b", "[d]b"], ["web", "db"], []),
        (["wbe", "x*", "db"], ["db"], ["wbe", "x*"]),
        ([], [], []),
    ],
)
def test_names_and_patterns(wanted: list[str], found: list[str], unknown: list[str]) -> None:
    assert matching(wanted, ["web-2", "web", "web-1", "db"]) == (found, unknown)


def test_a_part_is_a_rollout_of_its_own_and_the_others_follow_in_the_states_order() -> None:
    members = [Member(name=name, config="c") for name in ("a", "b", "c", "d", "e", "new")]
    part = Part(machines=frozenset({"b", "d", "new"}), others=("e", "gone", "a", "c"))
    steps = plan_of(part, RolloutSettings(canary=1, batch="1", pause=7), members)
    assert [(step.name, step.wave, step.waves, step.after, step.pause) for step in steps] == [
        ("b", 0, 3, (), 0),
        ("d", 1, 3, ("b",), 7),
        ("new", 2, 3, ("d",), 7),
        ("e", 3, 3, ("b", "d", "new"), 0),
        ("a", 3, 3, ("e",), 0),
        ("c", 3, 3, ("a",), 0),
    ]
