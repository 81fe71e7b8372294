"""`python -m components.operate.names machines|groups|stacks [STACK]`: names for a shell's completion, a line each.

Of the stack's file alone: no state is read, and what can't be read has no names.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from components.config.places import stack_file
from components.operate.stack_file import EditError, machine_texts

if TYPE_CHECKING:
    from collections.abc import Sequence


def names(root: Path, kind: str, stack: str = "") -> list[str]:
    """The names of this kind in the project in `root`, sorted: of one stack, or without its name of all."""
    known = sorted(
        file.stem.removeprefix("Pulumi.") for file in (root / stack_file(root, "x")).parent.glob("Pulumi.?*.yaml")
    )
    if kind == "stacks":
        return known
    found = set[str]()
    for name in [stack] if stack else known:
        try:
            machines = [pair for text in machine_texts(root, name) for pair in text.machines.items()]
        except EditError:
            continue
        for machine, settings in machines:
            group = settings.get("group") if isinstance(settings, dict) else None
            found |= {machine} if kind == "machines" else {str(group)} if group else set()
    return sorted(found)


def main(arguments: Sequence[str]) -> int:
    """Print them."""
    for name in names(Path(), *arguments[:2]):
        print(name)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
