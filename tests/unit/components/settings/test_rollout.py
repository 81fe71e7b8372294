"""Waves: the laws of the order that `components.settings.rollout` makes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.config.section import Section
from components.settings.rollout import Member, RolloutSettings, Step, plan, rollout_settings

FLEETS = st.lists(
    st.builds(
        Member,
        name=st.from_regex(r"[a-z][a-z0-9]{0,5}", fullmatch=True),
        config=st.sampled_from(["web", "worker", "db"]),
        group=st.sampled_from(["one", "two"]),
    ),
    unique_by=lambda member: member.name,
    max_size=40,
)
SETTINGS = st.builds(
    RolloutSettings,
    canary=st.integers(0, 3),
    batch=st.one_of(st.integers(1, 50).map(str), st.integers(1, 100).map("{}%".format)),
    max_unavailable=st.integers(0, 5),
    pause=st.integers(0, 60),
    groups=st.sampled_from([(), ("two", "one")]),
)


def fleet(count: int, config: str = "web") -> list[Member]:
    return [Member(name=f"m{number:03}", config=config) for number in range(count)]


def waves(steps: list[Step]) -> list[list[str]]:
    found: dict[int, list[str]] = {}
    for step in steps:
        found.setdefault(step.wave, []).append(step.name)
    return [found[wave] for wave in sorted(found)]


def test_a_canary_goes_first_then_a_quarter_each() -> None:
    assert [len(wave) for wave in waves(plan(RolloutSettings(), fleet(10)))] == [1, 3, 3, 3]


def test_each_config_has_its_canary() -> None:
    members = [*fleet(4), Member(name="w1", config="worker"), Member(name="w2", config="worker")]
    assert waves(plan(RolloutSettings(batch="4"), members)) == [["m000", "w1"], ["m001", "m002", "m003", "w2"]]


def test_canaries_are_no_larger_a_wave_than_others() -> None:
    members = [Member(name=f"m{number}", config=f"config{number}") for number in range(8)]
    assert [len(wave) for wave in waves(plan(RolloutSettings(batch="2"), members))] == [2, 2, 2, 2]


def test_a_wave_waits_for_all_of_the_one_before_and_pauses_once() -> None:
    steps = plan(RolloutSettings(batch="2", pause=30), fleet(5))
    assert [(step.after, step.pause) for step in steps] == [
        ((), 0),
        (("m000",), 30),
        (("m000",), 30),
        (("m001", "m002"), 30),
        (("m001", "m002"), 30),
    ]


def test_max_unavailable_makes_lanes_in_a_wave() -> None:
    steps = plan(RolloutSettings(canary=0, batch="100%", max_unavailable=2, pause=9), fleet(5))
    assert [(step.wave, step.after, step.pause) for step in steps] == [
        (0, (), 0),
        (0, (), 0),
        (0, ("m000",), 0),
        (0, ("m001",), 0),
        (0, ("m002",), 0),
    ]


def test_groups_keep_their_order_and_never_share_a_wave() -> None:
    members = [Member(name="a", config="web", group="live"), Member(name="b", config="web", group="staging")]
    settings = RolloutSettings(groups=("staging", "live"), batch="9")
    assert waves(plan(settings, members)) == [["b"], ["a"]]
    with pytest.raises(ValueError, match="machine c is in group 'other'"):
        plan(settings, [*members, Member(name="c", config="web", group="other")])


@given(FLEETS, SETTINGS)
def test_everyone_has_one_place_and_waits_only_for_earlier_ones(
    members: list[Member], settings: RolloutSettings
) -> None:
    steps = plan(settings, members)
    assert sorted(step.name for step in steps) == sorted(member.name for member in members)
    seen: set[str] = set()
    for step in steps:
        assert set(step.after) <= seen, "a graph without cycles, in the order of declaration"
        seen.add(step.name)


@given(FLEETS, SETTINGS)
def test_a_wave_begins_when_all_before_it_are_done(members: list[Member], settings: RolloutSettings) -> None:
    steps = {step.name: step for step in plan(settings, members)}

    def before(name: str) -> set[str]:
        found: set[str] = set()
        for other in steps[name].after:
            found |= {other} | before(other)
        return found

    for step in steps.values():
        earlier = {other.name for other in steps.values() if other.wave < step.wave}
        assert earlier <= before(step.name)
        if settings.max_unavailable:
            beside = [other.name for other in steps.values() if other.wave == step.wave]
            assert len([name for name in beside if not before(name) & set(beside)]) <= settings.max_unavailable


@pytest.mark.parametrize("batch", [3, "3", "25%", "100%"])
def test_batches_are_counts_or_percentages(batch: object) -> None:
    problems: list[str] = []
    assert rollout_settings(Section("flatcar:rollout", {"batch": batch}, problems)).batch == str(batch)
    assert problems == []


@pytest.mark.parametrize("batch", [0, "0%", "101%", "-1", "half", True])
def test_other_batches_are_refused(batch: object) -> None:
    problems: list[str] = []
    rollout_settings(Section("flatcar:rollout", {"batch": batch}, problems))
    assert len(problems) == 1
    assert "flatcar:rollout.batch" in problems[0]


def test_so_many_may_fail_but_canaries() -> None:
    settings = RolloutSettings(canary=1, batch="3", max_unavailable=2, max_failures="30%", unreachable="skip")
    steps = plan(settings, fleet(8))
    assert [(step.wave, step.max_failures, step.skips_unreachable) for step in steps] == [
        (0, 2, True),
        *[(1, 0, False)] * 2,
        (1, 2, True),
        *[(2, 2, True)] * 3,
        (3, 2, True),
    ]
    assert {step.max_failures for step in plan(RolloutSettings(max_failures="3"), fleet(9))} == {0, 3}
    assert {step.max_failures for step in plan(RolloutSettings(), fleet(9))} == {0}


@pytest.mark.parametrize(
    ("given", "problem"), [(0, ""), (3, ""), ("12%", ""), ("0%", "'0%'"), (-1, "'-1'"), ("x", "'x'")]
)
def test_what_max_failures_takes(given: object, problem: str) -> None:
    problems: list[str] = []
    rollout_settings(Section("rollout", {"max_failures": given}, problems))
    wrong = f"rollout:max_failures: has to be a count or a percentage such as 5 or '10%', not {problem}"
    assert problems == ([wrong] if problem else [])
