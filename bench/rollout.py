"""Row 7: what a rollout costs for each machine, how that grows, and how soon a Command ends once its machine is ready.

Real engine, real SSH; the machines are the tests' loopback machines, stand-ins for systems that boot in a third of a
second, so that what is measured is this project, Pulumi and OpenSSH. They run on the same computer, and their share
(sshd, the sandboxes, their scripts) is in the figures.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from bench.fleet import PROGRAM as PROGRAM_PROCESS
from bench.measure import BenchError, Sample, median, process, raw
from bench.table import Line, Row, at_most, seconds
from loopback.fleet import PROGRAM, Fleet, running_fleet, waves_hold
from loopback.lab import Lab
from loopback.machine import LoopbackMachine, ObjectServer
from loopback.pulumi import Pulumi
from toolchain.places import PLUGINS, ROOT

COUNTS = tuple(int(word) for word in os.environ.get("BENCH_ROLLOUT", "10 30 100").split())
ROLLOUT = {"canary": 1, "batch": "25%", "max_unavailable": 12}
GOAL_READY_S = 1.0
GOAL_GROWTH = 1.1


def measure(rounds: int) -> Row:
    """Each count once: an `up` of many machines is many measurements of one."""
    row = Row(title=f"a rollout in waves: {', '.join(f'{name} {value}' for name, value in ROLLOUT.items())}")
    ours: dict[int, float] = {}
    engine: dict[int, float] = {}
    for count in COUNTS:
        changed, most_away = _rollout(count, row)
        ours[count], engine[count] = (changed.cpu - changed.engine) / count, changed.engine / count
        row.lines.append(
            Line(
                what=f"`up` that changes {count} machines; most away at once: {most_away}",
                ours=f"{seconds(changed.wall)}; program {changed.program:.0f} MiB, engine {changed.peak:.0f} MiB",
            )
        )
    if {10, 100} <= set(COUNTS):
        row.lines.append(_growth("processor time for each machine, without the engine's: of 100", ours, GOAL_GROWTH))
        row.lines.append(_growth("the engine's own processor time for each machine: of 100", engine))
    ready = [Sample(wall=_from_ready_to_end(), cpu=0.0) for _ in range(max(rounds, 5))]
    row.raw["from ready to end"] = raw({"ours": ready})["ours"]
    row.lines.append(
        Line(
            what="from a machine that is ready to the end of its Command",
            ours=seconds(median(ready)),
            **at_most(GOAL_READY_S, median(ready), " s"),
        )
    )
    row.notes.append(
        "the engine writes the whole state, and encrypts what is secret in it, several times for each change"
    )
    row.notes.append("the machines are loopback stand-ins on the same computer; their own share is in the figures")
    return row


def _growth(what: str, each: Mapping[int, float], goal: float | None = None) -> Line:
    growth = each[100] / each[10]
    return Line(
        what=what,
        ours=seconds(each[100]),
        against="of 10",
        theirs=seconds(each[10]),
        ratio=growth,
        **at_most(goal, growth),
    )


def _rollout(count: int, row: Row) -> tuple[Sample, int]:
    """Make `count` machines and change their config once: the change's figures, and how many were away at once."""
    names = [f"m{number:03}" for number in range(count)]
    with tempfile.TemporaryDirectory() as scratch, running_fleet(Path(scratch) / "fleet", names) as fleet:
        fleet.settings["rollout"] = ROLLOUT
        stack = made_stack(Path(scratch), fleet)
        samples = {what: _up(stack, fleet, file) for what, file in (("create", "/etc/one"), ("change", "/etc/two"))}
        samples["no change"] = _up(stack, fleet, "/etc/two")
        waves_hold(fleet, names)
        absences = fleet.absences()
    row.raw[f"{count} machines"] = {what: asdict(sample) for what, sample in samples.items()}
    most_away = max(sum(other.down <= absence.down < other.proven for other in absences) for absence in absences)
    return samples["change"], most_away


def made_stack(scratch: Path, fleet: Fleet) -> Pulumi:
    """A stack of the fleet's program, with all that it needs in `scratch`."""
    directory, home = scratch / "project", scratch / "home"
    directory.mkdir()
    (directory / "Pulumi.yaml").write_text("name: test\nruntime: python\n")
    (directory / "__main__.py").write_text(PROGRAM)
    (directory / "components").symlink_to(ROOT / "components")
    home.mkdir()
    (home / "plugins").symlink_to(PLUGINS)
    stack = Pulumi(directory=directory, scratch=scratch, home=home, env={**fleet.environment, "PYTHONPATH": str(ROOT)})
    stack.start()
    return stack


def _up(stack: Pulumi, fleet: Fleet, file: str) -> Sample:
    fleet.write(stack.directory, file)
    argv = stack.argv("up", "--yes", "--skip-preview")
    return process(argv, cwd=stack.directory, env=stack.environment(), watch=PROGRAM_PROCESS)


def _from_ready_to_end() -> float:
    """Seconds from when a machine has all that is asked of it, but for a started sshd, to the Command's end.

    That is sshd's start, the look at the proofs, a health check, and noting the config as the last good one.
    """
    with tempfile.TemporaryDirectory() as scratch:
        objects, folder = Path(scratch, "objects"), Path(scratch, "machine")
        objects.mkdir()
        folder.mkdir()
        server = ObjectServer(objects)
        with server.running() as address, LoopbackMachine(folder, f"{address}/web.ign") as machine:
            lab = Lab(machine, server, rollback_after=300)
            health = [{"name": "it", "subject": "test -e /etc/only-b", "seconds": 5}]
            lab.run(lab.publish("a"))
            code, _, progress = lab.run(lab.publish("b"), health=health)
            ended = time.time()
            if code or len(machine.came_up) != 2:
                raise BenchError(f"the Command failed\n{progress}")
            return ended - machine.came_up[-1]
