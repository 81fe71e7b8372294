"""What a machine in QEMU is served over HTTP, asked as a connection of its guest asks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from components.commands.qemu import serve

CONTENT = bytes(range(256)) * 300


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    served = tmp_path / "a, folder"
    served.mkdir()
    (served / "config.ign").write_bytes(CONTENT)
    (tmp_path / "another.ign").write_text("of another machine")
    return served


def ask(folder: Path, request: bytes) -> tuple[bytes, bytes]:
    """The answer's head and its body."""
    command = [sys.executable, "-I", "-S", str(serve.__file__), str(folder)]
    done = subprocess.run(command, input=request, capture_output=True, check=True)
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    return head, body


def test_a_file_is_served_whole(folder: Path) -> None:
    head, body = ask(folder, b"GET /config.ign HTTP/1.1\r\nHost: 10.0.2.4\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"Content-Length: %d\r\n" % len(CONTENT) in head
    assert body == CONTENT
    assert ask(folder, b"HEAD /config.ign HTTP/1.1\r\n\r\n") == (head, b"")


def test_what_is_known_already_is_not_sent_again(folder: Path) -> None:
    head, _ = ask(folder, b"GET /config.ign HTTP/1.1\r\n\r\n")
    etag = head.partition(b"ETag: ")[2].split()[0]
    head, body = ask(folder, b"GET /config.ign HTTP/1.1\r\nif-none-match: " + etag + b"\r\n\r\n")
    assert (head.splitlines()[0], body) == (b"HTTP/1.1 304 Not Modified", b"")
    (folder / "config.ign").write_text("new")
    assert ask(folder, b"GET /config.ign HTTP/1.1\r\nIf-None-Match: " + etag + b"\r\n\r\n")[1] == b"new"


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /other.ign HTTP/1.1", b"404"),
        (b"GET /../another.ign HTTP/1.1", b"400"),
        (b"GET /%2e%2e/another.ign HTTP/1.1", b"400"),
        (b"GET / HTTP/1.1", b"400"),
        (b"PUT /config.ign HTTP/1.1", b"400"),
        (b"nonsense", b"400"),
        (b"GET /folder HTTP/1.1", b"503"),
    ],
)
def test_nothing_else_is_served(folder: Path, request_line: bytes, status: bytes) -> None:
    (folder / "folder").mkdir()
    head, body = ask(folder, request_line + b"\r\n\r\n")
    assert (head.split()[1], body) == (status, b"")


def test_a_connection_that_says_nothing_gets_nothing(folder: Path) -> None:
    assert ask(folder, b"") == (b"", b"")
