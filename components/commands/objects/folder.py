"""Where a machine's object is kept, as far as programs on the operator's computer can write there.

Standard library only. Pulumi writes the object; this is for what Pulumi can't do: putting the last good config back
when an update has failed, and writing the wanted one again at the next try, although Pulumi's state says that it is
there. `FolderPlace` is here, `BucketPlace` beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from components.commands import write_object


class NoAccessError(Exception):
    """This computer has no right to the object, as far as can be seen from here: the text says why."""


class ObjectPlace(Protocol):
    """One object. Both methods raise OSError when it can't be written, `NoAccessError` when this computer may not."""

    def put(self, content: str) -> bool:
        """Make the object hold `content`; whether it held something else."""
        ...

    def put_back(self, content: str) -> None:
        """Write an older `content`, so that Pulumi's next run sees that it is not its own."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderPlace:
    """A file of a local folder store: `path`, and the time of Pulumi's last write, `written` (see `write_object`)."""

    path: str
    written: str

    def put(self, content: str) -> bool:
        path = Path(self.path)
        if self._holds(path, content):
            return False
        write_object.write(path, content, written=self.written)
        return True

    def put_back(self, content: str) -> None:
        if not self._holds(Path(self.path), content):
            now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            write_object.write(Path(self.path), content, written=now)

    @staticmethod
    def _holds(path: Path, content: str) -> bool:
        try:
            return path.read_bytes() == content.encode()
        except FileNotFoundError:
            return False
