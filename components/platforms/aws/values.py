"""The shapes of what EC2 accepts, as in `config.values`; the SDK of AWS is not imported here."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_ZONE = re.compile(r"[a-z]{2,4}(-[a-z0-9]+)+-\d[a-z]")
_TYPE = re.compile(r"[a-z][a-z0-9-]*\.(nano|micro|small|medium|large|metal|\d*xlarge|metal-\d+xl)")
_ID = re.compile(r"(ami|subnet|vpc|sg|vol|i|eipalloc)-[0-9a-f]{8}(?:[0-9a-f]{9})?")


def zone_problem(text: str) -> str | None:
    """An availability zone's name, or a local zone's."""
    return None if _ZONE.fullmatch(text) else f"{text!r} is not an availability zone such as eu-central-1a"


def type_problem(text: str) -> str | None:
    """An EC2 instance type."""
    return None if _TYPE.fullmatch(text) else f"{text!r} is not an instance type such as t3.small or m7g.large"


def is_arm(instance_type: str) -> bool:
    """Whether an EC2 instance type is of AWS's ARM processors: a `g` behind the generation's number, or `a1`."""
    return re.match(r"(a1|[a-z]+[0-9]+[a-z]*g[a-z]*)[.-]", instance_type) is not None


def id_problem(kind: str) -> Callable[[str], str | None]:
    """A check for ids of one kind (`ami`, `subnet`, …)."""

    def problem(text: str) -> str | None:
        if _ID.fullmatch(text) and text.startswith(kind + "-"):
            return None
        return f"{text!r} is not an id such as {kind}-0123456789abcdef0"

    return problem
