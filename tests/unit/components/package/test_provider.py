"""The package's schema, which other languages' SDKs are made of."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest

from components.package import inputs
from components.package.provider import FlatcarProvider
from components.settings.machine import MachineSettings


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FlatcarProvider("1.2.3").schema or "")
    return document


def test_it_has_the_components_by_plain_names(schema: dict[str, Any]) -> None:
    assert (schema["name"], schema["version"]) == ("flatcar", "1.2.3")
    assert {*schema["resources"]} == {f"flatcar:index:{name}" for name in ("IgnitionObject", "Machine", "Reprovision")}
    assert not [name for name in schema["types"] if name.endswith("Args")]


def test_every_property_is_described(schema: dict[str, Any]) -> None:
    parts = {
        **{name: made["properties"] for name, made in schema["types"].items()},
        **{f"{name} in": made["inputProperties"] for name, made in schema["resources"].items()},
        **{f"{name} out": made["properties"] for name, made in schema["resources"].items()},
    }
    assert [
        (part, name)
        for part, properties in parts.items()
        for name, found in properties.items()
        if not found.get("description") or "\n  " in found["description"]
    ] == []


def test_what_can_be_set_for_a_machine_can_be_set_in_other_languages() -> None:
    by_another_name = {"allow_degraded": "health", "pull": ""}  # no agent yet
    given = {*inputs.MachineArgs.__annotations__}
    names = {by_another_name.get(setting.name, setting.name) for setting in fields(MachineSettings)} - {""}
    assert names - given == set()
