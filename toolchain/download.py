"""Downloads, checked or to be checked; where a site can't be reached, a quick no.

Proxies are those that the environment names (`https_proxy`, `no_proxy` …), as urllib reads them.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import http.client
import queue
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from toolchain.steps import TICK, SetupError, say

RELEASES = "https://get.pulumi.com/releases/sdk"
TIMEOUT = 5.0  # seconds without an answer after which this computer counts as offline
PATIENCE = 30.0  # seconds without a byte after which a download that runs counts as broken
TRIES = 3  # times in a row without a byte after which a download is given up
MIB = 1 << 20
# Who may have signed Pulumi's checksums: its own release workflow, as Sigstore's certificate names it.
SIGNED_BY = (
    "--certificate-identity-regexp=^https://github\\.com/pulumi/pulumi/\\.github/workflows/",
    "--certificate-oidc-issuer=https://token.actions.githubusercontent.com",
)


class OutOfReachError(SetupError):
    """Something can't be had from here: no network, no such file. Not raised for what came, but is wrong."""


def _open(request: str | urllib.request.Request, timeout: float = TIMEOUT) -> http.client.HTTPResponse:
    response: http.client.HTTPResponse = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310 # a caller's
    return response


def get(url: str, seconds: float = TIMEOUT) -> bytes:
    """The content of a small file, within `seconds`, name servers that never answer included.

    Raises OutOfReachError.
    """
    answer: queue.SimpleQueue[bytes | Exception] = queue.SimpleQueue()

    def ask() -> None:
        try:
            with _open(url, seconds) as response:
                answer.put(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            answer.put(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        content = answer.get(timeout=seconds)
    except queue.Empty:
        raise OutOfReachError(f"{url}: no answer within {seconds:.0f} s") from None
    if isinstance(content, Exception):
        raise OutOfReachError(f"{url}: {_reason(content)}") from content
    return content


def resume(url: str, part: Path, what: str) -> bool:
    """Download a large file into `part`, going on where `part` ends; whether some of it was there before.

    A connection that breaks is taken up again; progress is on the screen. What came stays when this fails, for the
    next time. Raises OutOfReachError when not a byte came, else SetupError: broken off, no space.
    """
    had = _size(part) > 0
    idle = 0
    while True:
        before = _size(part)
        try:
            whole = _go_on(url, part, before, what)
            if _size(part) == whole:
                return had
            why = f"cut short, {_size(part) // MIB} of {whole // MIB} MiB came"
        except urllib.error.HTTPError as error:
            if error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE and before:
                return True  # nothing is to come
            if not before:
                raise OutOfReachError(f"{url}: {error}") from error
            raise _broken(url, str(error)) from error
        except (OSError, http.client.HTTPException) as error:
            why = _reason(error)
        idle = 0 if _size(part) > before else idle + 1
        if idle == TRIES:
            raise _broken(url, why) if _size(part) else OutOfReachError(f"{url}: {why}")
        say(f"  … broken off ({why}); going on")
        time.sleep(idle)


def _go_on(url: str, part: Path, before: int, what: str) -> int:
    """One connection's share of a download; the size of the whole. Raises what reading raises, SetupError for disks."""
    request = urllib.request.Request(url, headers={"Range": f"bytes={before}-"} if before else {})  # noqa: S310
    with _open(request, PATIENCE) as response:
        size = before if response.status == http.client.PARTIAL_CONTENT else 0  # some servers know no ranges
        length = response.headers["Content-Length"]
        whole = size + int(length) if length else 0
        try:
            free = shutil.disk_usage(part.parent).free
            if free < whole - size:
                raise OSError(errno.ENOSPC, f"{(whole - size) // MIB} MiB are to come, {free // MIB} MiB are free")
            stream = part.open("ab" if size else "wb")
        except OSError as error:
            raise no_space(part, error) from error
        shown = time.monotonic()
        with stream:
            while block := response.read(MIB):
                try:
                    stream.write(block)
                    stream.flush()
                except OSError as error:
                    raise no_space(part, error) from error
                tenths, size = size * 10 // (whole or 1), size + len(block)
                if (whole and size * 10 // whole > tenths) or time.monotonic() - shown > TICK:
                    shown = time.monotonic()
                    say(f"  … {what}: {size // MIB} of {whole // MIB or '?'} MiB")
        return whole or size


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _broken(url: str, why: str) -> SetupError:
    return SetupError(f"{url}: the download broke off: {why}", "run it again: it goes on from there")


def no_space(path: Path, error: OSError) -> SetupError:
    """What to say when a file can't be written."""
    return SetupError(
        f"{path} can't be written: {error.strerror}",
        "free some space, or set TOOLCHAIN_DIR to a folder elsewhere; what came so far is kept",
    )


def _reason(error: Exception) -> str:
    inner = getattr(error, "reason", "")
    return str(inner if isinstance(inner, Exception) else error) or type(error).__name__


@functools.cache
def checksums(version: str) -> dict[str, str]:
    """The published SHA-256 digests of a Pulumi release, by file name; empty when out of reach.

    Pulumi signs them by Sigstore, without a key of its own (`.sig` is cosign's bundle): checked where cosign is
    installed. Raises SetupError for a wrong signature.
    """
    url = f"{RELEASES}/pulumi-{version}-checksums.txt"
    try:
        content = get(url)
    except OutOfReachError:
        return {}
    _check_signature(url, content)
    lines = content.decode().splitlines()
    return {name: sha256 for sha256, _, name in (line.partition("  ") for line in lines) if name}


def _check_signature(url: str, content: bytes) -> None:
    cosign = shutil.which("cosign")
    if cosign is None:
        say("note: no cosign here: the signature of Pulumi's checksums isn't checked")
        return
    try:
        signature = get(f"{url}.sig")
    except OutOfReachError as error:
        say(f"note: Pulumi's checksums have no signature to check: {error}")
        return
    with tempfile.TemporaryDirectory() as folder:
        text, bundle = Path(folder, "checksums.txt"), Path(folder, "checksums.txt.sig")
        text.write_bytes(content)
        bundle.write_bytes(signature)
        argv = [cosign, "verify-blob", f"--bundle={bundle}", *SIGNED_BY, str(text)]
        checked = subprocess.run(argv, capture_output=True, text=True, check=False)
    if checked.returncode:
        raise SetupError(
            f"{url} is not signed by Pulumi's release workflow:\n{checked.stderr.strip()}",
            "do not use it; or is it this computer's cosign, or its way to Sigstore? install pulumi yourself then",
        )


def fetch(url: str, sha256: str, target: Path) -> None:
    """Download a file; it appears at `target` only whole and with the right digest.

    Raises SetupError when the download breaks off or the digest differs.
    """
    part = target.with_name(target.name + ".part")
    total = hashlib.sha256()
    try:
        with _open(url) as response, part.open("wb") as stream:
            while block := response.read(MIB):
                total.update(block)
                stream.write(block)
    except (http.client.HTTPException, OSError) as error:
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
