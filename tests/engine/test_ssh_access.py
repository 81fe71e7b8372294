"""Ways to a machine over SSH beside the plain one, and what is said when they lead nowhere; real OpenSSH throughout."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from components.commands.reprovision import waiting
from components.commands.reprovision.host_key import fingerprint
from components.commands.reprovision.request import NEVER_ANSWERED, NotProvenError, Progress, Request
from components.commands.ssh_session import SshTarget
from loopback.lab import Lab
from loopback.machine import LoopbackMachine, ObjectServer
from loopback.sshd import free_port, run_sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loopback.sshd import Sshd


@pytest.fixture(params=["127.0.0.1"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A machine that runs the config "a"."""
    objects, folder = tmp_path / "objects", tmp_path / "machine"
    objects.mkdir()
    folder.mkdir()
    server = ObjectServer(objects)
    with (
        server.running() as address,
        LoopbackMachine(folder, f"{address}/web.ign", address=request.param) as machine,
    ):
        lab = Lab(machine, server)
        code, _, progress = lab.run(lab.publish("a"))
        assert code == 0, progress
        yield lab


@pytest.fixture
def bastion(tmp_path: Path) -> Iterator[Sshd]:
    """A server between this computer and the machine."""
    with run_sshd(tmp_path / "bastion") as server:
        yield server


def through(lab: Lab, bastion: Sshd, *, known: bool = True, key: bool = True) -> str:
    """The jump host, after giving the client a configuration of the user's for it."""
    configure(
        lab,
        f"UserKnownHostsFile {bastion.known_hosts if known else '/dev/null'}",
        f"IdentityFile {bastion.key if key else lab.machine.key_file}",
        "IdentitiesOnly yes",
    )
    return f"{bastion.user}@{bastion.host}:{bastion.port}"


def configure(lab: Lab, *settings: str) -> None:
    """Give the client a configuration, as a user's ~/.ssh/config."""
    config = lab.machine.folder / "ssh_config"
    config.write_text("\n  ".join(["Host *", *settings, ""]))
    wrapper = lab.machine.folder / "bin/ssh"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {config} "$@"\n')
    wrapper.chmod(0o755)
    lab.environment["PATH"] = f"{wrapper.parent}:{os.environ['PATH']}"


@pytest.mark.parametrize("lab", ["::1"], indirect=True)
def test_an_ipv6_address(lab: Lab) -> None:
    code, _, progress = lab.run(lab.publish("b"))
    assert code == 0, progress
    assert "known from the console" not in progress, "it is pinned since the first run"
    assert lab.known_hosts.read_text().startswith("web-1 ssh-ed25519 ")


@pytest.mark.parametrize("noise", ["echo Welcome", "printf boot_id=a-prompt-without-an-end-of-line", "echo hi >&2"])
def test_a_login_shell_that_prints(lab: Lab, noise: str) -> None:
    lab.machine.path("/run/profile").write_text(noise + "\n")
    check = {"name": "it", "subject": "test -e /etc/only-b", "seconds": 5}
    code, outputs, progress = lab.run(lab.publish("b"), health=[check])
    assert code == 0, progress
    assert (lab.machine.boots, len(outputs["boot_id"])) == (2, 36)
    assert "Welcome" not in progress and "hi\n" not in progress


@pytest.mark.parametrize("began", [False, True])
def test_a_login_shell_that_prints_is_not_why_a_connection_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *, began: bool
) -> None:
    """As when a machine goes down: the client itself says nothing of a connection that it shares."""
    started = "head -n 2 | sh; " if began else ""  # the lines that mark the script's start
    settings = f"ForceCommand echo hi >&2; {started}sleep 0.2; kill -9 $PPID"
    with run_sshd(tmp_path / "sshd", settings=settings) as server:
        request = request_for(tmp_path, monkeypatch, server, f"IdentityFile {server.key}")
        with request.target.connection.share(), pytest.raises(NotProvenError, match=r"no session yet$"):
            waiting.await_boot(request, Progress("web"), old_boot="", config_id="c", seconds=8)
    assert "answers, but no session yet\n" in capsys.readouterr().err


def test_what_a_machine_sends_does_not_steer_the_terminal(lab: Lab) -> None:
    check = {"name": "it", "subject": "printf 'wrong\\033[2J\\a\\tplace\\n'; false", "seconds": 1}
    code, _, progress = lab.run(lab.publish("b"), health=[check])
    assert code == 1
    assert "wrong[2J" in progress and "place" in progress
    assert not set(progress) & {"\033", "\a", "\t"}


def test_an_agent_instead_of_a_key_file(lab: Lab) -> None:
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    agent = dict(word.split("=", 1) for word in started.replace(";", "\n").splitlines() if "=" in word)
    lab.environment |= {"SSH_AUTH_SOCK": agent["SSH_AUTH_SOCK"], "HOME": str(lab.machine.folder)}
    try:
        environment = {**os.environ, **lab.environment}
        subprocess.run(["ssh-add", "-q", str(lab.machine.key_file)], env=environment, check=True)
        target = {**lab.request("")["target"], "identity_file": ""}
        code, _, progress = lab.run(lab.publish("b"), target=target)
        assert code == 0, progress
    finally:
        os.kill(int(agent["SSH_AGENT_PID"]), 15)


def test_what_a_user_has_configured_for_logins_by_hand_is_left_out(lab: Lab) -> None:
    told = lab.machine.folder / "told"
    configure(
        lab,
        "ForwardAgent yes",
        "RemoteCommand uptime",
        "RequestTTY force",
        "PermitLocalCommand yes",
        f"LocalCommand touch {told}",
        f"LocalForward {free_port()} 127.0.0.1:1",
        "StrictHostKeyChecking no",
    )
    code, _, progress = lab.run(lab.publish("b"))
    assert code == 0, progress
    assert not told.exists()
    command = SshTarget(**lab.request("")["target"]).command(root=True)
    resolved = subprocess.run(
        ["ssh", "-G", *command[1:-1]],
        env={**os.environ, **lab.environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "forwardagent no\n" in resolved and "stricthostkeychecking true\n" in resolved


def test_a_jump_host(lab: Lab, bastion: Sshd) -> None:
    target = {**lab.request("")["target"], "jump_host": through(lab, bastion)}
    code, _, progress = lab.run(lab.publish("b"), target=target)
    assert code == 0, progress
    assert lab.machine.boots == 2
    assert "Accepted publickey" in bastion.log.read_text()


@pytest.mark.parametrize(
    ("known", "key", "why"), [(False, True, "Host key verification failed"), (True, False, "Permission denied")]
)
def test_a_jump_host_that_lets_nobody_through(lab: Lab, bastion: Sshd, known: bool, key: bool, why: str) -> None:
    jump_host = through(lab, bastion, known=known, key=key)
    target = {**lab.request("")["target"], "jump_host": jump_host}
    code, _, progress = lab.run(lab.publish("b"), target=target)
    assert code == 1
    assert f"the jump host {jump_host} lets nobody through from here: " in progress and why in progress
    assert "has to work without a question" in progress
    assert lab.machine.boots == 1


def test_a_jump_host_that_is_down_and_a_machine_that_is_down_behind_it(lab: Lab, bastion: Sshd) -> None:
    jump_host = through(lab, bastion)
    wanted = lab.publish("b")
    target = {**lab.request("")["target"], "jump_host": f"{bastion.host}:{free_port()}"}
    code, _, progress = lab.run(wanted, target=target, timeout=3)
    assert code == 1
    assert "last seen: no way through the jump host: ssh: connect to host" in progress
    target = {**target, "jump_host": jump_host, "port": free_port()}
    code, _, progress = lab.run(wanted, target=target, timeout=3)
    assert code == 1
    assert "last seen: no answer through the jump host" in progress


def test_a_name_that_leads_nowhere_is_told(lab: Lab) -> None:
    target = {**lab.request("")["target"], "host": "no-such-host.invalid"}
    code, _, progress = lab.run(lab.publish("b"), target=target, timeout=3)
    assert code == NEVER_ANSWERED
    assert "last seen: no answer (" in progress and "name" in progress.lower()


def test_a_host_key_of_the_stacks_config_is_known_before_the_first_connection(lab: Lab) -> None:
    key = " ".join(lab.machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])
    lab.known_hosts.unlink()  # as on another computer, without the stack's state
    lab.record = ""
    code, _, progress = lab.run(lab.publish("a"), host_key=key, console_log="")
    assert code == 0, progress
    assert lab.known_hosts.read_text() == f"web-1 {key}\n"

    other = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
    code, _, progress = lab.run(lab.publish("a"), host_key=other, console_log="")
    assert code == 1
    assert "host_key of web in the stack's config is not the SSH host key that is pinned here" in progress
    lab.known_hosts.unlink()
    code, _, progress = lab.run(lab.publish("a"), host_key=other, console_log="")
    assert code == 1
    assert "the SSH host key of 127.0.0.1 is not the pinned one" in progress


@pytest.mark.parametrize("seconds", [8, 3600])
def test_an_address_that_still_leads_to_the_machine_before(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], seconds: int
) -> None:
    """The machine is pinned as web-1, and what answers for the one that replaces it, web-2, has the same key."""
    monkeypatch.setattr(waiting, "MOVES_SECONDS", seconds)
    document = lab.request(lab.publish("b"), console_log="")
    document["target"]["host_key_alias"] = "web-2"
    request = Request.from_json(document)

    def wait(at_most: float) -> None:
        waiting.await_boot(request, Progress("web"), old_boot="", config_id=request.config_id, seconds=at_most)

    if seconds == 3600:
        with pytest.raises(NotProvenError):
            wait(6)
        assert "up on config id" not in capsys.readouterr().err
        assert "web-2" not in lab.known_hosts.read_text()
    else:
        wait(60)  # a new machine with the old one's keys, from its config
        said = capsys.readouterr().err
        assert said.index("the address still leads to the machine before") < said.index("up on config id")
        assert lab.known_hosts.read_text().count("web-2 ") == 1
    assert lab.known_hosts.read_text().startswith("web-1 ssh-ed25519 ")


REASONS = {
    "Ciphers aes128-ctr": ("Ciphers aes256-ctr", "have no algorithm in common: Unable to negotiate with"),
    "HostKeyAlgorithms ssh-ed25519": ("HostKeyAlgorithms ecdsa-sha2-nistp256", "no matching host key type found"),
    "MaxSessions 0": ("", "opens no session: "),
    "ForceCommand /usr/sbin/nologin": ("", "ended before it ran anything, with exit code 1"),
    "ForceCommand /bin/false": ("", "ended before it ran anything, with exit code 1"),
}


@pytest.mark.parametrize("settings", REASONS)
def test_why_there_is_no_session_is_told_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], settings: str
) -> None:
    """In ssh's own words, and it is not waited for to the end: it has nothing to do with how far a boot has got."""
    monkeypatch.setattr(waiting, "REFUSED_SECONDS", 1)
    client, why = REASONS[settings]
    with run_sshd(tmp_path / "sshd", settings=settings) as server:
        request = request_for(tmp_path, monkeypatch, server, f"IdentityFile {server.key}", client)
        started = time.monotonic()
        with request.target.connection.share(), pytest.raises(NotProvenError) as refusal:
            waiting.await_boot(request, Progress("web"), old_boot="", config_id="c", seconds=60)
    assert why in str(refusal.value) and refusal.value.advice
    assert time.monotonic() - started < 15
    assert "answers, but no session yet" in capsys.readouterr().err


def test_an_agent_with_nine_keys_is_told_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    agent = dict(word.split("=", 1) for word in started.replace(";", "\n").splitlines() if "=" in word)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", agent["SSH_AUTH_SOCK"])
        for number in range(9):
            key = tmp_path / f"key{number}"
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
            subprocess.run(["ssh-add", "-q", str(key)], check=True)
        with run_sshd(tmp_path / "sshd") as server:
            request = request_for(tmp_path, monkeypatch, server, "IdentityFile none")
            begun = time.monotonic()
            with pytest.raises(NotProvenError, match="Too many authentication failures"):
                waiting.await_boot(request, Progress("web"), old_boot="", config_id="c", seconds=120)
            seconds = time.monotonic() - begun
            print(f"told after {seconds:.0f} s")
            assert seconds < 20
    finally:
        os.kill(int(agent["SSH_AGENT_PID"]), 15)


def request_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, server: Sshd, *settings: str) -> Request:
    """A request about a machine that is a bare server, with a client configuration of the user's."""
    lab = Lab(LoopbackMachine(tmp_path / "machine", "http://127.0.0.1:1/"), ObjectServer(tmp_path))
    configure(lab, *filter(None, settings))
    monkeypatch.setenv("PATH", lab.environment["PATH"])
    document = lab.request("", console_log="")
    target = {"port": server.port, "identity_file": "", "known_hosts": str(tmp_path / "pins")}
    return Request.from_json({**document, "target": {**document["target"], **target}})


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa"])
def test_a_machine_that_was_proven_is_known_on_another_computer(lab: Lab, tmp_path: Path, kind: str) -> None:
    """Someone in between has a key of the same type, or of another one, and what would open the session."""
    key = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-f", str(key)], check=True)
    settings = f"HostKey {key}\nHostKeyAlgorithms {'ssh-ed25519' if kind == 'ed25519' else 'ecdsa-sha2-nistp256'}"
    pinned = lab.known_hosts.read_text()
    lab.known_hosts.unlink()  # as on another computer
    with run_sshd(tmp_path / "between", settings=settings) as between:
        target = {**lab.request("")["target"], "port": between.port, "identity_file": str(between.key)}
        code, _, progress = lab.run(lab.publish("b"), target=target, console_log="", timeout=10)
        assert code == 1
        assert "the SSH host key of 127.0.0.1 is not the pinned one" in progress
        assert "Accepted" not in between.log.read_text(), "nothing was sent"
    assert lab.known_hosts.read_text() == pinned

    other = key.with_suffix(".pub").read_text().split()
    lab.known_hosts.write_text(f"web-1 {other[0]} {other[1]}\n")
    code, _, progress = lab.run(lab.publish("b"), console_log="", timeout=10)
    assert code == 1
    assert "the SSH host key that is pinned here for web, SHA256:" in progress
    assert "is not that of its last proof, SHA256:" in progress


def test_the_first_contact_is_told(lab: Lab) -> None:
    lab.known_hosts.unlink()
    lab.record = ""
    code, _, progress = lab.run(lab.publish("b"), console_log="")
    assert code == 0, progress
    key = lab.machine.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text()
    told = f"first contact: trusting the SSH host key {fingerprint(key)} of web; compare it with its console"
    assert progress.count(told) == 1
    code, _, progress = lab.run(lab.publish("a"), console_log="")
    assert code == 0 and "first contact" not in progress
