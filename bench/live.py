"""Row 10: a changed page by `live`, beside the same change by a reset: one machine in QEMU, and many on loopback."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from bench.fleet import PROGRAM as PROGRAM_PROCESS
from bench.machine import PageMachine
from bench.measure import BenchError, Sample, median, process, raw
from bench.rollout import ROLLOUT, made_stack
from bench.table import Bar, Line, Row, seconds
from loopback.fleet import Fleet, running_fleet
from loopback.pulumi import Pulumi

COUNT = int(os.environ.get("BENCH_LIVE", "100"))
CONFIG = """\
variant: flatcar
version: 1.0.0
storage: {files: [{path: /srv/web/page, contents: {inline: "PAGE"}}]}
systemd:
  units:
    - name: web.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/usr/bin/web /srv/web
        [Install]
        WantedBy=multi-user.target
"""


def measure(rounds: int) -> Row:
    """`live` and a reset in turn on the same machine, so that slow minutes hit both; the many once."""
    row = Row(title="a changed page, live and by a reset")
    with tempfile.TemporaryDirectory() as scratch:
        samples = PageMachine(Path(scratch)).changes(rounds)
    row.raw["one machine in QEMU"] = raw(samples)
    walls = {name: median(side) for name, side in samples.items()}
    for what, name in (("`up` until it is proven", "wall"), ("downtime of its service", "downtime")):
        ours, theirs = walls[f"live, {name}"], walls[f"reset, {name}"]
        row.lines.append(
            Line(
                what=f"one machine in QEMU: {what}", ours=seconds(ours), against="reset", theirs=seconds(theirs),
                ratio=ours / theirs,
            )
        )  # fmt: skip
    row.lines.append(
        Line(what="one machine in QEMU: downtime of another service", ours="0 s", against="reset",
             theirs=seconds(walls["reset, downtime"]))
    )  # fmt: skip
    live, reset = _many(row)
    row.lines.append(
        Line(
            what=f"`up` that changes a page on {COUNT} loopback machines", ours=seconds(live), against="reset",
            theirs=seconds(reset), ratio=live / reset,
        )
    )  # fmt: skip
    row.plot = [Bar(label=side, values={"pulumi up": walls[f"{side}, wall"]}) for side in ("live", "reset")]
    row.notes.append(
        "downtime of the service: live, from its stop to its start, as systemd has it; by a reset, row 5's"
    )
    row.notes.append("another service on the machine runs on while the page changes live: its process stays the same")
    row.notes.append("the loopback machines boot in a third of a second, so what a reset costs there is its least")
    return row


def _many(row: Row) -> tuple[float, float]:
    names = [f"m{number:03}" for number in range(COUNT)]
    with tempfile.TemporaryDirectory() as scratch, running_fleet(Path(scratch) / "fleet", names) as fleet:
        fleet.settings |= {"rollout": ROLLOUT, "lifecycle": "live"}
        stack = made_stack(Path(scratch), fleet)
        samples = {"create": _up(stack, fleet, "one"), "live": _up(stack, fleet, "two")}
        booted = [name for name, machine in fleet.machines.items() if machine.boots != 1]
        if booted:
            raise BenchError(f"{len(booted)} machines were not changed live, such as {booted[0]}")
        fleet.settings["generation"] = dict.fromkeys(names, 1)
        samples["reset"] = _up(stack, fleet, "three")
    row.raw[f"{COUNT} loopback machines"] = {what: sample.wall for what, sample in samples.items()}
    return samples["live"].wall, samples["reset"].wall


def _up(stack: Pulumi, fleet: Fleet, page: str) -> Sample:
    (stack.directory / "config.yaml").write_text(CONFIG.replace("PAGE", page))
    (fleet.folder / "fleet.json").write_text(json.dumps(fleet.settings))
    for machine in fleet.machines.values():  # they have run for longer than their own timers
        machine.path("/run/rollback-timer").unlink(missing_ok=True)
    argv = stack.argv("up", "--yes", "--skip-preview")
    return process(argv, cwd=stack.directory, env=stack.environment(), watch=PROGRAM_PROCESS)
