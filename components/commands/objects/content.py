"""An object's text, known by its hash: Pulumi's state has no more of it. Standard library only.

The program writes it to a file for the run that needs it (`content_file`). Whoever needs it later reads it where it
lies, in its store, and it counts only where it has the hash.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from components.commands.files import write_atomically
from components.commands.objects.content_file import read, sha512_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@dataclass(slots=True)
class Content:
    """An object's text: its SHA-512 (hex), its bytes' number, and where to read it when it is needed."""

    sha512: str
    size: int
    path: Path | None = None
    fetch: Callable[[], str] | None = field(default=None, repr=False, compare=False)
    _text: str | None = field(default=None, repr=False, compare=False)

    @classmethod
    def of(cls, text: str) -> Content:
        """One that is known."""
        return cls(sha512_of(text), len(text.encode()), _text=text)

    @property
    def text(self) -> str:
        """All of it. Raises OSError when it is neither in the file nor in the store."""
        if self._text is None:
            self._text = self._read()
        return self._text

    def _read(self) -> str:
        if self.path is not None and (found := read(self.path, self.sha512)) is not None:
            return found
        text = self.fetch() if self.fetch is not None else ""
        if sha512_of(text) != self.sha512:
            raise FileNotFoundError("it is not in its store, and no file of this run has it")
        return text

    def keep(self, path: Path) -> None:
        """Write it to a file of mode 0600, whole, however many do so at a time. Raises OSError."""
        if read(path, self.sha512) is not None:
            return
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(path, self.text)
