"""The simulation of many agents: what has to hold whatever its numbers are."""

from __future__ import annotations

import pytest

from bench.pull_fleet import Assumed, Scenario, reports_after, simulate
from components.settings.pull import PullSettings


@pytest.mark.parametrize("slots", [1, 7])
def test_a_lock_is_never_held_by_more_than_its_slots(slots: int) -> None:
    outcome = simulate(Scenario(name="locked", slots=slots), machines=60)
    assert outcome.most_away == slots
    assert outcome.lock_mean > 0


def test_without_lock_and_jitter_all_converge_within_an_interval_and_a_re_run() -> None:
    settings = PullSettings(interval=100, jitter=0)
    outcome = simulate(Scenario(name="free", settings=settings), machines=500, assumed=Assumed(away=(10, 20)))
    assert outcome.converged < 100 + 20 + 2
    assert 500 / 100 < outcome.mean < 500 / 89


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others() -> None:
    scenario = Scenario(name="any")
    assert simulate(scenario, machines=200) == simulate(scenario, machines=200)
    assert simulate(scenario, machines=200, seed=2) != simulate(scenario, machines=200)


def test_a_change_is_reported_as_often_as_the_agent_says_something_new() -> None:
    def reports(scenario: Scenario) -> int:
        return simulate(scenario, machines=100).reports

    assert reports(Scenario(name="waiting, staging, proven")) == 300
    assert reports(Scenario(name="staging, proven", settings=PullSettings(jitter=0))) == 200
    assert 300 < reports(Scenario(name="and waiting for the lock", slots=3)) <= 400
    assert reports(Scenario(name="proven, after the boot", power_on=True)) == 100


def test_what_was_reported_last_by_a_time() -> None:
    scenario = Scenario(name="any")
    assert set(reports_after(0, scenario, machines=50)) == {("", "")}
    assert {"waiting", "staging", "proven"} == {state for state, _ in reports_after(300, scenario, machines=500)} - {""}
    assert [state for state, _ in reports_after(86_400, scenario, machines=50)] == ["proven"] * 50
