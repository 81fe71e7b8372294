"""How the operator's computer reaches machines over SSH: typed settings, and the key of a local stack."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass

import pulumi

from components.commands.environment import for_child
from components.config.local_files import machines_dir

PUBLIC_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+=*( [^\r\n]*)?")
"""An SSH public key on one line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSettings:
    """The login. A change of any of these re-runs nothing on the machines.

    `private_key_file` "" leaves the choice to ssh-agent and the user's own SSH configuration. `port` None means the
    platform's. `jump_host` is `[user@]host[:port]`; its key is checked by the user's own known_hosts.
    `public_key` is what configs get as `${ssh_public_key}`, in authorized_keys format.
    """

    user: str = "core"
    port: int | None = None
    private_key_file: str = ""
    public_key: str = ""
    jump_host: str = ""

    def known_hosts(self, machine: str) -> str:
        """The file that pins the host key of `machine`: one per machine, so that no other host's key can stand in."""
        return str(machines_dir() / "known_hosts" / machine)

    def command(self, *, host: str, port: int, known_hosts: str, host_key_alias: str) -> str:
        """What a person types to log in, with the same pinned host key as the program uses."""
        words = ["ssh", "-o", f"UserKnownHostsFile={known_hosts}", "-o", f"HostKeyAlias={host_key_alias}"]
        if self.private_key_file:
            words += ["-i", self.private_key_file]
        if self.jump_host:
            words += ["-J", self.jump_host]
        if port != 22:
            words += ["-p", str(port)]
        return shlex.join([*words, f"{self.user}@{host}"])


def local_key() -> tuple[str, str]:
    """(private key file, public key) of this stack's own login key, made at the first use; it stays on this computer.

    Raises `pulumi.RunError` when there is no ssh-keygen.
    """
    private = machines_dir() / "login_key"
    public = private.with_suffix(".pub")
    if not public.exists():
        private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        private.unlink(missing_ok=True)
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "flatcar-machines", "-f", str(private)]
        try:
            subprocess.run(make, check=True, stdin=subprocess.DEVNULL, capture_output=True, env=for_child())
        except (OSError, subprocess.CalledProcessError) as error:
            raise pulumi.RunError(
                f"flatcar:ssh: no login key given, and ssh-keygen could not make one: {error}"
            ) from None
    return str(private), public.read_text(encoding="utf-8").strip()
