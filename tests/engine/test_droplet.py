"""The stack `dev` (droplets, Spaces) on the real engine, against DigitalOcean's API on loopback.

Machines are loopback machines: real SSH, stand-in system (`loopback_machine`). Spaces is moto's S3 server. The tests
run with the real digitalocean plugin where it is installed, else with the stand-in; `lab.plugin` says which.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.cloud_lab import CloudLab, copy_project, in_place, plugin_in_use, stack_config, touched
from tests.fakes.aws import Aws, running_moto
from tests.fakes.digitalocean import DigitalOceanApi
from tests.fakes.machines import MachinePark
from toolchain.plugins import install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Project

BUCKET = "flatcar-configs-dev"


class DropletLab(CloudLab):
    """The stack `dev`; `api` is the account, `spaces` its buckets."""

    api: DigitalOceanApi
    spaces: Aws

    def droplet(self, name: str) -> dict[str, Any]:
        """The one droplet of a name."""
        (found,) = [droplet for droplet in self.api.droplets.values() if droplet["name"] == name]
        return found

    def objects(self) -> dict[str, bytes]:
        """The objects in the bucket, by key."""
        listed = self.spaces.s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {
            item["Key"]: self.spaces.s3.get_object(Bucket=BUCKET, Key=item["Key"])["Body"].read() for item in listed
        }


@pytest.fixture
def lab(tmp_path: Path, pulumi: Project, free_port: int) -> Iterator[DropletLab]:
    with running_moto() as objects:
        park = MachinePark(tmp_path / "park", objects, free_port)
        api = DigitalOceanApi(
            address_of=lambda name: park.address(),
            switch_on=lambda droplet: park.switch_on(
                str(droplet["id"]), droplet["networks"]["v4"][0]["ip_address"], droplet["user_data"]
            ),
            switch_off=lambda droplet: park.switch_off(str(droplet["id"])),
        )
        with api.running() as address:
            env = {
                "DIGITALOCEAN_API_URL": address,
                "DIGITALOCEAN_TOKEN": api.token,
                "SPACES_ACCESS_KEY_ID": "test",
                "SPACES_SECRET_ACCESS_KEY": "test",
                "MACHINES_DIR": str(tmp_path / "machines"),
                **_way_to_spaces(objects),
            }
            project = copy_project(tmp_path)
            stack = pulumi(project, env=env)
            lab = DropletLab(
                project=project,
                pulumi=stack,
                config=stack_config("dev", park),
                park=park,
                plugin=plugin_in_use("digitalocean"),
            )
            lab.api, lab.spaces = api, Aws(objects)
            print(lab.plugin)
            yield lab
            if lab.pulumi.resources():
                lab.pulumi.run("state", "unprotect", "--all", "--yes")
                lab.pulumi.destroy()
        park.close()


def _way_to_spaces(objects: str) -> dict[str, str]:
    """The real plugin puts the bucket into the host's name, which no resolver knows here: it goes by a proxy."""
    if install.is_stand_in("digitalocean"):
        return {"SPACES_ENDPOINT_URL": objects}
    return {"SPACES_ENDPOINT_URL": "http://s3.amazonaws.com", "HTTP_PROXY": objects}


def test_the_stack_dev_from_nothing_to_a_change_and_back(lab: DropletLab) -> None:
    lab.preview()
    assert not lab.api.requests, "a preview changes nothing"
    lab.up()
    droplet = lab.droplet("web")
    id_ = str(droplet["id"])
    assert lab.pulumi.outputs()["web"]["address"] == droplet["networks"]["v4"][0]["ip_address"]
    assert lab.park.machines[id_].boots == 1, "creating a machine boots it once"
    assert "This is web." in lab.motd(id_)
    before = lab.pulumi.resources()["web-object"]["outputs"]

    again = lab.up()
    assert touched(again) == {}

    lab.edit_web("A new line.")
    wanted = in_place("web", stored="SpacesBucketObject")
    assert touched(lab.preview()) == wanted
    lab.api.requests.clear()
    assert touched(lab.up()) == wanted
    assert lab.api.requests == [], "not one request to DigitalOcean itself"
    assert "A new line." in lab.motd(id_)
    assert lab.park.machines[id_].boots == 2
    after = lab.pulumi.resources()["web-object"]["outputs"]
    assert before["key"] == after["key"] and before["versionId"] != after["versionId"]

    refreshed = lab.pulumi.run("refresh", "--yes", "--skip-preview", events=True)
    assert "changes performed" not in refreshed.output, refreshed.output
    assert "unchanged" in refreshed.output and " updated" not in refreshed.output, refreshed.output
    assert touched(lab.up()) == {}

    lab.pulumi.destroy()
    assert lab.api.left() == {}
    assert lab.spaces.left() == {}
    assert lab.park.machines == {}
