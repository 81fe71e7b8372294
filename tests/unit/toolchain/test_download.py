"""Downloads: small files in time or not at all, archives with their digests, Pulumi's signature."""

from __future__ import annotations

import hashlib
import http.server
import io
import os
import socket
import tarfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from loopback.serving import serving_thread
from toolchain import download, steps

SUMS = b"aa  pulumi-v1.2.3-linux-x64.tar.gz\nbb  pulumi-v1.2.3-linux-arm64.tar.gz\n"


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """What a server in the place of Pulumi's serves, by path."""
    served: dict[str, bytes] = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = served.get(self.path)
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *_: object) -> None:
            pass

    download.checksums.cache_clear()
    with serving_thread(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        monkeypatch.setattr(download, "RELEASES", f"http://127.0.0.1:{port}")
        yield served
    download.checksums.cache_clear()


def cosign(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program of this name first on PATH; "" for none."""
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    if script:
        (folder / "cosign").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "cosign").chmod(0o755)


def test_a_server_that_never_answers_is_out_of_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/version.txt"
        with pytest.raises(download.OutOfReachError, match=r"version\.txt: (no answer within|timed out)"):
            download.get(url, seconds=0.3)


def test_a_proxy_is_used_and_one_that_refuses_is_named(
    files: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", download.RELEASES)
    monkeypatch.setattr(urllib.request, "_opener", None)  # it reads the environment once
    files["http://releases.invalid/version.txt"] = b"by the proxy"
    assert download.get("http://releases.invalid/version.txt") == b"by the proxy"
    with pytest.raises(download.OutOfReachError, match="404"):
        download.get("http://releases.invalid/other")


def test_a_name_that_nobody_knows_is_out_of_reach() -> None:
    with pytest.raises(download.OutOfReachError, match=r"releases\.invalid"):
        download.get("http://releases.invalid/version.txt")


def test_checksums_without_cosign_are_believed_and_that_is_said(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cosign(tmp_path / "bin", monkeypatch, "")
    files["/pulumi-1.2.3-checksums.txt"] = SUMS
    assert download.checksums("1.2.3")["pulumi-v1.2.3-linux-x64.tar.gz"] == "aa"
    assert "no cosign here" in capsys.readouterr().err


def test_checksums_are_verified_by_cosign(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = tmp_path / "seen"
    script = f'printf \'%s\\n\' "$@" >{seen}; cat "${{2#--bundle=}}" "$5" >>{seen}'
    cosign(tmp_path / "bin", monkeypatch, script)
    files["/pulumi-1.2.3-checksums.txt"] = SUMS
    files["/pulumi-1.2.3-checksums.txt.sig"] = b"a bundle\n"
    assert len(download.checksums("1.2.3")) == 2
    said = seen.read_text()
    assert said.startswith("verify-blob\n--bundle=") and said.endswith(f"a bundle\n{SUMS.decode()}")
    assert "identity-regexp=^https://github\\.com/pulumi/pulumi/\\.github/workflows/\n" in said


def test_checksums_with_a_wrong_signature_are_refused(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cosign(tmp_path / "bin", monkeypatch, "echo no matching signatures >&2; exit 1")
    files["/pulumi-1.2.3-checksums.txt"] = SUMS
    files["/pulumi-1.2.3-checksums.txt.sig"] = b"a bundle\n"
    with pytest.raises(steps.SetupError, match="is not signed by Pulumi's release workflow:\nno matching signatures"):
        download.checksums("1.2.3")


def test_checksums_without_a_signature_are_believed_and_that_is_said(
    files: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cosign(tmp_path / "bin", monkeypatch, "exit 1")
    files["/pulumi-1.2.3-checksums.txt"] = SUMS
    assert len(download.checksums("1.2.3")) == 2
    assert "have no signature to check" in capsys.readouterr().err


def test_download_with_another_digest_leaves_nothing(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"content")
    right = hashlib.sha256(b"content").hexdigest()
    with pytest.raises(steps.SetupError, match="SHA-256"):
        download.fetch(source.as_uri(), "0" * 64, target)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    download.fetch(source.as_uri(), right, target)
    assert target.read_bytes() == b"content"


def test_release_is_unpacked_flat_and_runnable(tmp_path: Path) -> None:
    archive = tmp_path / "release.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for name in ("pulumi/pulumi", "pulumi/pulumi-language-python", "pulumi/../../escape", "pulumi/README"):
            info = tarfile.TarInfo(name)
            info.size = 4
            tar.addfile(info, io.BytesIO(b"code"))
    folder = tmp_path / "bin"
    folder.mkdir()
    download.unpack(archive, folder)
    assert sorted(path.name for path in folder.iterdir()) == ["pulumi", "pulumi-language-python"]
    assert os.access(folder / "pulumi", os.X_OK)
