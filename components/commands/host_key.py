"""Knowing a machine's SSH host key before the first connection, where its console or the stack's config tells it.

Standard library only. Flatcar prints `SSH host key: SHA256:… (ED25519)` above its login prompt, and the console of a
local machine is a file that nobody but QEMU writes. Elsewhere the first connection pins the key
(`StrictHostKeyChecking=accept-new`), unless the stack's config has it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from components.commands.environment import for_child
from components.commands.request import NotProvenError

if TYPE_CHECKING:
    from components.commands.request import Progress, Request

_FINGERPRINT = re.compile(rb"SSH host key: (SHA256:[A-Za-z0-9+/]{43})")


def pin_given(request: Request) -> None:
    """Pin the key that the stack's config names, if any. Raises `NotProvenError` where another one is pinned."""
    alias, pins = request.target.host_key_alias, Path(request.target.known_hosts)
    if not request.host_key:
        return
    known = pinned(pins, alias)
    if request.host_key in known:
        return
    if known:
        raise NotProvenError(
            f"host_key of {request.machine} in the stack's config is not the SSH host key that is pinned here",
            f"compare both with the machine's console; remove the wrong one, there or in {pins}",
            goes_back=False,
        )
    with pins.open("a", encoding="ascii") as file:
        file.write(f"{alias} {request.host_key}\n")


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
            goes_back=False,
        )
    with pins.open("a", encoding="ascii") as file:
        file.write(f"{target.host_key_alias} {key}\n")
    progress.say(f"SSH host key {fingerprint(key)} known from the console")


def is_pinned(request: Request) -> bool:
    """Whether the machine has been met before: its key is pinned."""
    return bool(pinned(Path(request.target.known_hosts), request.target.host_key_alias))


def unpin_machine_before(request: Request) -> bool:
    """Forget the machine's key where another machine of this name has it, the one that this machine replaces.

    Whether there was such a key.
    """
    pins, alias = Path(request.target.known_hosts), request.target.host_key_alias
    lines = _lines(pins)
    others = {" ".join(words[1:3]) for words in lines if words[:1] != [alias]}
    if not pinned(pins, alias) & others:
        return False
    fresh = pins.with_name(f"{pins.name}.new")
    fresh.write_text("".join(" ".join(words) + "\n" for words in lines if words[:1] != [alias]), encoding="utf-8")
    fresh.replace(pins)
    return True


def console_fingerprints(console: Path) -> set[str]:
    """The fingerprints that the console has named so far."""
    try:
        return {found.decode() for found in _FINGERPRINT.findall(console.read_bytes())}
    except OSError:
        return set()


def fingerprint(key: str) -> str:
    """OpenSSH's fingerprint of a public key of the form `ssh-ed25519 AAAA…`; "" when it is not one."""
    try:
        blob = base64.b64decode(key.split()[1], validate=True)
    except (IndexError, binascii.Error):
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(blob).digest()).decode().rstrip("=")


def pinned(pins: Path, alias: str) -> set[str]:
    """The keys that are pinned for `alias`, as `TYPE BASE64`."""
    return {" ".join(words[1:3]) for words in _lines(pins) if words[:1] == [alias]}


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
        check=False,
        env=for_child(),
    )
    lines = [line.split(" ", 1)[1].strip() for line in scan.stdout.splitlines() if " ssh-ed25519 " in line]
    return lines[0] if lines else ""
