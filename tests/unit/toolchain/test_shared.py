"""Several stacks that share one file of settings: which there are, and whose each machine is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from toolchain import shared
from toolchain.steps import SetupError


def file_of(folder: Path, **config: Any) -> Path:
    """The file `fleet` of the stacks eu and us, with a machine in each, and more keys."""
    machines = {"web": {"stack": "eu"}, "db": {"stack": "us"}}
    values = {"stacks": ["eu", "us"], "machines": machines, **config}
    path = folder / "Pulumi.fleet.yaml"
    path.write_text(yaml.safe_dump({"config": {f"flatcar:{name}": value for name, value in values.items()}}))
    return path


def exported(stack: str, *machines: str) -> str:
    types = ("flatcar:index:Machine", "flatcar:index:Machine$command:local:Command")
    urns = [f"urn:pulumi:{stack}::flatcar::{type_}::{name}" for name in machines for type_ in types]
    return json.dumps({"deployment": {"resources": [{"urn": urn} for urn in urns]}})


def test_the_file_says_which_stacks_there_are_and_whose_each_machine_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "ROOT", tmp_path)
    (tmp_path / "more.yaml").write_text("worker: {stack: us}\n")
    of = shared.shared_by(file_of(tmp_path, machine_files=["more.yaml"]))
    assert of is not None
    assert of.stacks == ("eu", "us") and of.machines == {"web": "eu", "db": "us", "worker": "us"}
    assert of.beside("fleet") == ["eu", "us"] and of.beside("me/flatcar/eu") == ["me/flatcar/eu", "me/flatcar/us"]


@pytest.mark.parametrize(
    "text", [None, "config: {}", "config: [", "# flatcar:stacks: [eu]\nconfig: {flatcar:strict: 1}"]
)
def test_any_other_file_is_one_stack_s(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "Pulumi.fleet.yaml").write_text(text)
    assert shared.shared_by(tmp_path / "Pulumi.fleet.yaml") is None


@pytest.mark.parametrize("stacks", ["eu", [1], [""], {"eu": 1}, ["me/flatcar/eu"]])
def test_stacks_are_a_list_of_names(tmp_path: Path, stacks: Any) -> None:
    with pytest.raises(SetupError, match=r"flatcar:stacks in Pulumi\.fleet\.yaml has to be a list of stacks' names"):
        shared.shared_by(file_of(tmp_path, stacks=stacks))


def test_each_stack_s_file_is_a_link_to_the_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = file_of(tmp_path)
    of = shared.shared_by(file)
    assert of is not None
    shared.link(of)
    assert "stacks/Pulumi.us.yaml is a link to Pulumi.fleet.yaml from now on; commit it" in capsys.readouterr().err
    shared.link(of)
    assert capsys.readouterr().err == ""
    assert [(tmp_path / f"Pulumi.{stack}.yaml").readlink() for stack in of.stacks] == [Path("Pulumi.fleet.yaml")] * 2
    assert shared.shared_by(tmp_path / "Pulumi.eu.yaml") == of, "found by either name"


@pytest.mark.parametrize("there", ["a file", "a link to another", "a dead link"])
def test_another_file_in_its_place_is_left_alone(tmp_path: Path, there: str) -> None:
    of, path = shared.shared_by(file_of(tmp_path)), tmp_path / "Pulumi.us.yaml"
    assert of is not None
    other = tmp_path / "Pulumi.other.yaml"
    if there != "a dead link":
        other.write_text("config: {}\n")
    path.write_text("config: {}\n") if there == "a file" else path.symlink_to(other)
    with pytest.raises(
        SetupError, match=r"Pulumi\.us\.yaml is a file of its own, and stack us takes its settings from"
    ):
        shared.link(of)
    assert path.is_symlink() is (there != "a file")


def test_a_machine_stays_in_the_stack_that_has_it(tmp_path: Path) -> None:
    of = shared.shared_by(file_of(tmp_path))
    assert of is not None
    shared.stay(of, {"eu": exported("eu", "web", "gone"), "me/flatcar/us": exported("us")})
    shared.stay(of, {"eu": json.dumps({"deployment": {"resources": None}})})
    with pytest.raises(
        SetupError, match=r"machine db belongs to stack eu, and Pulumi\.fleet\.yaml has it in us"
    ) as told:
        shared.stay(of, {"me/flatcar/eu": exported("eu", "web", "db")})
    assert "give it `stack: eu` again" in told.value.hint
