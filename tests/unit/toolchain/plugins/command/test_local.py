"""The stand-in command plugin by itself: which inputs it refuses, what replaces. What it does is in tests/engine."""

from __future__ import annotations

import json

import pytest
from pulumi.runtime.proto.provider_pb2 import DiffRequest, PropertyDiff

from toolchain.plugins.base import UNKNOWN, Properties, Provider, Value, encode
from toolchain.plugins.command.local import Command


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("create", 1.0, "a 'string'; got 'float64'"),
        ("stdin", ["a"], "a 'string'; got '[]interface {}'"),
        ("interpreter", "sh", "a '[]string'; got 'string'"),
        ("interpreter", ["sh", 1.0], "a '[]string'"),
        ("environment", {"A": 1.0}, "a 'map[string]string'"),
        ("triggers", "a", "a '[]interface {}'; got 'string'"),
        ("addPreviousOutputInEnv", "yes", "a 'bool'; got 'string'"),
        ("logging", 1.0, "a 'local.Logging'; got 'float64'"),
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
        "logging": "any text",
    }
    assert Command().check(inputs) == []


def file(digest: str) -> Value:
    """A file as the engine sends it (`pulumi.FileAsset`)."""
    return {"4dabf18193072939515e22adb298388d": "c44067f5952c0a294b673a41bacd8c17", "path": "a", "hash": digest}


@pytest.mark.parametrize(
    ("old", "new", "path", "kind"),
    [
        ({"create": "a"}, {"create": "b"}, "create", PropertyDiff.UPDATE),
        ({"triggers": ["a"]}, {"triggers": ["b"]}, "triggers[0]", PropertyDiff.UPDATE),
        ({"triggers": ["a"]}, {"triggers": ["a", "b"]}, "triggers[1]", PropertyDiff.ADD),
        ({}, {"triggers": ["a"]}, "triggers", PropertyDiff.ADD),
        ({"triggers": [{"a.b": "a"}]}, {"triggers": [{"a.b": "b"}]}, 'triggers[0]["a.b"]', PropertyDiff.UPDATE),
        ({"triggers": [file("12")]}, {"triggers": [file("34")]}, "triggers[0].hash", PropertyDiff.UPDATE),
    ],
)
def test_what_has_changed_is_named_and_replacing_is_left_to_the_sdk(
    old: Properties, new: Properties, path: str, kind: PropertyDiff.Kind.ValueType
) -> None:
    """As the plugin does: the SDK asks for `replace_on_changes`."""
    provider = Provider("command", "1.2.1", {"command:local:Command": Command()}, None)
    urn = "urn:pulumi:stack::project::flatcar:index:Machine$command:local:Command::name"
    answer = provider.Diff(DiffRequest(urn=urn, old_inputs=encode(old), news=encode(new)), None)  # type: ignore[arg-type]
    assert {name: diff.kind for name, diff in answer.detailedDiff.items()} == {path: kind}
    assert not answer.replaces


def test_the_schema_names_what_a_program_in_yaml_may_say() -> None:
    provider = Provider("command", "1.2.1", {"command:local:Command": Command()}, None)
    schema = json.loads(provider.GetSchema(None, None).schema)  # type: ignore[arg-type]
    command = schema["resources"]["command:local:Command"]
    assert {"create", "delete", "stdin", "triggers"} <= set(command["inputProperties"])
    assert {"create", "stdout", "stderr"} <= set(command["properties"])
