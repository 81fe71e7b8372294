"""What a row comes to: lines of the table, and the figures behind them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.measure import Sample, median


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One line of the table. `ours` and `theirs` are texts with a unit; `ratio` is ours to theirs, None without one.

    `goal` is what the ratio or the figure should be, `met` whether it is.
    """

    what: str
    ours: str
    against: str = ""
    theirs: str = ""
    ratio: float | None = None
    goal: str = ""
    met: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One label of a row's plot, and seconds by side."""

    label: str
    values: Mapping[str, float]


@dataclass(slots=True, kw_only=True)
class Row:
    """A row's lines, its raw figures (plain data), and notes: what could not be measured and why, who stood in."""

    title: str
    lines: list[Line] = field(default_factory=list)
    raw: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    plot: list[Bar] = field(default_factory=list)


HEAD = ("row", "what", "ours", "against", "theirs", "ratio", "goal", "met")


def table(rows: Mapping[str, Row]) -> str:
    """All rows, by number, as one Markdown table; their titles and notes stand below it."""
    cells = [HEAD, *((number, *_cells(line)) for number, row in rows.items() for line in row.lines)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    padded = [[cell.ljust(width) for cell, width in zip(line, widths, strict=True)] for line in cells]
    lines = [f"| {' | '.join(line)} |" for line in padded]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    notes = [f"{number}. {'; '.join([row.title, *row.notes])}" for number, row in rows.items()]
    return "\n".join([*lines, "", *notes])


def _cells(line: Line) -> tuple[str, ...]:
    met = "" if line.met is None else "yes" if line.met else "no"
    number = "" if line.ratio is None else f"{line.ratio:.3g}"
    return (line.what, line.ours, line.against, line.theirs, number, line.goal, met)


def at_most(goal: float | None, value: float, unit: str = "") -> dict[str, Any]:
    """A line's `goal` and whether `value` meets it; neither without a goal."""
    return {} if goal is None else {"goal": f"≤ {goal:g}{unit}", "met": value <= goal}


def seconds(value: float) -> str:
    """A time in the unit that suits it."""
    if value < 0.001:
        return f"{value * 1e6:.0f} µs"
    return f"{value * 1000:.3g} ms" if value < 1 else f"{value:.3g} s"


def times(samples: Sequence[Sample]) -> str:
    """The median wall time, and the processor time, which a busy computer changes less."""
    return f"{seconds(median(samples))} ({seconds(median(samples, 'cpu'))} CPU)"
