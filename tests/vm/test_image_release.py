"""Official images: downloaded from a server and signed by a key of the tests' own."""

from __future__ import annotations

import bz2
import functools
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.conftest import missing
from toolchain.image import given, release
from toolchain.steps import SetupError

IMAGE = b"a disk".ljust(1 << 16, b"\0")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Path, release.Source]]:
    """The server's folder with a signed release 1.2.3 in it, and where it is."""
    if shutil.which("gpg") is None:
        missing("gpg")
    www = tmp_path / "www"
    release_folder = www / "stable" / "1.2.3"
    release_folder.mkdir(parents=True)
    (www / "stable" / "current").mkdir()
    (www / "stable" / "current" / "version.txt").write_text("FLATCAR_BUILD=1\nFLATCAR_VERSION=1.2.3\n")
    packed = release_folder / release.FILE
    packed.write_bytes(bz2.compress(IMAGE))

    with tempfile.TemporaryDirectory(prefix="gpg-") as home:  # its agent's socket wants a short path

        def gpg(*arguments: str) -> str:
            command = ["gpg", "--homedir", home, "--batch", "--passphrase", "", "--pinentry-mode", "loopback"]
            return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout

        gpg("--quick-gen-key", "Test <test@example.com>", "ed25519", "sign", "never")
        [fingerprint] = [
            line.split(":")[9] for line in gpg("--list-keys", "--with-colons").splitlines() if line.startswith("fpr:")
        ]
        gpg("--detach-sign", str(packed))
        (www / "key.asc").write_text(gpg("--armor", "--export"))
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
    httpd = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(www)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{httpd.server_port}"
    yield www, release.Source(releases=url + "/{channel}", key=f"{url}/key.asc", fingerprint=fingerprint)
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(given, "MINIMUM_BYTES", len(IMAGE))
    made = tmp_path / "image"
    made.mkdir()
    return made


def test_a_signed_release_is_unpacked_and_not_fetched_again(server: tuple[Path, release.Source], folder: Path) -> None:
    www, source = server
    image = release.make(folder, "stable", "current", source)
    assert image.path.read_bytes() == IMAGE
    assert (image.kind, image.memory, image.format, image.description) == (
        "flatcar",
        2048,
        "raw",
        "Flatcar stable 1.2.3",
    )
    (www / "stable" / "1.2.3" / release.FILE).unlink()
    assert release.make(folder, "stable", "1.2.3", source) == image


def test_an_altered_image_is_refused_and_not_kept(server: tuple[Path, release.Source], folder: Path) -> None:
    www, source = server
    (www / "stable" / "1.2.3" / release.FILE).write_bytes(bz2.compress(IMAGE + b"!"))
    with pytest.raises(SetupError, match="not signed by"):
        release.make(folder, "stable", "1.2.3", source)
    assert list(folder.iterdir()) == []


def test_another_key_is_refused(server: tuple[Path, release.Source], folder: Path) -> None:
    _, source = server
    other = release.Source(releases=source.releases, key=source.key)
    with pytest.raises(SetupError, match="F88CFEDEFF29A5B4D9523864E25D9AED0593B34A"):
        release.make(folder, "stable", "1.2.3", other)
    assert list(folder.iterdir()) == []


def test_a_release_that_is_not_there_is_named(server: tuple[Path, release.Source], folder: Path) -> None:
    with pytest.raises(SetupError, match=r"9\.9\.9.*404"):
        release.make(folder, "stable", "9.9.9", server[1])


def test_no_way_to_the_server_is_said(folder: Path, free_port: int) -> None:
    source = release.Source(releases=f"http://127.0.0.1:{free_port}/{{channel}}")
    with pytest.raises(SetupError, match="can't be reached"):
        release.make(folder, "stable", "current", source)
