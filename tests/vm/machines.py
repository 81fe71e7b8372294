"""A real machine for VM tests: `with machine(tmp_path, image=…, config=…) as vm: vm.ssh("…")`.

It goes the way `pulumi up` goes (the same `qemu` command module, a pointer in fw_cfg, the object over HTTP), without
Pulumi. Deadlines are generous: they only end tests that would hang; no test asserts how long things take.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.commands import write_object
from components.commands.objects.packing import packed
from components.commands.qemu import machine as qemu
from components.commands.qemu import state as qemu_state
from tests.conftest import missing

SOURCE_URL = "http://10.0.2.4/config.ign"
POINTER, TFTP_POINTER = (
    json.dumps({"ignition": {"version": "3.3.0", "config": {"replace": {"source": url}}}}, separators=(",", ":"))
    for url in (SOURCE_URL, "tftp://10.0.2.2/config.ign")
)
CPUS = 1
"""Of each machine. Two tests run side by side, and in TCG a second processor makes another machine's boot slower: with
two machines on two cores a boot takes 30 s with one each, 35 s with two."""
BOOT_DEADLINE_S = 420.0
"""Slowest boot seen without KVM on a busy computer, several times over."""


def base_image() -> tuple[Path, int, str]:
    """Return path, memory in MiB and kind ("stand-in" or "flatcar") of the image that set-up made.

    Raises FileNotFoundError when there is none.
    """
    toolchain = Path(os.environ.get("TOOLCHAIN_DIR", Path(__file__).resolve().parents[2] / ".toolchain"))
    document = json.loads((toolchain / "image" / "image.json").read_text(encoding="utf-8"))
    return Path(document["path"]), int(document["memory"]), str(document["kind"])


def _has_image() -> bool:
    try:
        return base_image()[0].exists()
    except FileNotFoundError:
        return False


def needs_the_stand_in() -> None:
    """Skip a test of the stand-in image where another one is; fail or skip it where there is none."""
    try:
        kind = base_image()[2]
    except FileNotFoundError:
        missing("the machine image (run `make test`, which makes it)")
    if kind != "stand-in":
        pytest.skip("the image is not the stand-in")


needs_image = pytest.mark.skipif(
    not os.environ.get("CI") and not _has_image(), reason="no machine image: `make test` makes one"
)


def login_config(public_key: str, **storage: object) -> dict[str, object]:
    """Return the smallest Ignition config one can log in with; keyword arguments become its `storage`."""
    return {
        "ignition": {"version": "3.3.0"},
        "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": [public_key]}]},
        "storage": storage,
    }


@dataclass(slots=True)
class VM:
    """A machine that is on; its disk lives until the end of the `with` block."""

    spec: qemu.Spec
    key: Path
    port: int = 0

    @property
    def directory(self) -> Path:
        """State directory."""
        return Path(self.spec.directory)

    @property
    def public_key(self) -> str:
        """One line for authorized_keys."""
        return self.key.with_suffix(".pub").read_text(encoding="ascii").strip()

    @property
    def known_hosts(self) -> Path:
        """Where the machine's host key is pinned at the first connection."""
        return self.key.with_name("known_hosts")

    def put(self, config: Mapping[str, object] | str) -> None:
        """Replace the object that the pointer leads to (Ignition config as a mapping or as text)."""
        text = config if isinstance(config, str) else json.dumps(config)
        write_object.write(Path(self.spec.objects) / "config.ign", text, written=qemu_state.now())

    def start(self) -> None:
        """Switch the machine on (again)."""
        self.port = int(str(qemu.start(self.spec, print)["ssh_port"]))

    def stop(self, grace_s: float = qemu.STOP_GRACE_S) -> None:
        """Press the power button; pull the plug after `grace_s` seconds."""
        qemu.stop(self.directory, print, grace_s)

    def status(self) -> dict[str, object]:
        """`qemu.outputs` of the machine."""
        return qemu.outputs(self.directory)

    def ssh_command(self, *words: str, connect_s: int = 5) -> list[str]:
        """Command line of ssh to the machine as user core; it gets `connect_s` seconds for its greeting."""
        options = {
            "BatchMode": "yes", "ConnectTimeout": str(connect_s),
            "ServerAliveInterval": "5", "ServerAliveCountMax": "6",
            "StrictHostKeyChecking": "accept-new", "UserKnownHostsFile": str(self.known_hosts),
            "IdentitiesOnly": "yes", "IdentityAgent": "none", "LogLevel": "ERROR",
        }  # fmt: skip
        flags = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", "-i", str(self.key), "-p", str(self.port), *flags, "core@127.0.0.1", *words]

    def ssh_try(self, script: str, timeout_s: float = 120.0, connect_s: int = 5) -> subprocess.CompletedProcess[str]:
        """Run a shell script on the machine; exit status 255 when it can't be reached."""
        command = self.ssh_command("bash -s", connect_s=connect_s)
        try:
            return subprocess.run(command, input=script, capture_output=True, text=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 255, "", "ssh: no end within the time limit")

    def ssh(self, script: str, timeout_s: float = 120.0) -> str:
        """Run a shell script on the machine and return its stdout; AssertionError with all output when it fails."""
        done = self.ssh_try(script, timeout_s, connect_s=60)  # it is up: an emulated machine may be busy
        if done.returncode != 0:
            raise AssertionError(
                f"{script!r} on the machine: exit status {done.returncode}\n{done.stdout}{done.stderr}\n{self.tail()}"
            )
        return done.stdout

    def request(self, config_id: str, content: str, **others: Any) -> str:
        """What the program of the `Reprovision` resource reads on stdin; `others` are its fields that differ."""
        fields: dict[str, Any] = {
            "machine": "web", "config_id": config_id, "content": packed(content), "source": SOURCE_URL, "place": None,
            "lifecycle": "reset", "keep": [], "health": [], "allow_degraded": False, "timeout": 500,
            "rollback_after": 3600, "pause": 0, "drain": "", "restore": "", "console_log": "", "console_hint": "",
            "target": {
                "host": "127.0.0.1", "port": self.port, "user": "core", "known_hosts": str(self.known_hosts),
                "host_key_alias": f"[127.0.0.1]:{self.port}", "identity_file": str(self.key),
            },
        }  # fmt: skip
        return json.dumps({**fields, **others})

    def boot_id(self) -> str:
        """Id of the boot the machine is in."""
        return self.ssh("cat /proc/sys/kernel/random/boot_id").strip()

    def wait_for_ssh(self, *, other_than: str = "", deadline_s: float = BOOT_DEADLINE_S) -> str:
        """Wait until the machine answers, in another boot than `other_than`, and has booted; return its boot id.

        "Has booted" is `systemctl is-system-running` saying running or degraded.
        """
        script = "cat /proc/sys/kernel/random/boot_id; systemctl is-system-running || true"
        end = time.monotonic() + deadline_s
        seen = ""
        while time.monotonic() < end:
            seen = self.ssh_try(script, 30).stdout
            words = seen.split()
            if len(words) == 2 and words[0] != other_than and words[1] in ("running", "degraded"):
                return words[0]
            if not qemu_state.is_running(self.directory):
                raise AssertionError(f"the machine went off: {qemu.why_ended(self.directory)}\n{self.tail()}")
            time.sleep(0.5)
        raise AssertionError(f"no answer within {deadline_s:.0f} s (last: {seen!r})\n{self.tail()}")

    def reboot(self) -> str:
        """Reboot from inside and wait; return the new boot id."""
        old = self.boot_id()
        self.ssh("sudo systemd-run --quiet --on-active=1s --timer-property=AccuracySec=100ms systemctl reboot")
        return self.wait_for_ssh(other_than=old)

    def console(self) -> str:
        """Everything the serial console said so far, over all boots."""
        return (self.directory / qemu_state.CONSOLE).read_text(encoding="utf-8", errors="replace")

    def wait_for_console(self, pattern: str, *, after: int = 0, deadline_s: float = BOOT_DEADLINE_S) -> re.Match[str]:
        """Wait until the console matches `pattern` (re.search, from character `after` on)."""
        end = time.monotonic() + deadline_s
        while time.monotonic() < end:
            found = re.search(pattern, self.console()[after:])
            if found:
                return found
            time.sleep(0.5)
        raise AssertionError(f"{pattern!r} not on the console within {deadline_s:.0f} s\n{self.tail()}")

    def tail(self, lines: int = 40) -> str:
        """The console's last lines, under its path."""
        path = self.directory / qemu_state.CONSOLE
        return f"--- {path}\n" + "\n".join(self.console().splitlines()[-lines:])


@contextmanager
def machine(
    folder: Path,
    *,
    config: Mapping[str, object] | str | None = None,
    image: Path | None = None,
    memory_mib: int | None = None,
    user_data: str = POINTER,
    started: bool = True,
) -> Iterator[VM]:
    """Make a machine in `folder` (a tmp_path), switch it on unless `started=False`, and remove it at the end.

    `config` is the Ignition config the pointer leads to; None means `login_config` with the machine's key. `image` and
    `memory_mib` default to what set-up made. With `started=False` a test can `put` what uses `vm.public_key` first.
    """
    known_image, known_memory = (image, 1024) if image is not None else base_image()[:2]
    key = folder / "key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(key)], check=True)
    spec = qemu.Spec(
        directory=str(folder / "machines" / "m"),
        image=str(known_image),
        user_data=user_data,
        objects=str(folder / "objects"),
        memory_mib=memory_mib or known_memory,
        cpus=CPUS,
    )
    vm = VM(spec=spec, key=key)
    vm.put(login_config(vm.public_key) if config is None else config)
    try:
        if started:
            vm.start()
        yield vm
    finally:
        console = vm.directory / qemu_state.CONSOLE
        if console.exists():
            console.replace(folder / "console.log")  # kept for whoever looks into a failed test's folder
        qemu.delete(vm.directory, print)
