"""Bars as SVG, without a library: one group for each label, one bar for each side, the value beside it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from bench.table import Bar

WIDTH, LEFT, RIGHT, THICK, GAP, TOP = 760, 230, 70, 14, 12, 48
COLORS = ("#1f6feb", "#9aa4af", "#d29922", "#57ab5a")


def svg(title: str, bars: Sequence[Bar]) -> str:
    """The plot; bars are to one scale, from 0."""
    sides = list(dict.fromkeys(side for bar in bars for side in bar.values))
    most = max(value for bar in bars for value in bar.values.values())
    height = TOP + sum(len(bar.values) * THICK + GAP for bar in bars)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">',
        f'<title>{escape(title)}</title><rect width="100%" height="100%" fill="#fff"/>',
        _text(8, 18, title, weight="bold"),
    ]
    for index, side in enumerate(sides):
        out += [_bar(LEFT + index * 130, 26, 12, 12, index), _text(LEFT + 18 + index * 130, 36, side)]
    y = TOP
    for bar in bars:
        out.append(_text(LEFT - 8, y + len(bar.values) * THICK / 2 + 4, bar.label, anchor="end"))
        for side, value in bar.values.items():
            length = value / most * (WIDTH - LEFT - RIGHT)
            out += [
                _bar(LEFT, y, length, THICK - 2, sides.index(side)),
                _text(LEFT + length + 6, y + 10, f"{value:.3g} s"),
            ]
            y += THICK
        y += GAP
    return "\n".join([*out, "</svg>"]) + "\n"


def _bar(x: float, y: float, width: float, height: float, color: int) -> str:
    fill = COLORS[color % len(COLORS)]
    return f'<rect x="{x:g}" y="{y:g}" width="{max(width, 1):.1f}" height="{height:g}" fill="{fill}"/>'


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal") -> str:
    attributes = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" font-size="12"'
    return f"<text {attributes}>{escape(text)}</text>"
