"""The programs that users would use instead, and what stands in for machines where the engine alone is measured."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from toolchain import oracles
from toolchain.steps import SetupError

MODULES = {
    "butane": ("butane", "github.com/coreos/butane/internal"),
    "ct": ("ct", "github.com/flatcar/container-linux-config-transpiler/internal"),
    "tofu": ("opentofu", "github.com/opentofu/opentofu/cmd/tofu"),
}
"""Module under toolchain/go/oracles and package of each."""


def peer(name: str) -> str | None:
    """The path of one of MODULES: $ORACLES/NAME, on PATH, or built from its Go module; None when it can't be had."""
    given = Path(os.environ.get("ORACLES", "/nonexistent"), name)
    if given.is_file():
        return str(given)
    if (found := shutil.which(name)) is not None:
        return found
    try:
        module, package = MODULES[name]
        return str(oracles.ensure(module, package, name))
    except SetupError:
        return None


def python(*arguments: str) -> list[str]:
    """A command line for this Python."""
    return [sys.executable, *arguments]
