"""Settings that switch each other off: each pair is refused, for a stack and for a program of one's own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.flatcar_machine import FlatcarMachine, FlatcarMachineArgs
from components.settings.keep import DEFAULT_KEEP, kept_paths
from components.settings.lifecycle import Lifecycle
from components.settings.problems import machine_problems
from components.settings.ssh import SshSettings
from components.settings.stack import Settings, read_settings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me@here"
CONFIGS = Path(__file__).parents[4] / "docs" / "configs.md"
OUTSIDE = {"tcp": [{"port": 22, "from": "operator"}]}
DROPLET = {"platform": "digitalocean", "store": {"kind": "spaces", "bucket": "configs-of-mine", "region": "fra1"}}
DROPLETS = {"region": "fra1", "image": {"id": "1"}, "ssh_from": ["203.0.113.0/24"]}
AMI = "ami-0123456789abcdef0"
INSTANCES = {"availability_zone": "eu-central-1a", "ami": {"id": AMI}, "ssh_from": ["203.0.113.0/24"]}
EC2 = {"platform": "aws", "store": {"kind": "s3", "bucket": "configs-of-mine"}, "aws": INSTANCES}
HOST = {"platform": "host"}
RACK = {"address": "192.0.2.1"}


def read(folder: Path, machine: dict[str, Any], **keys: Any) -> tuple[Settings | None, list[str]]:
    (folder / "web.yaml").touch()
    objects = {
        "machines": {"web": {"config": "web.yaml", **machine}},
        **({"digitalocean": DROPLETS} if keys.get("platform") == "digitalocean" else {}),
        "ssh": {"public_key": KEY},
        **keys,
    }
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in objects.items()}
    return read_settings({f"flatcar:{key}": text for key, text in texts.items()}, secret_keys=(), root=folder)


@pytest.mark.parametrize(
    ("machine", "keys", "problem"),
    [
        (
            {"lifecycle": "reformat", "keep": ["logs"]},
            {},
            "web.keep: is lost: 'reformat' makes the root file system anew; use reset, or take keep out",
        ),
        ({"lifecycle": "replace", "keep": ["logs"]}, DROPLET, "web.keep: is lost: 'replace' makes a new machine"),
        ({"lifecycle": "replace", "protect": True}, DROPLET, "web.protect: a protected machine can't be replaced"),
        ({"lifecycle": "replace", "retain_on_delete": True}, DROPLET, "web.retain_on_delete: 'replace' would leave"),
        (
            {"lifecycle": "replace", "drain": "true"},
            DROPLET,
            (
                "web.drain: runs when the deployer stages a re-run, and 'replace' stages none; "
                "use the ExecStop of a unit, or an in-place lifecycle"
            ),
        ),
        (
            {"lifecycle": "replace", "restore": "true"},
            DROPLET,
            "web.restore: runs when the deployer stages a re-run, and",
        ),
        (
            {"lifecycle": "replace", "droplet": {"volume": 1}},
            DROPLET,
            "web.lifecycle: 'replace' starts the new machine",
        ),
        ({"lifecycle": "replace", "ec2": {"volume": 1}}, EC2, "web.lifecycle: 'replace' starts the new machine"),
        (
            {"lifecycle": "replace", "ec2": {"termination_protection": True}},
            EC2,
            "web.ec2.termination_protection: 'replace' could not end the old machine",
        ),
        ({"lifecycle": "replace"}, {}, "web.lifecycle: 'replace' is for clouds"),
        ({"lifecycle": "replace", "host": RACK}, HOST, "web.lifecycle: 'replace' is for clouds"),
        (
            {"lifecycle": "replace", "pull": {}},
            DROPLET,
            "web.lifecycle: 'replace' makes a new machine, and one that pulls",
        ),
        (
            {"pull": {}, "drain": "true"},
            {},
            "web.drain: runs when the deployer stages a re-run, and this machine pulls",
        ),
        (
            {"pull": {}, "restore": "true"},
            {},
            "web.restore: runs when the deployer stages a re-run, and this machine pu",
        ),
        ({"pull": {}, "health": OUTSIDE}, {}, "web.pull.wait: the health check 'port 22' is asked from the operator's"),
        ({"pull": {"wait": "report"}}, {}, "web.pull.wait: 'report' needs an address"),
        ({"pull": {"lock": {"group": "a"}}}, {}, "web.pull.lock.url: is missing"),
        ({"pull": {}, "host": RACK}, HOST, "web.pull: needs an object that the host can ask"),
        ({"rollback": False, "rollback_after": 60}, {}, "web.rollback_after: has no effect with rollback: false"),
        ({"pull": {}}, {"rollout": {"pause": 5}}, "flatcar:rollout: lets nothing wait: every machine pulls"),
        ({"group": "a"}, {}, "flatcar:machines.web.group: is in no order: name the groups in flatcar:rollout.groups"),
        ({"qemu": {"cpus": 1}}, EC2, "web.qemu: is for machines on another platform than 'aws'"),
        (
            {},
            {"image": "/an/image", **EC2},
            "flatcar:image: is for another platform than 'aws', which flatcar:platform names",
        ),
        ({}, {"ssh": {"public_key": KEY, "port": 2222}}, "flatcar:ssh.port: would be asked for every machine"),
        (
            {"host": {**RACK, "port": 2200}},
            {"ssh": {"public_key": KEY, "port": 2222}, **HOST},
            "flatcar:machines.web.host.port: is 2200, and flatcar:ssh.port, which counts for all machines, is 2222",
        ),
        (
            {},
            {**EC2, "aws": {**INSTANCES, "ami": {"id": AMI, "channel": "beta"}}},
            "flatcar:aws.ami.channel: has no effect on an image that id names",
        ),
        (
            {},
            {**EC2, "aws": {**INSTANCES, "ami": {"id": AMI, "architecture": "arm64"}}},
            "flatcar:aws.ami.architecture: has no effect on an image that id names",
        ),
        (
            {},
            {"digitalocean": {**DROPLETS, "image": {"id": "1", "channel": "beta"}}, **DROPLET},
            "flatcar:digitalocean.image.channel: has no effect on an image that id names",
        ),
    ],
)
def test_what_switches_another_setting_off_is_refused(
    tmp_path: Path, machine: dict[str, Any], keys: dict[str, Any], problem: str
) -> None:
    settings, problems = read(tmp_path, machine, **keys)
    assert settings is None
    (told,) = problems
    assert problem in told


@pytest.mark.parametrize(
    ("machine", "keys"),
    [
        ({"lifecycle": "reformat"}, {}),
        ({"lifecycle": "reformat", "keep": []}, {}),
        ({"lifecycle": "replace"}, DROPLET),
        ({"lifecycle": "replace", "generation": 3, "host_key": KEY, "rollback_after": 90}, DROPLET),
        ({"lifecycle": "flag", "keep": ["logs"]}, {}),
        (
            {
                "lifecycle": "ignore",
                "keep": ["logs"],
                "generation": 3,
                "health": OUTSIDE,
                "timeout": 60,
                "drain": "true",
                "restore": "true",
                "rollback_after": 90,
                "allow": ["kept"],
            },
            {},
        ),
        ({"lifecycle": "ignore", "pull": {}}, {}),
        (
            {"pull": {"wait": "ssh", "window": "Mon 02:00-04:00", "jitter": 9000}, "health": OUTSIDE, "host_key": KEY},
            {},
        ),
        ({"pull": {}, "health": {"units": ["web.service"], "degraded": "allow"}}, {}),
        ({"protect": True, "retain_on_delete": True}, DROPLET),
        ({"rollback": False}, {}),
        ({}, {"rollout": {"canary": 3, "batch": "50%", "max_unavailable": 2, "pause": 5}}),
        ({"group": "a", "pull": {}}, {"rollout": {"groups": ["a"], "canary": 1}, "machine_files": ["more.yaml"]}),
        ({"host": {**RACK, "port": 2222}}, {"ssh": {"public_key": KEY, "port": 2222}, **HOST}),
    ],
)
def test_what_is_harmless_is_taken(tmp_path: Path, machine: dict[str, Any], keys: dict[str, Any]) -> None:
    if files := keys.get("machine_files"):
        (tmp_path / files[0]).write_text("pushed: {config: web.yaml, group: a}")
    assert read(tmp_path, machine, **keys)[1] == []


def args(**changes: Any) -> FlatcarMachineArgs:
    nothing: Any = None  # is never asked
    return FlatcarMachineArgs(
        config="variant: flatcar", platform=nothing, store=nothing, ssh=SshSettings(public_key=KEY), **changes
    )


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        (
            {"keep": [r"/var/lib/db\d+"]},
            r"  keep: '/var/lib/db\\d+' holds '\d', which find takes otherwise: write [0-9]",
        ),
        (
            {"keep": ["logs"], "lifecycle": Lifecycle.REFORMAT},
            "  keep: is lost: 'reformat' makes the root file system anew",
        ),
        ({"protect": True, "lifecycle": Lifecycle.REPLACE}, "  protect: a protected machine can't be replaced"),
    ],
)
def test_a_program_of_ones_own_is_told_the_same(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(pulumi.RunError, match=re.escape(f"the machine 'web' can't be used:\n{problem}")):
        FlatcarMachine("web", args(**changes))


def test_what_nobody_wrote_is_the_default_and_excludes_nothing() -> None:
    assert kept_paths(args().keep) == kept_paths(DEFAULT_KEEP) != kept_paths([])
    assert list(machine_problems(args(lifecycle=Lifecycle.REFORMAT))) == []


def test_what_is_harmless_is_documented() -> None:
    (table,) = re.findall(r"## Settings that exclude each other\n(.*?)\n## ", CONFIGS.read_text(), re.DOTALL)
    assert len(re.findall(r"^\| .* \| (?:refused|harmless): .* \|$", table, re.MULTILINE)) >= 25
