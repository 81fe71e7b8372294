"""How the operator's computer reaches machines over SSH: typed settings, and the key of a local stack."""

from __future__ import annotations

import re
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from components.commands.environment import for_child
from components.commands.files import write_atomically
from components.commands.qemu.state import RECORD
from components.config.local_files import machines_dir

PUBLIC_KEY = re.compile(r"(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp\d+|sk-[a-z0-9@.-]+) [A-Za-z0-9+/]+=*( [^\r\n]*)?")
"""An SSH public key on one line."""


def without_comment(key: str) -> str:
    """`TYPE BASE64` of a public key: another comment makes no other config. What is none is left as it is."""
    return " ".join(key.split()[:2]) if PUBLIC_KEY.fullmatch(key) else key


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginKey:
    """The key that logs in: its public half, as `TYPE BASE64`, and whether ssh offers it `alone`."""

    public: str
    alone: bool


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

    @property
    def login_key(self) -> LoginKey | None:
        """What is known of the key that logs in; None for nothing.

        With a key file ssh offers nothing else, and what lies beside it as `.pub` is its public half. Without one,
        ssh-agent and the user's SSH configuration may offer others than `public_key`.
        """
        beside = Path(f"{self.private_key_file}.pub").expanduser()
        try:
            own = beside.read_text(encoding="utf-8").strip() if self.private_key_file else ""
        except (OSError, UnicodeDecodeError):
            own = ""
        key = own if PUBLIC_KEY.fullmatch(own) else self.public_key
        if not PUBLIC_KEY.fullmatch(key):
            return None
        return LoginKey(public=without_comment(key), alone=bool(self.private_key_file))

    def known_hosts(self, machine: str) -> str:
        """The file that pins the host key of `machine`: one per machine, so that no other host's key can stand in."""
        return str(machines_dir() / "known_hosts" / machine)

    def command(self, machine: str, *, host: str, port: int, host_key_alias: str, write: bool) -> str:
        """What a person types to log in, from any folder, with the same pinned host key as the program uses.

        It is short, as the rest is in a file for ssh, which is made or kept up to date where `write` is true.
        """
        path = machines_dir().absolute() / ".ssh" / machine  # no machine's name begins with a dot
        text = self._configuration(machine, host=host, port=port, host_key_alias=host_key_alias)
        if write and not (path.is_file() and path.read_text(encoding="utf-8") == text):
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomically(path, text)
        return shlex.join(["ssh", "-F", str(path), machine])

    def _configuration(self, machine: str, *, host: str, port: int, host_key_alias: str) -> str:
        """ssh_config(5) for one machine, and then the user's own, which -F would leave out."""
        lines = [f"Host {machine}", f"HostName {host}", f"Port {port}", f"User {self.user}"]
        lines += [f"UserKnownHostsFile {_file(self.known_hosts(machine))}", f"HostKeyAlias {host_key_alias}"]
        lines += [f"IdentityFile {_file(self.private_key_file)}"] if self.private_key_file else []
        lines += [f"ProxyJump {self.jump_host}"] if self.jump_host else []
        return "\n  ".join(lines) + "\nMatch all\nInclude ~/.ssh/config /etc/ssh/ssh_config\n"


def _file(path: str) -> str:
    """A file's name in ssh_config(5), where '%' begins a token."""
    absolute = path if path.startswith("~") else str(Path(path).absolute())
    return '"' + absolute.replace("%", "%%") + '"'


class LoginKeyError(Exception):
    """There is no login key for the machines on this computer: why, and what to do."""


def local_key_file() -> Path:
    """Where the login key of a stack lies whose machines are on this computer."""
    return machines_dir() / "login_key"


def local_key() -> tuple[str, str]:
    """(private key file, public key) of the login key of machines on this computer, made before the first of them.

    Another key would be another config for each machine that is there, so a lost one is not made anew.
    Raises `LoginKeyError`, also when there is no ssh-keygen.
    """
    private = local_key_file()
    public = private.with_suffix(".pub")
    if not private.exists():
        if machines := sorted(record.parent.name for record in private.parent.glob(f"*/{RECORD}")):
            raise LoginKeyError(
                f"the login key {private} is gone, which the machines {', '.join(machines)} know; another one would "
                "re-provision them. Bring it back, or set public_key (and private_key_file) to a key of yours: then "
                "they are re-provisioned as soon as somebody lets the program log in by another way"
            )
        private.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _keygen("-q", "-t", "ed25519", "-N", "", "-C", "flatcar-machines", "-f", str(private))
    if not public.exists():
        public.write_text(_keygen("-y", "-f", str(private)), encoding="utf-8")
    return str(private), public.read_text(encoding="utf-8").strip()


def _keygen(*arguments: str) -> str:
    try:
        done = subprocess.run(
            ["ssh-keygen", *arguments],
            check=True,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=for_child(),
        )
    except OSError as error:
        raise LoginKeyError(f"no login key given, and ssh-keygen could not make one: {error}") from None
    except subprocess.CalledProcessError as error:
        raise LoginKeyError(f"no login key given, and ssh-keygen failed: {error.stderr.strip()}") from None
    return done.stdout
