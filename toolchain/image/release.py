"""An official Flatcar image: downloaded, its signature checked against Flatcar's image signing key, unpacked.

Releases lie at `https://CHANNEL.release.flatcar-linux.net/amd64-usr/VERSION/`, those of `current` in the newest's
place; machines in QEMU are x86-64 ones, on whatever computer. The key is downloaded too; it counts because its
fingerprint is the one below, which the installer of Flatcar (flatcar/init, `bin/flatcar-install`) names. Two variables
lead elsewhere, to a mirror or to builds of one's own: `FLATCAR_RELEASES` takes the place of
`https://{channel}.release.flatcar-linux.net` (`{channel}` in it is filled in), `FLATCAR_IMAGE_KEY` names a file with
the one key that counts then.
"""

from __future__ import annotations

import bz2
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from toolchain import download
from toolchain.image import given
from toolchain.image.description import Image
from toolchain.steps import SetupError, step

CHANNELS = ("stable", "beta", "alpha", "lts")
VERSION = re.compile(r"\d+\.\d+\.\d+")
BOARD = "amd64-usr"
FILE = "flatcar_production_qemu_image.img.bz2"
# What gpg says of a signature that doesn't count; it ends with success for those of keys that don't count any more.
BAD = {
    "BADSIG": "it is not what was signed",
    "EXPSIG": "the signature has expired",
    "EXPKEYSIG": "the key that signed it has expired",
    "REVKEYSIG": "the key that signed it is revoked",
    "ERRSIG": "another key signed it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where releases come from, and what has to have signed them."""

    releases: str = "https://{channel}.release.flatcar-linux.net"
    """`{channel}` is filled in; folders for boards are below it."""
    key: str = "https://www.flatcar.org/security/image-signing-key/Flatcar_Image_Signing_Key.asc"
    fingerprint: str = "F88CFEDEFF29A5B4D9523864E25D9AED0593B34A"
    """Of the primary key; "" for whichever `key` holds."""

    @classmethod
    def chosen(cls) -> Source:
        """The one that the environment names, else Flatcar's own. Raises SetupError."""
        releases = os.environ.get("FLATCAR_RELEASES", "").rstrip("/") or cls().releases
        if not (file := os.environ.get("FLATCAR_IMAGE_KEY", "")):
            return cls(releases=releases)
        if not Path(file).is_file():
            raise SetupError(f"FLATCAR_IMAGE_KEY: there is no file {file}")
        return cls(releases=releases, key=Path(file).resolve().as_uri(), fingerprint="")

    def folder(self, channel: str, version: str) -> str:
        """The address of a release's files."""
        return f"{self.releases.replace('{channel}', channel)}/{BOARD}/{version}"


def channel_of(version: str) -> str:
    """The channel that a version was released in: its middle number tells."""
    return {"0": "alpha", "1": "beta", "3": "lts"}.get(version.split(".")[1], "stable")


def newest(channel: str, source: Source) -> str:
    """The version of a channel's newest release. Raises OutOfReachError, SetupError."""
    url = f"{source.folder(channel, 'current')}/version.txt"
    match = re.search(r'^FLATCAR_VERSION="?([^"\s]+)', download.get(url).decode(errors="replace"), re.MULTILINE)
    if match is None or not VERSION.fullmatch(match[1]):
        raise SetupError(f"{url} names no version of Flatcar", "is that the release server, or something in its place?")
    return match[1]


def image_of(folder: Path, version: str) -> Path:
    """Where the image of a release lies below `folder`, once it is there."""
    return folder / f"flatcar-{version}" / FILE.removesuffix(".bz2")


def make(folder: Path, channel: str, version: str, source: Source) -> Image:
    """The image of a release below `folder`, downloaded unless it is there.

    Raises OutOfReachError when it can't be had, SetupError when what came is not right, or gpg is missing. Nothing
    that was not checked stays behind but a download that broke off, for the next time.
    """
    image = image_of(folder, version)
    if not image.exists():
        if shutil.which("gpg") is None:
            raise SetupError("gpg is not installed: the image's signature can't be checked", "install the package gpg")
        url, packed = f"{source.folder(channel, version)}/{FILE}", folder / f".flatcar-{version}.img.bz2"
        # What is small first: without it the rest is for nothing.
        signature, key = download.get(f"{url}.sig"), download.get(source.key)
        with _keyring(key, source) as keyring:
            with step(f"downloading Flatcar {version} ({channel})"):
                resumed = download.resume(url, packed, f"Flatcar {version}")
            try:
                try:
                    keyring.check(packed, signature)
                except SetupError:
                    packed.unlink()
                    if not resumed:
                        raise
                    with step("downloading it once more: what was left of the last time doesn't fit"):
                        download.resume(url, packed, f"Flatcar {version}")
                    keyring.check(packed, signature)
            except SetupError:
                packed.unlink(missing_ok=True)
                raise
        _unpack(packed, image)
        for rest in folder.glob(".flatcar-*.img.bz2"):
            rest.unlink()
    return given.describe(image, f"Flatcar {version} ({channel})")


def _unpack(packed: Path, image: Path) -> None:
    image.parent.mkdir(exist_ok=True)
    part = image.with_name(f".{image.name}.part")
    try:
        with step("unpacking it"), bz2.open(packed) as source:
            try:
                with part.open("wb") as target:
                    shutil.copyfileobj(source, target, download.MIB)
            except OSError as error:
                if error.errno is None:  # bz2's own
                    raise SetupError(f"{packed.name} was signed, but is no bzip2 file: {error}") from error
                raise download.no_space(part, error) from error
            except EOFError as error:
                raise SetupError(f"{packed.name} was signed, but is cut short") from error
        part.replace(image)
    finally:
        part.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Keyring:
    """A gpg that knows one key and nothing else of this computer."""

    home: str
    fingerprint: str

    def gpg(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["gpg", "--homedir", self.home, "--batch", "--no-autostart", "--status-fd", "1", *arguments]
        return subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)

    def check(self, file: Path, signature: bytes) -> None:
        """Raise SetupError unless `file` has a good signature by a key that belongs to the fingerprint's and counts."""
        signed = Path(self.home, "signature")
        signed.write_bytes(signature)
        done = self.gpg("--verify", str(signed), str(file))
        said = [line.split() for line in done.stdout.splitlines() if line.startswith("[GNUPG:] ")]
        words = [line[1] for line in said]
        # [GNUPG:] VALIDSIG <fingerprint of the signing subkey> … <fingerprint of the primary key>
        signers = [line[-1] for line in said if line[1] == "VALIDSIG"]
        good = not done.returncode and words.count("GOODSIG") == 1 and not BAD.keys() & set(words)
        if good and signers == [self.fingerprint]:
            return
        why = next((BAD[word] for word in words if word in BAD), "its .sig is no signature")
        raise SetupError(
            f"{file.name.removeprefix('.')} is not signed by the image signing key\n  {self.fingerprint}: {why}\n"
            + "".join(f"  | {line}\n" for line in done.stderr.strip().splitlines()),
            "do not use it: something between here and the release server alters downloads",
        )


@contextmanager
def _keyring(key: bytes, source: Source) -> Iterator[_Keyring]:
    # gpg looks for its agent's socket beside the keys, also where it must not start one: that wants a short path.
    with tempfile.TemporaryDirectory(prefix="gpg-") as home:
        file = Path(home, "key")
        file.write_bytes(key)
        keyring = _Keyring(home=home, fingerprint=source.fingerprint)
        imported = keyring.gpg("--import", str(file))
        listed = [line.split(":") for line in keyring.gpg("--list-keys", "--with-colons").stdout.splitlines()]
        primary = [after[9] for line, after in pairwise(listed) if line[0] == "pub"]
        if len(primary) != 1 or (source.fingerprint and primary != [source.fingerprint]):
            raise SetupError(
                f"{source.key} holds not the one image signing key {source.fingerprint} but {primary or 'none'}\n"
                f"  {imported.stderr.strip()}"
            )
        yield _Keyring(home=home, fingerprint=primary[0])
