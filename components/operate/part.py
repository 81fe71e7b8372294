"""`pulumi up` for a part of the machines: what the engine is told, so that it changes them, with all that is theirs.

`--target` takes URNs. Of a new machine nobody knows them before the program runs, so they are patterns, of the types
and names that `FlatcarMachine` gives its resources. What machines share (a bucket, a firewall) is a target as well: a
new machine needs it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from components.audit.records import MACHINE_TYPE, SUFFIX
from components.platforms.registry import PLATFORMS
from components.settings.part import Part

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

OWN = ("object", "report", "address", "live", "live-salt", "signature", "data", "reprovision")
"""What the names of a machine's resources end in, after its own name and a dash."""
BESIDE = "salt"
"""Of the one that is no child of the machine's component."""
MOST_BYTES = 100_000
"""Of names in the environment, where Linux lets a variable be 128 KiB long."""


class PartError(Exception):
    """A part can't be told to the program, and why."""


def part_of(machines: Sequence[str], declared: Collection[str], exported: str) -> Part:
    """The part of the `declared` machines, beside those that an exported state has.

    Raises `PartError` for machines that are too many for a part.
    """
    resources = json.loads(exported)["deployment"].get("resources") or []
    urns = [resource["urn"] for resource in resources if not resource.get("delete")]
    # in the order of their Commands, the only ones that depend on each other; then those that have none yet
    names = [_name(urn).removesuffix(SUFFIX) for urn in urns if urn.endswith(SUFFIX)]
    names += [_name(urn) for urn in urns if f"::{MACHINE_TYPE}::" in urn]
    others = tuple(name for name in dict.fromkeys(names) if name in declared and name not in machines)
    found = Part(machines=frozenset(machines), others=others)
    if any(len(value.encode()) > MOST_BYTES for value in found.environment.values()):
        raise PartError(f"a stack of {len(declared)} machines is too large for a part: leave MACHINES and GROUP out")
    return found


def targets(part: Part, declared: Collection[str], *, project: str, stack: str) -> Iterator[str]:
    """The URNs of the part's resources, and patterns of URNs (`*`: without a colon, `**`: anything), for `--target`."""
    start = f"urn:pulumi:{stack.rpartition('/')[2]}::{project}::"
    for platform in PLATFORMS:
        yield f"{start}{platform.name}:**"  # a machine's own begin with its component's type
    for name in sorted(part.machines):
        yield f"{start}{MACHINE_TYPE}::{name}"
        yield f"{start}command:local:Command::{name}-{BESIDE}*"  # a URN that isn't there would be an error
        child = f"{start}{MACHINE_TYPE}$**::{name}"
        yield child
        longer = any(other.startswith(f"{name}-") for other in declared)
        yield from [f"{child}-{end}" for end in OWN] if longer else [f"{child}-*"]


def _name(urn: Any) -> str:
    return str(urn).rsplit("::", 1)[-1]
