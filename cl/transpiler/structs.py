"""How the structs of all dialects are made: data classes with keywords, compared by identity.

They are called by Go's word, since each is one of `ct`'s, butane's or Ignition's own structs.
A command makes about seventy of them before it reads a config, and most of that time goes into methods that
`dataclasses` writes. So a struct has `__init__` alone of them; it is frozen for a type checker, not when it runs.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, dataclass_transform

N = TypeVar("N")


@dataclass_transform(eq_default=False, kw_only_default=True, frozen_default=True, field_specifiers=(dataclasses.field,))
def struct(cls: type[N]) -> type[N]:
    """A data class with slots, changed by `dataclasses.replace` alone; `repr` shows what isn't the default."""
    made = dataclasses.dataclass(slots=True, kw_only=True, eq=False, repr=False)(cls)
    made.__repr__ = _shown  # type: ignore[method-assign]  # a function becomes a method
    return made


def _shown(struct: Any) -> str:
    values = ((field, getattr(struct, field.name)) for field in dataclasses.fields(struct))
    shown = (f"{field.name}={value!r}" for field, value in values if value is not field.default)
    return f"{type(struct).__name__}({', '.join(shown)})"
