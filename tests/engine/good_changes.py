"""Good changes with a random fault in the way of each: none of them may end with the machine rolling back.

Each change is published and started; at a random moment of it the deployer is killed, or the machine is cut off,
switched off or restarted. Then the deployer runs again until the config is proven, as people run `pulumi up` again.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from loopback.lab import Lab, confirmed_lab
from loopback.machine import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Faults = Mapping[str, Callable[[random.Random, subprocess.Popen[str]], None]]

RUNS = 5
"""So many runs of the deployer at most, until a good config is proven."""


class Changing(Protocol):
    """A machine that is changed."""

    faults: Faults
    """What may come in the way, by name: it gets the deployer's process, and ends with the machine on again."""

    def publish(self, name: str) -> str:
        """Make the object a good config of this name; its config id."""
        ...

    def start(self, config_id: str) -> subprocess.Popen[str]:
        """The deployer."""
        ...

    def times_it_rolled_back(self) -> int:
        """How often the machine has rolled back to its last good config so far."""
        ...

    def check(self, name: str) -> None:
        """Assert that the machine runs the config of this name, and that nothing kept is lost."""
        ...


@dataclass(slots=True, kw_only=True)
class Tally:
    """What happened in a number of changes; `false_rollbacks` in words."""

    changes: int = 0
    runs: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    false_rollbacks: list[str] = field(default_factory=list)

    def add(self, other: Tally) -> None:
        """Count what another machine had."""
        self.changes += other.changes
        self.runs += other.runs
        self.faults += other.faults
        self.false_rollbacks += other.false_rollbacks

    def told(self, where: str) -> str:
        """The figure, in a sentence."""
        faults = ", ".join(f"{count} of {name!r}" for name, count in sorted(self.faults.items()))
        return (
            f"{len(self.false_rollbacks)} false rollbacks in {self.changes} good changes on {where} "
            f"({self.runs} runs of the deployer; {faults})"
        )


def new_seed() -> int:
    """What the random numbers of a test start from: SEED of the environment, or another each time; printed."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().randrange(10**6))
    print(f"SEED={seed}")
    return seed


def change(machine: Changing, chance: random.Random, count: int, label: str) -> Tally:
    """`count` good changes of one machine, each with a fault; before them one without, for how long a change takes."""
    tally = Tally()
    began = time.monotonic()
    _, said = _ended(machine.start(machine.publish(f"{label}-undisturbed")))
    machine.check(f"{label}-undisturbed")
    usual = time.monotonic() - began
    for number in range(count):
        name, before = f"{label}-{number}", machine.times_it_rolled_back()
        fault, after = chance.choice(sorted(machine.faults)), chance.uniform(0, usual)
        wanted = machine.publish(name)
        process = machine.start(wanted)
        time.sleep(after)
        machine.faults[fault](chance, process)
        code, said = _ended(process)
        runs = 1
        while code != 0 and runs < RUNS:
            code, more = _ended(machine.start(wanted))
            said += f"--- run again\n{more}"
            runs += 1
        assert code == 0, f"{name}: {fault} after {after:.2f} s; not proven after {runs} runs\n{said}"
        machine.check(name)
        if machine.times_it_rolled_back() > before or "rolling back to the last good" in said:
            tally.false_rollbacks.append(f"{name}: {fault} after {after:.2f} s\n{said}")
        tally.changes += 1
        tally.runs += runs
        tally.faults[fault] += 1
    return tally


def change_loopback_machines(folder: Path, *, machines: int, each: int) -> Tally:
    """So many machines side by side, `each` with so many changes."""
    seed = new_seed()

    def one(number: int) -> Tally:
        (folder / str(number)).mkdir()
        with confirmed_lab(folder / str(number)) as lab:
            return change(LoopbackChanging(lab), random.Random(seed + number), each, f"m{number}")

    tally = Tally()
    with ThreadPoolExecutor(machines) as pool:
        for of_one in pool.map(one, range(machines)):
            tally.add(of_one)
    print(tally.told("loopback machines"))
    return tally


class LoopbackChanging:
    """A loopback machine. Its deadline is far beyond what a run may take here."""

    def __init__(self, lab: Lab) -> None:
        self._lab, self._machine = lab, lab.machine
        lab.rollback_after = 150
        self.faults: Faults = {
            "the deployer is killed": lambda _, process: process.kill(),
            "the deployer is told to end": lambda _, process: process.terminate(),
            "the network is cut": self._cut_the_network,
            "the power is lost": self._lose_power,
            "the machine is restarted": lambda *_: self._restart(1),
            "the machine is restarted twice": lambda *_: self._restart(2),
        }

    def publish(self, name: str) -> str:
        return self._lab.publish(name)

    def start(self, config_id: str) -> subprocess.Popen[str]:
        check = {"name": "it", "subject": "sleep 0.3; test -e /etc/flatcar/config-id", "seconds": 5}
        return self._lab.start(config_id, health=[check])

    def times_it_rolled_back(self) -> int:
        return self._machine.text("/oem/.flatcar-history").count("going-back")

    def check(self, name: str) -> None:
        assert self._machine.text(f"/etc/only-{name}") == "x"
        assert len(list(self._machine.path("/etc").glob("only-*"))) == 1, "the reset was made"
        assert self._machine.text("/var/log/kept") == "kept"
        assert not self._machine.path("/boot/flatcar/first_boot").exists()
        assert not self._machine.path("/oem/config.ign").exists()

    def _cut_the_network(self, chance: random.Random, process: subprocess.Popen[str]) -> None:
        wait_until(lambda: self._machine.is_up)
        self._machine.cut_the_network(seconds=chance.uniform(0.2, 8))

    def _lose_power(self, chance: random.Random, process: subprocess.Popen[str]) -> None:
        self._machine.pull_the_plug()
        time.sleep(chance.uniform(0.1, 2))
        self._machine.plug_in()

    def _restart(self, times: int) -> None:
        self._machine.restarts_at_once = times - 1
        self._machine.inside("systemctl reboot")


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    _, said = process.communicate(timeout=600)
    return process.returncode, said
