"""What a rollout costs per machine, and how it grows: `python -m bench.rollout [COUNT …]` (10, 30, 100 by default).

Real engine, real SSH; the machines are the tests' loopback machines, stand-ins for systems that boot in a third of a
second, so that what is measured is this project, Pulumi and OpenSSH. They run on the same computer, and their share
(sshd, the sandboxes, their scripts) is in the figures. Writes
bench/results/rollout.json; counts that are not measured again stay in it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Self

from tests.engine.fleet import PROGRAM, Fleet, running_fleet, waves_hold
from tests.support.pulumi import Pulumi
from toolchain import places

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "bench" / "results" / "rollout.json"
ROLLOUT = {"canary": 1, "batch": "25%", "max_unavailable": 12}


class PeakMemory:
    """The largest sum of resident memory (MiB) of what descends from this process; sshd and its children left out."""

    def __init__(self) -> None:
        self.mib = 0.0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            self.mib = max(self.mib, sum(map(_resident, _descendants(os.getpid()))) / 2**20)


def _descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except OSError:
            continue
        for child in children:
            if _name(child) != "sshd":
                found += [child, *_descendants(child)]
    return found


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def cpu_seconds() -> float:
    """CPU time of this process and its children that have ended: other work on the computer does not count."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def measure(stack: Pulumi, fleet: Fleet, file: str) -> dict[str, float]:
    """One `pulumi up`: seconds, seconds of CPU, and MiB of the engine, the program and the Commands together."""
    fleet.write(stack.directory, file)
    start, cpu = time.monotonic(), cpu_seconds()
    with PeakMemory() as memory:
        stack.up()
    machines = len(fleet.machines)
    wall = time.monotonic() - start
    used = cpu_seconds() - cpu
    return {
        "seconds": round(wall, 1),
        "cpu_seconds": round(used, 1),
        "cpu_seconds_per_machine": round(used / machines, 2),
        "peak_mib": round(memory.mib),
    }


def rollout(count: int) -> dict[str, Any]:
    """Make `count` machines, change their config once, and run an `up` without a change."""
    names = [f"m{number:03}" for number in range(count)]
    with tempfile.TemporaryDirectory() as scratch, running_fleet(Path(scratch) / "fleet", names) as fleet:
        fleet.settings["rollout"] = ROLLOUT
        directory = Path(scratch) / "project"
        directory.mkdir()
        (directory / "Pulumi.yaml").write_text("name: test\nruntime: python\n")
        (directory / "__main__.py").write_text(PROGRAM)
        (directory / "components").symlink_to(PROJECT / "components")
        home = Path(scratch) / "home"
        home.mkdir()
        (home / "plugins").symlink_to(places.PLUGINS)
        stack = Pulumi(
            directory=directory,
            scratch=Path(scratch),
            home=home,
            env={**fleet.environment, "PYTHONPATH": str(PROJECT)},
        )
        stack.start()
        result = {
            "machines": count,
            "created": measure(stack, fleet, "/etc/one"),
            "changed": measure(stack, fleet, "/etc/two"),
            "unchanged": measure(stack, fleet, "/etc/two"),
        }
        waves_hold(fleet, names)
        absences = fleet.absences()
        result["away_at_once"] = max(
            sum(other.down <= absence.down < other.proven for other in absences) for absence in absences
        )
        return result


def main() -> None:
    """Measure, print, write."""
    counts = [int(argument) for argument in sys.argv[1:]] or [10, 30, 100]
    known = json.loads(RESULTS.read_text())["results"] if RESULTS.exists() else []
    results = {result["machines"]: result for result in known}
    for count in counts:
        results[count] = rollout(count) | {"load": round(os.getloadavg()[1], 1)}
        print(json.dumps(results[count]), flush=True)
    document = {
        "what": "loopback machines (stand-ins): real engine, real SSH; `load` is the computer's when done",
        "processors": os.cpu_count(),
        "rollout": ROLLOUT,
        "results": [results[count] for count in sorted(results)],
    }
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(json.dumps(document, indent=2) + "\n")
    print(f"written to {RESULTS.relative_to(PROJECT)}")


if __name__ == "__main__":
    main()
