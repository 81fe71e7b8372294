"""What a person types to log in, and the file for ssh that it names."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from components.settings.ssh import SshSettings

ALL = SshSettings(user="me", private_key_file="100%/key", jump_host="you@jump:2200")
TEXT = """\
Host web
  HostName 192.0.2.1
  Port 2222
  User me
  UserKnownHostsFile "FOLDER/stack/known_hosts/web"
  HostKeyAlias web-1
  IdentityFile "HERE/100%%/key"
  ProxyJump you@jump:2200
Match all
Include ~/.ssh/config /etc/ssh/ssh_config
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MACHINES_DIR", str(tmp_path))
    monkeypatch.setattr("pulumi.get_stack", lambda: "stack")
    return tmp_path


def command(ssh: SshSettings, *, write: bool = True, port: int = 2222) -> str:
    return ssh.command("web", host="192.0.2.1", port=port, host_key_alias="web-1", write=write)


def test_the_command_is_short_and_the_rest_is_in_a_file(folder: Path) -> None:
    path = folder / "stack" / ".ssh" / "web"
    assert shlex.split(command(ALL)) == ["ssh", "-F", str(path), "web"]
    assert path.read_text() == TEXT.replace("FOLDER", str(folder)).replace("HERE", str(Path.cwd()))
    assert path.stat().st_mode & 0o077 == 0
    command(ALL, port=22)
    assert "  Port 22\n" in path.read_text()


def test_a_preview_writes_nothing(folder: Path) -> None:
    assert command(SshSettings(), write=False).endswith(" web")
    assert list(folder.iterdir()) == []


def test_a_key_in_the_home_folder_is_left_to_ssh(folder: Path) -> None:
    command(SshSettings(private_key_file="~/.ssh/id"))
    assert '  IdentityFile "~/.ssh/id"\n' in (folder / "stack" / ".ssh" / "web").read_text()
