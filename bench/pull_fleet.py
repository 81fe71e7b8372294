"""What 10,000 agents do to their store, and how a change gets through them: `python -m bench.pull_fleet [--write]`.

A simulation of discrete events, with one seeded generator: the same table each time. What an agent does is in
`components/scripts/pull.sh` and the timer in `components/payload/agent.py`, here in a few lines; what is assumed is
`Assumed`. The object changes at second 0, with all agents' timers long out of step. A report is put when it is another
than the last one: of a change those are waiting, for the jitter and for the lock, staging, and proven.
"""

from __future__ import annotations

import argparse
import heapq
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.settings.pull import PullSettings

MACHINES = 10_000
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "pull.md"
BEGIN, END = "<!-- written by python -m bench.pull_fleet --write -->", "<!-- end -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Assumed:
    """Seconds, uniform between two: away from the order to reboot to the proof (EC2 reboots in 45 to 60 s), a look."""

    away: tuple[float, float] = (45.0, 75.0)
    look: tuple[float, float] = (0.05, 0.3)
    steady: float = 3600.0
    """How long the fleet is watched before the change."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Settings of all machines, and `slots` of the lock (0: none). `power_on`: all boot at second 0, and no change."""

    name: str
    settings: PullSettings = field(default_factory=PullSettings)
    slots: int = 0
    power_on: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Requests per second: mean before the change, highest of any second after it. `converged`: seconds until 99 %.

    `reports` are all that were put, `report_peak` the most in one second.
    """

    mean: float
    peak: int
    reports: int
    report_peak: int
    lock_mean: float
    converged: float
    most_away: int


SCENARIOS = (
    Scenario(name="defaults, no lock"),
    Scenario(name="jitter 0, no lock", settings=PullSettings(jitter=0)),
    Scenario(name="jitter 3600, no lock", settings=PullSettings(jitter=3600)),
    Scenario(name="defaults, lock with 100 slots", slots=100),
    Scenario(name="defaults, lock with 500 slots", slots=500),
    Scenario(name="interval 60, lock with 100 slots", settings=PullSettings(interval=60), slots=100),
    Scenario(name="all switched on at once", power_on=True),
)


def simulate(scenario: Scenario, *, machines: int = MACHINES, seed: int = 1, assumed: Assumed | None = None) -> Outcome:
    """Run until every machine has converged, or looked twice after a common power-on."""
    given = assumed or Assumed()
    return _Fleet(scenario, machines, random.Random(seed), given).run()  # noqa: S311 # nothing is secret here


def reports_after(seconds: float, scenario: Scenario, *, machines: int = MACHINES) -> list[tuple[str, str]]:
    """Of each machine the state that it last reported so long after the change, and why; "" for nothing since."""
    fleet = _Fleet(scenario, machines, random.Random(1), Assumed())  # noqa: S311 # nothing is secret here
    fleet.run(until=seconds)
    return [fleet.last_reports.get(machine, ("", "")) for machine in range(machines)]


class _Fleet:
    def __init__(self, scenario: Scenario, machines: int, chance: random.Random, assumed: Assumed) -> None:
        self.scenario, self.machines, self.chance, self.assumed = scenario, machines, chance, assumed
        self.settings = scenario.settings
        self.events: list[tuple[float, int, str]] = []
        self.asked: Counter[int] = Counter()  # requests at the store by second
        self.locking: Counter[int] = Counter()
        self.reported: Counter[int] = Counter()
        self.last_reports: dict[int, tuple[str, str]] = {}
        self.waited: set[int] = set()
        self.holders = 0
        self.away = self.most_away = 0
        self.done: list[float] = []
        booting = random.Random(machines)  # noqa: S311 # nothing is secret here
        start = 0.0 if scenario.power_on else -assumed.steady - self.settings.interval
        for machine in range(machines):
            if scenario.power_on:
                self.at(self.pause(first=True), machine, "look")
                self.report(booting.uniform(*assumed.away), machine, "proven")
            else:
                self.at(start + chance.uniform(0, self.settings.interval), machine, "look")

    def at(self, time: float, machine: int, what: str) -> None:
        heapq.heappush(self.events, (time, machine, what))

    def pause(self, *, first: bool = False) -> float:
        """The timer: `OnBootSec` or `OnUnitInactiveSec`, and `RandomizedDelaySec`."""
        interval = self.settings.interval
        return (min(60, interval) if first else interval * 9 // 10) + self.chance.uniform(0, interval // 10)

    def ask(self, time: float) -> None:
        self.asked[int(time // 1)] += 1

    def report(self, time: float, machine: int, state: str, why: str = "") -> None:
        if self.last_reports.get(machine) != (state, why):
            self.last_reports[machine] = state, why
            self.reported[int(time // 1)] += 1

    def run(self, until: float = float("inf")) -> Outcome:
        finished: set[int] = set()
        while self.events and len(self.done) < self.machines:
            time, machine, what = heapq.heappop(self.events)
            if time > until:
                break
            if self.scenario.power_on and time > 2 * self.settings.interval:
                break
            if what == "look":
                self.ask(time)
                end = time + self.chance.uniform(*self.assumed.look)
                if time < 0 or machine in finished or self.scenario.power_on:
                    self.at(end + self.pause(), machine, "look")
                elif machine in self.waited:
                    self.at(end, machine, "take")
                else:
                    if self.settings.jitter:
                        self.report(end, machine, "waiting", f"up to {self.settings.jitter} s, at random")
                    self.at(end + self.chance.uniform(0, self.settings.jitter), machine, "look again")
            elif what == "look again":
                self.waited.add(machine)
                self.ask(time)
                self.at(time, machine, "take")
            elif what == "take":
                self.take(time, machine)
            elif what == "back":
                self.away -= 1
                self.holders -= 1
                finished.add(machine)
                self.done.append(time)
                self.report(time, machine, "proven")
                self.at(time + self.pause(first=True), machine, "look")
        return self.outcome()

    def take(self, time: float, machine: int) -> None:
        if self.scenario.slots:
            self.locking[int(time // 1)] += 1
            if self.holders >= self.scenario.slots:
                self.report(time, machine, "waiting", "the lock is not to be had")
                self.at(time + self.pause(), machine, "look")
                return
        self.report(time, machine, "staging")
        self.holders += 1
        self.away += 1
        self.most_away = max(self.most_away, self.away)
        self.ask(time)  # stage.sh sees for itself what the pointer serves
        away = self.chance.uniform(*self.assumed.away)
        self.ask(time + away / 2)  # Ignition
        self.at(time + away, machine, "back")

    def outcome(self) -> Outcome:
        steady = range(-int(self.assumed.steady), 0)
        last = int(max(self.done, default=2 * self.settings.interval))
        converged = sorted(self.done)[len(self.done) * 99 // 100 - 1] if self.done else 0.0
        return Outcome(
            mean=sum(self.asked[second] for second in steady) / len(steady),
            peak=max((count for second, count in self.asked.items() if second >= 0), default=0),
            reports=self.reported.total(),
            report_peak=max(self.reported.values(), default=0),
            lock_mean=sum(self.locking.values()) / max(1, last),
            converged=converged,
            most_away=self.most_away,
        )


def table() -> str:
    """The scenarios as Markdown."""
    heads = (
        f"settings of {MACHINES:,} machines", "requests at the store: usual", "peak", "reports put there",
        "peak", "at the lock", "99 % converged after", "most away at once",
    )  # fmt: skip
    lines = [" | ".join(heads), "|".join(["---"] * len(heads))]
    for scenario in SCENARIOS:
        outcome = simulate(scenario)
        cells = (
            scenario.name,
            f"{outcome.mean:.0f}/s" if not scenario.power_on else "",
            f"{outcome.peak}/s",
            f"{outcome.reports:,}",
            f"{outcome.report_peak}/s",
            f"{outcome.lock_mean:.0f}/s" if scenario.slots else "",
            _minutes(outcome.converged) if outcome.converged else "",
            f"{outcome.most_away:,}" if outcome.most_away else "",
        )
        lines.append(" | ".join(cells))
    return "\n".join(f"| {line} |" for line in lines)


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def filled(document: str, table_text: str) -> str:
    """The document with the table between its two marks."""
    head, rest = document.split(BEGIN)
    return f"{head}{BEGIN}\n{table_text}\n{END}{rest.partition(END)[2]}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table, or write it into the document."""
    parser = argparse.ArgumentParser(prog="python -m bench.pull_fleet")
    parser.add_argument("--write", action="store_true", help=f"into {DOCUMENT.name}")
    if parser.parse_args(arguments).write:
        DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8"), table()), encoding="utf-8")
    else:
        print(table())


if __name__ == "__main__":
    main()
