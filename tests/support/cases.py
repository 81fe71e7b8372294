"""Golden cases: one file each, whose name is the sentence that it proves.

flags: -platform ec2
--- config
…the config as it is
--- json
…what it becomes, one line; empty when it is refused
--- report
warning at $.storage.files.0, line 3 col 7: the message (the hint)

With RECORD=1 in the environment `check_case` writes the last two anew; the tests with the originals hold them.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cl.transpiler import transpile

GOLDEN = Path(__file__).parent.parent / "golden"
FILES = GOLDEN / "files"


@dataclass(frozen=True)
class GoldenCase:
    """A config, the flags to give with it, and what becomes of it."""

    flags: tuple[str, ...]
    config: str
    json: str
    report: str

    @property
    def platform(self) -> str:
        """What follows -platform, or ""."""
        return self.flags[self.flags.index("-platform") + 1] if "-platform" in self.flags else ""

    @property
    def strict(self) -> bool:
        """Whether -strict is given."""
        return "-strict" in self.flags

    @property
    def files_dir(self) -> Path | None:
        """The folder of files, when -files-dir is given."""
        return FILES if "-files-dir" in self.flags else None


def read_case(path: Path) -> GoldenCase:
    """The case in a file."""
    head, rest = path.read_bytes().decode().split("\n--- config\n", 1)
    config, rest = rest.rsplit("--- json\n", 1)
    json, report = rest.split("\n--- report\n", 1)
    return GoldenCase(tuple(head.removeprefix("flags:").split()), config, json, report)


def case_paths(dialect: str) -> list[Path]:
    """The files of all cases of a dialect."""
    return sorted((GOLDEN / dialect).glob("*.case"))


def check_case(path: Path, dialect: Literal["butane", "clc"]) -> None:
    """Fails unless the config of the case becomes the JSON and the report that are written down with it."""
    case = read_case(path)
    result = transpile(
        case.config, dialect=dialect, platform=case.platform, files_dir=case.files_dir, strict=case.strict
    )
    lines = result.report.render(pretty=False).replace(str(FILES), "FILES").splitlines()
    json, report = result.json or "", "".join(f"{line}\n" for line in lines)
    if os.environ.get("RECORD"):
        flags = " ".join(("flags:", *case.flags))
        path.write_bytes(f"{flags}\n--- config\n{case.config}--- json\n{json}\n--- report\n{report}".encode())
    else:
        assert (json, report) == (case.json, case.report)
