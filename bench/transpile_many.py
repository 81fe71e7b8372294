"""Row 2: 1,000 machines from one template with their own variables, and with five snippets each."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from string import Template

from bench import configs, programs
from bench.measure import Sample, Side, calls, in_turn, median, process, ratio, raw
from bench.table import Line, Row, at_most, seconds, times
from cl.transpiler import transpile

MACHINES = 1000
SOME = 20
PEERS = {"clc": "ct", "butane": "butane"}
GOAL_S = 3.0


def variables(number: int) -> dict[str, str]:
    """A machine's own."""
    return {"name": f"web-{number}", "address": f"10.0.{number // 250}.{number % 250}", "rack": f"rack {number % 17}"}


def measure(rounds: int) -> Row:
    """Both dialects; the peers run once for each machine, on text that a template engine has filled."""
    row = Row(title=f"{MACHINES} machines from one template of 150 lines")
    for dialect, peer in PEERS.items():
        template = configs.config(dialect, 150, variables=True)
        snippets = [configs.snippet(dialect, number) for number in range(5)]
        for what, extra in (("own variables", []), ("own variables and 5 snippets", snippets)):
            _compare(row, f"{dialect}, {what}", template, extra, peer, rounds)
    row.notes.append(f"the peers run for {SOME} machines, one process each; their time is scaled to {MACHINES}")
    row.notes.append("with snippets: the peers run for the config alone, as neither merges; a caller still has to")
    return row


def _compare(row: Row, what: str, template: str, snippets: Sequence[str], peer: str, rounds: int) -> None:
    program = programs.peer(peer)
    sides: dict[str, Side] = {"ours": lambda: _all(template, snippets)}
    with tempfile.TemporaryDirectory() as scratch:
        if program is not None:
            sides["theirs"] = partial(_peers, program, peer, template, Path(scratch))
        samples = in_turn(sides, rounds, warmup=0)
    row.raw[what] = raw(samples)
    ours = median(samples["ours"])
    row.lines.append(
        Line(
            what=what,
            ours=times(samples["ours"]),
            against=f"{peer} processes" if program else f"{peer}: not to be had",
            theirs=seconds(median(samples["theirs"])) if program else "",
            ratio=ratio(samples["ours"], samples["theirs"]) if program else None,
            **at_most(GOAL_S, ours, " s"),
        )
    )


def _all(template: str, snippets: Sequence[str]) -> Sample:
    def fleet() -> None:
        for number in range(MACHINES):
            result = transpile(template, variables=variables(number), snippets=snippets, strict=True)
            json.loads(result.unwrap())

    return calls(fleet, 1)


def _peers(program: str, peer: str, template: str, scratch: Path) -> Sample:
    wall = cpu = 0.0
    for number in range(SOME):
        file = scratch / f"{number}.yaml"
        file.write_text(Template(template).substitute(variables(number)))
        sample = process([program, "-in-file", str(file)] if peer == "ct" else [program, "--strict", str(file)])
        wall, cpu = wall + sample.wall, cpu + sample.cpu
    return Sample(wall=wall * MACHINES / SOME, cpu=cpu * MACHINES / SOME)
