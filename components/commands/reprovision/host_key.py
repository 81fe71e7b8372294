"""Knowing a machine's SSH host key before the first connection, where its console or the stack's config tells it.

Standard library only. Flatcar prints `SSH host key: SHA256:… (ED25519)` above its login prompt, and the console of a
local machine is a file that nobody but QEMU writes. A machine that was proven is known from the record of that, on any
computer. Elsewhere the first connection pins the key (`StrictHostKeyChecking=accept-new`), and says so, unless the
stack's config has it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from components.commands.environment import for_child
from components.commands.reprovision.request import NotProvenError
from components.commands.untrusted import host_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from components.commands.reprovision.request import Progress, Request

CONSOLE_BYTES = 1_048_576  # a machine may write on its console without end
_FINGERPRINT = re.compile(rb"SSH host key: (SHA256:[A-Za-z0-9+/]{43})")


def pin(request: Request, proven: Iterable[str]) -> None:
    """Pin the key that the stack's config names; without one, `proven`: what the machine had at its last proof.

    So a machine that was proven once is known on any computer. Raises `NotProvenError` where another key is pinned.
    """
    keys = {request.host_key} if request.host_key else {key for key in proven if host_key(key)}
    target, pinned = request.target, request.target.pinned()
    if not keys or keys & pinned:
        return
    if pinned and request.host_key:
        raise NotProvenError(
            f"host_key of {request.machine} in the stack's config is not the SSH host key that is pinned here",
            f"compare both with the machine's console; remove the wrong one, there or in {target.known_hosts}",
            rolls_back=False,
        )
    if pinned:
        raise NotProvenError(
            f"the SSH host key that is pinned here for {request.machine}, {_fingerprints(pinned)}, "
            f"is not that of its last proof, {_fingerprints(keys)}",
            "compare both with the machine's console; name the right one as host_key of the machine in the stack's "
            f"config, and remove the wrong one from {target.known_hosts}",
            rolls_back=False,
        )
    with Path(target.known_hosts).open("a", encoding="ascii") as file:
        file.writelines(f"{target.host_key_alias} {key}\n" for key in sorted(keys))


def pin_from_console(request: Request, progress: Progress) -> None:
    """Pin the machine's host key if the console names it and none is pinned yet; the machine has to answer.

    Raises `NotProvenError` when the server that answers has a key that the console does not name.
    """
    target = request.target
    pins = Path(target.known_hosts)
    if target.jump_host or is_pinned(request):
        return
    told = console_fingerprints(Path(request.console_log)) if request.console_log else set()
    if not told:
        return
    key = _offered_key(target.host, target.port)
    if not key:
        return  # it went down again
    if fingerprint(key) not in told:
        raise NotProvenError(
            f"the SSH host key at {target.host} port {target.port} is not the one that the machine's console names",
            "another server listens there; see which: the machine's port is in its state",
            rolls_back=False,
        )
    with pins.open("a", encoding="ascii") as file:
        file.write(f"{target.host_key_alias} {key}\n")
    progress.say(f"SSH host key {fingerprint(key)} known from the console")


def say_first_contact(request: Request, progress: Progress) -> None:
    """Tell which key the first connection has pinned: nothing but that connection speaks for it."""
    if pinned := request.target.pinned():
        progress.say(
            f"first contact: trusting the SSH host key {_fingerprints(pinned)} of {request.machine}; "
            "compare it with its console"
        )


def is_pinned(request: Request) -> bool:
    """Whether the machine has been met before: its key is pinned."""
    return bool(request.target.pinned())


def unpin_machine_before(request: Request) -> bool:
    """Forget the machine's key where another machine of this name has it, the one that this machine replaces.

    Whether there was such a key.
    """
    pins, alias = Path(request.target.known_hosts), request.target.host_key_alias
    lines = _lines(pins)
    others = {" ".join(words[1:3]) for words in lines if words[:1] != [alias]}
    if not request.target.pinned() & others:
        return False
    fresh = pins.with_name(f"{pins.name}.new")
    fresh.write_text("".join(" ".join(words) + "\n" for words in lines if words[:1] != [alias]), encoding="utf-8")
    fresh.replace(pins)
    return True


def console_fingerprints(console: Path) -> set[str]:
    """The fingerprints that the console has named, as far back as its last MiB."""
    try:
        with console.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - CONSOLE_BYTES))
            return {found.decode() for found in _FINGERPRINT.findall(file.read(CONSOLE_BYTES))}
    except OSError:
        return set()


def _fingerprints(keys: Iterable[str]) -> str:
    return " and ".join(sorted(filter(None, map(fingerprint, keys)))) or "unreadable"


def fingerprint(key: str) -> str:
    """OpenSSH's fingerprint of a public key of the form `ssh-ed25519 AAAA…`; "" when it is not one."""
    try:
        blob = base64.b64decode(key.split()[1], validate=True)
    except (IndexError, binascii.Error):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def _lines(pins: Path) -> list[list[str]]:
    try:
        return [line.split() for line in pins.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []


def _offered_key(host: str, port: int) -> str:
    scan = subprocess.run(
        ["ssh-keyscan", "-T", "10", "-t", "ed25519", "-p", str(port), host],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=for_child(),
    )
    lines = [line.partition(" ")[2].strip() for line in scan.stdout.splitlines() if not line.startswith("#")]
    return next((key for key in lines if key.startswith("ssh-ed25519 ") and host_key(key)), "")
