"""Stack config to settings: each refused value, with the key and the way out in its message."""

from __future__ import annotations

import ast
import itertools
import json
import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from cl.transpiler.lint import OneDevice, Rule
from components.commands.reprovision.live_plan import LiveSettings
from components.platforms import registry
from components.platforms.host.settings import HostSettings
from components.platforms.qemu.settings import QemuSettings
from components.settings.lifecycle import Lifecycle
from components.settings.machine import StackMachine
from components.settings.stack import Settings, read_settings

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me@here"
WEB = {"config": "cl/web.yaml"}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "cl").mkdir()
    for name in ("web.yaml", "snippet.yaml"):
        (tmp_path / "cl" / name).touch()
    return tmp_path


def read(root: Path, machines: Any = None, *, stack: str = "", **keys: Any) -> tuple[Settings | None, list[str]]:
    objects = {"machines": {"web": WEB} if machines is None else machines, "ssh": {"public_key": KEY}, **keys}
    values = {
        f"flatcar:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in objects.items()
    }
    return read_settings(values, secret_keys=(), root=root, stack=stack)


def test_the_defaults(root: Path) -> None:
    settings, problems = read(root)
    assert problems == []
    assert settings is not None
    (web,) = settings.machines
    assert (web.name, web.lifecycle, web.keep, web.generation) == ("web", Lifecycle.RESET, None, 0)
    assert (settings.platform.name, settings.strict, settings.ssh.user) == ("qemu", True, "core")


@pytest.mark.parametrize(
    ("key", "near"),
    [("flatcr:machines", "flatcar"), ("Flatcar:ssh", "flatcar"), ("awss:region", "aws")],
)
def test_a_misspelt_namespace_is_told(root: Path, key: str, near: str) -> None:
    values = {"flatcar:machines": json.dumps({"web": WEB}), "flatcar:ssh": json.dumps({"public_key": KEY})}
    _, problems = read_settings({**values, key: "x", "mine:size": "3"}, secret_keys=(), root=root)
    namespace = key.partition(":")[0]
    assert problems == [f"{key}: nobody reads the namespace {namespace!r}; did you mean {near!r}?"]


def test_everything_given(root: Path) -> None:
    machine = {
        "config": "cl/web.yaml", "snippets": ["cl/snippet.yaml"], "variables": {"size": 3, "name": "x"},
        "lifecycle": "flag", "keep": ["/srv"], "allow": ["wipe:/dev/vdb", "kept"], "generation": 2, "timeout": 90,
        "health": {"degraded": "allow", "commands": [{"name": "up", "command": "true", "seconds": 5}]},
        "qemu": {"memory_mib": 2048, "cpus": 1, "disk_gib": 9}, "os_update": "refuse", "take_over": True,
        "live": {"restart": {"/etc/b/*": "b.service"}, "reload": {"/etc/a": "a.service b.timer"}, "drift": "refuse"},
    }  # fmt: skip
    settings, problems = read(root, {"web": machine}, secrets={"token": "t"}, variables={"zone": "a"}, strict="false")
    assert problems == []
    assert settings is not None
    (web,) = settings.machines
    assert web.variables == {"size": "3", "name": "x"}
    assert (web.generation, web.timeout, web.allow_degraded) == (2, 90, True)
    assert web.on_platform == QemuSettings(memory_mib=2048, cpus=1, disk_gib=9)
    assert (web.os_update, web.take_over) == ("refuse", True)
    assert web.live == LiveSettings(
        restart={"/etc/b/*": "b.service"}, reload={"/etc/a": "a.service b.timer"}, drift="refuse"
    )
    assert web.health[0].seconds == 5
    assert web.allow == (OneDevice(Rule.WIPE, "/dev/vdb"), Rule.KEPT)
    assert settings.strict is False


def test_snippets_for_all_machines_come_before_a_machines_own(root: Path) -> None:
    (root / "cl/all.yaml").write_text("")
    own = {**WEB, "snippets": ["cl/snippet.yaml"]}
    settings, problems = read(root, {"web": own, "db": WEB}, snippets=["cl/all.yaml"])
    assert problems == []
    assert settings is not None
    assert {machine.name: [str(path) for path in machine.snippets] for machine in settings.machines} == {
        "web": ["cl/all.yaml", "cl/snippet.yaml"],
        "db": ["cl/all.yaml"],
    }
    assert read(root, {"web": own, "db": WEB}, snippets=["no.yaml"])[1] == [
        "flatcar:snippets: there is no file no.yaml"
    ]


@pytest.mark.parametrize(
    ("machine", "message"),
    [
        ({}, "flatcar:machines.web.config: is missing"),
        ({"config": "cl/other.yaml"}, "flatcar:machines.web.config: there is no file cl/other.yaml"),
        ({**WEB, "snippets": ["no"]}, "flatcar:machines.web.snippets: there is no file no"),
        ({**WEB, "lifecyle": "reset"}, "flatcar:machines.web.lifecyle: is not a known key; did you mean 'lifecycle'?"),
        (
            {**WEB, "lifecycle": "rest"},
            "has to be one of reset, live, reformat, flag, replace, ignore, not 'rest'; did you mean 'reset'?",
        ),
        ({**WEB, "keep": ["/it's"]}, 'flatcar:machines.web.keep: "/it\'s" holds a quote'),
        ({**WEB, "keep": "logs"}, "flatcar:machines.web.keep: has to be a list of strings"),
        (
            {**WEB, "allow": ["wipes"]},
            "is none of kept, wipe, disks, remote, replace, login, reboot, size, spec, secret; did you mean 'wipe'",
        ),
        ({**WEB, "allow": ["disk:/dev/vdb"]}, "web.allow: 'disk' is none of kept, wipe, disks,"),
        ({**WEB, "allow": ["disk:/dev/vdb"]}, "reboot, size, spec, secret; did you mean 'disks'?"),
        ({**WEB, "allow": ["wipe:"]}, "web.allow: 'wipe:' names no device; write wipe:/dev/…, as the finding does"),
        ({**WEB, "allow": ["disks:data"]}, "web.allow: 'disks:data' names no device; write disks:/dev/…"),
        ({**WEB, "allow": ["login:/dev/a"]}, "allow: 'login:/dev/a': this rule is about no device; write login alone"),
        ({**WEB, "generation": "x"}, "flatcar:machines.web.generation: has to be a whole number, not a string"),
        ({**WEB, "host_key": "SHA256:abc"}, "flatcar:machines.web.host_key: is not an SSH host key of one line"),
        ({**WEB, "generation": -1}, "flatcar:machines.web.generation: has to be at least 0"),
        ({**WEB, "timeout": 1}, "flatcar:machines.web.timeout: has to be 10 to 86400"),
        ({**WEB, "variables": {"a-b": "x"}}, "flatcar:machines.web.variables.a-b: a variable's name is"),
        ({**WEB, "variables": {"a": True}}, "flatcar:machines.web.variables.a: has to be a string, not true or false"),
        ({**WEB, "variables": {"ssh_public_key": "x"}}, "is set by the program itself"),
        (
            {**WEB, "health": {"commands": [{"comand": "x"}]}},
            "flatcar:machines.web.health.commands[0].command: is missing",
        ),
        (
            {**WEB, "health": {"degraded": "maybe"}},
            "flatcar:machines.web.health.degraded: has to be one of fail, allow",
        ),
        ({**WEB, "pull": {"jiter": 1}}, "flatcar:machines.web.pull.jiter: is not a known key; did you mean 'jitter'?"),
        ({**WEB, "pull": True}, "flatcar:machines.web.pull: has to be a mapping, not true or false"),
        ({**WEB, "pull": {}, "lifecycle": "replace"}, "and one that pulls changes itself"),
        ({**WEB, "pull": {}, "drain": "true"}, "flatcar:machines.web.drain: runs when the deployer stages a re-run"),
        ({**WEB, "qemu": {"cpus": 0}}, "flatcar:machines.web.qemu.cpus: has to be 1 to 256"),
        ("x", "flatcar:machines.web: has to be a mapping, not a string"),
        ({**WEB, "variables": ["x"]}, "web.variables: has to be a mapping of names to strings, not a list"),
        ({**WEB, "health": {"http": "x"}}, "web.health.http: has to be a list of mappings"),
        (
            {**WEB, "health": {"commands": [{"command": "x", "seconds": 100}]}, "rollback_after": 100},
            "web.rollback_after: has to be at least 130: the health checks may take so long",
        ),
        ({**WEB, "protect": "maybe"}, "web.protect: has to be true or false, not a string"),
        ({**WEB, "drain": 1}, "flatcar:machines.web.drain: has to be a string, not a number; put it in quotes"),
    ],
)
def test_a_wrong_machine(root: Path, machine: Any, message: str) -> None:
    settings, problems = read(root, {"web": machine})
    assert settings is None
    assert message in "\n".join(problems)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"machnes": {}}, "flatcar:machnes: is not a known key; did you mean 'machines'?"),
        ({"platform": "vmware"}, "flatcar:platform: has to be one of qemu"),
        ({"strict": "yes"}, "flatcar:strict: has to be true or false"),
        ({"files_dir": "nowhere"}, "flatcar:files_dir: there is no folder nowhere"),
        ({"ssh": {"public_key": "not a key"}}, "flatcar:ssh.public_key: is not an SSH public key"),
        (
            {"ssh": {"public_key": KEY, "user": "-oProxyCommand=x"}},
            "flatcar:ssh.user: '-oProxyCommand=x' is not a user's",
        ),
        ({"ssh": {"public_key": KEY, "jump_host": "-x"}}, "flatcar:ssh.jump_host: '-x' is not [user@]host[:port]"),
        ({"ssh": {"public_key": KEY, "private_key_file": "no"}}, "flatcar:ssh.private_key_file: there is no file no"),
        ({"ssh": {"public_key": KEY, "port": 70000}}, "flatcar:ssh.port: has to be 0 to 65535"),
        ({"variables": {"a": "x"}, "secrets": {"a": "x"}}, "flatcar:secrets.a: is a variable as well"),
        ({"variables": "{broken"}, "flatcar:variables: is not valid JSON"),
        ({"rollout": {"groups": ["a", "a"]}}, "flatcar:rollout.groups: "),
        ({"digitalocean": {"region": "fra1"}}, "flatcar:digitalocean: is for another platform than 'qemu'"),
        ({"store": {"kind": "s3"}}, "flatcar:store.kind: machines on qemu can't read from 's3'; use folder"),
    ],
)
def test_wrong_keys_of_the_stack(root: Path, keys: Any, message: str) -> None:
    settings, problems = read(root, **keys)
    assert settings is None
    assert message in "\n".join(problems)


def test_a_host_that_pulls_needs_an_object_to_ask(root: Path) -> None:
    machine = {**WEB, "pull": {}, "host": {"address": "192.0.2.1"}}
    assert "set host.mode to bucket" in "\n".join(read(root, {"rack": machine}, platform="host")[1])


def test_a_private_key_without_its_public_half(root: Path) -> None:
    (root / "key").write_text("private")
    _, problems = read(root, ssh={"private_key_file": str(root / "key")})
    assert problems == [f"flatcar:ssh.public_key: is missing, and there is no {root}/key.pub beside the private key"]
    (root / "key.pub").write_text(KEY + "\n")
    settings, problems = read(root, ssh={"private_key_file": str(root / "key")})
    assert settings is not None and settings.ssh.public_key == KEY, problems


def test_numbers_of_a_plain_config_set_are_read(root: Path) -> None:
    settings, problems = read(root, {"web": {**WEB, "generation": "3", "protect": "true"}})
    assert settings is not None, problems
    assert (settings.machines[0].generation, settings.machines[0].protect) == (3, True)


def test_a_name_that_is_none(root: Path) -> None:
    assert "a machine's name is" in "\n".join(read(root, {"Web_1": WEB})[1])


def test_no_machine_at_all(root: Path) -> None:
    assert "names no machine" in "\n".join(read(root, {})[1])


def test_everything_wrong_is_told_at_once(root: Path) -> None:
    problems = read(root, {"a": {"config": "x"}, "b": {"config": "y", "generation": "z"}}, strict="no")[1]
    assert len(problems) == 4


def test_secrets_outside_their_key_are_refused(root: Path) -> None:
    values = {"flatcar:machines": json.dumps({"web": WEB}), "flatcar:ssh": json.dumps({"public_key": KEY})}
    problems = read_settings(values, secret_keys={"flatcar:machines", "aws:token"}, root=root)[1]
    assert len(problems) == 1
    assert problems[0].startswith("flatcar:machines: holds a secret")


def test_other_namespaces_are_left_alone(root: Path) -> None:
    values = {
        "flatcar:machines": json.dumps({"web": WEB}),
        "flatcar:ssh": json.dumps({"public_key": KEY}),
        "aws:regoin": "x",
    }
    assert read_settings(values, secret_keys=(), root=root)[1] == []


def test_an_existing_host(root: Path) -> None:
    web = {**WEB, "host": {"address": "192.0.2.17", "port": 2222}}
    settings, problems = read(root, {"web": web}, platform="host")
    assert problems == []
    assert settings is not None
    host = settings.machines[0].on_platform
    assert isinstance(host, HostSettings)
    assert (host.address, host.port, host.mode, settings.store.kind) == ("192.0.2.17", 2222, "oem", "folder")


@pytest.mark.parametrize(
    ("machine", "keys", "problem"),
    [
        (WEB, {}, "flatcar:machines.web.host.address: is missing"),
        ({**WEB, "host": {"address": "-x"}}, {}, "'-x' is no host name or IP address"),
        ({**WEB, "host": {"address": "h", "mode": "bucket"}}, {}, "'bucket' needs a store that the host can read from"),
        ({**WEB, "host": {"address": "h"}, "lifecycle": "replace"}, {}, "a host can't be made anew"),
        ({**WEB, "host": {"address": "h"}}, {"platform": "qemu"}, "is for machines on another platform than 'qemu'"),
        (
            {**WEB, "host": {"address": "h"}},
            {"store": {"kind": "s3", "bucket": "b-1-2"}},
            "flatcar:store.public: has to be true",
        ),
    ],
)
def test_hosts_that_cannot_work(root: Path, machine: dict[str, Any], keys: dict[str, Any], problem: str) -> None:
    _, problems = read(root, {"web": machine}, **{"platform": "host", **keys})
    assert any(problem in text for text in problems), problems


def test_machines_may_stand_in_files(root: Path) -> None:
    (root / "fleet.yaml").write_text("db: {config: cl/web.yaml, generation: 3}\n")
    settings, problems = read(root, machine_files=["fleet.yaml"])
    assert problems == []
    assert settings is not None
    assert {machine.name: machine.generation for machine in settings.machines} == {"web": 0, "db": 3}


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("web: {config: cl/web.yaml}", "fleet.yaml: machine 'web' stands elsewhere, too"),
        ("- web", "fleet.yaml: has to be a mapping of machines by name, as flatcar:machines is"),
        ("db: {config: [}", "fleet.yaml:1:15: is not YAML: did not find expected node content"),
        ("db: {config: cl/web.yaml, generatoin: 3}", "flatcar:machines.db.generatoin: is not a known key"),
        (None, "flatcar:machine_files: fleet.yaml can't be read"),
    ],
)
def test_what_is_wrong_in_a_file_of_machines_is_told(root: Path, text: str | None, problem: str) -> None:
    if text is not None:
        (root / "fleet.yaml").write_text(text)
    (told,) = read(root, machine_files=["fleet.yaml"])[1]
    assert told.startswith(problem)


@pytest.mark.parametrize("platform", ["host", "digitalocean", "aws"])
def test_the_login_key_is_the_same_on_every_computer(root: Path, platform: str) -> None:
    (root / "key").write_text("private")
    (root / "key.pub").write_text(KEY + "\n")
    for given in ({}, {"private_key_file": str(root / "key")}):
        _, problems = read(root, platform=platform, ssh=given)
        (missing,) = (problem for problem in problems if problem.startswith("flatcar:ssh"))
        assert missing.startswith("flatcar:ssh.public_key: is missing. Configs hold it, so it has to be the same on ")
        assert "\n    flatcar:ssh:\n      private_key_file: " in missing
    assert missing.endswith(f"\n      private_key_file: {root}/key\n      public_key: {KEY}")
    assert not list(root.glob("**/login_key"))


def test_a_lost_login_key_of_machines_on_this_computer_is_not_made_anew(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MACHINES_DIR", str(root / "machines"))
    settings, problems = read(root, ssh={})
    assert settings is not None, problems
    private = Path(settings.ssh.private_key_file)
    private.with_suffix(".pub").unlink()
    again, problems = read(root, ssh={})
    assert again is not None, problems
    assert again.ssh.public_key.split()[:2] == settings.ssh.public_key.split()[:2], "from the private half"
    (private.parent / "web").mkdir()
    (private.parent / "web" / "machine.json").write_text("{}")
    private.unlink()
    _, problems = read(root, ssh={})
    assert problems[0].startswith(
        f"flatcar:ssh: the login key {private} is gone, which the machines web know; another "
    )
    assert not private.exists()


def test_pulumi_yaml_names_every_setting_of_a_machine() -> None:
    project = yaml.safe_load((Path(__file__).parents[4] / "Pulumi.yaml").read_text())
    text = project["config"]["machines"]["description"].partition("{")[2].removesuffix("}")
    while text != (outer := re.sub(r"\{[^{}]*\}", "", text)):
        text = outer
    settings = {field.name for field in fields(StackMachine)} - {"name", "allow_degraded", "on_platform"}
    keys = settings | {"rollback"} | {platform.machine_key for platform in registry.PLATFORMS}
    assert sorted(re.findall(r"(\w+): ", text)) == sorted(keys)


def test_the_documents_table_of_settings_is_that_of_the_fields() -> None:
    root = Path(__file__).parents[4]
    tree = ast.parse((root / "components/settings/machine.py").read_text())
    (settings,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "MachineSettings")
    rows = []
    for field, text in itertools.pairwise(settings.body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant), "each has its docstring"
            default = ast.unparse(field.value) if field.value else "required"
            default = {"()": "", "''": "", "None": "", "field(default_factory=dict)": ""}.get(default, default)
            default = default.replace("Lifecycle.RESET", "reset").replace("'", "")
            rows.append(f"| `{ast.unparse(field.target)}` | {default} | {' '.join(str(text.value.value).split())} |")
    assert "\n".join(rows) in (root / "docs/configs.md").read_text(), "\n".join(["write this:", *rows])


def test_each_of_several_stacks_has_its_own_machines_and_bucket(root: Path) -> None:
    (root / "more.yaml").write_text("db: {config: cl/web.yaml, stack: us}\n")
    keys = {
        "stacks": ["eu", "us"],
        "machine_files": ["more.yaml"],
        "platform": "digitalocean",
        "digitalocean": {"image": {"id": "1"}, "region": "fra1", "ssh_from": ["203.0.113.7/32"]},
        "store": {"kind": "spaces", "bucket": "configs-{stack}", "region": "fra1"},
    }
    for stack, names in (("eu", ["web"]), ("us", ["db"])):
        settings, problems = read(root, {"web": {**WEB, "stack": "eu"}}, stack=stack, **keys)
        assert problems == []
        assert settings is not None
        assert [machine.name for machine in settings.machines] == names
        assert settings.store.bucket == f"configs-{stack}"


SEVERAL = {"stacks": ["eu", "us"]}


@pytest.mark.parametrize(
    ("keys", "own", "problem"),
    [
        (SEVERAL, {}, "flatcar:machines.web.stack: is missing, and flatcar:stacks has several: eu, us"),
        (SEVERAL, {"stack": "asia"}, "flatcar:machines.web.stack: asia is none of flatcar:stacks: eu, us"),
        ({}, {"stack": "eu"}, "flatcar:machines.web.stack: names a stack, and flatcar:stacks has none"),
        ({"stacks": ["us"]}, {"stack": "us"}, "flatcar:stacks: eu is none of them: us"),
        ({"stacks": ["eu", "eu"]}, {"stack": "eu"}, "flatcar:stacks: has eu twice"),
        ({"stacks": "eu"}, {"stack": "eu"}, "flatcar:stacks: has to be a list"),
        (
            SEVERAL | {"platform": "host", "store": {"kind": "spaces", "bucket": "configs", "region": "fra1"}},
            {"stack": "eu"},
            "flatcar:store.bucket: a bucket is one stack's own; write configs-{stack}, say",
        ),
    ],
)
def test_what_is_wrong_with_several_stacks_is_told(
    root: Path, keys: dict[str, Any], own: dict[str, Any], problem: str
) -> None:
    _, problems = read(root, {"web": {**WEB, **own}}, stack="eu", **keys)
    assert any(told.startswith(problem) for told in problems), problems
