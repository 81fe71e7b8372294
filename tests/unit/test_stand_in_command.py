"""The stand-in command plugin by itself: which inputs it refuses. What it does is in tests/engine."""

from __future__ import annotations

import pytest

from toolchain.plugins.base import UNKNOWN, Value
from toolchain.plugins.command.local import Command


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("create", 1.0, "a string"),
        ("stdin", ["a"], "a string"),
        ("interpreter", "sh", "a list of strings"),
        ("interpreter", ["sh", 1.0], "a list of strings"),
        ("environment", {"A": 1.0}, "a map of strings"),
        ("triggers", "a", "a list"),
        ("addPreviousOutputInEnv", "yes", "true or false"),
        ("logging", "all", "stdoutAndStderr"),
        ("assetPaths", ["*"], "real plugin"),
        ("archivePaths", ["*"], "real plugin"),
    ],
)
def test_wrong_input_is_named(name: str, value: Value, reason: str) -> None:
    [failure] = Command().check({"create": "true", name: value})
    assert failure.property == name and reason in failure.reason


@pytest.mark.parametrize("name", ["create", "interpreter", "environment", "triggers", "logging"])
def test_what_is_not_known_yet_is_not_judged(name: str) -> None:
    assert Command().check({name: UNKNOWN}) == []


def test_right_inputs_pass() -> None:
    inputs: dict[str, Value] = {
        "create": "true",
        "triggers": [1.0, "a", {"any": "thing"}],
        "environment": {"A": "b"},
        "interpreter": ["sh", "-c"],
        "logging": "none",
    }
    assert Command().check(inputs) == []
