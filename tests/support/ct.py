"""Running the original programs, and holding our findings against theirs."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cl.transpiler import Transpiled

Entry = tuple[str, int | None, int | None]
"""(severity, line, column) of one finding."""

_ENTRY = re.compile(r"^(error|warning|info|deprecated)(?: at line (\d+), column (\d+))?", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What a program made of a config. `json` is None when it refused it; `crashed` when it panicked."""

    json: str | None
    entries: Counter[Entry]
    stderr: str
    crashed: bool


def run_ct(ct: Path, text: str, *, platform: str = "", files_dir: Path | None = None, strict: bool = False) -> Run:
    """`text` through the real ct."""
    flags = [f"-platform={platform}"] if platform else []
    flags += [f"-files-dir={files_dir}"] if files_dir is not None else []
    flags += ["-strict"] if strict else []
    done = subprocess.run(
        [str(ct), *flags], input=text.encode("utf-8", "surrogateescape"), capture_output=True, check=False
    )
    stderr = done.stderr.decode("utf-8", "replace")
    accepted = done.returncode == 0
    return Run(
        json=done.stdout.decode("utf-8") if accepted else None,
        entries=entries_of(stderr),
        stderr=stderr,
        crashed=done.returncode not in (0, 1),
    )


def entries_of(report: str) -> Counter[Entry]:
    """The findings in a report that ct has printed."""
    return Counter(
        (match[1], int(match[2]) if match[2] else None, int(match[3]) if match[3] else None)
        for match in _ENTRY.finditer(report)
    )


def run_converter(converter: Path, config: str, folder: Path) -> Any:
    """An Ignition 2.x config through the real ign-converter: the parsed 3.1 config, None when it refuses."""
    source = folder / "config.ign"
    source.write_text(config)
    done = subprocess.run([str(converter), "-input", str(source)], capture_output=True, text=True, check=False)
    return json.loads(done.stdout) if done.returncode == 0 else None


def disagreement(theirs: Run, ours: Transpiled) -> str | None:
    """What differs between ct's run and ours, None when nothing does.

    Findings are compared by severity and place; where ct gives one no place, by their numbers alone. Findings
    about units are left out when ct placed them by the wrong index (`moved_units`).
    """
    if (theirs.json is None) != (ours.json is None):
        return f"verdict: ct {'refuses' if theirs.json is None else 'accepts'}, we don't"
    if theirs.json != ours.json:
        return f"JSON:\n ct   {theirs.json}\n ours {ours.json}"
    found: Counter[Entry] = Counter((entry.severity, entry.line, entry.column) for entry in ours.report.entries)
    if found == theirs.entries:
        return None
    placeless = any(line is None for _, line, _ in theirs.entries)
    if (placeless or moved_units(ours)) and _severities(found) == _severities(theirs.entries):
        return None
    return f"report: ct {sorted(theirs.entries.elements(), key=str)}, ours {sorted(found.elements(), key=str)}"


def moved_units(ours: Transpiled) -> bool:
    """True when a finding is about a unit and generated units come first: ct is off by their number there."""
    if ours.json is not None:
        names = [unit["name"] for unit in json.loads(ours.json)["systemd"].get("units", [])]
        generated = set(names) & {
            "docker.service",
            "etcd-member.service",
            "flanneld.service",
            "coreos-metadata.service",
        }
        if not generated:
            return False
    return any(entry.path.startswith("$.systemd.units") for entry in ours.report.entries)


def _severities(entries: Counter[Entry]) -> Counter[str]:
    return Counter(severity for severity, _, _ in entries.elements())
