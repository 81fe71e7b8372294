"""Row 6: from the start of Python to the first resource of `__main__.py`, and which clouds' SDKs that imports."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from bench.measure import Side, in_turn, process, ratio, raw
from bench.table import Line, Row, times
from loopback.first_resource import SDKS, SETTINGS, argv, imported
from toolchain.places import ROOT

BARE = """\
import pulumi
from pulumi_command import local
local.Command("first", create=":")
"""


def measure(rounds: int) -> Row:
    """Each platform, against a program whose first resource is its first line."""
    row = Row(title="start-up to the first resource")
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder, "bare.py")
        bare.write_text(BARE)
        sides: dict[str, Side] = {"bare": partial(process, argv("qemu", bare), cwd=ROOT)}
        for platform in SETTINGS:
            sides[platform] = partial(process, argv(platform, Path("__main__.py")), cwd=ROOT)
        samples = in_turn(sides, rounds)
    row.raw["start-up"] = raw(samples)
    for platform in SETTINGS:
        found = imported(platform)
        own = {sdk for sdk, name in SDKS.items() if name == platform}
        row.lines.append(
            Line(
                what=f"{platform}; imports {', '.join(found) or 'no cloud SDK'}",
                ours=times(samples[platform]),
                against="import pulumi, first resource",
                theirs=times(samples["bare"]),
                ratio=ratio(samples[platform], samples["bare"]),
                goal="its own SDK alone",
                met=set(found) <= own,
            )
        )
    return row
