"""A stack of this project with a host that exists already, under the real engine; then the audit of that stack.

The host is a loopback machine (see `loopback_machine`): real SSH, stand-in system.
"""

from __future__ import annotations

import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from loopback.machine import LoopbackMachine, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from loopback.pulumi import Pulumi
    from tests.conftest import Project

PROJECT = Path(__file__).parents[2]
CONFIG = """\
variant: flatcar
version: 1.0.0
storage:
  files:
    - path: /etc/web/page
      mode: 0644
      contents: {inline: "${token}"}
"""


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LoopbackMachine]:
    folder = tmp_path / "host"
    folder.mkdir()
    machine = LoopbackMachine(folder, "http://127.0.0.1:9/none")
    machine.path("/oem/config.ign").write_text('{"storage": {}}')
    with machine:
        wait_until(machine.path("/etc/ssh/ssh_host_ed25519_key").exists)
        yield machine


def stack_with(host: LoopbackMachine, folder: Path, pulumi: Project) -> tuple[Pulumi, dict[str, Any]]:
    """A stack of this project, and what `flatcar:machines` is to hold."""
    config = folder / "web.yaml"
    config.write_text(CONFIG)
    stack = pulumi((PROJECT / "__main__.py").read_text(), env={"MACHINES_DIR": str(folder / "machines")})
    for package in ("cl", "components"):
        (stack.directory / package).symlink_to(PROJECT / package)
    key = Path(f"{host.key_file}.pub").read_text().strip()
    stack.set("flatcar:platform", "host")
    ssh = {"user": host.user, "private_key_file": str(host.key_file), "public_key": key}
    stack.set("flatcar:ssh", json.dumps(ssh))
    stack.set("flatcar:secrets", json.dumps({"token": "hunter2-hunter2"}), secret=True)
    return stack, {
        "rack": {
            "config": str(config),
            "host": {"address": "127.0.0.1", "port": host.port},
            "rollback": False,
            "allow": ["login", "reboot"],  # the stand-in's Ignition writes files alone, no users
            "timeout": 60,
        }
    }


def test_a_host_of_another_stack_or_name_is_refused_until_it_is_taken_over(
    tmp_path: Path, host: LoopbackMachine, pulumi: Project
) -> None:
    stack, settings = stack_with(host, tmp_path, pulumi)
    (tmp_path / "web.yaml").write_text(CONFIG.replace("${token}", "hello"))  # a secret's salt is of one machine's name
    stack.set("flatcar:machines", json.dumps(settings))
    stack.up()
    assert host.text("/oem/.flatcar-owner") == "organization/test/test/rack\n"
    settings["shelf"] = settings.pop("rack")
    stack.set("flatcar:machines", json.dumps(settings))
    preview = stack.preview().output
    assert "shelf: new; reset: reboots, ROOT is wiped but for 2 kept paths; wave 1 of 1\n" in preview, preview
    assert "rack: taken away\n    1 of 1 machine reboots\n" in preview, preview
    refused = stack.up(code=None)
    assert refused.code != 0
    assert "belongs to organization/test/test/rack, not to organization/test/test/shelf" in refused.output
    settings["shelf"]["take_over"] = True
    stack.set("flatcar:machines", json.dumps(settings))
    stack.up()
    assert host.text("/oem/.flatcar-owner") == "organization/test/test/shelf\n"
    assert host.boots == 2, "the config runs already"
    stack.destroy()


def test_a_host_is_adopted_audited_drifts_and_is_cleared(
    tmp_path: Path, host: LoopbackMachine, pulumi: Project
) -> None:
    stack, settings = stack_with(host, tmp_path, pulumi)

    def configure() -> None:
        stack.set("flatcar:machines", json.dumps(settings))

    def audit(*arguments: str) -> tuple[int, dict[str, Any], str]:
        done = subprocess.run(
            [sys.executable, "-m", "components.audit", "--stack", stack.stack, "--json", *arguments],
            capture_output=True,
            text=True,
            cwd=stack.directory,
            env=stack.environment(),
            check=False,
        )
        return done.returncode, json.loads(done.stdout)["machines"][0], done.stdout + done.stderr

    configure()
    stack.up()
    assert host.path("/etc/web/page").read_text() == "hunter2-hunter2"
    code, report, shown = audit()
    assert (code, report["clean"], report["findings"]) == (0, True, []), shown
    assert [line.split()[1:] for line in report["history"]] == [
        ["push", report["config_id"], "staged"],
        ["push", report["config_id"], "proven"],
    ]

    host.path("/etc/web/page").write_text("other")
    host.path("/etc/mine").touch()
    code, report, shown = audit()
    assert code == 1
    assert [(found["subject"], found["problem"]) for found in report["findings"]] == [
        ("/etc/web/page", "has other content"),
        ("/etc/mine", "is a file that nobody declared"),
    ]
    assert "hunter2" not in shown
    assert audit("--ignore", "/etc/mine")[1]["findings"][0]["kind"] == "file"

    settings["rack"]["generation"] = 1
    configure()
    stack.up()
    code, report, shown = audit()
    assert (code, report["findings"]) == (0, []), shown
    assert not host.path("/etc/mine").exists()
    stack.destroy()
    assert host.path("/etc/web/page").exists(), "a host is forgotten, not changed"


def operating(stack: Pulumi, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One of the operator's verbs for a stack."""
    return subprocess.run(
        [sys.executable, "-m", "components.operate", verb, "--stack", stack.stack, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=stack.directory,
        env=stack.environment(),
        check=False,
    )


def test_an_operators_day(tmp_path: Path, host: LoopbackMachine, pulumi: Project) -> None:
    stack, settings = stack_with(host, tmp_path, pulumi)
    file = stack.directory / f"Pulumi.{stack.stack}.yaml"
    stack.set("flatcar:rollout", json.dumps({"groups": ["front"]}))
    rack = json.dumps(settings["rack"] | {"group": "front"})
    machines = f"config:\n  # where it all runs\n  flatcar:machines:\n    rack: {rack}\n"
    file.write_text(file.read_text().replace("config:\n", machines))
    stack.up()

    operate = partial(operating, stack)
    done = operate("exec", "--group", "front", "--", "cat /etc/flatcar/config-id; touch /etc/mine")
    assert (done.returncode, done.stderr) == (0, "")
    before = done.stdout
    assert [line.split()[-1] for line in operate("history").stdout.splitlines()] == ["staged", "proven"]
    assert operate("console", "rack").stdout == "rack: its console: the screen or management controller of 127.0.0.1\n"

    text = file.read_text()
    done = operate("reprovision", "rack", "--", "--yes", "--color=never")
    assert done.returncode == 0, done.stdout + done.stderr
    assert '\n+    rack: {generation: 1, "config"' in done.stdout
    assert "1 of 1 machine reboots" in done.stdout, done.stdout
    assert file.read_text() == text.replace('rack: {"config"', 'rack: {generation: 1, "config"')
    assert not host.path("/etc/mine").exists()
    assert operate("exec", "rack", "--", "cat /etc/flatcar/config-id").stdout != before
    stack.destroy()


def test_an_operator_goes_back_and_forward_again(tmp_path: Path, host: LoopbackMachine, pulumi: Project) -> None:
    stack, settings = stack_with(host, tmp_path, pulumi)
    file = stack.directory / f"Pulumi.{stack.stack}.yaml"
    check = {"name": "not sick", "command": "! test -e /etc/sick", "seconds": 1}
    rack = json.dumps({**settings["rack"], "rollback": True, "health": {"commands": [check]}})
    file.write_text(file.read_text().replace("config:\n", f"config:\n  flatcar:machines:\n    rack: {rack} # mine\n"))
    text, outputs = file.read_text(), [""]

    def operate(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = operating(stack, *arguments)
        outputs.append(done.stdout + done.stderr)
        return done

    def runs() -> tuple[str, int]:
        return host.text("/etc/flatcar/config-id").strip()[:12], host.boots

    def change(path: str) -> str:
        (tmp_path / "web.yaml").write_text(CONFIG.replace("/etc/web/page", path))
        stack.up()
        return runs()[0]

    first, second = change("/etc/web/first"), change("/etc/web/second")
    assert first != second and runs() == (second, 3)
    assert f"rack: can go back to {first}  20" in operate("history").stdout

    (tmp_path / "web.yaml").write_text("no config\n")  # as a morning may be
    done = operate("rollback", "rack", "--", "--yes", "--color=never")
    assert done.returncode == 0, outputs[-1]
    assert runs() == (first, 4) and host.path("/etc/web/first").exists() and not host.path("/etc/web/second").exists()
    (pin,) = (stack.directory / "pinned").glob("*.ign")
    assert pin.name.startswith(f"rack-{first}-") and pin.name.endswith(".secret.ign")
    assert pin.stat().st_mode & 0o777 == 0o600 and "git ignores it" in done.stdout
    assert (stack.directory / "pinned/.gitignore").read_text().splitlines()[-1] == "*.secret.ign"
    assert file.read_text() == text.replace('rack: {"config"', f'rack: {{pinned: pinned/{pin.name}, "config"')
    assert f"rack: goes back to config {first}, and is pinned to it; reset: reboots" in done.stdout
    assert f"rack: pinned to config {first}, so that {tmp_path}/web.yaml has no effect" in done.stdout

    again = operate("rollback", "rack", "--", "--yes")
    assert again.returncode == 2
    assert "rack has gone back already; name another version by TO=, or TO=none" in again.stderr
    assert f"\n  {second}  " in again.stderr

    pin.unlink()  # as on another computer
    lost = stack.preview(code=None).output
    assert f"there is no file pinned/{pin.name}; `make rollback MACHINE=rack TO={first}` writes it" in lost, lost
    assert operate("rollback", "rack", "--to", first[:8], "--", "--yes").returncode == 0, outputs[-1]
    assert runs() == (first, 4) and "nothing reboots" in outputs[-1]

    (tmp_path / "web.yaml").write_text(CONFIG.replace("/etc/web/page", "/etc/web/mended"))
    assert operate("rollback", "rack", "--to", "none", "--", "--yes", "--color=never").returncode == 0, outputs[-1]
    assert "rack: is pinned no more; reset: reboots" in outputs[-1]
    mended, boots = runs()
    assert (mended in (first, second), boots, file.read_text()) == (False, 5, text)
    assert host.path("/etc/web/mended").exists()

    (tmp_path / "web.yaml").write_text(CONFIG.replace("/etc/web/page", "/etc/sick"))
    failed, shown = stack.up(code=None), stack.outputs()["rack"]
    assert failed.code != 0 and "  - rack" in failed.output
    assert shown["configId"].startswith(mended), "the state has them still"
    assert f"rack: log in with: {shown['ssh']}" in failed.output
    assert runs() == (mended, 7), "it went, and came back by itself"
    done = operate("rollback", "rack", "--", "--yes")
    assert done.returncode == 0 and "nothing reboots" in done.stdout, outputs[-1]
    assert runs() == (mended, 7)
    assert stack.preview().ops()["rack-reprovision"] == "same"
    assert "hunter2" not in "".join(outputs)
    stack.destroy()
