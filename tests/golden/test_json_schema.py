"""The schemas for editors take what the transpiler takes, and know no more keys than it does."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from ruamel.yaml import YAML

from cl.transpiler import transpile
from cl.transpiler.json_schema import SchemaName, json_schema
from tests.support.butane_configs import butane_config
from tests.support.cases import case_paths, read_case
from tests.support.clc_configs import generate

ROOT = Path(__file__).parents[2]


def loaded(text: str) -> Any:
    """The first document, read as editors do: YAML 1.2, where a date is a text."""
    yaml = YAML(typ="safe", pure=True)
    yaml.constructor.add_constructor("tag:yaml.org,2002:timestamp", yaml.constructor.__class__.construct_yaml_str)
    return next(iter(yaml.load_all(text)), None)


@pytest.fixture(scope="module")
def validators() -> dict[str, Draft202012Validator]:
    schemas = {name: json_schema(name) for name in ("butane", "clc")}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    return {name: Draft202012Validator(schema) for name, schema in schemas.items()}


def problems(validator: Draft202012Validator, text: str) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(loaded(text) or {})]


def is_clean(text: str, dialect: SchemaName) -> bool:
    """Whether the transpiler knows all the keys of a config that it takes."""
    result = transpile(text, dialect=dialect, platform="ec2")
    return result.json is not None and not any("key" in entry.message for entry in result.report)


ODD = {
    "a-control-character-far-behind-the-first-document-is-not-seen.case",  # YAML that this test can't read
    "broken-numbers-below-zero-are-cut-off-where-no-sign-is-taken.case",  # a fraction of -1 is 0
    "bytes-that-are-no-text-in-an-update-group-are-replaced.case",  # !!binary, no text for an editor
    "inline-bytes-become-a-data-url.case",
    "texts-keep-their-source.case",
    "seed 22",  # %YAML 1.1, where 0o755 is a text
    "seed 90",
}
"""What is taken and not valid, each for a reason that no config has."""


@pytest.mark.parametrize("dialect", ["butane", "clc"])
def test_what_is_taken_is_valid(validators: dict[str, Draft202012Validator], dialect: SchemaName) -> None:
    texts = {path.name: read_case(path).config for path in case_paths(dialect)}
    for seed in range(200 if dialect == "butane" else 100):
        texts[f"seed {seed}"] = butane_config(seed) if dialect == "butane" else generate(random.Random(seed)).text
    clean = {name: text for name, text in texts.items() if name not in ODD and is_clean(text, dialect)}
    assert len(clean) > 70
    found = {name: problems(validators[dialect], text) for name, text in clean.items()}
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("dialect", "text", "path"),
    [
        ("butane", "variant: flatcar\nversion: 1.1.0\nstorge: {}", "$"),
        ("butane", "variant: flatcar\nversion: 1.1.0\nboot_device: {}", "$"),
        ("butane", "variant: flatcar\nversion: 1.0.0\nsystemd: {units: [{name: a, contents_local: b}]}", "$.systemd"),
        ("butane", "variant: flatcar\nversion: 9.9.9", "$.version"),
        ("butane", "version: 1.1.0", "$"),
        ("clc", "storage: {files: [{path: /a, contents: {inlin: b}}]}", "$.storage"),
        ("clc", "etcd: {versoin: 3.5.0}", "$.etcd"),
        ("clc", "passwd: {users: [{name: a, uid: many}]}", "$.passwd"),
    ],
)
def test_what_the_transpiler_does_not_know_is_not_valid(
    validators: dict[str, Draft202012Validator], dialect: SchemaName, text: str, path: str
) -> None:
    assert [problem.partition(":")[0] for problem in problems(validators[dialect], text)] == [path]


@pytest.mark.parametrize("dialect", ["butane", "clc"])
def test_the_files_in_schemas_are_these(dialect: SchemaName) -> None:
    """`python -m cl.transpiler --schema NAME -o schemas/NAME.json` writes them anew."""
    assert json.loads((ROOT / "schemas" / f"{dialect}.json").read_text()) == json_schema(dialect)
