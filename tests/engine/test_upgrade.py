"""An upgrade of this project re-provisions nothing: stacks whose states an earlier commit has made.

`recorded/` holds what the `up` of commit 9269c14 left behind for one host with a secret in its config, in Pulumi's
state (`pulumi stack export --show-secrets`) and in the host's files: once by this repository's program, once by the
package. The host has the mode `oem`.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loopback.machine import LoopbackMachine, wait_until
from tests.engine.cloud_lab import touched
from tests.engine.test_host_stack import CONFIG
from tests.engine.test_package import login, program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopback.pulumi import Pulumi
    from tests.conftest import Project

PROJECT = Path(__file__).parents[2]
RECORDED = Path(__file__).parent / "recorded"
SECRET = "hunter2-hunter2"


@contextlib.contextmanager
def recorded_host(name: str, folder: Path) -> Iterator[tuple[LoopbackMachine, dict[str, Any]]]:
    """The host as an earlier version has left it, running, and the state that it left of it."""
    (folder / "host").mkdir()
    machine = LoopbackMachine(folder / "host", "http://127.0.0.1:9/none")
    text = (RECORDED / f"host-{name}.json").read_text()
    for path, content in json.loads(text)["files"].items():
        machine.path(path).parent.mkdir(parents=True, exist_ok=True)
        machine.path(path).write_text(content)
    machine.path("/boot/flatcar/first_boot").unlink()
    with machine:
        public = machine.path("/etc/ssh/ssh_host_ed25519_key.pub")
        wait_until(public.exists)
        for mark, value in (
            ("@FOLDER@", str(folder)),
            ("@PORT@", str(machine.port)),
            ("@HOSTKEY@", " ".join(public.read_text().split()[:2])),
        ):
            text = text.replace(mark, value)
        yield machine, json.loads(text)["state"]


def brought_up(stack: Pulumi, host: LoopbackMachine, state: dict[str, Any]) -> None:
    """`up` by this version: the host runs the config that it ran, with the same id, and nothing has touched it."""
    runs = host.text("/etc/flatcar/config-id").strip()
    made_of_it = host.text("/oem/config.ign")
    deployment = json.loads(stack.run("stack", "export").output)
    deployment["deployment"] |= {"resources": state["resources"]}
    stack.run("stack", "import", stdin=json.dumps(deployment))
    done = stack.up()
    assert set(touched(done)) <= {
        "Machine rack", "Command rack-object", "Command rack-reprovision", "Command rack-salt",
        "command default_1_2_1",  # the engine's own, which may note another plugin of this version
    }, done.output  # fmt: skip
    assert host.boots == 1, "since the test has started it"
    assert host.text("/etc/flatcar/config-id").strip() == runs
    assert host.text("/oem/config.ign") == made_of_it
    after = stack.resources()["rack-reprovision"]
    assert json.loads(after["outputs"]["stdout"])["config_id"] == runs
    assert json.loads(after["inputs"]["stdin"])["config_id"] == runs
    assert SECRET not in stack.run("stack", "export", "--show-secrets").output, "nor is there any content"
    assert touched(stack.up()) == {}


def test_a_hosts_state_of_an_earlier_version_reboots_nothing(tmp_path: Path, pulumi: Project) -> None:
    with recorded_host("program", tmp_path) as (host, state):
        stack = pulumi((PROJECT / "__main__.py").read_text(), env={"MACHINES_DIR": str(tmp_path / "machines")})
        (stack.directory / "web.yaml").write_text(CONFIG)
        for package in ("cl", "components"):
            (stack.directory / package).symlink_to(PROJECT / package)
        key = Path(f"{host.key_file}.pub").read_text().strip()
        ssh = {"user": host.user, "private_key_file": str(host.key_file), "public_key": key}
        rack: dict[str, Any] = {"config": "web.yaml", "host": {"address": "127.0.0.1", "port": host.port}}
        rack |= {"rollback": False, "allow": ["login", "reboot"], "timeout": 60}
        stack.set("flatcar:platform", "host")
        stack.set("flatcar:ssh", json.dumps(ssh))
        stack.set("flatcar:secrets", json.dumps({"token": SECRET}), secret=True)
        stack.set("flatcar:machines", json.dumps({"rack": rack}))
        brought_up(stack, host, state)


def test_a_state_that_an_earlier_package_has_made_reboots_nothing(tmp_path: Path, pulumi: Project) -> None:
    with recorded_host("package", tmp_path) as (host, state):
        stack = program(
            pulumi,
            tmp_path,
            f"""
Of("Machine", ["configId"], {{
    "config": Path("rack.yaml").read_text(), "configName": "web.yaml",
    "secrets": {{"token": pulumi.Output.secret("{SECRET}")}},
    "host": {{"address": "127.0.0.1", "port": {host.port}}}, {login(host)}
    "rollback": False, "allow": ["login", "reboot"], "timeout": 60,
}}, name="rack")
""",
        )
        (stack.directory / "rack.yaml").write_text(CONFIG)
        brought_up(stack, host, state)
