"""The stack `dev` (droplets, Spaces) on the real engine, against DigitalOcean's API on loopback.

Machines are loopback machines: real SSH, stand-in system (`loopback_machine`). Spaces is moto's S3 server. The tests
run with the real digitalocean plugin where it is installed, else with the stand-in; `lab.plugin` says which.
"""

from __future__ import annotations

from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.cloud_lab import CloudLab, copy_project, in_place, plugin_in_use, stack_config, steps_of, touched
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
    with ExitStack() as closes, running_moto() as objects:
        park = closes.enter_context(closing(MachinePark(tmp_path / "park", objects, free_port)))
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


def test_a_change_of_image_keys_tags_and_size_never_replaces_a_droplet_unasked(lab: DropletLab) -> None:
    lab.up()
    id_ = lab.droplet("web")["id"]
    cloud = lab.config["flatcar:digitalocean"]
    cloud["image"] = {"channel": "stable", "version": "4593.2.0"}
    cloud["ssh_keys"] = [lab.park.key.with_suffix(".pub").read_text().strip(), other_key(lab)]
    cloud["tags"] = ["blue"]
    cloud["region"] = "nyc3"
    seen = lab.preview()
    assert touched(seen)["Droplet web"] == "update"
    run = lab.up()
    assert lab.droplet("web")["id"] == id_
    assert "blue" in lab.droplet("web")["tags"]
    assert lab.park.ever == [str(id_)], "no other machine was ever made"
    assert not [step for step in steps_of(run) if "replace" in step[0] and "Droplet" in step[1]]
    again = lab.preview()
    for what in ("image", "region", "ssh keys"):
        assert f"web: pending: {what} is " in again.output
    assert "pulumi up --replace '**:Droplet::web'" in again.output

    lab.up("--replace", "**:Droplet::web")
    assert lab.droplet("web")["id"] != id_
    assert lab.droplet("web")["region"]["slug"] == "nyc3"
    assert "pending" not in lab.preview().output


def test_another_machine_comes_and_goes_without_touching_the_first(lab: DropletLab) -> None:
    lab.up()
    lab.machines()["web-2"] = dict(lab.machines()["web"])
    came = touched(lab.up())
    assert came and all("web-2" in name for name in came) and set(came.values()) == {"create"}
    lab.edit_web("Both change.")
    assert touched(lab.up()) == in_place("web", "web-2", stored="SpacesBucketObject")
    del lab.machines()["web-2"]
    gone = touched(lab.up())
    assert gone and all("web-2" in name for name in gone) and set(gone.values()) == {"delete"}
    assert len(lab.api.droplets) == 1


def test_ignore_writes_the_object_shows_the_pending_change_and_leaves_the_machine(lab: DropletLab) -> None:
    lab.machines()["web"]["lifecycle"] = "ignore"
    lab.up()
    id_ = str(lab.droplet("web")["id"])
    lab.edit_web("Waits.")
    run = lab.up()
    assert any("pending: the machine stays on config id" in line for line in run.progress("web-reprovision"))
    assert lab.park.machines[id_].boots == 1
    assert "Waits." not in lab.motd(id_)
    assert b"Waits." in b"".join(lab.objects().values())
    assert "pending: the machine stays on config id" in lab.preview().output
    lab.machines()["web"]["lifecycle"] = "reset"
    lab.up()
    assert "Waits." in lab.motd(id_)
    assert "pending" not in lab.preview().output


def other_key(lab: DropletLab) -> str:
    """Another valid public key: the park's with one bit of its point changed."""
    import base64

    kind, blob, *_ = lab.park.key.with_suffix(".pub").read_text().split()
    data = bytearray(base64.b64decode(blob))
    data[-1] ^= 1
    return f"{kind} {base64.b64encode(bytes(data)).decode()} other"
