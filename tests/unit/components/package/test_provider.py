"""The package's schema, which other languages' SDKs are made of."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from components.package import inputs
from components.package.provider import FlatcarProvider
from components.platforms.aws.settings import Ami, AwsSettings, InstanceSettings
from components.platforms.digitalocean.settings import DigitalOceanSettings, DropletSettings
from components.platforms.host.settings import HostSettings
from components.platforms.qemu.settings import QemuSettings
from components.settings.machine import MachineSettings
from components.settings.pull import PullSettings
from components.settings.rollout import RolloutSettings
from components.stores.settings import StoreSettings


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FlatcarProvider("1.2.3").schema or "")
    return document


def test_it_has_the_components_by_plain_names(schema: dict[str, Any]) -> None:
    assert (schema["name"], schema["version"]) == ("flatcar", "1.2.3")
    components = ("AwsShared", "DigitalOceanShared", "Fleet", "IgnitionObject", "Machine", "Reprovision")
    assert {*schema["resources"]} == {f"flatcar:index:{name}" for name in components}
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


def test_what_machines_share_is_given_as_the_component_itself(schema: dict[str, Any]) -> None:
    given = schema["resources"]["flatcar:index:Machine"]["inputProperties"]
    assert given["aws"]["$ref"] == "#/resources/flatcar:index:AwsShared"
    assert given["digitalocean"]["$ref"] == "#/resources/flatcar:index:DigitalOceanShared"


def test_the_sdk_for_go_makes_what_a_map_of_machines_holds(schema: dict[str, Any]) -> None:
    """`tests/long/test_examples.py` compiles it."""
    assert schema["resources"]["flatcar:index:Fleet"]["inputProperties"]["machines"]["additionalProperties"]["plain"]
    assert schema["language"]["go"]["generateExtraInputTypes"]


def test_what_can_be_set_for_a_machine_can_be_set_in_other_languages() -> None:
    given = {*inputs.MachineArgs.__annotations__}
    names = {{"allow_degraded": "health"}.get(setting.name, setting.name) for setting in fields(MachineSettings)}
    assert names - given == set()


@pytest.mark.parametrize(
    ("given", "beside", "settings"),
    [
        (inputs.AwsSharedArgs, {"store", "retain_on_delete"}, AwsSettings),
        (inputs.DigitalOceanSharedArgs, {"store", "retain_on_delete"}, DigitalOceanSettings),
        (inputs.Ec2, set(), InstanceSettings),
        (inputs.Droplet, set(), DropletSettings),
        (inputs.Ami, set(), Ami),
        (inputs.Bucket, set(), StoreSettings),
        (inputs.Host, set(), HostSettings),
        (inputs.Qemu, {"image"}, QemuSettings),
        (inputs.Pull, {"lock"}, PullSettings),
        (inputs.Rollout, set(), RolloutSettings),
    ],
)
def test_what_a_stack_can_say_other_languages_can(given: type, beside: set[str], settings: type[Any]) -> None:
    """A setting of a stack's config is an input, by its name there."""
    other = {"adopt": "import_id", "windows": "window", "lock_group": "lock", "is_local": ""}
    other |= {"max_failures": "", "unreachable": ""}  # for programs that end with `rollout.told`
    names = {other.get(setting.name, setting.name) for setting in fields(settings)} - {""}
    assert {*given.__annotations__} == names | beside


def test_a_clouds_sdk_is_imported_by_who_uses_that_cloud() -> None:
    program = "import components.package.provider, sys; print({'pulumi_aws', 'pulumi_digitalocean'} & {*sys.modules})"
    root = Path(inputs.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"
