"""`FlatcarMachine` under the real engine.

The machine is a loopback machine (see `loopback_machine`) behind a platform of the test's own.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pty
import re
import shlex
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from loopback.machine import LoopbackMachine, ObjectServer, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopback.pulumi import Pulumi, Run
    from tests.conftest import Project

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
SECRET = "hunter2-hunter2"
PROGRAM = '''
import dataclasses, os
from pathlib import Path
import pulumi
from pulumi_command import local
from components.commands.reprovision.request import HealthCheck
from components.sdk import settled
from components.flatcar_machine import FlatcarMachine, FlatcarMachineArgs
from components.settings.lifecycle import Lifecycle
from components.platforms import PlatformMachine
from components.settings.pull import PullSettings
from components.settings.ssh import SshSettings
from components.stores.local_folder import LocalFolder

config = pulumi.Config()
env = os.environ

class Loopback:
    """A platform whose machine the test has started already."""
    ignition_platform = "qemu"
    login_user = env["TEST_USER"]

    def create(self, name, *, user_data, opts=None):
        made = local.Command(name + '-machine', create="cat", stdin=user_data, opts=opts)
        known = pulumi.Output.from_input
        return PlatformMachine(
            resource=made, ssh_host=known("127.0.0.1"), ssh_port=known(int(env["TEST_PORT"])),
            console_log=known(env["TEST_CONSOLE"]), console_hint=known(""),
        )

class Http:
    """The local folder, which the test serves over http."""
    def secrets_problem(self, secrets):
        return None

    def put(self, name, content, opts=None):
        source = pulumi.Output.from_input(env["TEST_SOURCE"])
        stored = LocalFolder(directory=Path(env["TEST_OBJECTS"])).put(name, lambda _: content(source), opts)
        return dataclasses.replace(stored, source_url=source)

check = config.get("check")
secrets = {"token": config.get("token") or "none"}
variables = {}
if config.get_bool("late"):
    database = local.Command("database", create="printf " + config.require("database"))
    variables = {"database": database.stdout, "password": pulumi.Output.secret(database.stdout).apply("pw-{}".format)}
    secrets = {"token": config.require_secret("token")}
machine = FlatcarMachine("web", FlatcarMachineArgs(
    config=Path("web.yaml"), files_dir=Path("."), platform=Loopback(), store=Http(),
    ssh=SshSettings(
        user=env["TEST_USER"], private_key_file=env["TEST_KEY"],
        public_key=Path(env["TEST_KEY"] + ".pub").read_text().strip(),
    ),
    secrets=secrets, variables=variables,
    lifecycle=Lifecycle(config.get("lifecycle") or "reset"), generation=config.get_int("generation") or 0,
    health=[HealthCheck(name="check", subject=check, seconds=1)] if check else [],
    timeout=config.get_int("timeout") or 60,
    rollback_after=config.get_int("rollback_after") or 0,
    pull=PullSettings(wait=config.require("pull"), jitter=0) if config.get("pull") else None,
))
pulumi.export("configId", machine.config_id)
pulumi.export("downtime", machine.downtime_seconds)
pulumi.export("ssh", machine.ssh_command)
pulumi.run(lambda: settled([machine.reprovision]))
'''
CONFIG = """\
passwd:
  users:
    - name: core
      ssh_authorized_keys:
        - ${ssh_public_key}
storage:
  files:
    - path: /etc/motd
      filesystem: root
      mode: 0644
      contents:
        inline: |
          first line
          50% of the second line
    - path: /etc/token
      filesystem: root
      mode: 0644
      contents:
        inline: token=${token}
"""


class Lab:
    """A stack with one machine."""

    def __init__(self, stack: Pulumi, machine: LoopbackMachine, objects: Path) -> None:
        self.stack, self.machine, self.objects = stack, machine, objects
        self.config = stack.directory / "web.yaml"
        self.config.write_text(CONFIG)
        # a program that lies elsewhere, with a folder of its own that is called as one of this project's
        program = stack.directory / "__main__.py"
        program.write_text(f"import sys\nsys.path.insert(0, {str(PROJECT)!r})\n{program.read_text()}")
        (stack.directory / "components").mkdir()
        (stack.directory / "components" / "__init__.py").write_text("raise AssertionError('not this one')\n")
        stack.set("token", SECRET, secret=True)

    def edit(self, old: str, new: str) -> None:
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    def user_data(self) -> str:
        return str(self.stack.resources()["web-machine"]["outputs"]["stdout"])


@pytest.fixture
def lab(tmp_path: Path, pulumi: Project) -> Iterator[Lab]:
    objects, folder = tmp_path / "objects", tmp_path / "machine"
    objects.mkdir()
    folder.mkdir()
    with ObjectServer(objects).running() as address:
        source = f"{address}/web/config.ign"
        with LoopbackMachine(folder, source) as machine:
            env = {
                "TEST_PORT": str(machine.port), "TEST_CONSOLE": str(machine.console),
                "TEST_OBJECTS": str(objects), "TEST_SOURCE": source, "TEST_USER": machine.user,
                "TEST_KEY": str(machine.key_file), "MACHINES_DIR": str(tmp_path / "machines"),
            }  # fmt: skip
            stack = pulumi(PROGRAM, env=env)
            yield Lab(stack, machine, objects)


def changes(run: Run) -> dict[str, str]:
    return {name: op for name, op in run.ops().items() if op != "same"}


def test_create_change_and_nothing_to_do(lab: Lab) -> None:
    lab.stack.up()
    first = lab.stack.outputs()
    assert (lab.machine.boots, first["downtime"]) == (1, 0)
    assert lab.machine.path("/etc/flatcar/config-id").read_text().strip() == first["configId"]
    assert changes(lab.stack.up()) == {}
    user_data = lab.user_data()

    lab.edit("50% of the second line", "60% of the second line")
    preview = lab.stack.preview("--diff")
    wanted = {"web": "update", "web-object": "update", "web-reprovision": "update"}
    assert changes(preview).keys() == wanted.keys()
    changed = [line.split(maxsplit=1) for line in preview.output.splitlines() if re.match(r"\s*[-+] ", line)]
    assert changed == [["-", "50% of the second line"], ["+", "60% of the second line"]], preview.output
    assert "first line" in preview.output
    assert "%20" not in preview.output
    assert "~ command:local:Command: (update)\n" in preview.output  # the object
    assert not re.search(r"[-+~] user_data", preview.output)

    done = lab.stack.up()
    assert changes(done) == wanted
    assert any("will be deleted" in line for line in done.progress("web-reprovision"))
    assert lab.machine.boots == 2
    assert lab.machine.path("/etc/motd").read_text() == "first line\n60% of the second line\n"
    assert lab.user_data() == user_data
    assert lab.stack.outputs()["configId"] != first["configId"]
    assert lab.stack.outputs()["downtime"] > 0
    assert changes(lab.stack.up()) == {}
    assert lab.machine.boots == 2


@pytest.mark.parametrize("terminal", [False, True])
def test_what_a_change_deleted_stays_on_the_screen(lab: Lab, *, terminal: bool) -> None:
    def diagnostics() -> str:
        if not terminal:
            return lab.stack.up().output.partition("Diagnostics:")[2]
        return on_a_terminal(lab.stack).rpartition("Diagnostics:")[2].replace("\r", "")

    lab.stack.up()
    for name in ("a", "b"):
        lab.machine.path("/srv").mkdir(exist_ok=True)  # a reset takes it away
        lab.machine.path(f"/srv/mydata-{name}").write_text("mine")
        lab.edit("first line", f"first line, {name}")
        told = [line.strip() for line in diagnostics().splitlines()]
        first = told.index("warning: deleted: 1 file that no config declares, 4.0 KiB")
        assert told[first + 1] == f"/srv/mydata-{name}  4.0 KiB"
        assert not any("will be deleted" in line for line in told), "the Command's own lines are gone by now"
        assert "that no config declares" not in diagnostics(), "it is told by the run that did it"


def on_a_terminal(stack: Pulumi) -> str:
    """All that an interactive `pulumi up` writes."""
    main, side = pty.openpty()
    argv = [word for word in stack.argv("up", "--yes", "--skip-preview") if word != "--non-interactive"]
    env = {**stack.environment(), "TERM": "xterm"}
    with subprocess.Popen(argv, cwd=stack.directory, env=env, stdin=side, stdout=side, stderr=side) as process:
        os.close(side)
        written = b""
        with contextlib.suppress(OSError):  # how a terminal ends
            while part := os.read(main, 65536):
                written += part
    os.close(main)
    assert process.returncode == 0, written.decode()
    return written.decode()


def test_a_secret_reaches_the_machine_and_nothing_else(lab: Lab) -> None:
    runs = [lab.stack.preview("--diff"), lab.stack.up()]
    assert lab.machine.path("/etc/token").read_text() == f"token={SECRET}"
    lab.edit("token=", "the_token=")
    runs += [lab.stack.preview("--diff"), lab.stack.up()]
    for run in runs:
        assert SECRET not in run.output
        assert SECRET not in json.dumps(list(run.events))
    assert "the_token=[masked]" in runs[2].output
    assert SECRET not in json.dumps(lab.stack.export())


def test_the_config_id_of_a_machine_with_secrets_is_salted(lab: Lab) -> None:
    lab.stack.preview()
    lab.stack.up()
    salt = lab.machine.path("/etc/flatcar/config-salt").read_text().strip()
    wanted = lab.stack.outputs()["configId"]
    assert lab.machine.path("/etc/flatcar/config-id").read_text().strip() == wanted
    assert len(salt) == 64 and salt not in json.dumps(lab.stack.export())
    lab.edit("token=", "the_token=")
    preview = lab.stack.preview("--diff")
    assert changes(preview).keys() == {"web", "web-object", "web-reprovision"}
    assert salt not in preview.output
    lab.stack.up()
    assert lab.machine.path("/etc/flatcar/config-salt").read_text().strip() == salt
    assert lab.stack.outputs()["configId"] != wanted


def test_an_upgrade_that_salts_the_config_reboots_nothing(lab: Lab) -> None:
    program = lab.stack.directory / "__main__.py"
    text = program.read_text()
    old = "import components.flatcar_machine as now; old = now.wanted_config\n"
    old += "now.wanted_config = lambda make, variables, salted: old(make, variables, None)\n"
    program.write_text(text.replace("import dataclasses", f"{old}import dataclasses", 1))
    lab.stack.up()
    assert not lab.machine.path("/etc/flatcar/config-salt").exists()
    before = lab.stack.outputs()["configId"]
    program.write_text(text)
    preview = lab.stack.preview()
    assert changes(preview) == {
        "web-salt": "create", "web": "update", "web-object": "update", "web-reprovision": "update",
    }  # fmt: skip
    done = lab.stack.up()
    assert changes(done).keys() == changes(preview).keys()
    assert lab.machine.boots == 1, done.output
    assert lab.stack.outputs()["configId"] != before
    assert lab.machine.path("/etc/flatcar/config-salt").exists()
    assert changes(lab.stack.up()) == {}


LATE = """\
    - path: /etc/database
      filesystem: root
      mode: 0640
      contents:
        inline: |
          host=${database}
          password=${password}
"""


def test_values_of_other_resources_fill_a_config(lab: Lab) -> None:
    lab.config.write_text(CONFIG + LATE)
    lab.stack.set("late", "true")
    lab.stack.set("database", "db-1")
    first = lab.stack.preview("--diff")
    lab.edit("filesystem: root", "filesystm: root")
    wrong = lab.stack.preview(code=None)
    assert wrong.code != 0
    assert "web.yaml:9:7" in wrong.output and "Traceback" not in wrong.output
    lab.edit("filesystm: root", "filesystem: root")

    runs = [first, lab.stack.up()]
    assert lab.machine.path("/etc/database").read_text() == "host=db-1\npassword=pw-db-1\n"
    assert lab.machine.path("/etc/token").read_text() == f"token={SECRET}"
    assert lab.machine.path("/etc/flatcar/config-id").read_text().strip() == lab.stack.outputs()["configId"]
    assert changes(lab.stack.up()) == {}

    lab.edit("first line", "another first line")
    runs.append(lab.stack.preview("--diff"))  # now all values are known
    changed = [line.split(maxsplit=1) for line in runs[-1].output.splitlines() if re.match(r"\s*[-+] ", line)]
    assert changed == [["-", "first line"], ["+", "another first line"]], runs[-1].output
    lab.edit("another first line", "first line")

    lab.stack.set("database", "db-2")
    runs.append(lab.stack.preview("--diff"))
    assert changes(runs[-1]).keys() >= {"database", "web", "web-object", "web-reprovision"}
    assert "- host=db-1" in runs[-1].output and "- password=[masked]" in runs[-1].output
    assert "+ host=<computed>" in runs[-1].output and "+ password=<computed>" in runs[-1].output
    runs.append(lab.stack.up())
    assert lab.machine.boots == 2
    assert lab.machine.path("/etc/database").read_text() == "host=db-2\npassword=pw-db-2\n"
    for run in runs:
        for hidden in (SECRET, "pw-db"):
            assert hidden not in run.output
            assert hidden not in json.dumps(list(run.events))
    assert SECRET not in json.dumps(lab.stack.export())
    assert "pw-db" not in json.dumps(lab.stack.export())


def test_a_value_that_is_wrong_once_it_is_known_fails_without_a_traceback(lab: Lab) -> None:
    lab.config.write_text(CONFIG.replace("/etc/motd", "${database}") + LATE)
    lab.stack.set("late", "true")
    lab.stack.set("database", "db-1")  # no absolute path
    lab.stack.preview()
    done = lab.stack.up(code=None)
    assert done.code != 0
    assert "web.yaml:8:13" in done.output
    assert "Traceback" not in done.output
    assert "web-object" not in lab.stack.resources()


def test_a_bad_config_fails_the_preview_with_its_place(lab: Lab) -> None:
    lab.stack.up()
    before = {name: resource["modified"] for name, resource in lab.stack.resources().items()}
    for old, new, place in (
        ("    - path: /etc/motd", "    - pth: /etc/motd", "web.yaml:8:7"),
        ("storage:", "storage: [", "web.yaml:"),
    ):
        lab.edit(old, new)
        for run in (lab.stack.preview(code=None), lab.stack.up(code=None)):
            assert run.code != 0
            assert place in run.output
            assert "Traceback" not in run.output
        lab.edit(new, old)
    assert {name: resource["modified"] for name, resource in lab.stack.resources().items()} == before
    assert lab.machine.boots == 1


def test_what_does_not_concern_the_config_leaves_the_machine_alone(lab: Lab) -> None:
    lab.stack.up()
    outputs = lab.stack.outputs()
    lab.stack.set("timeout", "90")
    lab.stack.set("check", "true")
    assert changes(lab.stack.up()) == {"web-reprovision": "update"}
    assert lab.stack.outputs() == outputs
    assert lab.machine.boots == 1


def test_another_lifecycle_is_no_other_config(lab: Lab) -> None:
    lab.stack.up()
    lab.stack.set("lifecycle", "reformat")
    done = lab.stack.up()
    assert done.ops()["web-reprovision"] == "update"
    assert any("no reboot" in line for line in done.progress("web-reprovision"))
    assert lab.machine.boots == 1


def test_a_state_of_an_older_version_reboots_nothing_and_gets_its_record(lab: Lab) -> None:
    lab.stack.up()
    exported = json.loads(lab.stack.run("stack", "export").output)
    known = [{**made.get("inputs", {}), **made.get("outputs", {})} for made in exported["deployment"]["resources"]]
    assert str(PROJECT) not in json.dumps(known)
    by_name = {made["urn"].rpartition("::")[2]: made for made in exported["deployment"]["resources"]}
    command = by_name["web-reprovision"]
    outputs = json.loads(command["outputs"]["stdout"])
    for made, word, verb in (
        ("web-object", "delete", " delete"),
        ("web-object", "create", " write"),
        ("web-reprovision", "create", ""),
    ):
        program = "reprovision" if made == "web-reprovision" else "write_object"
        for properties in (by_name[made]["inputs"], by_name[made]["outputs"]):
            assert f"{program}{verb}" in properties[word]
            properties[word] = f"python3 -m components.commands.{program}{verb}"
            properties.pop("interpreter", None)
    record = outputs.pop("record")
    for properties in (command["inputs"], command["outputs"]):
        del properties["environment"]
        properties["update"] = 'printf %s "$PULUMI_COMMAND_STDOUT"'
        properties["triggers"] = [outputs["config_id"], "reset", "2025-01-01", "web-an-id"]
    command["outputs"]["stdout"] = json.dumps(outputs)
    lab.stack.run("stack", "import", stdin=json.dumps(exported))

    wanted = {"web-object": "update", "web-reprovision": "update"}
    assert changes(lab.stack.preview()) == wanted
    done = lab.stack.up()
    assert changes(done) == wanted
    assert any("no reboot" in line for line in done.progress("web-reprovision")), done.output
    assert lab.machine.boots == 1
    after = json.loads(lab.stack.resources()["web-reprovision"]["outputs"]["stdout"])
    assert after["record"] == record
    assert changes(lab.stack.up()) == {}


def test_the_record_knows_what_has_run_and_which_key_the_machine_has(lab: Lab) -> None:
    lab.stack.up()
    command = lab.stack.resources()["web-reprovision"]
    record = json.loads(command["outputs"]["stdout"])["record"]
    key = " ".join(lab.machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])
    assert record["host_keys"] == [key]
    assert record["wanted"]["host_key_alias"] == f"web-{lab.stack.resources()['web-machine']['id']}"
    objects = [hashlib.sha512((lab.objects / "web/config.ign").read_bytes()).hexdigest()]
    assert record["objects"] == objects
    lab.edit("first line", "another first line")
    lab.stack.up()
    objects.insert(0, hashlib.sha512((lab.objects / "web/config.ign").read_bytes()).hexdigest())
    after = json.loads(lab.stack.resources()["web-reprovision"]["outputs"]["stdout"])["record"]
    assert (after["objects"], after["host_keys"]) == (objects, [key])


def test_a_higher_generation_clears_drift(lab: Lab) -> None:
    lab.stack.up()
    lab.machine.path("/etc/by-hand").write_text("drift")
    lab.stack.set("generation", "1")
    lab.stack.up()
    assert lab.machine.boots == 2
    assert not lab.machine.path("/etc/by-hand").exists()
    assert lab.machine.path("/etc/flatcar/generation").read_text() == "1\n"


def test_after_a_failed_change_the_next_up_converges_forwards_and_back(lab: Lab) -> None:
    lab.stack.up()
    good = lab.stack.outputs()["configId"]
    lab.stack.set("check", "grep -q good /etc/motd || { echo not good; false; }")
    lab.edit("first line", "bad line")
    failed = lab.stack.up(code=None)
    assert failed.code != 0
    assert "health check 'check' failed" in failed.output
    assert "Traceback" not in failed.output
    assert changes(lab.stack.up(code=None)).keys() == {"web-reprovision"}  # tried anew
    lab.edit("bad line", "first line")
    lab.stack.set("check", "true")
    assert lab.stack.up().ops()["web-reprovision"] == "update"  # though the config id is the one in state
    assert lab.machine.path("/etc/flatcar/config-id").read_text().strip() == good
    assert lab.machine.boots == 3


def test_a_machine_that_pulls_gets_its_agent_once_and_is_left_alone_then(lab: Lab) -> None:
    lab.stack.up()
    lab.stack.set("pull", "ssh")
    done = lab.stack.up()
    assert any("no agent on this machine yet" in line for line in done.progress("web-reprovision")), done.output
    assert lab.machine.boots == 2
    assert lab.machine.path("/etc/flatcar/pull/object").read_text().splitlines()[0] == lab.machine.source
    first = lab.stack.outputs()["configId"]
    assert changes(lab.stack.up()) == {}

    lab.stack.set("pull", "no")
    lab.edit("first line", "another line")
    preview = lab.stack.preview("--diff")
    assert "flatcar/pull" not in preview.output
    done = lab.stack.up()
    assert any("pulls config id" in line for line in done.progress("web-reprovision")), done.output
    assert (lab.machine.boots, lab.stack.outputs()["configId"]) == (2, "")
    assert lab.machine.inside("bash /etc/flatcar/pull/pull.sh look").returncode == 0
    wait_until(lambda: lab.machine.boots == 3)
    # the boot counts before its wipe, and its files are written one after the other
    wait_until(lambda: lab.machine.text("/etc/motd").startswith("another line"))
    wait_until(lambda: lab.machine.text("/etc/flatcar/config-id").strip() not in {"", first})
    wait_until(lambda: SECRET in lab.machine.text("/etc/token"))


def test_the_printed_ssh_command_works(lab: Lab) -> None:
    lab.stack.up()
    printed = lab.stack.outputs()["ssh"]
    assert re.fullmatch(r"ssh -F /\S+ web", printed), "short, and from any folder"
    command = [*shlex.split(printed), "-oBatchMode=yes", "cat /etc/motd"]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd="/")
    assert done.stdout.startswith("first line")
