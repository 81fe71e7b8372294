"""Downloads from Pulumi's release site, checked; where that site can't be reached, a quick no."""

from __future__ import annotations

import functools
import hashlib
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import IO

from toolchain.steps import SetupError

RELEASES = "https://get.pulumi.com/releases/sdk"
TIMEOUT = 5.0  # seconds without an answer after which this computer counts as offline


def _open(url: str) -> IO[bytes]:
    response: IO[bytes] = urllib.request.urlopen(url, timeout=TIMEOUT)  # noqa: S310 # of RELEASES
    return response


@functools.cache
def checksums(version: str) -> dict[str, str]:
    """The published SHA-256 digests of a Pulumi release, by file name; empty when out of reach."""
    try:
        with _open(f"{RELEASES}/pulumi-{version}-checksums.txt") as response:
            lines = response.read().decode().splitlines()
    except (urllib.error.URLError, http.client.HTTPException, OSError):
        return {}
    return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines) if name}


def fetch(url: str, sha256: str, target: Path) -> None:
    """Download a file; it appears at `target` only whole and with the right digest.

    Raises SetupError when the download breaks off or the digest differs.
    """
    part = target.with_name(target.name + ".part")
    total = hashlib.sha256()
    try:
        with _open(url) as response, part.open("wb") as stream:
            while block := response.read(1 << 20):
                total.update(block)
                stream.write(block)
    except (urllib.error.URLError, http.client.HTTPException, OSError) as error:
        part.unlink(missing_ok=True)
        raise SetupError(f"{url}: download failed: {error}", "try again") from error
    if total.hexdigest() != sha256:
        part.unlink()
        raise SetupError(
            f"{url}: SHA-256 is {total.hexdigest()}, published is {sha256}",
            "something between here and the release site alters downloads: do not use the file",
        )
    part.replace(target)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the programs of a Pulumi release (`pulumi/pulumi*`) flat into a folder."""
    with tarfile.open(archive) as tar:
        for member in tar:
            name = Path(member.name).name
            source = tar.extractfile(member) if member.isfile() else None
            if source is None or not name.startswith("pulumi"):
                continue
            target = folder / name
            part = folder / f".{name}.part"
            with source, part.open("wb") as stream:
                shutil.copyfileobj(source, stream)
            part.chmod(0o755)
            part.replace(target)
