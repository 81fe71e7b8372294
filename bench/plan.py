"""Row 3: `pulumi preview` and a no-change `pulumi up` of many machines, against a bare program's and OpenTofu's."""

from __future__ import annotations

import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from bench.fleet import fleet
from bench.measure import Sample, Side, in_turn, median, ratio, raw
from bench.table import Bar, Line, Row, at_most, times

COUNTS = tuple(int(word) for word in os.environ.get("BENCH_MACHINES", "10 100 1000").split())
RUNS = {
    "preview": ("preview", "--expect-no-changes"),
    "no-change up": ("up", "--yes", "--skip-preview", "--expect-no-changes"),
}
SHOWN = {"ours": "this project", "bare": "bare program", "OpenTofu": "OpenTofu"}
GOAL_TIME, GOAL_MEMORY, GOAL_GROWTH = 1.15, 1.3, 10.5


def measure(rounds: int) -> Row:
    """All counts; fewer rounds for the largest."""
    row = Row(title="nothing to do for many machines")
    medians: dict[tuple[str, int], dict[str, float]] = {}
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as scratch, fleet(count, Path(scratch)) as stacks:
            for what, arguments in RUNS.items():
                sides: dict[str, Side] = {
                    "ours": partial(stacks.run, stacks.ours, *arguments),
                    "bare": partial(stacks.run, stacks.bare, *arguments),
                }
                if stacks.tofu is not None:
                    sides["OpenTofu"] = stacks.tofu.plan if what == "preview" else stacks.tofu.apply
                samples = in_turn(sides, rounds if count < 1000 else min(rounds, 3), warmup=1 if count < 1000 else 0)
                row.raw[f"{what}, {count}"] = raw(samples)
                medians[what, count] = {name: median(side) for name, side in samples.items()}
                _lines(row, f"{what}, {count} machines", samples, is_goal=count == 1000)
    if 1000 not in COUNTS:
        row.notes.append("1,000 machines were left out of this run")
    if {10, 100, 1000} <= set(COUNTS):
        for what in RUNS:
            _growth(row, what, medians)
    row.plot = [
        Bar(label=f"{what}, {count} machines", values={SHOWN[side]: figure for side, figure in figures.items()})
        for (what, count), figures in medians.items()
    ]
    row.raw["medians"] = {f"{what}, {count}": figures for (what, count), figures in medians.items()}
    row.notes.append("no machine runs: a stand-in answers for the commands that would start or re-provision one")
    row.notes.append("OpenTofu: three `terraform_data` for each machine, a config step without any checks, no machine")
    return row


def _lines(row: Row, what: str, samples: dict[str, list[Sample]], *, is_goal: bool) -> None:
    time, memory = ratio(samples["ours"], samples["bare"]), ratio(samples["ours"], samples["bare"], "program")
    row.lines.append(
        Line(
            what=what,
            ours=times(samples["ours"]),
            against="bare program",
            theirs=times(samples["bare"]),
            ratio=time,
            **at_most(GOAL_TIME if is_goal else None, time),
        )
    )
    if "OpenTofu" in samples:
        row.lines.append(
            Line(
                what=what,
                ours=times(samples["ours"]),
                against="OpenTofu",
                theirs=times(samples["OpenTofu"]),
                ratio=ratio(samples["ours"], samples["OpenTofu"]),
            )
        )
    row.lines.append(
        Line(
            what=f"{what}: memory of the program",
            ours=f"{median(samples['ours'], 'program'):.0f} MiB",
            against="bare program",
            theirs=f"{median(samples['bare'], 'program'):.0f} MiB",
            ratio=memory,
            **at_most(GOAL_MEMORY if is_goal else None, memory),
        )
    )


def _growth(row: Row, what: str, medians: dict[tuple[str, int], dict[str, float]]) -> None:
    """1,000 machines to 100, after the fixed part: what is left at no machine, by the line through 10 and 100."""
    grown: dict[str, Any] = {}
    for side in ("ours", "bare"):
        ten, hundred, thousand = (medians[what, count][side] for count in (10, 100, 1000))
        fixed = ten - (hundred - ten) / 9
        grown[side] = (thousand - fixed) / (hundred - fixed)
    row.lines.append(
        Line(
            what=f"{what}: growth from 100 to 1000, after the fixed part",
            ours=f"{grown['ours']:.3g}",
            against="bare program",
            theirs=f"{grown['bare']:.3g}",
            ratio=grown["ours"] / grown["bare"],
            **at_most(GOAL_GROWTH, grown["ours"]),
        )
    )
