"""The Qemu platform and the local folder store under the real Pulumi engine, with real QEMU processes.

The guest is a boot sector that idles: what is tested here is when Pulumi makes, keeps, restarts and removes a machine.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.commands.qemu import machine as qemu
from components.commands.qemu import state as qemu_state

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("CI") and not all(map(shutil.which, ("pulumi", "qemu-system-x86_64"))),
        reason="pulumi or QEMU is not installed (`make test` installs them)",
    ),
]
PROJECT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json
import os
from pathlib import Path

import pulumi

from components.config.local_files import machines_dir, objects_dir
from components.platforms.qemu.machine import Qemu
from components.stores.local_folder import LocalFolder

config = pulumi.Config()
store = LocalFolder(directory=objects_dir(), machines=None if config.get_bool("tftp") else machines_dir())
content = config.require("content")
stored = store.put("web", lambda _: pulumi.Output.secret(content) if config.get_bool("secret") else content)
pointer = stored.source_url.apply(
    lambda url: json.dumps({"ignition": {"version": "3.3.0", "config": {"replace": {"source": url}}}})
)
platform = Qemu(
    image=Path(os.environ["TEST_IMAGE"]), directory=machines_dir(), objects=objects_dir(), accel="tcg", cpus=1,
    memory_mib=config.get_int("memory") or 64,
)
machine = platform.create("web", user_data=pointer, opts=pulumi.ResourceOptions(depends_on=[stored.resource]))
pulumi.export("port", machine.ssh_port)
pulumi.export("console", machine.console_log)
pulumi.export("version", stored.version)
pulumi.export("pointer", pointer)
"""


class Stack:
    """A Pulumi project in a folder of its own, with its own backend and machines."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.directory = folder / ".machines" / "test" / "web"
        self.object = folder / ".machines" / "test" / "objects" / "web" / "config.ign"
        self.image = folder / "image.img"
        self.image.write_bytes(bytes([0xF4, 0xEB, 0xFD]).ljust(510, b"\0") + b"\x55\xaa" + b"\0" * 2**20)
        (folder / "Pulumi.yaml").write_text("name: qemutest\nruntime: python\n")
        (folder / "__main__.py").write_text(PROGRAM)
        (folder / "components").symlink_to(PROJECT / "components")
        (folder / "state").mkdir()
        self.environment = {
            **{name: value for name, value in os.environ.items() if name != "MACHINES_DIR"},
            "PULUMI_BACKEND_URL": f"file://{folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "TEST_IMAGE": str(self.image),
        }
        self.pulumi("stack", "init", "test")
        self.set("content", '{"n":1}')

    def attempt(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run pulumi and return what came of it."""
        return subprocess.run(
            ["pulumi", *words, "--non-interactive", "--color", "never"],
            cwd=self.folder, env=self.environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=600, check=False,
        )  # fmt: skip

    def pulumi(self, *words: str) -> str:
        """Run pulumi, which must succeed; return stdout."""
        done = self.attempt(*words)
        assert done.returncode == 0, f"pulumi {' '.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    def set(self, key: str, value: str, *flags: str) -> None:
        """Set a config value."""
        self.pulumi("config", "set", key, value, *flags)

    def up(self, *flags: str) -> dict[str, object]:
        """`pulumi up`; return the stack's outputs."""
        self.pulumi("up", "--yes", "--skip-preview", *flags)
        return dict(json.loads(self.pulumi("stack", "output", "--json", "--show-secrets")))

    def qemu_pid(self) -> int:
        """Id of the machine's QEMU; 0 when it is off."""
        return qemu_state.holder(self.directory / qemu_state.QEMU_PID) or 0


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = Stack(tmp_path)
    try:
        yield made
    finally:
        qemu.delete(made.directory, print)


def wait_until_off(directory: Path) -> None:
    end = time.monotonic() + 60
    while qemu_state.is_running(directory):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_machine_keeps_the_pointer_it_was_made_with(stack: Stack) -> None:
    stack.set("tftp", "true")  # as an older version of this project
    older = stack.up()
    assert "tftp://10.0.2.2/config.ign" in str(older["pointer"])
    pid = stack.qemu_pid()
    stack.pulumi("config", "rm", "tftp")
    assert stack.up("--expect-no-changes") == older
    assert stack.qemu_pid() == pid
    stack.pulumi("destroy", "--yes", "--skip-preview")
    newer = stack.up()
    assert "http://10.0.2.4/config.ign" in str(newer["pointer"])
    assert stack.up("--expect-no-changes") == newer


def test_a_machine_from_first_preview_to_destroy(stack: Stack) -> None:
    preview = stack.pulumi("preview")
    assert "2 to create" in preview or "3 to create" in preview
    assert not (stack.folder / ".machines").exists(), "a preview makes nothing"

    first = stack.up()
    pid = stack.qemu_pid()
    assert pid
    assert stack.object.read_text() == '{"n":1}'
    assert (stack.directory / qemu_state.POINTER).read_text() == first["pointer"]
    assert first["console"] == str(stack.directory / qemu_state.CONSOLE)

    assert stack.up("--expect-no-changes") == first
    assert stack.qemu_pid() == pid

    # another content: the object changes, the machine isn't touched
    stack.set("content", '{"n":2}')
    preview = stack.pulumi("preview", "--diff")
    assert "1 to update" in preview and "replace" not in preview.replace('"replace"', "").replace("replace:", "")
    second = stack.up()
    assert stack.object.read_text() == '{"n":2}' and stack.qemu_pid() == pid
    assert second["pointer"] == first["pointer"] and second["version"] != first["version"]

    # more memory: said, but the running machine stays as it is
    stack.set("memory", "96")
    assert "1 to update" in stack.pulumi("preview")
    stack.up()
    assert stack.qemu_pid() == pid and qemu.outputs(stack.directory)["memory_mib"] == 64

    # a killed QEMU shows in the preview and is started again on the same disk, at the same port
    disk = (stack.directory / qemu_state.DISK).stat().st_ino
    os.kill(pid, signal.SIGKILL)
    wait_until_off(stack.directory)
    preview = stack.pulumi("preview", "--diff")
    assert "1 to update" in preview and "power_on" in preview and "to replace" not in preview
    third = stack.up()
    assert stack.qemu_pid() not in (0, pid)
    assert third == second
    assert (stack.directory / qemu_state.DISK).stat().st_ino == disk
    assert qemu.outputs(stack.directory)["power_on"] == 2 and qemu.outputs(stack.directory)["memory_mib"] == 96
    assert stack.up("--expect-no-changes") == third

    # an object edited behind Pulumi's back is written again
    stack.object.write_text("edited")
    stack.up()
    assert stack.object.read_text() == '{"n":2}'

    # everything lost: made anew, machine and object
    qemu.delete(stack.directory, print)
    shutil.rmtree(stack.folder / ".machines")
    stack.up()
    assert stack.qemu_pid() and stack.object.read_text() == '{"n":2}'
    stack.up("--expect-no-changes")

    pid = stack.qemu_pid()
    stack.pulumi("destroy", "--yes", "--skip-preview")
    assert not Path(f"/proc/{pid}").exists()
    assert [path.name for path in (stack.folder / ".machines").rglob("*")] in ([], ["test"])


def test_forced_replacement_makes_one_new_machine(stack: Stack) -> None:
    stack.up()
    pid = stack.qemu_pid()
    stack.directory.joinpath(qemu_state.CONSOLE).write_text("the old machine")
    urn = next(
        resource["urn"]
        for resource in json.loads(stack.pulumi("stack", "export"))["deployment"]["resources"]
        if resource["urn"].endswith("::web")
    )
    stack.up("--target-replace", urn)
    assert stack.qemu_pid() not in (0, pid)
    assert "the old machine" not in stack.directory.joinpath(qemu_state.CONSOLE).read_text()
    stack.up("--expect-no-changes")


def test_secret_content_stays_secret(stack: Stack) -> None:
    stack.set("secret", "true")
    stack.set("content", '{"password":"hunter-two"}', "--secret")
    shown = stack.pulumi("preview", "--diff") + stack.pulumi("up", "--yes", "--diff")
    stack.set("content", '{"password":"hunter-three"}', "--secret")
    shown += stack.pulumi("preview", "--diff") + stack.pulumi("up", "--yes", "--diff")
    assert stack.object.read_text() == '{"password":"hunter-three"}'
    assert "hunter" not in shown
    assert "hunter" not in stack.pulumi("stack", "export")
    for file in (stack.folder / "state").rglob("*"):
        assert file.is_dir() or b"hunter" not in file.read_bytes(), file
    assert stack.object.stat().st_mode & 0o777 == 0o600
    version = json.loads(stack.pulumi("stack", "output", "--json"))["version"]
    assert version != "[secret]", "when it was written is no secret: it triggers the re-provisioning"


def test_interrupted_creation_converges(stack: Stack) -> None:
    """A machine that runs while Pulumi's state knows nothing of it is taken over, not made twice."""
    stack.up()
    pid = stack.qemu_pid()
    state = json.loads(stack.pulumi("stack", "export"))
    state["deployment"]["resources"] = [
        resource for resource in state["deployment"]["resources"] if not resource["urn"].endswith("::web")
    ]
    (stack.folder / "export.json").write_text(json.dumps(state))
    stack.pulumi("stack", "import", "--file", "export.json")
    stack.up()
    assert stack.qemu_pid() == pid
    stack.up("--expect-no-changes")


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        ("image", "the machine image"),
        ("memory", "memory is 1 MiB"),
    ],
)
def test_bad_settings_fail_at_preview(stack: Stack, break_it: str, message: str) -> None:
    if break_it == "image":
        stack.image.unlink()
    else:
        stack.set("memory", "1")
    done = stack.attempt("preview")
    assert done.returncode != 0 and message in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert not (stack.folder / ".machines").exists()
