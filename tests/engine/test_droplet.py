"""The stack `dev` (droplets, Spaces) on the real engine, against DigitalOcean's API on loopback.

Machines are loopback machines: real SSH, stand-in system (`loopback_machine`). Spaces is moto's S3 server. The tests
run with the real digitalocean plugin where it is installed, else with the stand-in; their output ends with which.
"""

from __future__ import annotations

import hashlib
import json
import re
import urllib.error
import urllib.request
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest

from tests.engine.cloud_lab import (
    CloudLab,
    a_failed_change_is_put_back_and_tried_again,
    copy_project,
    in_place,
    other_computers_go_on,
    stack_config,
    steps_of,
    touched,
)
from tests.fakes.aws import CREDENTIALS, REGION, Aws, running_moto
from tests.fakes.digitalocean import DigitalOceanApi
from tests.fakes.machines import MachinePark
from toolchain.plugins import install

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.conftest import Project

pytestmark = pytest.mark.slow

BUCKET = "flatcar-configs-dev"


class DropletLab(CloudLab):
    """The stack `dev`; `api` is the account, `spaces` its buckets."""

    api: DigitalOceanApi
    spaces: Aws

    def droplet(self, name: str) -> dict[str, Any]:
        """The one droplet of a name."""
        (found,) = [droplet for droplet in self.api.droplets.values() if droplet["name"] == name]
        return found

    def held(self) -> tuple[str, str]:
        """The content and the version of the only object."""
        (item,) = self.spaces.s3.list_objects_v2(Bucket=BUCKET)["Contents"]
        answer = self.spaces.s3.get_object(Bucket=BUCKET, Key=item["Key"])
        return answer["Body"].read().decode(), answer["VersionId"]

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
        api = fake_digitalocean(park)
        with api.running() as address:
            env = {**cloud_environment(api, address, objects), "MACHINES_DIR": str(tmp_path / "machines")}
            project = copy_project(tmp_path)
            stack = pulumi(project, env=env)
            lab = DropletLab(
                project=project,
                pulumi=stack,
                config=stack_config("dev", park),
                park=park,
            )
            lab.api, lab.spaces = api, Aws(objects)
            yield lab
            lab.take_down()


def fake_digitalocean(park: MachinePark) -> DigitalOceanApi:
    """An account whose droplets are machines of the park."""
    return DigitalOceanApi(
        address_of=lambda name: park.address(),
        switch_on=lambda droplet: park.switch_on(
            str(droplet["id"]), droplet["networks"]["v4"][0]["ip_address"], droplet["user_data"]
        ),
        switch_off=lambda droplet: park.switch_off(str(droplet["id"])),
        power=lambda droplet, on: park.power(str(droplet["id"]), on),
        reserve=lambda droplet, address: park.also_at(str(droplet["id"]), address),
    )


def cloud_environment(api: DigitalOceanApi, address: str, objects: str) -> dict[str, str]:
    """What a stack has in its environment: the account `api` at `address`, and Spaces and S3 at `objects`."""
    return {
        "DIGITALOCEAN_API_URL": address,
        "DIGITALOCEAN_TOKEN": api.token,
        "SPACES_ACCESS_KEY_ID": "test",
        "SPACES_SECRET_ACCESS_KEY": "test",
        **CREDENTIALS,  # for objects on S3
        "AWS_ENDPOINT_URL": objects,
        **_way_to_spaces(objects),
    }


def _way_to_spaces(objects: str) -> dict[str, str]:
    """The real plugin puts the bucket into the host's name, which no resolver knows here: it goes by a proxy."""
    if install.is_stand_in("digitalocean"):
        return {"SPACES_ENDPOINT_URL": objects}
    return {"SPACES_ENDPOINT_URL": "http://s3.amazonaws.com", "HTTP_PROXY": objects}


def test_the_stack_dev_from_nothing_to_changes_a_failure_and_back(lab: DropletLab) -> None:
    lab.preview()
    assert not lab.api.requests, "a preview changes nothing"
    lab.up()
    droplet = lab.droplet("web")
    id_ = str(droplet["id"])
    assert lab.pulumi.outputs()["web"]["address"] == droplet["networks"]["v4"][0]["ip_address"]
    assert lab.park.machines[id_].boots == 1, "creating a machine boots it once"
    assert "This is web." in lab.motd(id_)
    what_is_made_guards_the_configs(lab)
    before = lab.pulumi.resources()["web-object"]["outputs"]
    pointer = droplet_state(lab)["inputs"]["userData"]
    assert json.loads(pointer)["ignition"]["config"]["replace"]["source"] == (
        f"https://{BUCKET}.fra1.digitaloceanspaces.com/{before['key']}"
    )

    again = lab.up()
    assert touched(again) == {}

    lab.edit_web("A new line.")
    lab.machines()["web"]["generation"] = 3
    wanted = in_place("web", stored="SpacesBucketObject")
    assert touched(lab.preview()) == wanted
    lab.api.requests.clear()
    assert touched(lab.up()) == wanted
    assert "A new line." in lab.motd(id_)
    assert lab.park.machines[id_].boots == 2
    after = lab.pulumi.resources()["web-object"]["outputs"]
    assert before["key"] == after["key"] and before["versionId"] != after["versionId"]
    assert droplet_state(lab)["inputs"]["userData"] == pointer
    assert droplet_state(lab)["outputs"]["userData"] in (pointer, hashlib.sha1(pointer.encode()).hexdigest())

    a_failed_change_is_put_back_and_tried_again(lab, "web", stored="SpacesBucketObject", held=lab.held, refresh=False)
    assert "Fails." in lab.motd(id_)
    assert lab.api.requests == [], "not one request to DigitalOcean itself"

    refreshed = lab.pulumi.run("refresh", "--yes", "--skip-preview", events=True)
    assert "changes performed" not in refreshed.output, refreshed.output
    assert "unchanged" in refreshed.output and " updated" not in refreshed.output, refreshed.output
    assert touched(lab.up()) == {}
    a_store_that_moved_is_refused_at_preview(lab)

    lab.pulumi.destroy()
    assert lab.api.left() == {}
    assert lab.spaces.left() == {}
    assert lab.park.machines == {}


def test_other_computers_go_on_with_what_is_in_the_state(lab: DropletLab) -> None:
    lab.up()
    (key,) = lab.objects()

    def overwrite() -> None:
        lab.spaces.s3.put_object(Bucket=BUCKET, Key=key, Body=b"{}", ACL="public-read")

    other_computers_go_on(
        lab,
        str(lab.droplet("web")["id"]),
        stored="SpacesBucketObject",
        overwrite=overwrite,
        delete=lambda: lab.spaces.s3.delete_object(Bucket=BUCKET, Key=key),
    )
    assert lab.api.left() == {} and lab.spaces.left() == {}


def what_is_made_guards_the_configs(lab: DropletLab) -> None:
    """Bucket, object and firewall, as the accounts hold them."""
    ((key, _),) = lab.objects().items()
    assert len(key.removeprefix("web-").removesuffix(".ign")) == 40, "160 bits"
    client = lab.spaces.s3
    assert client.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
    rules = client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]
    assert rules[0]["NoncurrentVersionExpiration"]["NoncurrentDays"] == 30
    public = "http://acs.amazonaws.com/groups/global/AllUsers"
    grants = client.get_object_acl(Bucket=BUCKET, Key=key)["Grants"]
    assert [grant["Permission"] for grant in grants if grant["Grantee"].get("URI") == public] == ["READ"]
    listing = client.get_bucket_acl(Bucket=BUCKET)["Grants"]
    assert not [grant for grant in listing if grant["Grantee"].get("URI") == public], "nobody may list"
    with urllib.request.urlopen(f"{lab.spaces.endpoint}/{BUCKET}/{key}") as answer:
        assert json.load(answer)["ignition"]["version"].startswith("3.")
    (firewall,) = lab.api.firewalls.values()
    (ssh,) = [rule for rule in firewall["inbound_rules"] if rule.get("ports") == "22"]  # rules have no order
    assert ssh["protocol"] == "tcp" and ssh["sources"]["addresses"] == ["203.0.113.0/24"]
    assert {rule["protocol"] for rule in firewall["outbound_rules"]} == {"tcp", "udp", "icmp"}, "DHCP needs udp"
    assert firewall["tags"] == ["flatcar-test"] and "flatcar-test" in lab.droplet("web")["tags"]


def a_store_that_moved_is_refused_at_preview(lab: DropletLab) -> None:
    """The pointer can't follow it."""
    lab.config["flatcar:store"]["bucket"] = "flatcar-configs-moved"
    refused = lab.preview(code=None)
    assert refused.code != 0
    assert "web: the machine's user data is not the pointer to its object" in refused.output
    assert "pulumi up --replace '**:Droplet::web'" in refused.output
    assert "Traceback" not in refused.output
    lab.config["flatcar:store"]["bucket"] = BUCKET
    lab.write()


def test_a_change_of_image_keys_tags_and_size_never_replaces_a_droplet_unasked(lab: DropletLab) -> None:
    lab.up()
    id_ = lab.droplet("web")["id"]
    cloud = lab.config["flatcar:digitalocean"]
    cloud["image"] = {"channel": "stable", "version": "4593.2.0"}
    cloud["ssh_keys"] = [lab.park.key.with_suffix(".pub").read_text().strip(), other_key(lab)]
    cloud["tags"] = ["blue"]
    cloud["region"] = "nyc3"
    cloud["size"] = "s-2vcpu-2gb"
    run = lab.up()
    assert touched(run)["Droplet web"] == "update", "a tag"
    assert lab.droplet("web")["id"] == id_
    assert "blue" in lab.droplet("web")["tags"]
    assert lab.park.ever == [str(id_)], "no other machine was ever made"
    assert not [step for step in steps_of(run) if "replace" in step[0] and "Droplet" in step[1]]
    again = lab.preview()
    for what in ("image", "region", "ssh keys", "size"):
        assert f"web: pending: {what} is " in again.output
    assert "pulumi up --replace '**:Droplet::web'" in again.output
    assert "flatcar:machines.web.droplet.size: s-2vcpu-2gb" in again.output
    assert lab.park.machines[str(id_)].boots == 1, "nor was it powered off"

    lab.config["flatcar:store"]["bucket"] = "flatcar-configs-moved"  # as the refusal says that it is done
    replaced = lab.up("--replace", "**:Droplet::web")
    assert lab.droplet("web")["id"] != id_
    assert lab.spaces.left() == {"buckets": ["flatcar-configs-moved"]}
    assert lab.park.machines[str(lab.droplet("web")["id"])].boots == 1
    assert lab.droplet("web")["region"]["slug"] == "nyc3" and lab.droplet("web")["size_slug"] == "s-2vcpu-2gb"
    assert "pending" not in replaced.output


def test_machines_come_wait_change_size_and_go_without_touching_others(lab: DropletLab) -> None:
    lab.up()
    first = str(lab.droplet("web")["id"])
    lab.machines()["web-2"] = {**lab.machines()["web"], "lifecycle": "ignore"}
    came = touched(lab.up())
    assert came and all("web-2" in name for name in came) and set(came.values()) == {"create"}
    second = str(lab.droplet("web-2")["id"])

    lab.edit_web("Both.")
    run = lab.up()
    assert touched(run) == in_place("web", "web-2", stored="SpacesBucketObject")
    assert any("pending: the machine stays on config id" in line for line in run.progress("web-2-reprovision"))
    assert "Both." in lab.motd(first) and "Both." not in lab.motd(second)
    assert lab.park.machines[second].boots == 1
    assert all(b"Both." in content for content in lab.objects().values()), "the object has it"
    assert "pending: the machine stays on config id" in lab.preview().output

    # Another lifecycle applies what waited; a size is changed for the machine that names one, in place.
    lab.machines()["web-2"]["lifecycle"] = "reset"
    lab.machines()["web"]["droplet"] = {"size": "s-2vcpu-2gb"}
    lab.api.requests.clear()
    run = lab.up()
    assert "Both." in lab.motd(second) and "pending" not in run.output
    assert touched(run)["Droplet web"] == "update" and "Command web-reprovision" not in touched(run)
    done = [(path, body["type"]) for _, path, body in lab.api.requests if "type" in body]
    assert done == [(f"/v2/droplets/{first}/actions", verb) for verb in ("power_off", "resize", "power_on")]
    assert lab.droplet("web")["size_slug"] == "s-2vcpu-2gb" and lab.park.ever == [first, second]

    del lab.machines()["web-2"]
    gone = touched(lab.up())
    assert gone and all("web-2" in name for name in gone) and set(gone.values()) == {"delete"}
    assert list(lab.api.droplets) == [first]


def test_replace_makes_the_new_machine_first_and_switching_lifecycles_replaces_nothing(lab: DropletLab) -> None:
    lab.machines()["web"]["droplet"] = {"reserved_ip": True}
    lab.up()
    first = str(lab.droplet("web")["id"])
    (address,) = lab.api.reserved_ips
    (old_key,) = lab.objects()
    for lifecycle in ("ignore", "replace"):
        lab.machines()["web"]["lifecycle"] = lifecycle
        run = lab.up()
        assert lab.park.ever == [first], (lifecycle, run.output)
        assert lab.park.machines[first].boots == 1, lifecycle
    lab.edit_web("Only on a new machine.")
    seen = lab.preview()
    assert ("create-replacement", "Droplet web") in steps_of(seen)
    run = lab.up()
    order = steps_of(run)
    assert order.index(("create-replacement", "Droplet web")) < order.index(("delete-replaced", "Droplet web"))
    # ... and the old one goes only after the new one has proven its config.
    proven = order.index(("update", "Command web-reprovision"))
    assert proven < order.index(("delete-replaced", "Droplet web"))
    second = str(lab.droplet("web")["id"])
    assert lab.park.ever == [first, second]
    assert lab.park.machines[second].boots == 1
    assert "Only on a new machine." in lab.motd(second)
    assert lab.pulumi.outputs()["web"]["address"] == address == next(iter(lab.api.reserved_ips))
    assert lab.api.reserved_ips[address]["droplet"]["id"] == int(second)
    (key,) = lab.objects()
    assert key != old_key, "a config's own address"
    lab.machines()["web"]["lifecycle"] = "reset"
    lab.edit_web("In place again.")
    assert touched(lab.up()) == in_place("web", stored="SpacesBucketObject")
    assert lab.park.ever == [first, second]
    assert "In place again." in lab.motd(second)
    lab.machines()["web"]["lifecycle"] = "replace"
    assert not [step for step in steps_of(lab.up()) if step[1] in ("Droplet web", "Command web-address")]

    # A new machine that fails its proof: the old one runs on, with its own object, until a next one is proven.
    lab.machines()["web"]["health"] = {"commands": [{"name": "never", "command": "false", "seconds": 1}]}
    held = lab.objects()[key]
    lab.edit_web("Fails.")
    assert lab.up(code=None).code != 0
    third = lab.park.ever[2]
    assert set(lab.park.machines) == {second, third}
    assert lab.park.machines[second].boots == 2 and "In place again." in lab.motd(second)
    assert len(lab.objects()) == 2 and lab.objects()[key] == held
    lab.machines()["web"]["health"] = {}
    lab.edit_web("In place again.")  # back to what the old one has
    lab.up()
    (fourth,) = lab.park.machines
    assert fourth not in (first, second, third) and "In place again." in lab.motd(fourth)
    assert len(lab.objects()) == 1 and key not in lab.objects()


def test_a_config_with_secrets_is_refused_unless_each_is_allowed_by_name(lab: DropletLab) -> None:
    web = lab.project / "cl/machine-web.yaml"
    web.write_text(web.read_text().replace("Changes belong", "${db_password} Changes belong"))
    lab.write()
    lab.pulumi.run("config", "set", "--secret", "--path", "flatcar:secrets.db_password", stdin="hunter2-hunter2")
    refused = lab.pulumi.preview(code=None)
    assert refused.code != 0
    assert "the config holds secrets (db_password)" in refused.output
    assert "flatcar:store.allow_secrets: [db_password]" in refused.output
    assert "hunter2" not in refused.output
    assert not lab.api.requests
    lab.pulumi.run("config", "set", "--path", "flatcar:store.allow_secrets[0]", stdin="db_password")
    allowed = lab.pulumi.up()
    assert "hunter2" not in allowed.output
    assert "hunter2-hunter2" in lab.motd(str(lab.droplet("web")["id"]))
    assert "hunter2" not in json.dumps(lab.pulumi.export())


def test_a_public_bucket_on_s3_serves_droplets(lab: DropletLab) -> None:
    lab.config["flatcar:store"] = {"kind": "s3", "bucket": BUCKET, "region": REGION, "public": True}
    skipped = ("skipCredentialsValidation", "skipRequestingAccountId", "s3UsePathStyle")  # for the real plugin
    lab.config |= {"aws:region": REGION, **{f"aws:{name}": True for name in skipped}}
    lab.up()
    ((key, _),) = lab.objects().items()
    assert re.fullmatch(r"public/[0-9a-f]{40}/web\.ign", key)
    pointer = json.loads(droplet_state(lab)["inputs"]["userData"])
    assert pointer["ignition"]["config"]["replace"]["source"] == f"https://{BUCKET}.s3.{REGION}.amazonaws.com/{key}"
    with urllib.request.urlopen(f"{lab.spaces.endpoint}/{BUCKET}/{key}") as answer:
        assert json.load(answer)["ignition"]["version"].startswith("3.")
    other = {"Bucket": BUCKET, "Key": "machines/other.ign"}
    version = lab.spaces.s3.put_object(**other, Body=b"{}")["VersionId"]
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{lab.spaces.endpoint}/{BUCKET}/machines/other.ign")
    lab.spaces.s3.delete_object(**other, VersionId=version)
    lab.edit_web("Read from S3.")
    assert touched(lab.up()) == in_place("web", stored="BucketObjectv2")
    assert "Read from S3." in lab.motd(str(lab.droplet("web")["id"]))


def test_a_volume_and_a_reserved_address_survive_a_replaced_droplet(lab: DropletLab) -> None:
    lab.machines()["web"]["droplet"] = {"volume": 10, "reserved_ip": True}
    lab.up()
    ((address, reserved),) = lab.api.reserved_ips.items()
    assert reserved["droplet"]["id"] == lab.droplet("web")["id"]
    assert lab.pulumi.outputs()["web"]["address"] == address
    (volume,) = lab.api.volumes.values()
    assert volume["droplet_ids"] == [lab.droplet("web")["id"]]
    first = lab.droplet("web")["id"]
    assert touched(lab.preview("--refresh")) == {}
    lab.config["flatcar:digitalocean"]["region"] = "nyc3"
    assert touched(lab.preview()) == {"CustomImage flatcar-stable-4459.2.1": "replace"}, "for new machines"
    refused = lab.preview("--replace", "**:Droplet::web", code=None)
    assert refused.code != 0 and "web: a droplet in nyc3 can't use its volume in fra1" in refused.output
    lab.config["flatcar:digitalocean"]["region"] = "fra1"
    anew = lab.up("--replace", "**:Droplet::web")
    assert touched(anew)["Command web-reprovision"] == "update", "a machine made anew is proven, on the same config"
    assert lab.droplet("web")["id"] != first
    assert list(lab.api.volumes.values()) == [volume], "the same volume"
    assert volume["droplet_ids"] == [lab.droplet("web")["id"]]
    assert list(lab.api.reserved_ips) == [address] and reserved["droplet"]["id"] == lab.droplet("web")["id"]
    held = lab.pulumi.destroy(code=None)
    assert held.code != 0 and "web-data" in held.output and "protect" in held.output
    assert lab.api.volumes, "what is protected stays"


def test_protect_and_retain_hold_a_droplet_back(lab: DropletLab) -> None:
    lab.machines()["web"]["protect"] = True
    lab.up()
    held = lab.pulumi.destroy(code=None)
    assert held.code != 0 and "protect" in held.output and "Droplet::web" in held.output
    assert len(lab.api.droplets) == 1
    lab.machines()["web"] |= {"protect": False, "retain_on_delete": True}
    lab.up()
    lab.pulumi.destroy()
    left = lab.api.left()
    assert set(left) == {"droplets", "firewalls", "tags"}, "forgotten, not deleted, and neither is what guards it"
    assert next(iter(lab.api.firewalls.values()))["tags"][0] in lab.droplet("web")["tags"]


def test_a_droplet_that_the_state_has_lost_is_adopted(lab: DropletLab) -> None:
    lab.up()
    droplet = lab.droplet("web")
    lab.lose("web")
    lab.machines()["web"]["droplet"] = {"import": str(droplet["id"])}
    lab.api.requests.clear()
    run = lab.up()
    assert ("import", "Droplet web") in steps_of(run), run.output
    assert lab.api.requests == [], "what differs is Pulumi's own, such as resize_disk"
    assert lab.park.ever == [str(droplet["id"])]
    assert lab.park.machines[str(droplet["id"])].boots == 1
    del lab.machines()["web"]["droplet"]
    assert touched(lab.preview()) == {}
    assert touched(lab.up("--refresh")) == {}
    lab.edit_web("After adoption.")
    lab.up()
    assert "After adoption." in lab.motd(str(droplet["id"]))


def test_what_opens_digitalocean_is_asked_for_at_preview(lab: DropletLab) -> None:
    given = dict(lab.pulumi.env)

    def refused(**env: str) -> str:
        lab.pulumi.env.update(given, **env)
        run = lab.preview(code=None)
        assert run.code != 0 and "Traceback" not in run.output
        return run.output

    assert "there is no API token for DigitalOcean: export DIGITALOCEAN_TOKEN=" in refused(DIGITALOCEAN_TOKEN="")
    assert "DigitalOcean refuses the API token" in refused(DIGITALOCEAN_TOKEN="wrong")
    missing = refused(SPACES_ACCESS_KEY_ID="", SPACES_SECRET_ACCESS_KEY="")
    assert "not in the environment: SPACES_ACCESS_KEY_ID and SPACES_SECRET_ACCESS_KEY." in missing
    assert "which the API token is not" in missing
    lab.pulumi.env.update(given)


def test_what_a_region_does_not_have_is_told_first_and_mended_after_a_failure(lab: DropletLab) -> None:
    lab.config["flatcar:digitalocean"]["size"] = "s-8vcpu-16gb"
    seen = lab.preview()
    assert "flatcar:digitalocean.size: fra1 has no s-8vcpu-16gb now, so a new droplet would be refused" in seen.output
    assert "s-1vcpu-1gb, s-2vcpu-2gb" in seen.output
    someone = lab.spaces.client("s3", account="999999999999")
    someone.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": REGION})
    failed = lab.up(code=None)
    assert failed.code != 0 and "SpacesBucket" in failed.output and "BucketAlreadyExists" in failed.output
    assert not lab.api.droplets, "no droplet without its object"
    someone.delete_bucket(Bucket=BUCKET)
    failed = lab.up(code=None)
    assert failed.code != 0 and "Size is not available in this region" in failed.output
    lab.config["flatcar:digitalocean"]["size"] = "s-2vcpu-2gb"
    lab.up()
    assert lab.droplet("web")["size_slug"] == "s-2vcpu-2gb" and len(lab.park.ever) == 1


def droplet_state(lab: DropletLab) -> dict[str, Any]:
    """The droplet in state; the component has its name too."""
    (found,) = [
        resource
        for resource in lab.pulumi.export()["resources"]
        if resource["type"] == "digitalocean:index/droplet:Droplet"
    ]
    return dict(found)


def other_key(lab: DropletLab) -> str:
    """Another valid public key: the park's with one bit of its point changed."""
    import base64

    kind, blob, *_ = lab.park.key.with_suffix(".pub").read_text().split()
    data = bytearray(base64.b64decode(blob))
    data[-1] ^= 1
    return f"{kind} {base64.b64encode(bytes(data)).decode()} other"
