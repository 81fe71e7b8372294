"""A stand-in for a machine: a real sshd on loopback in front of a folder that behaves as Flatcar's ROOT.

Real: OpenSSH on both sides, the scripts under components/scripts, the pointer's object over http. Stand-ins (see
`parts/`): systemctl, systemd-run, flatcar-reset, and an Ignition that writes files, links, folders and units, all of
them root's. Faults can be injected through the public attributes. For the true behaviour there is the VM tier.
"""

from __future__ import annotations

import contextlib
import functools
import getpass
import hashlib
import http.client
import http.server
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
import urllib.request
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from cl.transpiler.ignition.checks import decode_data_url
from loopback.serving import serving_thread
from loopback.sshd import free_port

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PARTS = Path(__file__).parent / "parts"
OF_THE_IMAGE = Path(__file__).parents[1] / "toolchain/image/machine"
"""Files that are the stand-in image's too."""
WIPED = ("etc", "home", "opt", "root", "srv", "var")
"""The folders of ROOT's own; the others are other file systems, or this stand-in's: its programs are in /run/bin."""
ACCOUNTS = {
    "passwd": "root:x:0:0:root:/root:/bin/bash\ncore:x:500:500::/home/core:/bin/bash\n",
    "shadow": "root:*:15887:0:::::\ncore:*:15887:0:::::\n",
    "group": "root:x:0:root\nwheel:x:10:root,core\ndocker:x:233:core\ncore:x:500:\n",
    "gshadow": "root:*::\nwheel:*::root,core\ndocker:*::core\ncore:*::\n",
}
"""The image's accounts, by their files below /etc."""


@dataclass
class LoopbackMachine:
    """One machine under `folder`: `root` is its ROOT, `source` the address of its object, `key_file` opens its sshd."""

    folder: Path
    source: str
    port: int = field(default_factory=free_port)
    address: str = "127.0.0.1"
    seconds_down: float = 0.5
    boots: int = 0
    failed_units_after_boot: str = ""
    ignores_flag: bool = False
    emergency_seconds: float = 1
    hangs_on_shutdown: float = 0
    restarts_at_once: int = 0
    journal_lasts: bool = True
    os_version: str = "0.0.1"
    serves: str = ""
    """Where what `source` names is really had, if Ignition has a client of its own for that (s3://)."""
    makes_users: bool = False
    """Whether Ignition makes users and groups; else nobody but the image's is there."""
    is_plugged_in: bool = True
    login: Path | None = None
    went_down: list[float] = field(default_factory=list)
    came_up: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.root = self.folder / "root"
        self.key_file = self.login or self.folder / "login"
        self.user = getpass.getuser()
        self.console = self.folder / "console.log"
        self._sshd: subprocess.Popen[bytes] | None = None
        self._booted = 0.0
        self._stop = threading.Event()
        for name in (
            "usr",
            "dev",
            "proc",
            "run",
            "tmp",
            "etc/ssh",
            "etc/flatcar",
            "var/log",
            "home",
            "root",
            "opt",
            "srv",
            "boot/flatcar",
            "oem",
        ):
            (self.root / name).mkdir(parents=True, exist_ok=True)
        for name in ("bin", "sbin", "lib", "lib64"):
            (self.root / name).symlink_to(f"usr/{name}")
        shutil.copytree(PARTS / "bin", self.root / "run/bin")
        shutil.copy(OF_THE_IMAGE / "usr/bin/update-ssh-keys", self.root / "run/bin")
        awk = shutil.which("awk")
        assert awk is not None
        shutil.copy(Path(awk).resolve(), self.root / "run/bin/awk")  # on Debian the way leads through /etc
        (self.root / "boot/flatcar/first_boot").touch()
        (self.root / "run/cmdline").write_text("BOOT_IMAGE=/flatcar/vmlinuz-a\n")
        for name in ("failed-units", "jobs", "active-units", "started-units"):
            (self.root / "run" / name).touch()
        if self.login is None:
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key_file)], check=True)
        (self.folder / "enter").write_text(f'#!/bin/bash\nexec "{PARTS}/enter" "{self.root}" "$SSH_ORIGINAL_COMMAND"\n')
        (self.folder / "enter").chmod(0o755)

    def path(self, absolute: str) -> Path:
        """A path of the machine on this computer."""
        return self.root / absolute.lstrip("/")

    def text(self, absolute: str) -> str:
        """What a file of the machine holds now; "" while it is not there, as in the middle of a boot."""
        try:
            return self.path(absolute).read_text()
        except FileNotFoundError:
            return ""

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._live, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(timeout=20)

    def _live(self) -> None:
        self._boot()
        while not self._stop.wait(0.05):
            self._rollback_timer()
            reboots = self.path("/run/reboot-requested").exists()
            if reboots:
                self._stop.wait(self.hangs_on_shutdown)
            loses_power = not self.is_plugged_in
            if not (reboots or loses_power):
                continue
            self.path("/run/reboot-requested").unlink(missing_ok=True)
            self._power_off()
            if not loses_power:
                self.end_transient_units()
                self.went_down.append(time.time())
                self._stop.wait(self.seconds_down)
            while not (self.is_plugged_in or self._stop.wait(0.05)):
                pass
            self._boot()
        self._power_off()

    def _log(self, text: str) -> None:
        with self.console.open("a", encoding="utf-8") as console:
            console.write(text + "\n")

    def _boot(self) -> None:
        self.boots += 1
        while not self.boot_from_disk():
            self._log("Entering emergency mode (stand-in).")
            if self._stop.wait(self.emergency_seconds):
                return
        if self.restarts_at_once and self.boots > 1:
            self.restarts_at_once -= 1
            self._boot()
            return
        self._booted = time.monotonic()
        if self.path("/etc/systemd/system/flatcar-rollback.timer").exists():
            self.path("/run/rollback-timer").touch()
        self.came_up.append(time.time())  # all proofs hold, and sshd takes a moment to start
        self._start_sshd()
        if self.path("/etc/systemd/system/flatcar-pull-proof.service").exists():
            self._log(self.inside("bash /etc/flatcar/pull/pull.sh prove").stderr)

    def boot_from_disk(self) -> bool:
        """What a boot makes of the disk, in Flatcar's order; no server is started. False: it is stuck in its initramfs.

        What is to be deleted goes in any boot, whether Ignition runs in it or not.
        """
        shutil.rmtree(self.path("/run/transient"), ignore_errors=True)
        boot_id = str(uuid.uuid4())
        self._log(f"boot {self.boots} {boot_id}")
        self._messages: list[str] = []
        if not self.journal_lasts:
            shutil.rmtree(self.path("/var/log/journal"), ignore_errors=True)
        config = None
        if self.path("/boot/flatcar/first_boot").exists() and not self.ignores_flag:
            config = self._fetched()
            if config is None:
                return False
        self.path("/run/boot_id").touch()
        self.path("/run/failed-units").write_text(self.failed_units_after_boot)
        self.path("/run/system-state").write_text("degraded\n" if self.failed_units_after_boot else "running\n")
        filesystems = (config or {}).get("storage", {}).get("filesystems", [])
        if any(entry.get("label") == "ROOT" and entry.get("wipeFilesystem") for entry in filesystems):
            self._format_root()
        if self.path("/selective-os-reset").exists():
            wipe = shutil.copy(PARTS / "wipe", self.path("/run/bin/wipe"))
            self.inside("/run/bin/" + Path(wipe).name)
        if config is not None and not self._ignition(config, boot_id):
            return False
        if self.path("/etc/systemd/system/flatcar-restore-host-keys.service").exists():
            self._restore_host_keys()
        # bind mounts of running sessions hold the old file: a new one comes in its place
        new = self.path("/run/boot_id.new")
        new.write_text(boot_id + "\n")
        new.replace(self.path("/run/boot_id"))
        self.path("/run/flatcar-going-back").unlink(missing_ok=True)
        is_first = not self.path("/etc/machine-id").exists()  # then presets are applied
        self.path("/etc/machine-id").write_text("stand-in\n")
        self.inside(f"systemctl boot {'first' if is_first else 'again'}")
        shutil.rmtree(self.path("/run/flatcar-pull"), ignore_errors=True)
        return True

    def _format_root(self) -> None:
        """Ignition's stage `disks`."""
        for name in WIPED:
            shutil.rmtree(self.path(name))
            self.path(name).mkdir()
        for name in ("selective-os-reset", ".flatcar-unwiped"):
            self.path(name).unlink(missing_ok=True)

    def _restore_host_keys(self) -> None:
        """The unit of `reformat`, before sshd."""
        unit = self.path("/etc/systemd/system/flatcar-restore-host-keys.service").read_text()
        folder = re.search(r"^ConditionPathIsDirectory=(.*)$", unit, re.MULTILINE)
        command = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)
        assert folder and command
        if self.path(folder[1]).is_dir():
            self.path("/etc/ssh").mkdir(exist_ok=True)
            done = self.inside(command[1])
            assert done.returncode == 0, done.stderr

    def _rollback_timer(self) -> None:
        """flatcar-rollback.timer, as the unit in the config has it."""
        timer = self.path("/etc/systemd/system/flatcar-rollback.timer")
        if self.path("/run/rollback-timer").exists() and timer.exists():
            seconds = re.search(r"^OnBootSec=([0-9.]+)$", timer.read_text(), re.MULTILINE)
            if seconds and time.monotonic() > self._booted + float(seconds[1]):
                self.path("/run/rollback-timer").unlink()
                self.inside("systemctl --no-block start flatcar-rollback.service")

    @property
    def is_up(self) -> bool:
        """Whether a server for logins runs."""
        return self._sshd is not None

    def pull_the_plug(self) -> None:
        """Power off, without a shutdown, until `plug_in`."""
        self.is_plugged_in = False
        wait_until(lambda: self._sshd is None)

    def plug_in(self) -> None:
        """Power on: the next boot."""
        self.is_plugged_in = True

    def cut_the_network(self, seconds: float) -> None:
        """Every connection ends and none is accepted for a time; the machine itself goes on."""
        sshd = self._sshd
        assert sshd is not None
        os.kill(sshd.pid, signal.SIGSTOP)
        for child in _children(sshd.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGSTOP)
        threading.Timer(seconds, self._mend_the_network, [sshd]).start()

    def _mend_the_network(self, sshd: subprocess.Popen[bytes]) -> None:
        for process in [*_children(sshd.pid), sshd.pid]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)

    def inside(self, command: str) -> subprocess.CompletedProcess[str]:
        """Run a shell command on the machine, not over SSH."""
        enter = [str(PARTS / "enter"), str(self.root), command]
        return subprocess.run(enter, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)

    def _fetched(self) -> dict[str, Any] | None:
        """The config to run: it comes before anything is deleted, as on Flatcar. None: stuck, try again later."""
        own = self.path("/oem/config.ign")
        try:
            user_data = {"ignition": {"config": {"replace": {"source": self.source}}}}
            text = own.read_bytes() if own.exists() else json.dumps(user_data).encode()
            self._messages.append(f"parsing config with SHA512: {hashlib.sha512(text).hexdigest()}")
            config: dict[str, Any] = json.loads(text)
            replace = config.get("ignition", {}).get("config", {}).get("replace")
            if replace is not None:
                source = replace["source"]
                with urllib.request.urlopen(self.serves or source, timeout=5) as response:
                    text = response.read()
                sha512 = hashlib.sha512(text).hexdigest()
                self._messages.append(f"fetched referenced config at {source} with SHA512: {sha512}")
                config = json.loads(text)
        except (http.client.HTTPException, ValueError, OSError) as error:
            self._log(f"ignition (stand-in): failed to fetch config: {error}")
            return None
        return config

    def _ignition(self, config: dict[str, Any], boot_id: str) -> bool:
        journal = self.path("/var/log/journal")
        journal.mkdir(parents=True, exist_ok=True)
        (journal / boot_id.replace("-", "")).write_text("".join(f"{message}\n" for message in self._messages))
        if self.makes_users:
            self._make_users(config.get("passwd", {}))
        for file in config.get("storage", {}).get("files", []):
            target = self.path(file["path"])
            if target.is_dir() or (target.exists() and not file.get("overwrite")):
                self._log(f"ignition (stand-in): failed to write {file['path']}: it exists")
                return False
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(decode_data_url(file["contents"]["source"], file["contents"].get("compression")))
            target.chmod(file.get("mode", 0o644))
        for node in config.get("storage", {}).get("directories", []):
            self.path(node["path"]).mkdir(parents=True, exist_ok=True)
            self.path(node["path"]).chmod(node.get("mode", 0o755))
        for node in config.get("storage", {}).get("links", []):
            link = self.path(node["path"])
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to(node["target"])
        self._write_units(config.get("systemd", {}).get("units", []))
        result = {"provisioningBootID": boot_id, "userConfigProvided": True}
        self.path("/etc").mkdir(exist_ok=True)
        self.path("/etc/.ignition-result.json").write_text(json.dumps(result))
        self.path("/etc/os-release").write_text(f'ID=loopback\nVERSION_ID="{self.os_version}"\n')
        self.path("/boot/flatcar/first_boot").unlink()
        self._log("ignition (stand-in): finished")
        return True

    def _make_users(self, passwd: dict[str, Any]) -> None:
        """As Ignition does (internal/exec/util/passwd.go), over the image's accounts; then the keys as Flatcar does."""
        self.path("/etc").mkdir(exist_ok=True)
        for name, text in ACCOUNTS.items():
            if not self.path(f"/etc/{name}").exists():
                self.path(f"/etc/{name}").write_text(text)
        commands = ["set -eu", "umask 022"]
        for group in passwd.get("groups", []):
            id_ = ["--gid", str(group["gid"])] if "gid" in group else []
            commands.append(shlex.join(["groupadd", *id_, "--password", "*", group["name"]]))
        for user in passwd.get("users", []):
            name, keys = user["name"], "\n".join(user.get("sshAuthorizedKeys", []))
            options = [
                word
                for field, option in (("uid", "uid"), ("gecos", "comment"), ("homeDir", "home-dir"), ("shell", "shell"))
                if user.get(field)
                for word in (f"--{option}", str(user[field]))
            ]
            if user.get("groups"):
                options += ["--groups", ",".join(user["groups"])]
            if f"\n{name}:" not in "\n" + ACCOUNTS["passwd"]:
                commands.append(shlex.join(["useradd", "--create-home", "--password", "*", *options, name]))
            elif options:
                commands.append(shlex.join(["usermod", *options, name]))
            if user.get("passwordHash"):
                commands.append(shlex.join(["usermod", "--password", user["passwordHash"], name]))
            if keys:
                folder = f"$(getent passwd {shlex.quote(name)} | cut -d: -f6)/.ssh"
                commands.append(f'(umask 077 && mkdir -p "{folder}" && mkdir "{folder}/authorized_keys.d")')
                commands.append(f'printf "%s\\n" {shlex.quote(keys)} >"{folder}/authorized_keys.d/ignition"')
                commands.append(f"update-ssh-keys -u {shlex.quote(name)}")
        done = self.inside("\n".join(commands))
        assert done.returncode == 0, done.stderr

    def _write_units(self, units: list[dict[str, Any]]) -> None:
        folder = self.path("/etc/systemd/system")
        texts = {folder / unit["name"]: unit.get("contents", "") for unit in units}
        for unit in units:
            texts |= {folder / f"{unit['name']}.d" / part["name"]: part["contents"] for part in unit.get("dropins", [])}
        presets = [  # what could not be enabled is noted as disabled
            f"{'enable' if unit['enabled'] else 'disable'} {unit['name']}\n"
            for unit in units
            if unit.get("enabled") or ("enabled" in unit and "WantedBy=" not in unit.get("contents", "WantedBy="))
        ]
        if presets:
            texts[self.path("/etc/systemd/system-preset/20-ignition.preset")] = "".join(sorted(presets))
        for path, text in texts.items():
            if text:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        for unit in units:
            if unit.get("mask"):
                (folder / unit["name"]).unlink(missing_ok=True)
                (folder / unit["name"]).symlink_to("/dev/null")

    def _start_sshd(self) -> None:
        key = self.path("/etc/ssh/ssh_host_ed25519_key")
        if not key.exists():
            key.parent.mkdir(parents=True, exist_ok=True)
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        told = subprocess.run(["ssh-keygen", "-l", "-f", f"{key}.pub"], capture_output=True, text=True, check=True)
        self._log(f"SSH host key: {told.stdout.split()[1]} (ED25519)")
        if self.path("/etc/ssh/sshd_config").exists():
            self._log("sshd (stand-in): the config's sshd_config is taken for a broken one")
            return
        keys = "none" if self.path("/etc/without-my-key").exists() else f"{self.key_file}.pub"
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text(
            f"Port {self.port}\nListenAddress {self.address}\nHostKey {key}\nAuthorizedKeysFile {keys}\n"
            f"StrictModes no\nUsePAM no\nPermitRootLogin yes\nPidFile none\nForceCommand {self.folder}/enter\n"
            f"SetEnv HOME={self.folder}\n"  # the login shell must not read this account's start-up files
        )
        self._sshd = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-f", str(config), "-E", str(self.folder / "sshd.log")],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _power_off(self) -> None:
        if self._sshd is None:
            return
        for child in _children(self._sshd.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
        self._sshd.kill()
        self._sshd.wait()
        self._sshd = None
        self.end_timers()

    def end_transient_units(self) -> None:
        """The late part of a shutdown: units that systemd-run made for it run their ExecStop."""
        for unit in self.path("/run/transient").glob("*.service"):
            done = self.inside(unit.read_text())
            self._log(done.stdout + done.stderr)

    def end_timers(self) -> None:
        """What no process of the machine outlives: its power."""
        for name in ("/run/timers", "/run/rollback-pid"):
            pids = self.path(name)
            for pid in pids.read_text().split() if pids.exists() else []:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            pids.unlink(missing_ok=True)
        self.path("/run/rollback-timer").unlink(missing_ok=True)


@contextlib.contextmanager
def running_hosts(folder: Path, names: Iterable[str], *, seconds_down: float) -> Iterator[dict[str, LoopbackMachine]]:
    """Machines without user data, each with a config of its own that says nothing; they share one login."""
    key = folder / "login"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    hosts = {}
    with contextlib.ExitStack() as on:
        for name in names:
            (folder / name).mkdir()
            hosts[name] = LoopbackMachine(
                folder / name, "http://127.0.0.1:9/none", login=key, seconds_down=seconds_down
            )
            hosts[name].path("/oem/config.ign").write_text('{"storage": {}}')
            on.enter_context(hosts[name])
        for host in hosts.values():
            wait_until(host.path("/etc/ssh/ssh_host_ed25519_key").exists)
        yield hosts


def _children(pid: int) -> list[int]:
    children = []
    for folder in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
            for child in folder.read_text().split():
                children += [*_children(int(child)), int(child)]
    return children


@dataclass
class ObjectServer:
    """The object over http on loopback, with a switch for its faults."""

    folder: Path
    status: int = 200

    @contextlib.contextmanager
    def running(self) -> Iterator[str]:
        """Serve `folder`; yields the base address."""
        outer = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                if outer.status == 200:
                    super().do_GET()
                else:
                    self.send_error(outer.status)

            def log_message(self, *_: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            request_queue_size = 128

            def handle_error(self, request: object, client_address: object) -> None:
                """A machine that lost patience, or its power, is no error of the server's."""

        server = Server(("127.0.0.1", 0), functools.partial(Handler, directory=str(self.folder)))
        with serving_thread(server) as port:
            yield f"http://127.0.0.1:{port}"


def wait_until(condition: Any, seconds: float = 30) -> None:
    """Wait for a condition of a test machine; raises TimeoutError."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError("the condition did not come true")
        time.sleep(0.05)
