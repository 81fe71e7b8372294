"""Contents into data: URLs, and files below the files dir: butane's base/util."""

from __future__ import annotations

import base64
import gzip
import os
import zlib
from pathlib import Path
from posixpath import normpath

from cl.transpiler.ignition.checks import data_url

NO_FILES_DIR = "local paths start at a files dir, and none was given"
NO_FILES_DIR_HINT = "give -d/--files-dir (files_dir in Python)"


class LocalFileError(Exception):
    """A local path can't be read; `str()` says why, `hint` what to do."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def encode(contents: bytes, compression: str | None) -> tuple[str, str | None]:
    """The shortest data: URL of the contents, and the compression that goes with it.

    When the user gave a compression, the contents are compressed already: it stays as it is. Otherwise
    they are compressed when that, with the four letters of "gzip", is shorter; else the compression is "".
    """
    source = data_url(contents)
    if len(encoded := _base64(contents)) < len(source):
        source = encoded
    if compression:
        return source, compression
    # Too short to gain: an empty gzip stream takes 23 bytes.
    if len(source) > 40 and _is_shorter_compressed(contents, len(source) - len("gzip")):
        return _base64(gzip.compress(contents, 9, mtime=0)), "gzip"
    return source, ""


def _base64(contents: bytes) -> str:
    return "data:;base64," + base64.b64encode(contents).decode("ascii")


def _is_shorter_compressed(contents: bytes, limit: int) -> bool:
    """Whether the URL with Go's gzip of the contents is shorter than `limit`.

    zlib's gzip tells, unless it is so near (Go's differs by less) that it takes Go's own length.
    """
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    length = len(deflate.compress(contents)) + len(deflate.flush()) + 18 + 5
    found = _base64_url_length(length)
    if abs(found - limit) * 8 <= limit:
        from cl.transpiler.butane import gogzip  # seldom needed

        if len(contents) < gogzip.LIMIT:
            found = _base64_url_length(gogzip.gzip_length(contents))
    return found < limit


def _base64_url_length(length: int) -> int:
    return len("data:;base64,") + (length + 2) // 3 * 4


def find_local(path: str, files_dir: Path | None) -> Path:
    """The file that a local path means. Raises LocalFileError when it isn't below the files dir."""
    if files_dir is None:
        raise LocalFileError(NO_FILES_DIR, NO_FILES_DIR_HINT)
    base = os.path.abspath(files_dir)
    found = normpath(f"{base}/{path}")
    if found != base and not found.startswith(base.rstrip("/") + "/"):
        raise LocalFileError("the path leads out of the files dir")
    return Path(found)


def read_local(path: str, files_dir: Path | None) -> bytes:
    """The contents of a file below the files dir. Raises LocalFileError."""
    found = find_local(path, files_dir)
    try:
        return found.read_bytes()
    except (OSError, ValueError) as error:
        raise LocalFileError(describe_os_error(found, error)) from None


def describe_os_error(path: Path, error: OSError | ValueError) -> str:
    """`/files/motd: No such file or directory`."""
    return f"{path}: {error.strerror or error}" if isinstance(error, OSError) else f"{path}: {error}"
