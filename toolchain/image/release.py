"""An official Flatcar image: downloaded, its signature checked against Flatcar's image signing key, unpacked.

The key itself is downloaded too; it counts because its fingerprint is the one below, which the installer of Flatcar
(flatcar/init, `bin/flatcar-install`) names. Not tried against the release server yet: no computer with a way there was
at hand. The tests go through all of it with a server and a key of their own.
"""

from __future__ import annotations

import bz2
import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from toolchain.image import given
from toolchain.image.description import Image
from toolchain.steps import SetupError, step

CHANNELS = ("stable", "beta", "alpha", "lts")
FILE = "flatcar_production_qemu_image.img.bz2"
TIMEOUT = 5.0  # seconds without an answer after which this computer counts as offline


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where releases come from (`{channel}` is filled in) and the fingerprint of the key that signs them."""

    releases: str = "https://{channel}.release.flatcar-linux.net/amd64-usr"
    key: str = "https://www.flatcar.org/security/image-signing-key/Flatcar_Image_Signing_Key.asc"
    fingerprint: str = "F88CFEDEFF29A5B4D9523864E25D9AED0593B34A"


def make(folder: Path, channel: str, version: str, source: Source | None = None) -> Image:
    """The image of a release below `folder`, downloaded unless it is there. `version` may be "current".

    Raises SetupError: offline, no such release, gpg missing, wrong key, wrong signature. Nothing that was not checked
    stays behind.
    """
    source = source or Source()
    base = f"{source.releases.format(channel=channel)}/{version}"
    if version == "current":
        version = _version(_get(f"{base}/version.txt").decode())
        base = f"{source.releases.format(channel=channel)}/{version}"
    final = folder / f"flatcar-{channel}-{version}"
    image = final / FILE.removesuffix(".bz2")
    if not image.exists():
        if shutil.which("gpg") is None:
            raise SetupError("gpg is not installed: the image's signature can't be checked", "install the package gpg")
        work = Path(tempfile.mkdtemp(prefix=".work-", dir=folder))
        try:
            with step(f"downloading Flatcar {channel} {version}"):
                for suffix in (".sig", ""):
                    _download(f"{base}/{FILE}{suffix}", work / f"{FILE}{suffix}")
                (work / "key.asc").write_bytes(_get(source.key))
            _check_signature(work, source.fingerprint)
            with step("unpacking it"), bz2.open(work / FILE) as packed, (work / image.name).open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked, 1 << 20)
            final.mkdir(exist_ok=True)
            (work / image.name).replace(image)
        except EOFError as broken:
            raise SetupError(f"{base}/{FILE} is cut short", "try again") from broken
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return given.describe(image, f"Flatcar {channel} {version}")


def _version(text: str) -> str:
    """FLATCAR_VERSION of a version.txt."""
    for line in text.splitlines():
        name, _, value = line.partition("=")
        if name == "FLATCAR_VERSION":
            return value.strip().strip('"')
    raise SetupError("the release server's version.txt names no FLATCAR_VERSION", "name one with --version")


def _get(url: str) -> bytes:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310 # https, from Source
            content: bytes = response.read()
            return content
    except urllib.error.HTTPError as error:
        raise SetupError(f"{url}: {error}", "is there such a channel and version?") from error
    except OSError as error:
        raise SetupError(f"{url} can't be reached: {error}", "go without --channel, or give --image PATH") from error


def _download(url: str, target: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, target.open("wb") as stream:  # noqa: S310 # as above
            shutil.copyfileobj(response, stream, 1 << 20)
    except urllib.error.HTTPError as error:
        raise SetupError(f"{url}: {error}", "is there such a channel and version?") from error
    except OSError as error:
        raise SetupError(f"{url}: download failed: {error}", "try again, or give --image PATH") from error


def _check_signature(work: Path, fingerprint: str) -> None:
    """Raise SetupError unless FILE in `work` is signed by the key with this (primary) fingerprint."""
    # gpg looks for its agent's socket beside the keys, also where it must not start one: that wants a short path.
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        gpg = ["gpg", "--homedir", home, "--batch", "--no-autostart", "--status-fd", "1"]
        imported = subprocess.run(
            [*gpg, "--import", str(work / "key.asc")], capture_output=True, text=True, check=False
        )
        if imported.returncode:
            raise SetupError(f"the image signing key can't be read: {imported.stderr.strip()}")
        verified = subprocess.run(
            [*gpg, "--verify", str(work / f"{FILE}.sig"), str(work / FILE)], capture_output=True, text=True, check=False
        )
    # [GNUPG:] VALIDSIG <fingerprint of the signing subkey> … <fingerprint of the primary key>
    signers = [line.split()[-1] for line in verified.stdout.splitlines() if line.startswith("[GNUPG:] VALIDSIG ")]
    if verified.returncode or signers != [fingerprint]:
        raise SetupError(
            f"{FILE} is not signed by Flatcar's image signing key {fingerprint}:\n{verified.stderr.strip()}",
            "do not use it: something between here and the release server alters downloads",
        )
