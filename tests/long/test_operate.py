"""Each of the operator's verbs on a machine in QEMU, as `make` runs them, in a clone with its own stack `local`."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
import yaml  # type: ignore[import-untyped]

from tests.engine.checkouts import Checkout, checkout
from tests.vm.machines import CPUS, base_image, needs_image
from tests.vm.walk import CONFIG
from toolchain.places import TOOLCHAIN

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = needs_image

FOREVER_S = 600


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Checkout]:
    """A clone whose machine exists, with config "a"."""
    image, memory, _ = base_image()
    clone = checkout(tmp_path, PULUMI_CONFIG_PASSPHRASE="", TOOLCHAIN_DIR=str(TOOLCHAIN))
    machine = {"config": "cl/day.yaml", "timeout": 1200, "qemu": {"cpus": CPUS, "memory_mib": memory}, "group": "front"}
    settings = {
        "flatcar:platform": "qemu",
        "flatcar:image": str(image),
        "flatcar:rollout": {"groups": ["front"]},
        "flatcar:machines": {"web": machine},
    }
    file = clone.folder / "stacks/Pulumi.local.yaml"
    salt = next(line for line in file.read_text().splitlines() if line.startswith("encryptionsalt"))
    file.write_text(f"{salt}\n{yaml.safe_dump({'config': settings}, sort_keys=False)}")
    write(clone, "a")
    try:
        clone.toolchain("up", YES="1")
        yield clone
    finally:
        clone.toolchain("destroy", YES="1")


def write(clone: Checkout, name: str) -> None:
    (clone.folder / "cl/day.yaml").write_text(CONFIG.replace("NAME", name))


def test_each_verb(clone: Checkout) -> None:
    def verb(*words: str, code: int = 0) -> str:
        return clone.toolchain(words[0], "--", *words[1:], code=code, YES="1")

    def runs() -> str:
        return verb("exec", "--group", "front", "--", "ls /etc/only-* && cat /proc/sys/kernel/random/boot_id")

    first = runs()
    assert first.startswith("web: /etc/only-a\nweb: ")
    argv = [".venv/bin/python", "-m", "toolchain", "ssh", "--", "web", "--", "-T"]
    typed = subprocess.run(
        argv, cwd=clone.folder, env=clone.environment(), input="cat /etc/motd\n", capture_output=True, text=True
    )
    assert (typed.returncode, typed.stdout) == (0, "this is a\n"), typed.stderr
    assert "Started" in verb("logs", "web", "--", "-u", "unit-a.service")

    # the console is followed until the machine is off, which `restart` mends
    with clone.running("console", "--", "web") as console:
        verb("exec", "web", "--", "sudo systemd-run --quiet --on-active=2s systemctl poweroff")
        said, _ = console.communicate(timeout=FOREVER_S)
    assert console.returncode == 0
    assert "web: is off: this was its console, " in said and "/.machines/local/web/console.log" in said
    assert "SSH host key: SHA256:" in said
    assert all(character.isprintable() for line in said.splitlines() for character in line)
    assert "no session" in verb("exec", "web", "--", "true", code=1)
    assert "restarted, and proven: " in verb("restart", "web")
    second = runs()
    assert second.startswith("web: /etc/only-a\n") and second != first, "another boot of the same config"

    assert "1 of 1 machine reboots" in verb("reprovision", "web", "--", "--color=never")
    steps = [line for line in verb("history", "web").splitlines() if "can go back to" not in line]
    assert steps[-1].endswith("  proven")

    write(clone, "b")
    clone.toolchain("up", YES="1")
    assert runs().startswith("web: /etc/only-b\n")
    offered = next(line for line in verb("history", "web").splitlines() if "can go back to" in line)
    told = verb("rollback", "web", "--", "--color=never")
    assert f"web: goes back to {offered.split()[5]}" in told and "commit it together with the edit" in told
    assert runs().startswith("web: /etc/only-a\n")
    assert "nothing reboots" in clone.toolchain("preview", "--", "--color=never")
