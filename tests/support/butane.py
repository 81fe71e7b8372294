"""Running the original butane, and holding our findings and JSON against its."""

from __future__ import annotations

import base64
import gzip
import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cl.transpiler import Transpiled, transpile

Entry = tuple[str, str, int | None, int | None]
"""(severity, path, line, column) of one finding."""

_PATH = r"\$(?:(?!\n(?:error|warning|info) at )(?s:.))*?"  # a key may hold a line break
_ENTRY = re.compile(rf"^(error|warning|info)(?: at (?:({_PATH}), )?line (\d+) col (\d+)| at (\$.*?))?: ", re.MULTILINE)
_NOT_JSON = re.compile(r"^error at line \d+ col \d+: ", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What butane made of a config. `json` is None when it refused it."""

    json: str | None
    entries: Counter[Entry]
    stderr: str


def run_butane(butane: Path, text: str, files_dir: Path | None) -> Run:
    """`text` through the real butane."""
    done = subprocess.run(
        [str(butane), "--raw-errors", *(["-d", str(files_dir)] if files_dir else [])],
        input=text.encode("utf-8", "surrogateescape"),
        capture_output=True,
        check=False,
    )
    stderr = done.stderr.decode("utf-8", "replace")
    entries = Counter(
        (kind, path or bare, int(line) if line else None, int(column) if column else None)
        for kind, path, line, column, bare in _ENTRY.findall(stderr)
        # For an inline config that is no JSON, butane has a second entry, without a path.
        if path or bare or not _NOT_JSON.search(stderr)
    )
    accepted = done.returncode == 0
    return Run(json=done.stdout.decode("utf-8") if accepted else None, entries=entries, stderr=stderr)


def comparable(text: str) -> Any:
    """JSON with the order of keys, and with gzip decompressed: its bytes depend on the compressor."""

    def walk(value: Any) -> Any:
        if isinstance(value, dict):
            source = str(value.get("source", ""))
            if value.get("compression") == "gzip" and source.startswith("data:;base64,H4s"):
                value = {**value, "source": gzip.decompress(base64.b64decode(source[13:])).hex()}
            return [[key, walk(item)] for key, item in value.items()]
        return [walk(item) for item in value] if isinstance(value, list) else value

    return walk(json.loads(text))


def disagreement(text: str, ours: Transpiled, theirs: Run) -> str | None:
    """How the two differ: in the verdict, in JSON, or in severity, path, line or column of a finding."""
    shown = f"\n--- ours\n{ours.report.render(pretty=False)}\n--- theirs\n{theirs.stderr}\n--- config\n{text}"
    if (ours.json is None) != (theirs.json is None):
        return f"the verdict differs{shown}"
    if ours.json is not None and theirs.json is not None:
        same = ours.json == theirs.json.rstrip("\n") or comparable(ours.json) == comparable(theirs.json)
        if not same:
            return f"JSON differs\n{ours.json}\n{theirs.json}{shown}"
    found = Counter((entry.severity, entry.path, entry.line, entry.column) for entry in ours.report.entries)
    return f"findings differ{shown}" if found != theirs.entries else None


def compare(butane: Path, text: str, files_dir: Path | None) -> str | None:
    """Both on one config: how they differ, or None."""
    ours = transpile(text, dialect="butane", files_dir=files_dir)
    return disagreement(text, ours, run_butane(butane, text, files_dir))
