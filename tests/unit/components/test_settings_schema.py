"""The schema of stacks' files takes the stacks of this project, and knows no more keys than a preview does."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from jsonschema import Draft202012Validator

from components.settings_schema import settings_schema

ROOT = Path(__file__).parents[3]
STACKS = sorted([*ROOT.glob("stacks/Pulumi.*.yaml"), *ROOT.glob("examples/*/Pulumi.*.yaml")])
VALIDATOR = Draft202012Validator(settings_schema())


def problems(text: str) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(yaml.safe_load(text))]


def properties(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, inner in schema.get("properties", {}).items():
        yield f"{path}.{name}", inner
        for part in (inner, inner.get("items", {}), inner.get("additionalProperties")):
            if isinstance(part, dict):
                yield from properties(part, f"{path}.{name}")


def test_it_is_a_schema_and_the_one_in_schemas() -> None:
    """`python -m components.settings_schema >schemas/flatcar.json` writes it anew."""
    Draft202012Validator.check_schema(settings_schema())
    assert json.loads((ROOT / "schemas" / "flatcar.json").read_text()) == settings_schema()


def test_every_property_is_described() -> None:
    found = dict(properties(settings_schema()))
    assert len(found) > 120
    assert [path for path, schema in found.items() if not schema.get("description")] == []


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.name)
def test_the_stacks_of_this_project_are_valid(file: Path) -> None:
    assert problems(file.read_text()) == []


def test_what_pulumi_itself_writes_is_valid() -> None:
    text = """
encryptionsalt: v1:abc
config:
  aws:region: eu-central-1
  flatcar:strict: "false"
  flatcar:rollout: '{"canary": 2}'
  flatcar:secrets: {token: {secure: v1:abc}}
  flatcar:machines: {web: {config: cl/web.yaml, generation: "3"}}
"""
    assert problems(text) == []


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ("flatcar:machnes: {}", "$.config"),
        ("flatcar:machines: {web: {config: a, lifecyle: reset}}", "$.config['flatcar:machines'].web"),
        ("flatcar:machines: {web: {lifecycle: reset}}", "$.config['flatcar:machines'].web"),
        ("flatcar:machines: {web: {config: a, lifecycle: rest}}", "$.config['flatcar:machines'].web.lifecycle"),
        ("flatcar:machines: {web: {config: a, keep: logs}}", "$.config['flatcar:machines'].web.keep"),
        ("flatcar:machines: {web: {config: a, timeout: soon}}", "$.config['flatcar:machines'].web.timeout"),
        (
            "flatcar:machines: {web: {config: a, health: {http: [{urll: b}]}}}",
            "$.config['flatcar:machines'].web.health.http[0]",
        ),
        ("flatcar:machines: {web: {config: a, ec2: {volume: 70000}}}", "$.config['flatcar:machines'].web.ec2.volume"),
        ("flatcar:store: {kind: s4}", "$.config['flatcar:store'].kind"),
        ("flatcar:platform: gcp", "$.config['flatcar:platform']"),
    ],
)
def test_what_a_preview_does_not_know_is_not_valid(settings: str, path: str) -> None:
    assert [problem.partition(": ")[0] for problem in problems(f"config:\n  {settings}")] == [path]
