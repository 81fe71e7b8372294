"""Row 1: one config, in process and as a command, against a `ct` and a `butane` process."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import configs, programs
from bench.measure import Sample, Side, calls, in_turn, median, process, ratio, raw
from bench.table import Line, Row, seconds, times
from cl.transpiler import transpile
from toolchain.places import ROOT

LENGTHS = (20, 150, 1500)
PEERS = {"clc": "ct", "butane": "butane"}
GOALS = {"ct": 0.5, "butane": 0.25}


def measure(rounds: int) -> Row:
    """Three lengths, two dialects, and the usual length once more with a key on each line."""
    row = Row(title="one config")
    with tempfile.TemporaryDirectory() as scratch:
        for dialect, peer in PEERS.items():
            program = programs.peer(peer)
            if program is None:
                row.notes.append(f"{peer}: not on PATH, and it can't be built from its Go module here: no comparison")
            for shape, lines, text in (
                *(("", lines, configs.config(dialect, lines)) for lines in LENGTHS),
                (" of keys", 150, configs.dense(dialect, 150)),
            ):
                file = Path(scratch, f"{dialect}-{lines}.yaml")
                file.write_text(text)
                what = f"{dialect}, {len(text.splitlines())} lines{shape}"
                _compare(row, what, lines, text, file, peer, program, rounds)
    return row


def _compare(
    row: Row, what: str, lines: int, text: str, file: Path, peer: str, program: str | None, rounds: int
) -> None:
    own = programs.python("-m", "cl.transpiler", "--strict", str(file))
    sides: dict[str, Side] = {
        "in process": _in_process(text, max(3, 3000 // lines)),
        "command": lambda: process(own, cwd=ROOT),
    }
    if program is not None:
        argv = [program, "-in-file", str(file)] if peer == "ct" else [program, "--strict", str(file)]
        sides[peer] = lambda: process(argv)
    samples = in_turn(sides, rounds)
    row.raw[what] = raw(samples)
    usual = lines == 150
    for side in ("in process", "command"):
        ours = median(samples[side])
        against = ratio(samples[side], samples[peer]) if program is not None else None
        goal, met = "", None
        if usual and side == "in process":
            goal = f"≤ {GOALS[peer]}, ≤ 3 ms"
            met = ours <= 0.003 and (against is None or against <= GOALS[peer])
        elif usual:
            goal, met = "≤ 150 ms", ours <= 0.15
        theirs = seconds(median(samples[peer])) if program is not None else ""
        row.lines.append(
            Line(
                what=f"{what}, {side}",
                ours=times(samples[side]),
                against=f"{peer} process" if program else "",
                theirs=theirs,
                ratio=against,
                goal=goal,
                met=met,
            )
        )


def caches() -> list[Callable[[], None]]:
    """What empties each bounded cache of the transpiler: what it remembers of texts it has seen (schemas are kept)."""
    return [
        value.cache_clear
        for name, module in list(sys.modules.items())
        if name.startswith("cl.transpiler")
        for value in vars(module).values()
        if hasattr(value, "cache_parameters") and value.cache_parameters()["maxsize"] is not None
    ]


def _in_process(text: str, number: int) -> Callable[[], Sample]:
    transpile(text)  # imports what the dialect needs
    forget = caches()

    def once() -> None:
        for clear in forget:
            clear()
        transpile(text, strict=True).unwrap()

    return lambda: calls(once, number)
