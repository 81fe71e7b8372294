"""Settings that switch each other off: each pair is refused, for a stack and for a program of one's own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pulumi
import pytest

from cl.transpiler.lint import OneDevice, Rule
from components.commands.reprovision.live_plan import LiveSettings
from components.commands.reprovision.request import HealthCheck
from components.flatcar_machine import FlatcarMachine, FlatcarMachineArgs
from components.settings.keep import DEFAULT_KEEP, kept_paths
from components.settings.lifecycle import Lifecycle
from components.settings.machine import MachineSettings
from components.settings.problems import machine_problems
from components.settings.pull import PullSettings
from components.settings.ssh import SshSettings
from components.settings.stack import Settings, read_settings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me@here"
CONFIGS = Path(__file__).parents[4] / "docs" / "configs.md"
OUTSIDE = {"tcp": [{"port": "192.0.2.9:22", "name": "port 22", "from": "operator"}]}
DROPLET = {"platform": "digitalocean", "store": {"kind": "spaces", "bucket": "configs-of-mine", "region": "fra1"}}
DROPLETS = {"region": "fra1", "image": {"id": "1"}, "ssh_from": ["203.0.113.0/24"]}
AMI = "ami-0123456789abcdef0"
INSTANCES = {"availability_zone": "eu-central-1a", "ami": {"id": AMI}, "ssh_from": ["203.0.113.0/24"]}
EC2: dict[str, Any] = {"platform": "aws", "store": {"kind": "s3", "bucket": "configs-of-mine"}, "aws": INSTANCES}
PUBLIC = {"public": True, "region": "eu-central-1"}
HOST = {"platform": "host"}
HOST_BUCKET = {"platform": "host", "store": {**EC2["store"], **PUBLIC}}
NO_REPORTS = "pull.report: 'store' is for machines on EC2 with a private S3 bucket"
RACK = {"address": "192.0.2.1"}
NO_GROUP: Any = None  # what the machines of a cloud share is never asked


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
            "web.keep: is lost: 'reformat' makes the root file system anew",
        ),
        ({"lifecycle": "replace", "keep": ["logs"]}, DROPLET, "web.keep: is lost: 'replace' makes a new machine"),
        ({"lifecycle": "replace", "protect": True}, DROPLET, "web.protect: a protected machine can't be replaced"),
        ({"lifecycle": "replace", "retain_on_delete": True}, DROPLET, "web.retain_on_delete: 'replace' would leave"),
        (
            {"lifecycle": "replace", "drain": "true"},
            DROPLET,
            "web.drain: runs when the deployer stages a re-run, and 'repl",
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
        ({"lifecycle": "live", "rollback": False}, {}, "web.lifecycle: 'live' changes only machines that can roll ba"),
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
        *(
            ({"health": health}, keys, f"web.health.{problem}")
            for health, keys, problem in (
                (
                    {"http": [{"url": "http://{address}:8080/", "from": "operator"}]},
                    {},
                    "http[0].from: 'operator' asks port 8080 from this computer, and only SSH is forwarded to this",
                ),
                ({"tcp": [{"port": 22, "from": "operator"}]}, {}, "tcp[0].from: 'operator' asks port 22 from this com"),
                (
                    {"http": [{"url": "https://{address}/", "from": "operator"}]},
                    EC2,
                    "http[0].from: 'operator' asks port 443 from this computer, and the firewall does not let it in: ",
                ),
                (
                    {"tcp": [{"port": 80, "from": "machine"}, {"port": 81, "from": "operator"}]},
                    DROPLET,
                    (
                        "tcp[1].from: 'operator' asks port 81 from this computer, and the firewall does not let it in: "
                        "add 81/tcp to flatcar:digitalocean.open_ports; or ask from: machine"
                    ),
                ),
            )
        ),
        ({"pinned": "web.yaml", "pull": {}}, {}, "web.pinned: a machine that pulls refuses an object that is older"),
        (
            {"pinned": "web.yaml", "lifecycle": "replace"},
            DROPLET,
            "web.pinned: 'replace' makes a new machine of",
        ),
        (
            {"pinned": "stacks/pinned/web-3f2b082ff5c7-0123456789ab.secret.ign"},
            {},
            (
                "web.pinned: there is no file stacks/pinned/web-3f2b082ff5c7-0123456789ab.secret.ign; "
                "`make rollback MACHINE=web TO=3f2b082ff5c7` writes it"
            ),
        ),
        ({"pull": {"wait": "report"}}, {}, "web.pull.wait: 'report' needs an address"),
        ({"pull": {"report": "store"}}, DROPLET, f"web.{NO_REPORTS}"),
        ({"pull": {"report": "store"}}, EC2 | {"store": {**EC2["store"], **PUBLIC}}, f"web.{NO_REPORTS}"),
        ({"pull": {"report": "store"}, "host": RACK | {"mode": "bucket"}}, HOST_BUCKET, f"web.{NO_REPORTS}"),
        ({"pull": {"lock": {"group": "a"}}}, {}, "web.pull.lock.url: is missing"),
        ({"pull": {}, "host": RACK}, HOST, "web.pull: needs an object that the host can ask"),
        ({"rollback": False, "rollback_after": 60}, {}, "web.rollback_after: has no effect with rollback: false"),
        ({"pull": {}}, {"rollout": {"pause": 5}}, "flatcar:rollout: lets nothing wait: every machine pulls"),
        ({"group": "a"}, {}, "flatcar:machines.web.group: is in no order: name the groups in flatcar:rollout.groups"),
        (
            {"qemu": {"memory_mib": 64}},
            {},
            "web.qemu.memory_mib: 64 MiB are too few to boot in: Flatcar needs 2048, set-up's image 1024",
        ),
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
        ({"lifecycle": "live", "pull": {}}, {}),
        ({"pull": {"report": "store", "wait": "report"}}, EC2),
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
        ({"host": RACK, "health": {"http": [{"url": "http://{address}/", "from": "operator"}]}}, HOST),
        ({"health": {"tcp": [{"port": 22, "from": "operator"}]}}, DROPLET),
        (
            {"health": {"http": [{"url": "http://{address}:8080/", "from": "operator"}]}},
            {**EC2, "aws": {**INSTANCES, "open_ports": ["8000-8080/tcp"]}},
        ),
        ({"health": {"http": [{"url": "http://balancer:8080/", "from": "operator"}]}}, EC2),
    ],
)
def test_what_is_harmless_is_taken(tmp_path: Path, machine: dict[str, Any], keys: dict[str, Any]) -> None:
    if files := keys.get("machine_files"):
        (tmp_path / files[0]).write_text("pushed: {config: web.yaml, group: a}")
    assert read(tmp_path, machine, **keys)[1] == []


def args(**changes: Any) -> FlatcarMachineArgs:
    nothing: Any = None  # is never asked
    given = {"config": "variant: flatcar", "platform": nothing, **changes}
    return FlatcarMachineArgs(store=nothing, ssh=SshSettings(public_key=KEY), **given)


def check(**changes: Any) -> HealthCheck:
    return HealthCheck(**{"name": "up", "subject": "true", "seconds": 30, **changes})


REFUSED: list[tuple[dict[str, Any], dict[str, Any] | None, str]] = [
    ({"config": "no.yaml"}, {"config": Path("no.yaml")}, "config: there is no file no.yaml"),
    ({"snippets": ["no.yaml"]}, {"snippets": [Path("no.yaml")]}, "snippets: there is no file no.yaml"),
    ({"variables": {"a-b": "x"}}, None, "variables.a-b: a variable's name is letters, digits and '_'"),
    ({"variables": {"machine_name": "x"}}, None, "variables.machine_name: is set by the program itself"),
    ({"keep": ["/it's"]}, None, 'keep: "/it\'s" holds a quote'),
    (
        {"keep": ["log"]},
        None,
        (
            "keep: 'log' is no preset (logs, docker, containerd, extensions, flatcar-extensions, hostname, home) "
            "and does not start with one of / ( [; did you mean 'logs'?"
        ),
    ),
    ({"keep": ["/"]}, None, "keep: '/' keeps nothing: name the paths to keep, or choose the lifecycle 'flag'"),
    (
        {"keep": [r"/var/lib/db\d+"]},
        None,
        r"keep: '/var/lib/db\\d+' holds '\d', which find takes otherwise: write [0-9]",
    ),
    ({"keep": ["/a(b"]}, None, "keep: '/a(b' "),
    (
        {"keep": ["logs"], "lifecycle": "reformat"},
        {"keep": ["logs"], "lifecycle": Lifecycle.REFORMAT},
        "keep: is lost: 'reformat' makes the root file system anew",
    ),
    ({"allow": ["wipes"]}, None, "allow: 'wipes' is none of kept, wipe,"),
    (
        {"allow": ["login:/dev/a"]},
        {"allow": [OneDevice(Rule.LOGIN, "/dev/a")]},
        "allow: 'login:/dev/a': this rule is about no device; write login alone",
    ),
    ({"allow": ["wipe:"]}, {"allow": [OneDevice(Rule.WIPE, "")]}, "allow: 'wipe:' names no device; write wipe:/dev/…"),
    ({"generation": -1}, None, "generation: has to be at least 0"),
    ({"timeout": 9}, None, "timeout: has to be 10 to 86400"),
    ({"timeout": 86401}, None, "timeout: has to be 10 to 86400"),
    ({"rollback_after": 29}, None, "rollback_after: has to be at least 30: the health checks may take so long"),
    ({"rollback_after": 86401}, None, "rollback_after: has to be 30 to 86400"),
    (
        {"rollback_after": 100, "health": {"commands": [{"command": "x", "seconds": 100}]}},
        {"rollback_after": 100, "health": [check(seconds=100)]},
        "rollback_after: has to be at least 130: the health checks may take so long",
    ),
    ({"host_key": "SHA256:abc"}, None, "host_key: is not an SSH host key of one line"),
    ({"host_key": f"{KEY}\n{KEY}"}, None, "host_key: is not an SSH host key of one line"),
    ({"os_update": "refues"}, None, "os_update: has to be one of allow, refuse, not 'refues'; did you mean 'refuse'?"),
    (
        {"live": {"restart": {"etc/app": "a.service"}}},
        {"live": LiveSettings(restart={"etc/app": "a.service"})},
        "live.restart: 'etc/app' is no absolute path, such as /etc/app/*",
    ),
    *(
        (
            {"live": {"reload": {"/etc/app": units}}},
            {"live": LiveSettings(reload={"/etc/app": units})},
            f"live.reload: {units!r} has to be services, timers, sockets or path units",
        )
        for units in (
            "sshd.service",
            "a.service b",
            "a.service sshd.socket",
            "a@b.service",
            "a.mount",
            "a.service,b.service",
            "",
        )
    ),
    (
        {"live": {"drift": "refues"}},
        {"live": LiveSettings(drift="refues")},
        "live.drift: has to be one of reset, refuse, not 'refues'; did you mean 'refuse'?",
    ),
    ({"health": {"commands": [{}]}}, {"health": [check(subject="")]}, "health.commands[0].command: is missing"),
    (
        {"health": {"commands": [{"command": "true"}, {"command": "true", "seconds": 0}]}},
        {"health": [check(), check(seconds=0)]},
        "health.commands[1].seconds: has to be 1 to 3600",
    ),
    (
        {"health": {"http": [{"url": "file:///etc/passwd"}]}},
        {"health": [check(kind="http", subject="file:///etc/passwd")]},
        "health.http[0].url: has to be an http or https address, not 'file:///etc/passwd'",
    ),
    (
        {"health": {"http": [{"url": "http://[::1"}]}},
        {"health": [check(kind="http", subject="http://[::1")]},
        "health.http[0].url: has to be an http or https address, not 'http://[::1'",
    ),
    (
        {"health": {"http": [{"url": "http://a/", "status": 99}]}},
        {"health": [check(kind="http", subject="http://a/", expected="99")]},
        "health.http[0].status: has to be 100 to 599",
    ),
    (
        {"health": {"http": [{"url": "http://a/", "from": "moon"}]}},
        {"health": [check(kind="http", subject="http://a/", vantage="moon")]},
        "health.http[0].from: has to be one of machine, operator, not 'moon'",
    ),
    (
        {"health": {"tcp": [{"port": 65536}]}},
        {"health": [check(kind="tcp", subject="65536")]},
        "health.tcp[0].port: has to be a port, or host:port, not '65536'",
    ),
    (
        {"health": {"units": ["web"]}},
        {"health": [check(kind="unit", subject="web")]},
        "health.units: 'web' is not a unit's full name, such as web.service",
    ),
    (
        {"pull": {"interval": 9}},
        {"pull": PullSettings(interval=9)},
        "pull.interval: has to be 10 to 86400",
    ),
    (
        {"pull": {"jitter": 86401}},
        {"pull": PullSettings(jitter=86401)},
        "pull.jitter: has to be 0 to 86400",
    ),
    (
        {"pull": {"window": "Mon 02:00-02:00"}},
        {"pull": PullSettings(windows=((120, 120),))},
        "pull.window: 'Mon 02:00 - Mon 02:00' is empty; the whole day is 00:00-24:00",
    ),
    (
        {"pull": {"lock": {"url": "ftp://u:p@a/"}}},
        {"pull": PullSettings(lock="ftp://u:p@a/")},
        "pull.lock.url: has to be an http or https address, not 'ftp://a/'",
    ),
    (
        {"pull": {"lock": {"url": "http://a/", "group": "a b"}}},
        {"pull": PullSettings(lock="http://a/", lock_group="a b")},
        "pull.lock.group: 'a b' is not a FleetLock group",
    ),
    ({"pull": {"lock": {"group": "a"}}}, {"pull": PullSettings(lock_group="a")}, "pull.lock.url: is missing"),
    (
        {"pull": {"report": "a.example"}},
        {"pull": PullSettings(report="a.example")},
        "pull.report: has to be an http or https address, not 'a.example'",
    ),
    ({"pull": {"report": "store"}}, {"pull": PullSettings(report="store")}, NO_REPORTS),
    (
        {"pull": {"wait": "long"}},
        {"pull": PullSettings(wait="long")},
        "pull.wait: has to be one of no, ssh, report, not 'long'",
    ),
    (
        {"pull": {"wait": "report"}},
        {"pull": PullSettings(wait="report")},
        "pull.wait: 'report' needs an address to read reports from",
    ),
    (
        {"pull": {"signers": ["x"]}},
        {"pull": PullSettings(signers=("x",))},
        "pull.signers: 'x' is not an SSH public key of one line",
    ),
    (
        {"pull": {"signed_by": "x"}},
        {"pull": PullSettings(signed_by="x")},
        "pull.signed_by: 'x' is not an SSH public key of one line",
    ),
    (
        {"pull": {"signers": [KEY], "signed_by": KEY.replace("A==", "B==")}},
        {"pull": PullSettings(signers=(KEY,), signed_by=KEY.replace("A==", "B=="))},
        "pull.signed_by: is none of signers",
    ),
    ({"pull": {}, "drain": "x"}, {"pull": PullSettings(), "drain": "x"}, "drain: runs when the deployer stages a re-r"),
    (
        {"pull": {}, "restore": "x"},
        {"pull": PullSettings(), "restore": "x"},
        "restore: runs when the deployer stages a re-run, and this machine pulls",
    ),
    (
        {"pull": {}, "health": OUTSIDE},
        {
            "pull": PullSettings(),
            "health": [check(kind="tcp", name="port 22", subject="192.0.2.9:22", vantage="operator")],
        },
        "pull.wait: the health check 'port 22' is asked from the operator's computer",
    ),
]
ON_DROPLETS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"protect": True}, {"protect": True}, "protect: a protected machine can't be replaced"),
    ({"retain_on_delete": True}, {"retain_on_delete": True}, "retain_on_delete: 'replace' would leave a machine"),
    ({"drain": "x"}, {"drain": "x"}, "drain: runs when the deployer stages a re-run, and 'replace' stages none"),
    ({"restore": "x"}, {"restore": "x"}, "restore: runs when the deployer stages a re-run, and 'replace' stages none"),
    ({"keep": ["logs"]}, {"keep": ["logs"]}, "keep: is lost: 'replace' makes a new machine"),
    ({"pull": {}}, {"pull": PullSettings()}, "lifecycle: 'replace' makes a new machine, and one that pulls changes"),
]


@pytest.mark.parametrize(("machine", "changes", "problem"), REFUSED)
def test_a_stack_and_a_program_of_ones_own_are_told_the_same(
    tmp_path: Path, machine: dict[str, Any], changes: dict[str, Any] | None, problem: str
) -> None:
    told_both_ways(tmp_path, machine, machine if changes is None else changes, problem)


@pytest.mark.parametrize(("machine", "changes", "problem"), ON_DROPLETS)
def test_both_are_told_the_same_of_a_machine_that_is_replaced(
    tmp_path: Path, machine: dict[str, Any], changes: dict[str, Any], problem: str
) -> None:
    changes = {"lifecycle": Lifecycle.REPLACE, **changes}
    told_both_ways(tmp_path, {"lifecycle": "replace", **machine}, changes, problem, **DROPLET)


def told_both_ways(folder: Path, machine: dict[str, Any], changes: dict[str, Any], problem: str, **keys: Any) -> None:
    settings, problems = read(folder, machine, **keys)
    assert settings is None
    (told,) = problems
    assert told.startswith(f"flatcar:machines.web.{problem}")
    with pytest.raises(pulumi.RunError) as refused:
        FlatcarMachine("web", args(**changes))
    head, line = str(refused.value).split("\n")
    assert head == "the machine 'web' can't be used:"
    assert line.strip() == told.removeprefix("flatcar:machines.web.")


def test_names_that_a_program_alone_can_give_are_checked_too() -> None:
    with pytest.raises(pulumi.RunError, match="\n  a machine's name is up to 63 of a-z, 0-9 and '-'"):
        FlatcarMachine("Web", args())
    with pytest.raises(pulumi.RunError, match=r"\n  shared_variables.machine_name: is set by the program itself"):
        FlatcarMachine("web", args(shared_variables={"machine_name": "x"}))
    with pytest.raises(pulumi.RunError, match=r"\n  secrets.a-b: a variable's name is letters"):
        FlatcarMachine("web", args(secrets={"a-b": "x"}))


@pytest.mark.parametrize(
    ("wrong", "problem"),
    [
        (check(kind="ftp"), "health: the kind of the check 'up' has to be one of command, http, tcp, unit, not 'ftp'"),
        (check(vantage="operator"), "health.commands[0].from: has to be one of machine, not 'operator'"),
    ],
)
def test_checks_that_a_program_alone_can_make_are_checked_too(wrong: HealthCheck, problem: str) -> None:
    with pytest.raises(pulumi.RunError, match=re.escape(f"\n  {problem}")):
        FlatcarMachine("web", args(health=[wrong]))


def test_what_nobody_wrote_is_the_default_and_excludes_nothing() -> None:
    assert kept_paths(args().keep) == kept_paths(DEFAULT_KEEP) != kept_paths([])
    assert list(machine_problems("web", args(lifecycle=Lifecycle.REFORMAT), None)) == []


def test_what_is_harmless_is_documented() -> None:
    (table,) = re.findall(r"## Settings that exclude each other\n(.*?)\n## ", CONFIGS.read_text(), re.DOTALL)
    assert len(re.findall(r"^\| .* \| (?:refused|harmless): .* \|$", table, re.MULTILINE)) >= 25


def told(**settings: Any) -> list[tuple[str, str]]:
    return list(machine_problems("web", MachineSettings(config="a: b", **settings), None))


def test_what_is_lost_and_what_never_runs_is_told_to_the_end() -> None:
    assert told(lifecycle=Lifecycle.REFORMAT, keep=["logs"]) == [
        ("keep", "is lost: 'reformat' makes the root file system anew; use reset, or take keep out")
    ]
    assert told(lifecycle=Lifecycle.REPLACE, drain="x") == [
        (
            "drain",
            (
                "runs when the deployer stages a re-run, and 'replace' stages none; use the ExecStop of a unit, or an "
                "in-place lifecycle"
            ),
        )
    ]


@pytest.mark.parametrize("name", ["ssh_public_key", "machine_name"])
def test_names_of_the_program_are_no_variables(name: str) -> None:
    assert told(variables={name: "x"}) == [(f"variables.{name}", "is set by the program itself")]


def test_a_device_is_a_path_below_dev() -> None:
    assert told(allow=[OneDevice(Rule.WIPE, "/dev/vdb")]) == []
    assert told(allow=[OneDevice(Rule.WIPE, "XX/dev/XXvdb")]) == [
        ("allow", "'wipe:XX/dev/XXvdb' names no device; write wipe:/dev/…, as the finding does")
    ]


@pytest.mark.parametrize(
    ("checks", "seconds", "problem"),
    [
        (100, 130, None),
        (100, 129, "has to be at least 130: the health checks may take so long"),
        (86_400, 86_700, None),
        (86_400, 86_701, "has to be 30 to 86700"),
        (0, 86_400, None),
        (0, 86_401, "has to be 30 to 86400"),
    ],
)
def test_a_rollback_comes_after_the_checks_and_within_a_day(checks: int, seconds: int, problem: str | None) -> None:
    health = [HealthCheck(name="it", subject="true", seconds=checks)] if checks else []
    found = [text for setting, text in told(health=health, rollback_after=seconds) if setting == "rollback_after"]
    assert found == ([problem] if problem else [])
