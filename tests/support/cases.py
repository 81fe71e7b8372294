"""Golden cases: one file each, whose name is the sentence that it proves.

flags: -platform ec2
--- config
…the config as it is
--- json
…what it becomes, one line; empty when it is refused
--- report
warning 3:7 the message (the hint)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cl.transpiler import Transpiled

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


def shown_report(result: Transpiled) -> str:
    """A report as the case files write it."""
    lines = []
    for entry in result.report.entries:
        hint = f" ({entry.hint})" if entry.hint else ""
        lines.append(f"{entry.severity} {entry.line}:{entry.column} {entry.message}{hint}\n")
    return "".join(lines).replace(str(FILES), "FILES")
