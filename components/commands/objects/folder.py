"""Writing a machine's object, as far as programs on the operator's computer can. Standard library only.

Pulumi writes the object; this is for what Pulumi can't do: rolling it back to the last good config when an update has
failed, and writing the wanted one again at the next try, although Pulumi's state says that it is there. `FolderWriter`
is here, `BucketWriter` beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from components.commands import write_object


class NoAccessError(Exception):
    """This computer has no right to the object, as far as can be seen from here: the text says why."""


class ObjectWriter(Protocol):
    """Writes one object. Both methods raise OSError when it can't be written, `NoAccessError` for missing rights."""

    def put(self, content: str) -> bool:
        """Make the object hold `content`; whether it held something else."""
        ...

    def roll_back(self, content: str) -> None:
        """Write an older `content`, so that Pulumi's next run sees that it is not its own."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderWriter:
    """A file of a local folder store: `path`, and the time of Pulumi's last write, `written` (see `write_object`)."""

    path: str
    written: str

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

    @staticmethod
    def _holds(path: Path, content: str) -> bool:
        try:
            return path.read_bytes() == content.encode()
        except FileNotFoundError:
            return False
