"""A throw-away SSH server: OpenSSH's own, without privileges, on a loopback port, with keys of its own."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import os
import random
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

DEADLINE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sshd:
    """A running server and what a client needs for it."""

    host: str
    port: int
    user: str
    key: Path
    """The client's private key; its public half is in `key` + `.pub`."""
    host_key: str
    """The server's ed25519 public key, as in authorized_keys."""
    known_hosts: Path
    log: Path
    pid: int


def _ports() -> Iterator[int]:
    """The ports that this process may hand out, round and round; a worker of pytest-xdist has a range of its own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    size = 1_000
    first = 20_000 + worker % 12 * size  # twelve workers at most; the kernel's own ports start at 32,768
    return (first + number % size for number in itertools.count(random.randrange(size)))


_PORTS = _ports()


def free_port() -> int:
    """A TCP port of 127.0.0.1 that is free now and that no test beside this one gets, even while nobody listens on it.

    A machine that is down, or not up yet, has its port to itself all the same. The ports are below the range from
    which the kernel takes those of outgoing connections: one of them would be in the way.
    """
    return next(port for port in _PORTS if _is_free(port))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def find_sshd() -> str | None:
    """The server's program; it must be started by its whole path."""
    return shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/sbin:/usr/local/sbin")


@contextlib.contextmanager
def run_sshd(folder: Path, *, port: int | None = None, settings: str = "") -> Iterator[Sshd]:
    """Run a server whose files are in `folder`, until the block ends. `settings` go to sshd_config, first."""
    program = find_sshd()
    assert program is not None, "no sshd"
    port = port or free_port()
    folder.mkdir(parents=True, exist_ok=True)
    host_key, key = folder / "host_key", folder / "key"
    for path in (host_key, key):
        if not path.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path], check=True)
    public = host_key.with_suffix(".pub").read_text().strip()
    known_hosts = folder / "known_hosts"
    known_hosts.write_text(f"[127.0.0.1]:{port} {public}\n")
    log = folder / "sshd.log"
    config = folder / "sshd_config"
    config.write_text(
        f"{settings}\n"
        f"ListenAddress 127.0.0.1:{port}\n"
        f"HostKey {host_key}\n"
        f"AuthorizedKeysFile {key}.pub\n"
        "PidFile none\n"
        "StrictModes no\n"
        "UsePAM no\n"
        "PasswordAuthentication no\n"
        "KbdInteractiveAuthentication no\n"
        "PermitRootLogin prohibit-password\n"
        "LogLevel VERBOSE\n"
    )
    if os.geteuid() == 0:  # as root sshd wants its empty folder; Debian's service makes it at its start
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
    process = subprocess.Popen([program, "-D", "-f", config, "-E", log], stdin=subprocess.DEVNULL)
    try:
        _wait(process, port, log)
        yield Sshd(
            host="127.0.0.1",
            port=port,
            user=getpass.getuser(),
            key=key,
            host_key=public,
            known_hosts=known_hosts,
            log=log,
            pid=process.pid,
        )
    finally:
        process.terminate()
        process.wait(DEADLINE_S)


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        said = log.read_text() if log.exists() else ""
        assert process.poll() is None, f"sshd ended: {said}"
        assert time.monotonic() < deadline, f"sshd does not answer: {said}"
        time.sleep(0.05)
