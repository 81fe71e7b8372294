"""The components as a package: a program that has none of this project's code declares machines through the plugin.

The machines are loopback ones (see `loopback.machine`: real SSH, stand-in system). The program is in Python, and knows
the package by its plugin alone, as programs in other languages do.
"""

from __future__ import annotations

import base64
import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loopback.machine import LoopbackMachine, ObjectServer, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopback.pulumi import Pulumi
    from tests.conftest import Project

PROJECT = Path(__file__).parents[2]
PROGRAM = """\
import json, pulumi
from pathlib import Path

class Of(pulumi.ComponentResource):
    def __init__(self, kind, outputs, props, opts=None, name="web"):
        for output in outputs:
            props.setdefault(output, None)
        super().__init__(f"flatcar:index:{kind}", name, props, opts, remote=True)

"""
CONFIG = """\
variant: flatcar
version: 1.1.0
storage:
  files:
    - path: /etc/page
      mode: 0644
      contents: {inline: "${greeting} ${token}"}
"""
COMMON = """\
    "config": Path("web.yaml").read_text(), "configName": "web.yaml",
    "variables": {"greeting": pulumi.Output.from_input("hello")}, "secrets": {"token": pulumi.Output.secret("hunter2")},
    "allow": ["login", "reboot"], "timeout": 60, "rollback": False,
    "health": {"commands": [{"name": "the page is there", "command": "test -s /etc/page", "seconds": 5}]},
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LoopbackMachine]:
    with running_host(tmp_path / "host") as machine:
        yield machine


@contextlib.contextmanager
def running_host(folder: Path) -> Iterator[LoopbackMachine]:
    """A machine that runs already, with a config of somebody else's."""
    folder.mkdir()
    machine = LoopbackMachine(folder, "http://127.0.0.1:9/none")
    machine.path("/oem/config.ign").write_text('{"storage": {}}')
    with machine:
        wait_until(machine.path("/etc/ssh/ssh_host_ed25519_key").exists)
        yield machine


def program(pulumi: Project, folder: Path, text: str, env: dict[str, str] | None = None) -> Pulumi:
    """A stack of a program that finds the plugin by its folder."""
    plugin = folder / "plugin"
    plugin.mkdir()
    # what the Python language host of this tier can't do: start a folder of Python as a plugin
    executable = plugin / "pulumi-resource-flatcar"
    executable.write_text(f'#!/bin/sh\nexec {sys.executable} {PROJECT / "package"} "$@"\n')
    executable.chmod(0o755)
    stack = pulumi(PROGRAM + text, env={"MACHINES_DIR": str(folder / "machines"), **(env or {})})
    with (stack.directory / "Pulumi.yaml").open("a") as file:
        file.write(f"plugins:\n  providers:\n    - {{name: flatcar, path: {plugin}}}\n")
    (stack.directory / "web.yaml").write_text(CONFIG)
    return stack


def login(host: LoopbackMachine) -> str:
    return f'"ssh": {{"user": "{host.user}", "privateKeyFile": "{host.key_file}"}},'


def test_a_whole_machine_changes_in_place(tmp_path: Path, host: LoopbackMachine, pulumi: Project) -> None:
    stack = program(
        pulumi,
        tmp_path,
        f"""
web = Of("Machine", ["address", "configId", "downtimeSeconds"], {{
    {COMMON} {login(host)} "host": {{"address": "127.0.0.1", "port": {host.port}}},
}})
pulumi.export("id", web.configId)
""",
    )
    stack.up()
    assert host.text("/etc/page") == "hello hunter2"
    first = stack.outputs()["id"]
    (stack.directory / "web.yaml").write_text(CONFIG.replace("${greeting}", "${greeting}, again"))
    preview = stack.preview()
    assert "hunter2" not in preview.output
    told = "web: /etc/page changes; reset: reboots, ROOT is wiped but for 2 kept paths"
    edit = "web:\n  /etc/page\n    - hello [masked]\n    + hello, again [masked]\n      mode: 0644"
    assert preview.progress("web") == [edit, told], "at the component, in a program's words"
    changed = stack.up()
    assert any("proven: " in line for line in changed.progress("web")), changed.progress("web")
    assert host.text("/etc/page") == "hello, again hunter2"
    assert stack.outputs()["id"] != first
    assert host.boots == 3
    (stack.directory / "web.yaml").write_text(CONFIG.replace("contents", "contnts"))
    refused = stack.preview(code=None)
    assert refused.code != 0
    report = [line.strip() for line in refused.output.splitlines()]
    at = report.index(
        "error: flatcar:index:Machine resource 'web' has a problem: web.yaml is not a usable config "
        "(flatcar:strict: a warning is an error)"
    )
    assert report[at + 2 : at + 7] == [
        "warning: unused key 'contnts' [$.storage.files.0.contnts]",
        "--> web.yaml:7:7",
        "6 |       mode: 0644",
        '7 |       contnts: {inline: "${greeting} ${token}"}',
        "|       ^^^^^^^^",
    ]


def test_settings_are_refused_by_their_names(tmp_path: Path, pulumi: Project) -> None:
    stack = program(
        pulumi,
        tmp_path,
        """
Of("Machine", [], {"config": "variant: flatcar\\nversion: 1.1.0\\n", "host": {"address": "no host!", "port": 22.5}})
""",
    )
    refused = stack.preview(code=None)
    assert "'web.host' can't be used:" in refused.output
    assert "port: has to be a whole number, not a number" in refused.output
    assert "address: 'no host!' is no host name or IP address" in refused.output


def test_a_fleet_changes_in_waves_and_a_failure_ends_the_rollout(tmp_path: Path, pulumi: Project) -> None:
    with running_host(tmp_path / "host-a") as a, running_host(tmp_path / "host-b") as b:
        hosts = {"a": a, "b": b}
        machines = "".join(
            f""""{name}": {{
                "config": Path("web.yaml").read_text(), "configName": "web.yaml", "allow": ["login", "reboot"],
                "health": {{"commands": [{{"command": Path("check").read_text(), "seconds": 5}}]}}, "timeout": 60,
                "rollback": False, {login(host)} "host": {{"address": "127.0.0.1", "port": {host.port}}},
            }}, """
            for name, host in hosts.items()
        )
        stack = program(
            pulumi,
            tmp_path,
            f"""
fleet = Of("Fleet", ["addresses", "configIds"], {{
    "machines": {{{machines}}}, "rollout": {{"canary": 1, "batch": "1", "pause": 1}},
    "variables": {{"greeting": pulumi.Output.from_input("hello")}},
    "secrets": {{"token": pulumi.Output.secret("hunter2")}},
}}, name="fleet")
pulumi.export("ids", fleet.configIds)
""",
        )
        (stack.directory / "check").write_text("test -s /etc/page")
        stack.up()
        assert [host.text("/etc/page") for host in hosts.values()] == ["hello hunter2"] * 2
        first = stack.outputs()["ids"]
        assert set(first) == {"a", "b"} and all(len(config_id) == 128 for config_id in first.values())

        (stack.directory / "web.yaml").write_text(CONFIG.replace("${greeting}", "${greeting}, again"))
        (stack.directory / "check").write_text("false")
        what = "/etc/page changes; reset: reboots, ROOT is wiped but for 2 kept paths"
        told = [f"a: {what}; wave 1 of 2", f"b: {what}; wave 2 of 2", "2 of 2 machines reboot"]
        edit = "a, b:\n  /etc/page\n    - hello [masked]\n    + hello, again [masked]\n      mode: 0644"
        assert stack.preview().progress("fleet") == [edit, "\n".join(told)]
        failed = stack.up(code=None)
        assert failed.code != 0
        said = "\n".join(failed.progress("a-reprovision")).splitlines()
        assert said[said.index("rollout: failed: a; not tried: b") - 1].startswith("a: "), "below the cause"
        assert [host.boots for host in hosts.values()] == [3, 2], "b was not touched"

        (stack.directory / "check").write_text("test -s /etc/page")
        stack.up()
        assert [host.text("/etc/page") for host in hosts.values()] == ["hello, again hunter2"] * 2
        (stack.directory / "web.yaml").write_text(CONFIG.replace("contents", "contnts"))
        refused = stack.preview(code=None)
        assert "flatcar:index:Fleet resource 'fleet' has a problem: web.yaml is not a usable config" in refused.output


def test_what_is_protected_is_the_machine(tmp_path: Path, host: LoopbackMachine, pulumi: Project) -> None:
    stack = program(
        pulumi,
        tmp_path,
        f"""
Of("Machine", [], {{{COMMON} {login(host)} "host": {{"address": "127.0.0.1", "port": {host.port}}}}},
   pulumi.ResourceOptions(protect=True))
""",
    )
    stack.up()
    protected = {name: resource.get("protect", False) for name, resource in stack.resources().items()}
    assert [name for name, is_protected in protected.items() if is_protected] == ["web"]
    (stack.directory / "web.yaml").write_text(CONFIG.replace("hello", "bye"))
    stack.up()
    (stack.directory / "__main__.py").write_text("")
    assert stack.up(code=None).code != 0
    stack.run("state", "unprotect", "--all", "--yes")


def test_a_machine_that_something_else_makes_is_brought_to_its_config_in_place(tmp_path: Path, pulumi: Project) -> None:
    for folder in ("objects", "machine"):
        (tmp_path / folder).mkdir()
    server = ObjectServer(tmp_path / "objects")
    with server.running() as address, LoopbackMachine(tmp_path / "machine", f"{address}/web.ign") as machine:
        stack = program(
            pulumi,
            tmp_path,
            f"""
from pulumi_command import local
object = Of("IgnitionObject", ["wanted", "content", "userData", "userDataBase64", "sourceUrl", "configId"], {{
    {COMMON} {login(machine)} "platform": "hetzner",
    "store": {{"kind": "elsewhere", "url": "{address}/web.ign", "allowSecrets": ["token"]}},
}})
blob = local.Command("blob", create="cat >{tmp_path}/objects/web.ign", stdin=object.content)
web = Of("Reprovision", ["configId", "hostKey"], {{
    "wanted": object.wanted, "address": "127.0.0.1:{machine.port}", "machineId": "i-1", "objectVersion": blob.stdout,
}}, pulumi.ResourceOptions(depends_on=[blob]))
pulumi.export("user data", object.userData)
pulumi.export("encoded", object.userDataBase64)
pulumi.export("ids", [object.configId, web.configId])
""",
        )
        stack.up()
        first = stack.outputs()
        assert json.loads(first["user data"])["ignition"]["config"]["replace"]["source"] == f"{address}/web.ign"
        assert base64.b64decode(first["encoded"]).decode() == first["user data"]
        assert first["ids"][0] == first["ids"][1]
        assert machine.text("/etc/page") == "hello hunter2"
        assert machine.boots == 1
        machine.path("/etc/by-hand").touch()
        (stack.directory / "web.yaml").write_text(CONFIG.replace("${greeting}", "${greeting}, again"))
        changed = stack.up()
        assert any("proven: " in line for line in changed.progress("web-reprovision")), changed.output
        second = stack.outputs()
        assert machine.text("/etc/page") == "hello, again hunter2"
        assert not machine.path("/etc/by-hand").exists()
        assert machine.boots == 2
        assert second["user data"] == first["user data"]
        assert second["ids"][1] != first["ids"][1]
        assert "hunter2" not in json.dumps(stack.export())
        stack.destroy()
        assert machine.text("/etc/page"), "what something else made is left as it is"
