"""Where the parts of a generated config come from, so that a finding about them leads to the user's text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cl.transpiler.ignition.v3_config import Step, nested_structs
from cl.transpiler.report import Findings, Path
from cl.transpiler.schema import Struct


class Origins:
    """Paths of the generated config and the paths that they come from; what isn't noted comes from its like."""

    def __init__(self) -> None:
        self._paths: dict[Path, Path] = {}

    def __call__(self, path: Path) -> Path:
        """Where a path of the generated config comes from."""
        return self._paths.get(path, path)

    def note(self, target: Path, source: Path) -> None:
        """`target` of the generated config comes from `source`."""
        self._paths[target] = source

    def note_all(self, struct: Struct, value: Any, target: Path, source: Path) -> None:
        """A struct and everything in it comes from `source`."""
        self.note(target, source)
        for field in struct.fields.values():
            self.note((*target, field.name), source)
            if field.type.item is not None:
                for index in range(len(getattr(value, field.name))):
                    self.note((*target, field.name, index), source)
        for name, many, inner in nested_structs(struct):
            item = getattr(value, name)
            for index, entry in enumerate(item if many else ()):
                self.note_all(inner, entry, (*target, name, index), source)
            if not many and item is not None:
                self.note_all(inner, item, (*target, name), source)

    def merged(self, child: Origins, steps: Sequence[Step]) -> Origins:
        """The origins after a child config was merged over a generated parent, whose origins these are.

        Only what these note is known of the parent. Where both took part, the child's origin counts: its step
        comes after the parent's.
        """
        out = Origins()
        for step in steps:
            if step.from_child:
                out.note(step.target, child(step.source))
            else:
                out.note(step.target, self._paths.get(step.source, step.target))
        return out

    def located(self, findings: Findings) -> Findings:
        """The same findings with their paths led back."""
        out = Findings()
        for entry, path in findings.entries():
            out.add(entry.severity, self(path), entry.message, hint=entry.hint)
        return out
