"""Fingerprints of host keys, on consoles and of keys."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from components.commands.reprovision.host_key import console_fingerprints, fingerprint

if TYPE_CHECKING:
    from pathlib import Path


def test_fingerprints_are_those_of_openssh(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text()
    told = subprocess.run(["ssh-keygen", "-l", "-f", f"{key}.pub"], capture_output=True, text=True, check=True).stdout
    console = tmp_path / "console.log"
    console.write_text(f"\x1b[0mSSH host key: {told.split()[1]} (ED25519)\r\n\nlocalhost login: ")
    assert console_fingerprints(console) == {fingerprint(public)}
    assert fingerprint("nonsense") == ""
    assert console_fingerprints(tmp_path / "none") == set()
