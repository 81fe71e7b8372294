"""What is wrong with a fleet is told before any of its machines is made."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.package.fleet import Fleet

HOST = {"address": "192.0.2.1"}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"machines": {}}, "'fleet' can't be used:\n  machines: names no machine"),
        ({"machines": {"a": {"config": "x", "host": HOST}}, "rollout": {"batch": "none"}}, "batch: has to be a count"),
        (
            {"machines": {"a": {"config": "x", "host": HOST, "group": "b"}}, "rollout": {"groups": ["a"]}},
            "'fleet' can't be used:\n  rollout.groups: machine a is in group 'b', which the rollout does not name",
        ),
    ],
)
def test_a_fleet_that_is_none_is_refused(given: Any, problem: str) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        Fleet("fleet", given)
    assert problem in str(refused.value)


def test_what_is_wrong_with_all_machines_is_told_at_once() -> None:
    machines = {"a": {"config": "x", "host": HOST, "lifecycle": "resat"}, "b": {"config": "x", "ec2": {}}}
    given: Any = {"machines": machines}
    with pytest.raises(pulumi.RunError) as refused:
        Fleet("fleet", given)
    assert "'a' can't be used:\n  lifecycle: has to be one of" in str(refused.value)
    assert "the machine 'b' needs one of" in str(refused.value)
