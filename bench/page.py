"""Row 8: the page of `make status`, until it can be used in a browser, with 10 and with 10,000 machines."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.measure import BenchError
from bench.table import Line, Row
from components.operate.page import page
from components.operate.status import statuses
from loopback.browser import PACKAGES, browser, is_there
from loopback.exports import fleet

MOST_S = 2.0


def measure(rounds: int) -> Row:
    """Each in one browser, which has been started before; the best and the worst of all rounds are among the raw."""
    if not is_there():
        raise BenchError(f"there is no browser: install {PACKAGES}")
    row = Row(title="the page of a stack")
    with tempfile.TemporaryDirectory() as folder, browser(Path(folder)) as window:
        for count in (10, 10_000):
            began = time.monotonic()
            found, declares = statuses(fleet(count), settings={}, notes={}, machines_dir=Path(folder))
            text = page("bench", found, declares, time.time())
            written = time.monotonic() - began
            file = Path(folder, f"{count}.html")
            file.write_text(text, encoding="utf-8")
            opened = sorted(window.open(file) for _ in range(rounds))
            row.raw[str(count)] = {"written": round(written, 2), "bytes": len(text), "usable": opened}
            row.lines.append(
                Line(
                    what=f"{count:,} machines: until it can be used; {len(text) / 1e6:.1f} MB, made in {written:.1f} s",
                    ours=f"{opened[len(opened) // 2]:.2f} s",
                    goal=f"≤ {MOST_S:.0f} s",
                    met=opened[len(opened) // 2] <= MOST_S,
                )
            )
    return row
