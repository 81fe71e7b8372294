"""Row 9: the component package's process with many machines, against this project's own program with the same."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.fleet import PROGRAM, empty_stack, make, own_stack, variables_of
from bench.measure import Sample, in_turn, median, process, ratio, raw
from bench.table import Line, Row, at_most
from loopback.first_resource import KEY
from loopback.pulumi import Pulumi
from toolchain.places import ROOT

COUNT = int(os.environ.get("BENCH_PACKAGE", "100"))
GOAL = 1.2
PLUGIN = str(ROOT / "package")
"""A word in the command line of the package's process."""
CLIENT = """\
import json
from pathlib import Path

import pulumi


class Remote(pulumi.ComponentResource):
    def __init__(self, kind, name, props):
        super().__init__(f"flatcar:index:{kind}", name, props, None, remote=True)


config = Path("template.yaml").read_text()
shared = {"ssh": {"publicKey": PUBLIC_KEY}}
machines = {
    name: {"config": config, "configName": "template.yaml", "variables": own, "qemu": {"image": IMAGE}}
    for name, own in json.loads(Path("variables.json").read_text()).items()
}
if AS_A_FLEET:
    Remote("Fleet", "fleet", {"machines": machines, **shared})
else:
    for name, machine in machines.items():
        Remote("Machine", name, {**machine, **shared})
"""


def measure(rounds: int) -> Row:
    """A preview without a change: of machines one by one, and of a `Fleet`."""
    row = Row(title="many machines through the package")
    with tempfile.TemporaryDirectory() as scratch, own_stack(COUNT, Path(scratch)) as (ours, _):
        stacks = {
            what: _stack(ours, Path(scratch), name, as_a_fleet=name == "fleet")
            for what, name in (("`Machine`", "one-by-one"), ("`Fleet`", "fleet"))
        }
        sides = {"ours": partial(_preview, ours, PROGRAM)}
        sides |= {what: partial(_preview, stack, PLUGIN) for what, stack in stacks.items()}
        samples = in_turn(sides, rounds)
    row.raw[f"preview, {COUNT}"] = raw(samples)
    for what in stacks:
        for figure, unit, words in (("program_cpu", "s", "processor time"), ("program", "MiB", "memory")):
            times = ratio(samples[what], samples["ours"], figure)
            row.lines.append(
                Line(
                    what=f"preview of {COUNT} machines as {what}: {words} of the package's process",
                    ours=f"{median(samples[what], figure):.3g} {unit}",
                    against="this project's program",
                    theirs=f"{median(samples['ours'], figure):.3g} {unit}",
                    ratio=times,
                    **at_most(GOAL, times),
                )
            )
    row.notes.append("beside it runs the program that declares the machines, in whatever language")
    return row


def _preview(stack: Pulumi, watch: str) -> Sample:
    arguments = ("preview", "--expect-no-changes")
    return process(stack.argv(*arguments), cwd=stack.directory, env=stack.environment(), watch=watch)


def _stack(ours: Pulumi, scratch: Path, name: str, *, as_a_fleet: bool) -> Pulumi:
    """A program that declares the machines of `ours` through the package, with all resources made."""
    project, plugin = scratch / f"{name}-project", scratch / f"{name}-plugin"
    for folder in (project, plugin):
        folder.mkdir()
    executable = plugin / "pulumi-resource-flatcar"
    executable.write_text(f'#!/bin/sh\nexec {sys.executable} {PLUGIN} "$@"\n')
    executable.chmod(0o755)
    provider = f"plugins:\n  providers:\n    - {{name: flatcar, path: {plugin}}}\n"
    (project / "Pulumi.yaml").write_text(f"name: {name}\nruntime: python\n{provider}")
    constants = f"PUBLIC_KEY, IMAGE, AS_A_FLEET = {KEY!r}, {str(scratch / 'image')!r}, {as_a_fleet}\n"
    (project / "__main__.py").write_text(constants + CLIENT)
    (project / "template.yaml").write_text((scratch / "template.yaml").read_text())
    (project / "variables.json").write_text(json.dumps(variables_of(COUNT)))
    stack = empty_stack(project, name, scratch / name, ours.home, ours.env)
    make(stack)
    return stack
