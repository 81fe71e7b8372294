"""The original programs, built from their Go modules, and many configs held against them at once."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from tests.conftest import missing
from toolchain import oracles
from toolchain.steps import SetupError

T = TypeVar("T")
U = TypeVar("U")

SEED = int(os.environ.get("SEED") or 0)
"""The first seed of what is generated."""


def generated(usual: int) -> int:
    """How many configs to generate: GENERATED in the environment, else the usual number."""
    return int(os.environ.get("GENERATED") or usual)


def original(module: str, package: str, name: str) -> Path:
    """The program, see `oracles.ensure`; the test is skipped, or in CI fails, when it can't be had."""
    try:
        return oracles.ensure(module, package, name)
    except SetupError as error:
        missing(f"{name}: {error}")
        raise AssertionError from None


def each(check: Callable[[T], U], items: Iterable[T]) -> list[U]:
    """What `check` says about each item, in order; as many at once as there are processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(check, items))
