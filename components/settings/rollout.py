"""Rollouts: in which order, and how many at a time, machines are brought to a new config. Pure; no resources here.

A rollout is a partition of the machines into waves. A wave begins when every machine of the one before it is proven; a
machine that fails ends the rollout, unless so many may (`max_failures`), and those of later waves stay as they are. In
the Pulumi graph a step is `depends_on` from a machine's Reprovision to the Reprovisions in `Step.after`, nothing else:
objects, machines and whatever else a stack has are made side by side. (An object that is written early does no harm: a
machine runs Ignition again only when it is staged.) A machine whose config did not change has no step, and so takes no
time.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from components.config.section import Section
    from components.settings.part import Part

_BATCH = re.compile(r"(?:([1-9][0-9]{0,5})|([1-9][0-9]?|100)%)")
_FAILURES = re.compile(r"0|" + _BATCH.pattern)


@dataclass(frozen=True, slots=True, kw_only=True)
class RolloutSettings:
    """How carefully to go.

    `canary`: so many machines of each config file go first (0: none). `batch`: how many machines a wave has at most, a
    count or a percentage of all machines (rounded up). `max_unavailable`: how many machines of a wave may be away at
    the same time (0: all of them). `pause`: seconds to wait between waves. `groups`: the order of groups; machines of
    different groups are never in one wave. Without it, names give the order.
    `max_failures`: how many machines may fail before no more are begun, a count or a percentage of all (rounded down);
    a canary has to be proven all the same. `unreachable` "skip": a machine that never answers is none of them.
    """

    canary: int = 1
    batch: str = "25%"
    max_unavailable: int = 0
    pause: int = 0
    groups: tuple[str, ...] = ()
    max_failures: str = "0"
    unreachable: Literal["fail", "skip"] = "fail"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A machine as a rollout sees it. `config` is what it shares with others: a fault in it hits all of them."""

    name: str
    config: str
    group: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A machine's step: its wave (from 0) of so many, the machines to be proven before it, the seconds to wait then.

    It is taken while no more than `max_failures` machines of the rollout have failed, among which `skips_unreachable`
    doesn't count those that never answered; canaries before it have to be proven.
    """

    name: str
    wave: int
    waves: int
    after: tuple[str, ...]
    pause: int
    max_failures: int = 0
    skips_unreachable: bool = False


def rollout_settings(section: Section) -> RolloutSettings:
    """Read `flatcar:rollout`; what is wrong goes to the section's problems."""
    batch = section.text_or_integer("batch", RolloutSettings().batch)
    if not _BATCH.fullmatch(batch):
        section.problem("batch", f"has to be a count or a percentage such as 5 or '25%', not {batch!r}")
        batch = RolloutSettings().batch
    failures = section.text_or_integer("max_failures", RolloutSettings().max_failures)
    if not _FAILURES.fullmatch(failures):
        section.problem("max_failures", f"has to be a count or a percentage such as 5 or '10%', not {failures!r}")
        failures = RolloutSettings().max_failures
    settings = RolloutSettings(
        canary=section.integer("canary", RolloutSettings().canary, maximum=1000),
        batch=batch,
        max_unavailable=section.integer("max_unavailable", 0, maximum=100000),
        pause=section.integer("pause", 0, maximum=86400),
        groups=section.texts("groups"),
        max_failures=failures,
        unreachable="skip" if section.choice("unreachable", ("fail", "skip"), "fail") == "skip" else "fail",
    )
    section.finish()
    return settings


def plan(settings: RolloutSettings, members: Sequence[Member]) -> list[Step]:
    """Every machine's step, in the order of the rollout.

    Raises ValueError for a machine whose group is not in `settings.groups`.
    """
    waves = _waves(settings, members)
    steps: list[Step] = []
    before: tuple[str, ...] = ()
    most = _part_of(settings.max_failures, len(members), math.floor)
    was_canary = False
    for number, (wave, is_canary) in enumerate(waves):
        lanes = settings.max_unavailable or len(wave)
        for index, name in enumerate(wave):
            first = index < lanes
            after_canaries = was_canary if first else is_canary
            steps.append(
                Step(
                    name=name,
                    wave=number,
                    waves=len(waves),
                    after=before if first else (wave[index - lanes],),
                    pause=settings.pause if first and number > 0 else 0,
                    max_failures=0 if after_canaries else most,
                    skips_unreachable=settings.unreachable == "skip" and not after_canaries,
                )
            )
        before, was_canary = wave, is_canary
    return steps


def plan_of(part: Part, settings: RolloutSettings, members: Sequence[Member]) -> list[Step]:
    """The steps of a part of the machines: a rollout among themselves. The others are only declared after them, one by
    one in the order of `part.others`. Raises ValueError as `plan`."""
    steps = plan(settings, [member for member in members if member.name in part.machines])
    waves = steps[-1].waves if steps else 0
    names, before = {member.name for member in members}, tuple(step.name for step in steps)
    for name in part.others:
        if name in names:
            # they only have to come after them, however those have ended
            steps.append(Step(name=name, wave=waves, waves=waves, after=before, pause=0, max_failures=len(members)))
            before = (name,)
    return steps


def _waves(settings: RolloutSettings, members: Sequence[Member]) -> list[tuple[tuple[str, ...], bool]]:
    """Each wave, and whether it is one of canaries."""
    if settings.groups:
        for member in members:
            if member.group not in settings.groups:
                raise ValueError(f"machine {member.name} is in group {member.group!r}, which the rollout does not name")
    size = max(1, _part_of(settings.batch, len(members), math.ceil))
    ordered = sorted(members, key=lambda member: member.name)
    waves: list[tuple[tuple[str, ...], bool]] = []
    for group in settings.groups or ("",):
        rest = [member for member in ordered if member.group == group or not settings.groups]
        canaries: list[Member] = []
        for config in dict.fromkeys(member.config for member in rest):
            alike = [member for member in rest if member.config == config]
            canaries += alike[: settings.canary]
        first = {member.name for member in canaries}
        for part, is_canary in ((canaries, True), ([member for member in rest if member.name not in first], False)):
            names = [member.name for member in part]
            waves += [(tuple(names[start : start + size]), is_canary) for start in range(0, len(names), size)]
    return waves


def _part_of(wanted: str, count: int, rounded: Callable[[float], int]) -> int:
    """A count, or a percentage of `count`."""
    return rounded(count * int(wanted[:-1]) / 100) if wanted.endswith("%") else int(wanted)
