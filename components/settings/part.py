"""A part of a stack's machines: what one run of the program is about, when it is not about all of them.

`components.operate` starts such a run, and tells the engine with `--target` what may change. The program still declares
every machine that the state has: what isn't declared would be deleted. Standard library only.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

MACHINES, OTHERS = "FLATCAR_MACHINES", "FLATCAR_OTHERS"
"""The variables that tell the program: names, with spaces between them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The `machines` that a run is about, and the `others` that the state has, in its order.

    The engine takes what is no target from the old state, and wants everything that it depended on to be registered
    before it (pulumi/pulumi, step_generator.go, `getDependencySteps`): the state's order has that, the rollout's may
    have changed since. New machines that the run isn't about are in neither.
    """

    machines: frozenset[str]
    others: tuple[str, ...]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Part | None:
        """The part that a program's environment tells; None for all machines."""
        machines = frozenset(environment.get(MACHINES, "").split())
        return cls(machines=machines, others=tuple(environment.get(OTHERS, "").split())) if machines else None

    @property
    def environment(self) -> dict[str, str]:
        """What tells the program."""
        return {MACHINES: " ".join(sorted(self.machines)), OTHERS: " ".join(self.others)}


@functools.lru_cache(maxsize=1)
def part() -> Part | None:
    """The part that this run is about."""
    return Part.of(os.environ)


def takes_part(machine: str) -> bool:
    """Whether this run is about the machine."""
    its = part()
    return its is None or machine in its.machines


def matching(wanted: Iterable[str], known: Collection[str]) -> tuple[list[str], list[str]]:
    """The machines that names, or patterns as a shell has them (`worker-*`), stand for; and those that match none."""
    found, unknown = dict[str, None](), list[str]()
    for pattern in wanted:
        names = [pattern] if pattern in known else sorted(name for name in known if fnmatchcase(name, pattern))
        found |= dict.fromkeys(names)
        unknown += [] if names else [pattern]
    return list(found), unknown
