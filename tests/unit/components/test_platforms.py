"""Stack config of clouds to settings: each refused value, with its key and the way out in the message."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from components.config.section import Section
from components.payload.machine_config import pointer
from components.platforms.aws.settings import AwsSettings, InstanceSettings
from components.platforms.aws.values import is_arm
from components.platforms.digitalocean.settings import DigitalOceanSettings
from components.settings.stack import Settings, read_settings

REPOSITORY = Path(__file__).parents[3]
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me@here"
EC2_LIMIT = 16 * 1024


def stack(name: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((REPOSITORY / f"stacks/Pulumi.{name}.yaml").read_text())["config"]
    config["flatcar:ssh"] = {"public_key": KEY}
    return config


def read(config: dict[str, Any]) -> tuple[Settings | None, str]:
    values = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    settings, problems = read_settings(values, secret_keys=(), root=REPOSITORY)
    return settings, "\n".join(problems)


@pytest.mark.parametrize("name", ["local", "dev", "production"])
def test_the_stacks_of_this_repository_are_accepted(name: str) -> None:
    settings, problems = read(stack(name))
    assert problems == ""
    assert settings is not None


def test_what_the_stacks_say_arrives() -> None:
    dev, _ = read(stack("dev"))
    assert dev is not None and isinstance(dev.shared, DigitalOceanSettings)
    assert dev.shared.image.name == "flatcar-stable-4459.2.1"
    assert dev.shared.image.url.startswith("https://stable.release.flatcar-linux.net/amd64-usr/4459.2.1/")
    assert dev.shared.ssh_keys == (KEY,)
    assert (dev.store.kind, dev.store.public) == ("spaces", True)
    production, _ = read(stack("production"))
    assert production is not None and isinstance(production.shared, AwsSettings)
    assert production.shared.ami.name == "Flatcar-stable-4459.2.1-hvm"
    assert (production.store.kind, production.store.public, production.store.protect) == ("s3", False, True)
    by_name = {machine.name: machine for machine in production.machines}
    worker, web = by_name["worker-1"].on_platform, by_name["web-2"].on_platform
    assert isinstance(worker, InstanceSettings) and worker.volume == 20
    assert isinstance(web, InstanceSettings) and web.termination_protection and by_name["web-2"].protect


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("digitalocean.region", "frankfurt", "digitalocean.region: 'frankfurt' is not a region of DigitalOcean"),
        ("digitalocean.region", None, "flatcar:digitalocean.region: is missing"),
        ("digitalocean.regoin", "fra1", "flatcar:digitalocean.regoin: is not a known key; did you mean 'region'?"),
        ("digitalocean.size", "t3.small", "flatcar:digitalocean.size: 't3.small' is not a droplet size"),
        ("digitalocean.image", {"channel": "stable"}, "flatcar:digitalocean.image.version: is missing"),
        ("digitalocean.image", {"version": "current"}, "'current' is not an exact Flatcar version"),
        ("digitalocean.image", {"channel": "stabel", "version": "4459.2.1"}, "did you mean 'stable'?"),
        ("digitalocean.image", {"id": "1", "version": "4459.2.1"}, "image.id: names an image that is there already"),
        ("digitalocean.image", {"version": "4459.2.1", "url": "ftp://x"}, "image.url: 'ftp://x' is not an http(s)"),
        ("digitalocean.ssh_keys", ["ssh-ed25519 AAAA!"], "ssh_keys: ssh-ed25519 AAAA!… is cut or mistyped"),
        ("digitalocean.ssh_keys", ["-----BEGIN OPENSSH PRIVATE KEY-----"], "ssh_keys: is a private key"),
        ("digitalocean.ssh_keys", ["ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIA=="], "says 'ssh-rsa', but the key inside"),
        ("digitalocean.ssh_keys", ["me"], "ssh_keys: 'me' is not a public key, and not the id"),
        ("digitalocean.ssh_from", [], "flatcar:digitalocean.ssh_from: is missing"),
        ("digitalocean.ssh_from", ["203.0.113.7/24"], "has host bits set; the network is 203.0.113.0/24"),
        ("digitalocean.ssh_from", ["203.0.113.7"], "has no prefix length; a single address is 203.0.113.7/32"),
        ("digitalocean.ssh_from", ["office"], "ssh_from: 'office' is not a network"),
        ("digitalocean.open_ports", ["80"], "open_ports: '80' is not a port such as 443/tcp"),
        ("digitalocean.open_ports", ["99999/tcp"], "open_ports: '99999/tcp' is not a port"),
        ("digitalocean.tags", ["a b"], "tags: 'a b' is no tag"),
        ("aws", {"instance_type": "t3.small"}, "flatcar:aws: is for another platform than 'digitalocean'"),
        ("store.bucket", "My_Bucket", "flatcar:store.bucket: 'My_Bucket' is no bucket's name"),
        ("store.bucket", "my.bucket", "has a dot, and then https to the bucket's own host name fails"),
        ("store.bucket", None, "flatcar:store.bucket: is missing"),
        ("store.region", "eu-central-1", "flatcar:store.region: 'eu-central-1' is not a region of DigitalOcean"),
        ("store.kind", "folder", "machines on digitalocean can't read from 'folder'; use spaces or s3"),
        ("store", {"kind": "s3", "bucket": "abc"}, "flatcar:store.public: has to be true: a machine on digitalocean"),
        ("machines.web.droplet", {"import": "web"}, "web.droplet.import: 'web' is not a droplet's id"),
        ("machines.web.droplet", {"volum": 1}, "web.droplet.volum: is not a known key; did you mean 'volume'?"),
        ("machines.web.ec2", {"volume": 1}, "machines.web.ec2: is for machines on another platform"),
        ("machines.web.droplet", {"size": "big"}, "web.droplet.size: 'big' is not a droplet size"),
        ("machines.web.droplet", {"volume": 20000}, "web.droplet.volume: has to be 0 to 16384"),
        ("machines.web.droplet", {"tags": ["a b"]}, "web.droplet.tags: 'a b' is no tag"),
        ("machines.web.droplet", {"reserved_ip": "yes"}, "web.droplet.reserved_ip: has to be true or false"),
        ("digitalocean.vpc", "default", "flatcar:digitalocean.vpc: 'default' is not a VPC's id"),
        ("digitalocean.ssh_keys", ["ssh-ed25519 AAAA\nx"], "ssh_keys: is not an SSH public key of one line"),
        ("digitalocean.open_ports", ["90-80/tcp"], "open_ports: '90-80/tcp' is not a port"),
        ("digitalocean.image", {"url": "https://x/y z", "version": "4459.2.1"}, "'https://x/y z' is not an http(s)"),
        ("store.bucket", "xn--configs", "'xn--configs' is a name that S3 keeps for itself"),
        ("store.region", None, "flatcar:store.region: is missing"),
        ("store.keep_days", 0, "flatcar:store.keep_days: has to be 1 to 3650"),
        ("store.kind", "ftp", "flatcar:store.kind: has to be one of folder, spaces, s3, not 'ftp'"),
        (
            "store",
            {"kind": "s3", "bucket": "abc", "region": "fra1", "public": True},
            "flatcar:store.region: 'fra1' is not a region of AWS such as eu-central-1",
        ),
        ("store", {"kind": "s3", "bucket": "abc", "public": True}, "flatcar:store.region: is missing"),
        (
            "machines.web",
            {"config": "cl/machine-web.yaml", "lifecycle": "replace", "retain_on_delete": True},
            "flatcar:machines.web.retain_on_delete: 'replace' would leave a machine behind with each change",
        ),
    ],
)
def test_a_wrong_value_for_droplets(path: str, value: Any, message: str) -> None:
    settings, problems = read(changed(stack("dev"), path, value))
    assert settings is None
    assert message in problems


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("aws.instance_type", "s-1vcpu-1gb", "flatcar:aws.instance_type: 's-1vcpu-1gb' is not an instance type"),
        ("aws.ami", {"id": "ami-1"}, "flatcar:aws.ami.id: 'ami-1' is not an id such as ami-0123456789abcdef0"),
        ("aws.ami", {"id": "ami-0123456789abcdef0", "version": "1.2.3"}, "'1.2.3' is not an exact Flatcar version"),
        ("aws.ami", {"id": "ami-0123456789abcdef0", "version": "4459.2.1"}, "ami.id: pins the image already"),
        ("aws.ami", {"version": "4459.2.1", "architecture": "arm"}, "has to be one of x86_64, arm64, not 'arm'"),
        ("aws.vpc", "vpc-0123456789abcdef0", "flatcar:aws.subnet: vpc and subnet go together"),
        ("aws.ssh_from", ["::1"], "a single address is ::1/128"),
        ("aws.ssh_from", None, "flatcar:aws.ssh_from: is missing"),
        ("aws.vpc", "default", "flatcar:aws.vpc: 'default' is not an id such as vpc-0123456789abcdef0"),
        ("aws.subnet", "vpc-0123456789abcdef0", "is not an id such as subnet-0123456789abcdef0"),
        ("aws.availability_zone", "a", "availability_zone: 'a' is not an availability zone such as eu-central-1a"),
        ("aws.address", "internal", "flatcar:aws.address: has to be one of public, private, not 'internal'"),
        ("aws.tags", ["web"], "flatcar:aws.tags: has to be a mapping of names to strings, not a list"),
        ("aws.open_ports", ["https"], "flatcar:aws.open_ports: 'https' is not a port"),
        ("aws.ami", {"channel": "edge", "version": "4459.2.1"}, "has to be one of stable, beta, alpha, lts"),
        ("aws.ami", None, "flatcar:aws.ami.version: is missing"),
        ("aws.instance_typ", "t3.small", "aws.instance_typ: is not a known key; did you mean 'instance_type'?"),
        ("digitalocean", {"region": "fra1"}, "flatcar:digitalocean: is for another platform than 'aws'"),
        (
            "aws.instance_type",
            "t4g.small",
            "aws.instance_type: 't4g.small' is arm64, and flatcar:aws.ami.architecture is x",
        ),
        (
            "machines.web-1.ec2",
            {"instance_type": "m7gd.2xlarge"},
            "web-1.ec2.instance_type: 'm7gd.2xlarge' is arm64, and flatcar:aws.ami.architecture is x86_64",
        ),
        (
            "aws.ami",
            {"version": "4459.2.1", "architecture": "arm64"},
            "flatcar:aws.instance_type: 't3.small' is x86_64, and flatcar:aws.ami.architecture is arm64",
        ),
        (
            "store.region",
            "eu-west-1",
            "flatcar:store.region: is eu-west-1, but aws:region, where the bucket is made, is eu",
        ),
        ("machines.web-1.ec2", {"instance_type": "t3"}, "web-1.ec2.instance_type: 't3' is not an instance type"),
        ("machines.web-1.ec2", {"root_volume": -1}, "web-1.ec2.root_volume: has to be 0 to 65536"),
        ("machines.web-1.droplet", {"size": "s"}, "web-1.droplet: is for machines on another platform than 'aws'"),
        ("aws.availability_zone", None, "worker-1.ec2.volume: lies in one availability zone"),
        ("store.kind", "spaces", "machines on aws can't read from 'spaces'; use s3"),
        ("machines.web-1.ec2", {"import": "42"}, "web-1.ec2.import: '42' is not an id such as i-0123456789abcdef0"),
        ("machines.web-1.lifecycle", "replace", "web-1.protect: a protected machine can't be replaced"),
        ("machines.worker-1.lifecycle", "replace", "a volume is at one machine at a time"),
    ],
)
def test_a_wrong_value_for_instances(path: str, value: Any, message: str) -> None:
    settings, problems = read(changed(stack("production"), path, value))
    assert settings is None
    assert message in problems


@pytest.mark.parametrize("region", ["eu-central", "frankfurt", ""])
def test_a_wrong_region_of_aws_is_told_by_its_key(region: str) -> None:
    settings, problems = read(stack("production") | {"aws:region": region})
    assert settings is None
    assert f"aws:region: {region!r} is not a region of AWS such as eu-central-1" in problems


@pytest.mark.parametrize(
    ("instance_type", "arm"),
    [
        ("t4g.small", True), ("a1.medium", True), ("c7gn.large", True), ("im4gn.large", True), ("g5g.xlarge", True),
        ("m7i-flex.large", False), ("g4dn.xlarge", False), ("gr6.4xlarge", False), ("t3.small", False),
        ("u-3tb1.56xlarge", False), ("p4de.24xlarge", False),
    ],
)  # fmt: skip
def test_which_instance_types_are_arm(instance_type: str, arm: bool) -> None:
    assert is_arm(instance_type) is arm


def test_an_image_by_its_id_says_nothing_of_its_architecture() -> None:
    config = changed(stack("production"), "aws.ami", {"id": "ami-0123456789abcdef0"})
    assert read(changed(config, "aws.instance_type", "t4g.small"))[1] == ""


@pytest.mark.parametrize("region", ["eu-central-1", "us-gov-west-1", "cn-north-1", "eusc-de-east-1"])
def test_regions_of_all_partitions_are_accepted(region: str) -> None:
    assert read(changed(stack("production"), "aws.availability_zone", f"{region}a") | {"aws:region": region})[1] == ""


def test_registered_keys_and_port_ranges_are_accepted() -> None:
    config = changed(
        stack("dev"), "digitalocean.ssh_keys", ["512190", "3b:16:bf:e4:8b:00:8b:b8:59:8c:a9:d3:f0:19:45:fa"]
    )
    settings, problems = read(changed(config, "digitalocean.open_ports", ["60000-61000/udp"]))
    assert settings is not None and isinstance(settings.shared, DigitalOceanSettings), problems
    assert settings.shared.open_ports[0].range == "60000-61000"


def test_a_droplet_without_any_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    settings, problems = read(stack("dev") | {"flatcar:ssh": {"private_key_file": str(tmp_path / "key")}})
    assert settings is None
    assert "flatcar:digitalocean.ssh_keys: is missing: a custom image needs an SSH key" in problems


def test_replace_is_refused_for_a_machine_in_qemu() -> None:
    settings, problems = read(changed(stack("local"), "machines.web.lifecycle", "replace"))
    assert settings is None
    assert "flatcar:machines.web.lifecycle: 'replace' is for clouds" in problems


def test_the_longest_pointer_is_far_below_what_a_cloud_takes() -> None:
    longest = pointer(f"https://{'b' * 63}.nyc3.digitaloceanspaces.com/{'n' * 63}-{'0' * 40}.ign")
    assert len(longest.encode()) < EC2_LIMIT // 40


def test_problems_of_a_section_name_its_key() -> None:
    problems: list[str] = []
    Section("flatcar:x", {"y": 1}, problems).finish()
    assert problems == ["flatcar:x.y: is not a known key"]


def changed(config: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The config with another value at `flatcar:PATH`, dots between the keys; None takes the key out."""
    first, *rest = path.split(".")
    place, last = config, f"flatcar:{first}"
    for name in rest:
        place, last = place.setdefault(last, {}), name
    if value is None:
        del place[last]
    else:
        place[last] = value
    return config
