"""What changes between two configs of a machine, in an operator's words: by their summaries' digests. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.payload.summary import digests

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

from components.payload.masking import MASK

MOST_NAMED = 3
BY_NAME = {"files": "", "directories": "", "links": "", "units": "", "users": "user ", "groups": "group "}
"""Sections of a summary that hold things by name, and the word before the name where that alone does not say what."""
WHOLE = {
    "config": "the config's file",
    "storage": "the disk setup",
    "kernelArguments": "the kernel command line",
    "keep": "what is kept",
    "lifecycle": "the lifecycle",
    "pull": "how it pulls",
}


def changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Such as `/etc/motd changes; /etc/new is new; web.service goes`, by the properties of a machine; "" for nothing.

    A value that isn't known yet counts as a change. Earlier versions had texts in the place of digests. What a machine
    is pinned to comes first, and is all that is told where one of the two shows nothing.
    """
    first, pinned = list[str](), new.get("pinned")
    if pinned != old.get("pinned"):
        first.append(f"goes back to config {pinned}, and is pinned to it" if pinned else "is pinned no more")
        if any(MASK in (properties.get("files") or {}) for properties in (old, new)):
            return first[0]
    old, new = {**old, **digests(old)}, {**new, **digests(new)}
    changed, added, gone = list[str](), list[str](), list[str]()
    for section, word in BY_NAME.items():
        before, after = old.get(section) or {}, new.get(section) or {}
        if not (isinstance(before, dict) and isinstance(after, dict)):  # a preview that does not know a whole section
            changed.append(section)
            continue
        changed += [word + name for name in before if name in after and before[name] != after[name]]
        added += [word + name for name in after if name not in before]
        gone += [word + name for name in before if name not in after]
    changed += [word for name, word in WHOLE.items() if old.get(name) != new.get(name)]
    told = [
        _sentence(names, one, more)
        for names, one, more in ((changed, "changes", "change"), (added, "is new", "are new"), (gone, "goes", "go"))
        if names
    ]
    return "; ".join([*first, *told])


def _sentence(names: Sequence[str], one: str, more: str) -> str:
    named = list(names[:MOST_NAMED]) if len(names) <= MOST_NAMED else list(names[: MOST_NAMED - 1])
    left = len(names) - len(named)
    listed = ", ".join(named) + (f" and {left} more" if left else "")
    return f"{listed} {one if len(names) == 1 else more}"
