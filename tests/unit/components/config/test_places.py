"""Where a wrong setting stands, in the files that a stack's config is written in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from components.config.places import with_places

if TYPE_CHECKING:
    from pathlib import Path

STACK = """\
# a comment
encryptionsalt: v1:abc
config:
  aws:region: eu-central-1
  flatcar:secrets:
    token: {secure: AAAA}
  "flatcar:rollout": {canary: 1}
  flatcar:machine_files: [more.yaml]
  flatcar:machines:
    web-1: &web
      config: cl/web.yaml
      kep: [logs]
      variables: {a.b: x}
      health:
        http:
          - url: http://127.0.0.1/
          - {url: "http://127.0.0.1/", status: 999}
    web-2: *web
    web-3:
      <<: *web
      generation: -1
"""
VALUES = {
    "aws:region": "eu-central-1",
    "flatcar:secrets": json.dumps({"token": "of the engine"}),
    "flatcar:rollout": json.dumps({"canary": 1}),
    "flatcar:machine_files": json.dumps(["more.yaml"]),
    "flatcar:machines": json.dumps(
        {
            name: {
                "config": "cl/web.yaml",
                "kep": ["logs"],
                "variables": {"a.b": "x"},
                "health": {"http": [{"url": "x"}, {"url": "x", "status": 999}]},
                **more,
            }
            for name, more in {"web-1": {}, "web-2": {}, "web-3": {"generation": -1}}.items()
        }
    ),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "Pulumi.yaml").write_text("name: flatcar\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "Pulumi.dev.yaml").write_text(STACK)
    (tmp_path / "more.yaml").write_text("# more\nworker:\n  config: cl/worker.yaml\n  keep: [log]\n")
    return tmp_path


def placed(root: Path, problem: str, values: dict[str, str] = VALUES, stack: str = "dev") -> str:
    (told,) = with_places([problem], values, root=root, stack=stack, machine_files=["more.yaml", "none.yaml"])
    assert told.endswith(problem)
    return told.removesuffix(problem).removesuffix(": ")


@pytest.mark.parametrize(
    ("key", "place"),
    [
        ("aws:region", "stacks/Pulumi.dev.yaml:4:3"),
        ("flatcar:secrets.machine_name", "stacks/Pulumi.dev.yaml:5:3"),
        ("flatcar:rollout.canary", "stacks/Pulumi.dev.yaml:7:23"),
        ("flatcar:machines.web-1.kep", "stacks/Pulumi.dev.yaml:12:7"),
        ("flatcar:machines.web-1.variables.a.b", "stacks/Pulumi.dev.yaml:13:19"),
        ("flatcar:machines.web-1.health.http[1].status", "stacks/Pulumi.dev.yaml:17:40"),
        ("flatcar:machines.web-1.health.http[1].seconds", "stacks/Pulumi.dev.yaml:17:13"),
        ("flatcar:machines.web-1.health.http[2].url", "stacks/Pulumi.dev.yaml:15:9"),
        ("flatcar:machines.web-1.lifecycle", "stacks/Pulumi.dev.yaml:10:5"),
        ("flatcar:machines.web-2.kep", "stacks/Pulumi.dev.yaml:12:7"),
        ("flatcar:machines.web-3.generation", "stacks/Pulumi.dev.yaml:21:7"),
        ("flatcar:machines.web-3.kep", "stacks/Pulumi.dev.yaml:12:7"),
        ("flatcar:machines.worker.keep", "more.yaml:4:3"),
        ("flatcar:machines.worker.lifecycle", "more.yaml:2:1"),
        ("flatcar:machines", "stacks/Pulumi.dev.yaml:9:3"),
        ("flatcar:ssh.public_key", ""),
        ("more.yaml", ""),
    ],
)
def test_a_problem_has_the_place_of_its_setting(root: Path, key: str, place: str) -> None:
    assert placed(root, f"{key}: is wrong: very") == place


@pytest.mark.parametrize(
    "values",
    [
        {**VALUES, "flatcar:rollout": json.dumps({"batch": 3})},
        {**VALUES, "flatcar:machines": json.dumps({"web-1": {}})},
        {**VALUES, "flatcar:machine_files": json.dumps(["more.yaml", "none.yaml"])},
        {**VALUES, "aws:region": json.dumps({"name": "x"})},
    ],
)
def test_a_config_from_elsewhere_has_no_places(root: Path, values: dict[str, str]) -> None:
    assert placed(root, "flatcar:rollout.canary: is wrong", values) == ""


def test_a_stack_of_an_organization_without_a_folder_for_configs(root: Path) -> None:
    (root / "Pulumi.yaml").write_text("name: flatcar\n")
    (root / "stacks" / "Pulumi.dev.yaml").rename(root / "Pulumi.dev.yaml")
    assert placed(root, "aws:region: is wrong", stack="acme/flatcar/dev") == "Pulumi.dev.yaml:4:3"


@pytest.mark.parametrize("text", [None, "", "config: [", "config: 3", "other: {}", "- a"])
def test_without_a_file_to_read_a_problem_is_told_as_it_is(root: Path, text: str | None) -> None:
    file = root / "stacks" / "Pulumi.dev.yaml"
    file.unlink()
    if text is not None:
        file.write_text(text)
    assert placed(root, "aws:region: is wrong") == ""
