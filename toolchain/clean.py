"""`make clean`: take away what set-up made, but never the memory of machines that still exist."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from toolchain.places import MACHINES, ROOT, STATE, TOOLCHAIN, VENV
from toolchain.steps import SetupError, not_in_use, say

CACHES = (
    ".mypy_cache", ".ruff_cache", ".pytest_cache", ".import_linter_cache", ".hypothesis", ".coverage",
    "htmlcov",
)  # fmt: skip


def clean() -> None:
    """Remove .venv, .toolchain, .machines and caches.

    Raises SetupError while a stack of this checkout still has resources: its state is all that
    knows them. Also while a `pulumi` runs here.
    """
    not_in_use("what set-up made is to be removed")
    alive = stacks_with_resources(STATE)
    if alive:
        raise SetupError(
            f"these stacks still have resources: {', '.join(alive)}",
            " && ".join(f"make destroy STACK={stack}" for stack in alive),
        )
    for path in (TOOLCHAIN, MACHINES, VENV, *(ROOT / name for name in CACHES)):
        if not path.exists():
            continue
        if ROOT not in path.parents:
            say(f"{path}: shared with other checkouts, left alone")
            continue
        say(f"remove {path.relative_to(ROOT)}")
        _writable(path)
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def stacks_with_resources(state: Path) -> list[str]:
    """Names of the stacks in a file backend that have resources, or whose state can't be read."""
    found = []
    for file in sorted((state / ".pulumi" / "stacks").rglob("*.json")):
        try:
            latest = json.loads(file.read_bytes())["checkpoint"].get("latest") or {}
            resources = latest.get("resources") or []
        except (ValueError, KeyError, TypeError, AttributeError):
            resources = ["unreadable"]
        if resources:
            found.append(file.stem)
    return found


def _writable(path: Path) -> None:
    """A build may leave folders without write permission (Go's module cache does)."""
    if path.is_dir() and not path.is_symlink():
        path.chmod(path.stat().st_mode | 0o700)
        for item in path.rglob("*"):
            if item.is_dir() and not item.is_symlink():
                item.chmod(item.stat().st_mode | 0o700)
