"""Waiting for an SSH server's greeting: servers that are slow, silent, something else, or not there."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from components.commands.ssh_session import Doorbell, SshTarget, accepted_keys


@contextmanager
def server(*greetings: bytes, delay: float = 0.0) -> Iterator[tuple[int, list[socket.socket]]]:
    """A server that sends each connection the next greeting after a while; the last one goes on."""
    listener = socket.create_server(("127.0.0.1", 0))
    seen: list[socket.socket] = []

    def greet(connection: socket.socket, greeting: bytes) -> None:
        time.sleep(delay)
        with suppress(OSError):
            connection.sendall(greeting)

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            seen.append(connection)
            greeting = greetings[min(len(seen), len(greetings)) - 1]
            threading.Thread(target=greet, args=(connection, greeting), daemon=True).start()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], seen
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
        for connection in seen:
            connection.close()


def doorbell(port: int, jump_host: str = "") -> Doorbell:
    target = SshTarget(
        host="127.0.0.1", port=port, user="core", known_hosts="", host_key_alias="x", jump_host=jump_host
    )
    return Doorbell(target)


SSH_WITHOUT_END = """\
#!/bin/sh
echo 'debug1: Server accepts key: a ED25519 SHA256:AbC agent' >&2
yes >&2 &
exec yes
"""


def test_a_machine_that_never_stops_talking_tells_its_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").write_text(SSH_WITHOUT_END)
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    target = SshTarget(host="127.0.0.1", port=22, user="core", known_hosts="", host_key_alias="x")
    assert accepted_keys(target) == {"SHA256:AbC"}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 65536  # KiB


def test_a_slow_greeting_is_heard_across_several_looks() -> None:
    with server(b"SSH-2.0-slow\r\n", delay=1.5) as (port, _), doorbell(port) as door:
        assert not door.answered(0.3)
        assert any(door.answered(0.3) for _ in range(100))


def test_an_attempt_that_is_never_answered_does_not_hide_a_later_one() -> None:
    with server(b"", b"SSH-2.0-x\r\n") as (port, _), doorbell(port) as door:
        assert any(door.answered(0.3) for _ in range(100))


def test_a_silent_server_is_not_flooded() -> None:
    with server(b"") as (port, seen):
        with doorbell(port) as door:
            assert not door.answered(4)
        assert len(seen) <= Doorbell.AT_ONCE


def test_starting_over_does_not_wait_for_attempts_that_hang() -> None:
    with server(*[b""] * Doorbell.AT_ONCE, b"SSH-2.0-x\r\n") as (port, seen), doorbell(port) as door:
        assert not door.answered(3)
        assert len(seen) == Doorbell.AT_ONCE
        door.start_over()
        assert door.answered(3)


@pytest.mark.parametrize("greeting", [b"HTTP/1.1 400\r\n", b"\0\0\0\0"])
def test_something_else_is_no_ssh_server(greeting: bytes) -> None:
    with server(greeting) as (port, _), doorbell(port) as door:
        assert not door.answered(1)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert not doorbell(port).answered(1)


def test_behind_a_jump_host_only_ssh_itself_can_look() -> None:
    assert doorbell(9, jump_host="bastion").answered(0)
