"""Writing a machine's object, as far as programs on the operator's computer can. Standard library only.

Pulumi writes the object; this is for what Pulumi can't do: rolling it back to the last good config when an update has
failed, and writing the wanted one again at the next try, although Pulumi's state says that it is there. `FolderWriter`
is here, `BucketWriter` beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from components.commands import write_object

if TYPE_CHECKING:
    from collections.abc import Iterator


LONGEST_REPORT = 65536
"""Bytes of a machine's report that are read."""


class NoAccessError(Exception):
    """This computer has no right to the object, as far as can be seen from here: the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A content of the object, `written` at a time (UTC, ISO 8601); `name` is what the store calls it, or ""."""

    name: str
    written: str
    content: bytes


class ObjectWriter(Protocol):
    """Reads and writes one object. All methods raise OSError when the store can't be used, `NoAccessError` for missing
    rights."""

    def get(self) -> str:
        """What the object holds now. What is no text is shown as such."""
        ...

    def put(self, content: str) -> bool:
        """Make the object hold `content`; whether it held something else."""
        ...

    def roll_back(self, content: str) -> None:
        """Write an older `content`, so that Pulumi's next run sees that it is not its own."""
        ...

    def versions(self) -> Iterator[Version]:
        """What the store has of the object, the newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderWriter:
    """A file of a local folder store: `path`, and the time of Pulumi's last write, `written` (see `write_object`)."""

    path: str
    written: str

    def get(self) -> str:
        return Path(self.path).read_bytes().decode(errors="replace")

    def put(self, content: str) -> bool:
        path = Path(self.path)
        if self._holds(path, content):
            return False
        write_object.write(path, content, written=self.written)
        return True

    def roll_back(self, content: str) -> None:
        if not self._holds(Path(self.path), content):
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            write_object.write(Path(self.path), content, written=now)

    def versions(self) -> Iterator[Version]:
        present = Path(self.path)
        for file in [*([present] if present.is_file() else []), *write_object.versions(present)]:
            written = datetime.fromtimestamp(file.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
            yield Version(name="", written=written, content=file.read_bytes())

    @staticmethod
    def _holds(path: Path, content: str) -> bool:
        try:
            return path.read_bytes() == content.encode()
        except FileNotFoundError:
            return False
