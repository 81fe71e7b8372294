"""Row 4: a `pulumi up` that makes many machines, and changes one or all, against a bare program's and OpenTofu's."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from bench.fleet import MOST_FOR_TOFU, Fleet, fleet
from bench.measure import Sample, Side, in_turn, median, ratio, raw
from bench.table import Line, Row, at_most, times
from toolchain.checkpoints import SKIPPED

COUNTS = tuple(int(word) for word in os.environ.get("BENCH_ALL", "100 300 1000").split())
UP = ("up", "--yes", "--skip-preview")
PEERS = {
    "bare": "bare program",
    "checkpoints": "ours with checkpoints",
    "OpenTofu": "OpenTofu",
}
GOAL_ENGINE, GOAL_PEAK, GOAL_TOFU, GOAL_GROWTH = 200, 750, 4, 11
"""MiB of the engine for 100 machines, and of the largest process for 1,000; times OpenTofu's time for 100; processor
time of 1,000 machines to that of 100."""


def measure(rounds: int) -> Row:
    """A stand-in takes the place of each machine: what is measured is what Pulumi and this project add."""
    row = Row(title="an update that makes all machines, and that changes one or all")
    cpu = {}
    for count in COUNTS:
        with tempfile.TemporaryDirectory() as scratch, fleet(count, Path(scratch)) as stacks:
            row.raw[f"create {count}"] = raw({"ours": [stacks.created]})
            row.lines.append(Line(what=f"create {count} machines", ours=_figures([stacks.created])))
            names = [f"web-{number}" for number in range(count)]
            others: dict[str, set[str]] = {"ours": set(), "bare": set(), "OpenTofu": set()}
            for changed in [1, count] if count == max(COUNTS) else [count]:
                turns = min(rounds, 3) if count <= MOST_FOR_TOFU else 1
                samples = in_turn(_sides(stacks, names[:changed], others), turns, warmup=0)
                row.raw[f"{changed} of {count}"] = raw(samples)
                row.lines += _lines(f"{changed} of {count} machines", samples, is_goal=changed == 100)
                if changed == count:
                    cpu[count] = median(samples["ours"], "cpu")
                    row.lines += _memory(count, samples["ours"])
    if {100, 1000} <= set(cpu):
        growth = cpu[1000] / cpu[100]
        what = "processor time of 1000 of 1000 to 100 of 100 machines"
        row.lines.append(Line(what=what, ours=f"{growth:.3g}", **at_most(GOAL_GROWTH, growth)))
    row.notes.append("no machine runs: a stand-in answers for the commands that would start or re-provision one")
    row.notes.append("without the engine's checkpoints, as `make up` does for a change, where it isn't said otherwise")
    row.notes.append("what the machines themselves take is in row 5; ours goes in waves, the bare program does not")
    return row


def _sides(stacks: Fleet, names: Collection[str], others: dict[str, set[str]]) -> dict[str, Side]:
    """Each changes the machines `names` of its stack; `others` are those of each stack that are not as at first."""
    runs: dict[str, Side] = {
        "ours": partial(stacks.run, stacks.ours, *UP, **SKIPPED),
        "bare": partial(stacks.run, stacks.bare, *UP, **SKIPPED),
    }
    if stacks.count <= MOST_FOR_TOFU:  # with the square of the machines' number
        runs["checkpoints"] = partial(stacks.run, stacks.ours, *UP)
    if stacks.tofu is not None:
        runs["OpenTofu"] = stacks.tofu.apply

    def change(side: str) -> Sample:
        changed = others["ours" if side == "checkpoints" else side]
        changed ^= set(names)
        stacks.change(changed)
        return runs[side]()

    return {side: partial(change, side) for side in runs}


def _lines(what: str, samples: Mapping[str, list[Sample]], *, is_goal: bool) -> list[Line]:
    """Against each peer; held to a goal is what OpenTofu's time is compared with."""
    lines = []
    for side in [side for side in PEERS if side in samples]:
        measured = ratio(samples["ours"], samples[side])
        lines.append(
            Line(
                what=what,
                ours=_figures(samples["ours"]),
                against=PEERS[side],
                theirs=times(samples[side]),
                ratio=measured,
                **at_most(GOAL_TOFU if is_goal and side == "OpenTofu" else None, measured),
            )
        )
    return lines


def _memory(count: int, samples: list[Sample]) -> list[Line]:
    engine, peak = median(samples, "engine_peak"), median(samples, "peak")
    return [
        Line(
            what=f"{count} of {count} machines: memory of the engine",
            ours=f"{engine:.0f} MiB",
            **at_most(GOAL_ENGINE if count == 100 else None, engine, " MiB"),
        ),
        Line(
            what=f"{count} of {count} machines: memory of the largest process",
            ours=f"{peak:.0f} MiB",
            **at_most(GOAL_PEAK if count == 1000 else None, peak, " MiB"),
        ),
    ]


def _figures(samples: list[Sample]) -> str:
    """Times, and whose the processor time was."""
    engine, program, plugin = (median(samples, figure) for figure in ("engine", "program_cpu", "plugin_cpu"))
    return f"{times(samples)[:-1]}: engine {engine:.3g}, program {program:.3g}, plugin {plugin:.3g})"
