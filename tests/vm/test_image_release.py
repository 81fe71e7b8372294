"""Official images: downloaded from a server on this computer, with a release's files, signed by a key of the tests."""

from __future__ import annotations

import bz2
import http.server
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from loopback.serving import serving_thread
from tests.conftest import missing
from tests.vm.machines import base_image, needs_image, needs_the_stand_in
from toolchain import download, places
from toolchain.image import given, release, stand_in
from toolchain.steps import SetupError

ROOT = Path(__file__).parents[2]
VERSION = "4593.2.1"
PART = 8 << 20
"""Bytes in a bzip2 stream; a file may have many, as when several processors pack it."""
IMAGE = b"a disk".ljust(1 << 20, b"\0")
VERSION_TXT = """\
FLATCAR_BUILD={0}
FLATCAR_BRANCH={1}
FLATCAR_PATCH={2}
FLATCAR_VERSION={0}.{1}.{2}
FLATCAR_VERSION_ID={0}.{1}.{2}
FLATCAR_BUILD_ID="2026-11-02-1200"
FLATCAR_SDK_VERSION={0}.0.0
"""


class Key:
    """A signing key as Flatcar's: a primary one that certifies, and one to sign with for each test's purpose."""

    def __init__(self, home: str) -> None:
        self.home = home
        self.gpg("--quick-gen-key", "Test <test@example.com>", "ed25519", "cert", "never")
        self.fingerprint = self.fingerprints()[0]
        self.good = self.add("never")

    def gpg(self, *arguments: str, stdin: bytes = b"") -> bytes:
        command = ["gpg", "--homedir", self.home, "--batch", "--passphrase", "", "--pinentry-mode", "loopback"]
        return subprocess.run([*command, *arguments], check=True, capture_output=True, input=stdin).stdout

    def fingerprints(self) -> list[str]:
        lines = self.gpg("--list-keys", "--with-colons").decode().splitlines()
        return [line.split(":")[9] for line in lines if line.startswith("fpr:")]

    def add(self, expires: str) -> str:
        """Another key to sign with; its fingerprint."""
        self.gpg("--quick-add-key", self.fingerprint, "ed25519", "sign", expires)
        return self.fingerprints()[-1]

    def revoke(self, number: int) -> None:
        """Revoke the signing key of this number, the first is 1."""
        answers = f"key {number}\nrevkey\ny\n0\n\ny\nsave\n".encode()
        command = ["gpg", "--homedir", self.home, "--no-tty", "--command-fd", "0", "--passphrase", ""]
        command += ["--pinentry-mode", "loopback", "--edit-key", self.fingerprint]
        subprocess.run(command, check=True, capture_output=True, input=answers)

    def sign(self, file: Path, by: str, *options: str) -> None:
        """Write FILE.sig."""
        Path(f"{file}.sig").unlink(missing_ok=True)
        self.gpg(*options, "--local-user", f"{by}!", "--output", f"{file}.sig", "--detach-sign", str(file))


@dataclass(kw_only=True)
class Server:
    """A release server: its folder, what was asked of it, and how it misbehaves."""

    www: Path
    key: Key
    port: int = 0
    asked: list[str] = field(default_factory=list)
    """Path and, after a space, the range, of each request."""
    cut: int = 0
    """Bytes after which a connection that serves an image breaks; 0 for never."""

    def publish(self, version: str, image: bytes) -> Path:
        """Make a release the newest one; its packed image."""
        board = self.www / "amd64-usr"
        (board / version).mkdir(parents=True)
        (board / "current").mkdir(exist_ok=True)
        (board / "current" / "version.txt").write_text(VERSION_TXT.format(*version.split(".")))
        packed = board / version / "flatcar_production_qemu_image.img.bz2"
        parts = [image[start : start + PART] for start in range(0, len(image), PART)]
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            packed.write_bytes(b"".join(pool.map(bz2.compress, parts)))
        self.sign(packed, self.key.good)
        return packed

    def sign(self, packed: Path, by: str, *options: str) -> None:
        """Sign an image and publish the key."""
        self.key.sign(packed, by, *options)
        self.publish_key()

    def publish_key(self) -> None:
        """Publish the key as it is now."""
        (self.www / "key.asc").write_bytes(self.key.gpg("--armor", "--export"))

    @property
    def source(self) -> release.Source:
        """The server as the program knows it."""
        url = f"http://127.0.0.1:{self.port}"
        return release.Source(releases=url, key=f"{url}/key.asc", fingerprint=self.key.fingerprint)


def handler(server: Server) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            server.asked.append(f"{self.path} {wanted}".strip())
            file = server.www / self.path.lstrip("/")
            if not file.is_file():
                self.send_error(404)
                return
            content, start = file.read_bytes(), 0
            if wanted:
                start = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if start >= len(content):
                    self.send_error(416)
                    return
            self.send_response(206 if wanted else 200)
            if wanted:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            end = start + server.cut if server.cut and file.suffix == ".bz2" else len(content)
            self.wfile.write(content[start:end])

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    if shutil.which("gpg") is None:
        missing("gpg")
    (tmp_path / "www").mkdir()
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:  # its agent's socket wants a short path
        try:
            made = Server(www=tmp_path / "www", key=Key(home))
            with serving_thread(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler(made))) as made.port:
                yield made
        finally:
            subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)


@pytest.fixture
def packed(server: Server) -> Path:
    """The packed image of the release VERSION on the server."""
    return server.publish(VERSION, os.urandom(1 << 20) + IMAGE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(given, "MINIMUM_BYTES", len(IMAGE))
    made = tmp_path / "image"
    made.mkdir()
    return made


def make(folder: Path, server: Server) -> Path:
    return release.make(folder, "stable", VERSION, server.source).path


def content_of(packed: Path) -> bytes:
    return bz2.decompress(packed.read_bytes())


def test_the_newest_release_is_named_by_the_server(server: Server, packed: Path) -> None:
    assert release.newest("stable", server.source) == VERSION


def test_a_signed_release_is_unpacked_and_not_fetched_again(server: Server, packed: Path, folder: Path) -> None:
    image = release.make(folder, "stable", VERSION, server.source)
    assert image.path.read_bytes() == content_of(packed)
    assert (image.kind, image.memory, image.format, image.description) == (
        "flatcar", 2048, "raw", f"Flatcar {VERSION} (stable)",
    )  # fmt: skip
    assert [path.name for path in folder.iterdir()] == [f"flatcar-{VERSION}"]
    server.asked.clear()
    assert release.make(folder, "stable", VERSION, server.source) == image
    assert server.asked == []


def test_a_download_that_breaks_off_goes_on_from_there(server: Server, packed: Path, folder: Path) -> None:
    server.cut = packed.stat().st_size // 3 + 1
    assert make(folder, server).read_bytes() == content_of(packed)
    ranges = [line.partition(" ")[2] for line in server.asked if ".bz2" in line and ".sig" not in line]
    assert ranges == ["", *(f"bytes={n * server.cut}-" for n in range(1, 3))]


def test_the_next_run_goes_on_too(server: Server, packed: Path, folder: Path) -> None:
    left = folder / f".flatcar-{VERSION}.img.bz2"
    left.write_bytes(packed.read_bytes()[:1000])
    make(folder, server)
    assert f"/amd64-usr/{VERSION}/{release.FILE} bytes=1000-" in server.asked
    assert not left.exists()


def test_what_is_left_of_another_file_is_thrown_away(server: Server, packed: Path, folder: Path) -> None:
    for left in (b"another file", packed.read_bytes() + b"more"):
        (folder / f".flatcar-{VERSION}.img.bz2").write_bytes(left)
        image = make(folder, server)
        assert image.read_bytes() == content_of(packed)
        shutil.rmtree(image.parent)


def test_an_image_that_breaks_off_for_good_is_an_error(
    server: Server, packed: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "sleep", lambda _: None)
    whole = packed.read_bytes()

    class Breaking(handler(server)):  # type: ignore[misc]
        def do_GET(self) -> None:  # noqa: N802 # the base's name
            server.cut = 1000 if not self.headers.get("Range") else 1
            if self.headers.get("Range", "") > "bytes=1001":
                self.connection.close()
                return
            super().do_GET()

    with (
        serving_thread(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Breaking)) as server.port,
        pytest.raises(SetupError, match="broke off") as caught,
    ):
        make(folder, server)
    assert not isinstance(caught.value, download.OutOfReachError)
    left = folder / f".flatcar-{VERSION}.img.bz2"
    assert left.read_bytes() == whole[:1001]


def refused(server: Server, folder: Path) -> str:
    """Why the image is refused; nothing of it is kept, and it isn't taken for out of reach."""
    with pytest.raises(SetupError) as caught:
        make(folder, server)
    assert not isinstance(caught.value, download.OutOfReachError)
    assert list(folder.iterdir()) == []
    return str(caught.value)


def test_an_altered_image_is_refused_and_not_kept(server: Server, packed: Path, folder: Path) -> None:
    packed.write_bytes(bz2.compress(IMAGE + b"!"))
    assert "it is not what was signed" in refused(server, folder)


def test_a_signature_by_an_expired_key_is_refused(server: Server, packed: Path, folder: Path) -> None:
    server.sign(packed, server.key.add("seconds=2"))
    time.sleep(3)
    assert "the key that signed it has expired" in refused(server, folder)


def test_an_expired_signature_is_refused(server: Server, packed: Path, folder: Path) -> None:
    server.sign(packed, server.key.good, "--default-sig-expire", "seconds=1")
    time.sleep(2)
    assert "the signature has expired" in refused(server, folder)


def test_a_signature_by_a_revoked_key_is_refused(server: Server, packed: Path, folder: Path) -> None:
    server.sign(packed, server.key.add("never"))
    server.key.revoke(2)
    server.publish_key()
    assert "the key that signed it is revoked" in refused(server, folder)


def test_another_key_is_refused(server: Server, packed: Path, folder: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        other = Key(home)
        other.sign(packed, other.good)
        subprocess.run(["gpgconf", "--homedir", home, "--kill", "all"], check=False, capture_output=True)
    assert "another key signed it" in refused(server, folder)


def test_a_key_of_another_fingerprint_is_refused(server: Server, packed: Path, folder: Path) -> None:
    source = release.Source(releases=server.source.releases, key=server.source.key)
    with pytest.raises(SetupError, match="F88CFEDEFF29A5B4D9523864E25D9AED0593B34A"):
        release.make(folder, "stable", VERSION, source)
    assert not any(release.FILE in line and ".sig" not in line for line in server.asked)


def test_what_is_no_signature_is_refused(server: Server, packed: Path, folder: Path) -> None:
    Path(f"{packed}.sig").write_text("<html>Log in to this network</html>")
    assert "its .sig is no signature" in refused(server, folder)


def test_a_full_disk_is_told_and_what_came_is_kept(server: Server, packed: Path, folder: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from toolchain.image import release\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\n"
        f"release.make(Path(sys.argv[1]), 'stable', {VERSION!r}, release.Source.chosen())\n"
    )
    key = folder.parent / "key.asc"
    key.write_bytes(server.key.gpg("--export"))
    names = {"FLATCAR_RELEASES": server.source.releases, "FLATCAR_IMAGE_KEY": str(key)}
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        cwd=ROOT, env={**os.environ, **names}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert f".flatcar-{VERSION}.img.bz2 can't be written: File too large" in done.stderr
    assert (folder / f".flatcar-{VERSION}.img.bz2").read_bytes() == packed.read_bytes()[:300_000]
    make(folder, server)
    assert f"/amd64-usr/{VERSION}/{release.FILE} bytes=300000-" in server.asked


def test_a_release_that_is_not_there_is_out_of_reach(server: Server, folder: Path) -> None:
    with pytest.raises(download.OutOfReachError, match=r"9\.9\.9.*404"):
        release.make(folder, "stable", "9.9.9", server.source)


def test_an_answer_that_is_no_version_is_an_error(server: Server, packed: Path) -> None:
    (server.www / "amd64-usr/current/version.txt").write_text("FLATCAR_VERSION=../../../etc")
    with pytest.raises(SetupError, match="names no version") as caught:
        release.newest("stable", server.source)
    assert not isinstance(caught.value, download.OutOfReachError)


# --- what set-up makes of a stack's setting


@dataclass(frozen=True, kw_only=True)
class Computer:
    """A checkout of its own, with all that set-up makes but Flatcar's images."""

    checkout: Path
    environment: dict[str, str]

    @property
    def images(self) -> Path:
        """Set-up's folder of images."""
        return Path(self.environment["TOOLCHAIN_DIR"], "image")

    @property
    def settings(self) -> Path:
        """The stack's config."""
        return self.checkout / "stacks" / "Pulumi.local.yaml"

    def run(self, *arguments: str, code: int = 0) -> str:
        """Run Python in the checkout; what it says."""
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=self.checkout, env=self.environment, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert done.returncode == code, done.stdout
        return done.stdout

    def set_up(self, code: int = 0) -> str:
        """Set up the stack `local`; what it says."""
        return self.run("-c", SET_UP, code=code)

    def choose(self, image: str) -> None:
        """Make this the setting `flatcar:image`, and the only one; "" for none."""
        text = (ROOT / "stacks" / self.settings.name).read_text()
        self.settings.write_text(text + (f"  flatcar:image: {image}\n" if image else ""))

    def chosen(self) -> str:
        """The setting `flatcar:image`, "" for none."""
        match = re.search(r"^  flatcar:image: (.+)$", self.settings.read_text(), re.MULTILINE)
        return match[1] if match else ""


SET_UP = """\
import sys
from toolchain import stack
from toolchain.steps import SetupError
try:
    stack.set_up("local")
except SetupError as error:
    sys.exit(f"error: {error}")
"""


@pytest.fixture
def computer(tmp_path: Path, server: Server) -> Computer:
    needs_the_stand_in()
    checkout, toolchain = tmp_path / "checkout", tmp_path / "toolchain"
    for name in ("cl", "components", "toolchain", "stacks"):
        shutil.copytree(ROOT / name, checkout / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Pulumi.yaml", "__main__.py"):
        shutil.copyfile(ROOT / name, checkout / name)
    (checkout / ".venv").symlink_to(places.VENV)
    for name in ("bin", "stamps", "image/parts", f"image/{base_image()[0].parent.name}"):
        if (places.TOOLCHAIN / name).exists():
            (toolchain / name).parent.mkdir(parents=True, exist_ok=True)
            (toolchain / name).symlink_to(places.TOOLCHAIN / name)
    key = tmp_path / "key.asc"
    key.write_bytes(server.key.gpg("--export"))
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("PULUMI_", "MACHINES_"))}
    names = {
        "TOOLCHAIN_DIR": str(toolchain),
        "PULUMI_HOME": str(places.PULUMI_HOME),
        "FLATCAR_RELEASES": f"http://127.0.0.1:{server.port}",
        "FLATCAR_IMAGE_KEY": str(key),
    }
    return Computer(checkout=checkout, environment={**keep, **names})


@pytest.fixture
def disk(tmp_path: Path) -> bytes:
    """An empty disk that is large enough to be Flatcar's."""
    path = tmp_path / "disk.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(path), "4G"], check=True)
    return path.read_bytes()


def test_the_newest_release_is_pinned_and_a_newer_one_changes_nothing(
    server: Server, computer: Computer, disk: bytes
) -> None:
    server.publish(VERSION, disk)
    before = computer.settings.read_text()
    said = computer.set_up()
    assert f"stacks/Pulumi.local.yaml: flatcar:image is {VERSION} from now on" in said and "STAND-IN" not in said
    assert [line for line in said.splitlines() if "Flatcar" in line and len(line) > 80] == []
    line = f"  flatcar:image: {VERSION}\n"
    assert computer.settings.read_text() == before.replace("config:\n", f"config:\n{line}")
    described = json.loads((computer.images / f"{VERSION}.json").read_text())
    assert Path(described["path"]).read_bytes() == disk and described["memory"] == 2048
    server.asked.clear()
    server.publish("4600.2.0", disk)
    computer.set_up()
    assert server.asked == [] and computer.chosen() == VERSION
    computer.choose("stable")
    computer.set_up()
    assert computer.chosen() == "4600.2.0"


def test_without_a_network_it_is_the_stand_in_and_said(computer: Computer, free_port: int) -> None:
    computer.environment["FLATCAR_RELEASES"] = f"http://127.0.0.1:{free_port}"
    said = computer.set_up()
    assert "STAND-IN: Flatcar can't be had" in said and "Connection refused" in said
    assert computer.chosen() == ""
    assert json.loads((computer.images / "image.json").read_text())["kind"] == "stand-in"


def test_a_release_without_an_image_is_the_stand_in_and_said(server: Server, computer: Computer, disk: bytes) -> None:
    server.publish(VERSION, disk).unlink()
    said = computer.set_up()
    assert "STAND-IN: Flatcar can't be had" in said and f"{VERSION}/{release.FILE}: HTTP Error 404" in said
    assert computer.chosen() == ""


def test_a_forged_release_is_an_error_and_no_stand_in(server: Server, computer: Computer, disk: bytes) -> None:
    packed = server.publish(VERSION, disk)
    packed.write_bytes(packed.read_bytes() + b"!")
    said = computer.set_up(code=1)
    assert "it is not what was signed" in said and "STAND-IN" not in said
    assert computer.chosen() == "" and not (computer.images / "image.json").exists()


def test_machines_on_the_stand_in_keep_it(server: Server, computer: Computer, disk: bytes) -> None:
    server.publish(VERSION, disk)
    machine = computer.checkout / ".machines" / "local" / "web"
    machine.mkdir(parents=True)
    (machine / "machine.json").write_text(json.dumps({"image": str(base_image()[0])}))
    assert "STAND-IN: this stack's machines run" in computer.set_up()
    assert computer.chosen() == "" and server.asked == []


def test_a_pin_that_was_lost_comes_from_the_machines(server: Server, computer: Computer, disk: bytes) -> None:
    server.publish(VERSION, disk)
    computer.set_up()
    machine = computer.checkout / ".machines" / "local" / "web"
    machine.mkdir(parents=True)
    image = json.loads((computer.images / f"{VERSION}.json").read_text())["path"]
    (machine / "machine.json").write_text(json.dumps({"image": image}))
    server.publish("4600.2.0", disk)
    computer.choose("")
    computer.set_up()
    assert computer.chosen() == VERSION


def test_an_image_chosen_by_hand_is_not_overwritten(server: Server, computer: Computer, disk: bytes) -> None:
    server.publish(VERSION, disk)
    computer.run("-m", "toolchain.image", "--channel", "stable")
    described = (computer.images / "image.json").read_text()
    server.asked.clear()
    assert f"machine image: Flatcar {VERSION} (stable), as" in computer.set_up()
    assert (computer.images / "image.json").read_text() == described
    assert computer.chosen() == "" and server.asked == []


def test_a_version_that_was_asked_for_is_no_stand_in(computer: Computer) -> None:
    computer.choose(VERSION)
    said = computer.set_up(code=1)
    assert f"flatcar:image is {VERSION}, which can't be had" in said and "STAND-IN" not in said
    assert f"{VERSION}/{release.FILE}.sig: HTTP Error 404" in said


def test_the_stand_in_can_be_asked_for(server: Server, computer: Computer) -> None:
    computer.choose("stand-in")
    assert "STAND-IN" not in computer.set_up()
    assert json.loads((computer.images / "stand-in.json").read_text())["kind"] == "stand-in"
    assert server.asked == []


@needs_image
@pytest.mark.slow
def test_make_up_ends_with_a_machine_of_the_release(server: Server, computer: Computer) -> None:
    """The stand-in's disk is published as a release of the version that it calls itself by."""
    server.publish(stand_in.VERSION, base_image()[0].read_bytes())
    up = ("-m", "toolchain", "up", "--yes", "--stack", "local", "--")
    try:
        said = computer.run(*up)
        print(said)
        assert "project's own image" not in said and computer.chosen() == stand_in.VERSION
        record = json.loads((computer.checkout / ".machines/local/web/machine.json").read_text())
        assert Path(record["image"]).parent.name == f"flatcar-{stand_in.VERSION}"
        ssh = ["ssh", "-F", "none", "-i", ".machines/local/login_key", "-p", str(record["ssh_port"])]
        ssh += ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "core@127.0.0.1"]
        release_of = subprocess.run(
            [*ssh, "grep ^VERSION_ID= /etc/os-release"],
            cwd=computer.checkout, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        assert release_of == f"VERSION_ID={stand_in.VERSION}\n"
        server.asked.clear()
        assert "unchanged" in computer.run(*up)
        assert server.asked == []
    finally:
        print(computer.run("-m", "toolchain", "destroy", "--yes", "--stack", "local", "--"))
