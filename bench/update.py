"""Row 4: a `pulumi up` that changes one machine of many, and all of some, against a bare program's and OpenTofu's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection
from functools import partial
from pathlib import Path

from bench.fleet import Fleet, fleet
from bench.measure import Sample, Side, in_turn, ratio, raw
from bench.table import Line, Row, times
from toolchain.checkpoints import SKIPPED

MANY = int(os.environ.get("BENCH_LARGE", "1000"))
ALL = int(os.environ.get("BENCH_ALL", "100"))


def measure(rounds: int) -> Row:
    """A stand-in takes the place of each machine: what is measured is what Pulumi and this project add."""
    row = Row(title="an update of one machine, and of all")
    for count, changed in ((MANY, 1), (ALL, ALL)):
        names = [f"web-{number}" for number in range(changed)]
        with tempfile.TemporaryDirectory() as scratch, fleet(count, Path(scratch)) as stacks:
            peers = {"bare": "bare program", "checkpoints": "ours with checkpoints"}
            runs: dict[str, Side] = {
                "ours": partial(stacks.run, stacks.ours, "up", "--yes", "--skip-preview", **SKIPPED),
                "checkpoints": partial(stacks.run, stacks.ours, "up", "--yes", "--skip-preview"),
                "bare": partial(stacks.run, stacks.bare, "up", "--yes", "--skip-preview"),
            }
            if stacks.tofu is not None:
                runs["OpenTofu"], peers["OpenTofu"] = stacks.tofu.apply, "OpenTofu"
            turns = dict.fromkeys(["ours", "bare", "OpenTofu"], 0)
            sides: dict[str, Side] = {
                side: partial(_change, stacks, names, turns, side, run) for side, run in runs.items()
            }
            samples = in_turn(sides, min(rounds, 3), warmup=0)
        row.raw[f"{changed} of {count}"] = raw(samples)
        row.lines += [
            Line(
                what=f"{changed} of {count} machines",
                ours=times(samples["ours"]),
                against=peer,
                theirs=times(samples[side]),
                ratio=ratio(samples["ours"], samples[side]),
            )
            for side, peer in peers.items()
        ]
    row.notes.append("no machine runs: a stand-in answers for the commands that would start or re-provision one")
    row.notes.append("ours skips the engine's checkpoints, as `make up` does for such a run; the others don't")
    row.notes.append("what the machines themselves take is in row 5; ours goes in waves, the bare program does not")
    return row


def _change(stacks: Fleet, names: Collection[str], turns: dict[str, int], side: str, run: Side) -> Sample:
    """There on odd turns of a stack, and back on even ones."""
    stack = "ours" if side == "checkpoints" else side
    turns[stack] += 1
    stacks.change(names if turns[stack] % 2 else ())
    return run()
