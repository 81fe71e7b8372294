"""What the pipeline asks of a dialect, and what a dialect is given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from cl.transpiler.gojson import Json
from cl.transpiler.report import Findings
from cl.transpiler.yamlnode import Node


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One config text, composed, and the options that a translation may look at.

    `root` is None for an empty document. `files_dir` is where `local` paths start, None when not given.
    `platform` is ct's `-platform`, "" when not given. `strict`: any finding is fatal.
    `spec` "3" asks a dialect of spec 2 for spec 3.
    """

    root: Node | None
    files_dir: Path | None
    platform: str
    strict: bool = False
    spec: Literal["native", "3"] = "native"


class UnreadableError(Exception):
    """A source is no config of the dialect at all; `findings` say why, and go into `Report.unreadable`."""

    def __init__(self, findings: Findings) -> None:
        super().__init__()
        self.findings = findings


class Dialect(Protocol):
    """Translates one source. A module with this function is a dialect."""

    def translate(self, source: Source, findings: Findings) -> dict[str, Json] | None:
        """The Ignition config with its keys in output order, or None when `findings` are fatal.

        Raises UnreadableError or yamlnode.YamlError when the tree can't be decoded at all.
        """
