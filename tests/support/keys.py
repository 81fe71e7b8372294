"""SSH keys of operators, by the real ssh-keygen."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.conftest import missing


def new_key(file: Path, passphrase: str = "") -> str:
    """A key of an operator's; its public half, as `TYPE BASE64`."""
    if shutil.which("ssh-keygen") is None:
        missing("ssh-keygen (Debian package openssh-client)")
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", passphrase, "-f", str(file)], check=True)
    return " ".join(file.with_suffix(".pub").read_text().split()[:2])
