"""`python -m bench [ROW …]`: measure, print one table, write the raw figures and the plots."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bench.facts import machine_facts
from bench.measure import BenchError
from bench.plot import svg
from bench.table import Row, table
from toolchain import needs, packages, pulumi_cli
from toolchain.image import chosen
from toolchain.places import LOCAL_STACK, TOOLCHAIN, exports
from toolchain.plugins import install
from toolchain.steps import SetupError, alone

ROWS = {
    "1": "transpile_one",
    "2": "transpile_many",
    "3": "plan",
    "4": "update",
    "5": "machine",
    "6": "startup",
    "7": "rollout",
    "8": "page",
    "9": "package",
    "10": "live",
}
"""Row and module: each module has `measure(rounds) -> Row`."""

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str]) -> int:
    """Exit code 1 when a row could not be measured; a goal that was missed is a line of the table, nothing else."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("rows", nargs="*", default=[], help=f"of {' '.join(ROWS)}; all without any")
    parser.add_argument("--rounds", type=int, default=5, help="counted runs of each side (5)")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder for the raw figures and plots")
    options = parser.parse_args(arguments)
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"no such row: {', '.join(unknown)}")
    os.environ.update(exports(LOCAL_STACK))
    # A shell lets what it starts in the background ignore SIGINT, which Pulumi sends to plugins and then waits for 5 s.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    options.results.mkdir(parents=True, exist_ok=True)
    facts, failed = machine_facts(), 0
    measured: dict[str, Row] = {}
    for number in options.rows or ROWS:
        print(f"row {number} …", file=sys.stderr, flush=True)
        before, start = machine_facts(), time.monotonic()
        try:
            _set_up(number)
            row: Row = importlib.import_module(f"bench.{ROWS[number]}").measure(options.rounds)
        except (BenchError, SetupError) as error:
            print(f"row {number}: {error}", file=sys.stderr)
            failed = 1
            continue
        measured[number] = row
        took = time.monotonic() - start
        document = {
            "row": number,
            "title": row.title,
            "facts": before,
            "load after": machine_facts()["load"],
            "seconds": round(took, 1),
            "rounds": options.rounds,
            "lines": [asdict(line) for line in row.lines],
            "notes": row.notes,
            "raw": row.raw,
        }
        (options.results / f"{number}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        if row.plot:
            (options.results / f"{number}.svg").write_text(svg(f"{row.title}: seconds", row.plot))
        print(f"row {number}: {took:.0f} s", file=sys.stderr, flush=True)
    print("; ".join(f"{name}: {value}" for name, value in facts.items()), table(measured), sep="\n\n")
    return failed


def _set_up(row: str) -> None:
    """What a row needs beside Python; quick when it is there. Raises SetupError."""
    if row == "8":
        packages.install(packages.BROWSER)
    if row not in ("3", "4", "5", "7", "9", "10"):
        return
    with alone():
        pulumi_cli.ensure()
        install.ensure("command")
        if row in ("7", "10"):
            packages.install(packages.SSH_CLIENT + packages.SSH_SERVER)
        if row in ("5", "10"):
            packages.install(needs.of("").packages)
            if not (TOOLCHAIN / "image" / "image.json").is_file():
                chosen.ensure_stand_in()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
