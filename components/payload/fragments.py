"""What this program's fragments of Ignition configs are made of; `cl.transpiler.fragments.merged` joins them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    from collections.abc import Mapping

IgnitionConfig = dict[str, Any]
"""A decoded Ignition config of spec 3, or a part of one: JSON, checked by the transpiler."""


def files(*entries: IgnitionConfig) -> IgnitionConfig:
    """The fragment with these files; the empty one for none."""
    return {"storage": {"files": [*entries]}} if entries else {}


def file(path: str, contents: Mapping[str, str], mode: int = 0o644) -> IgnitionConfig:
    """A file that may be there already."""
    return {"path": path, "overwrite": True, "mode": mode, "contents": contents}


def text_file(path: str, text: str, mode: int = 0o644) -> IgnitionConfig:
    """A file that holds `text`."""
    return file(path, {"source": "data:," + quote(text)}, mode)


def enabling_link(unit: str, target: str) -> IgnitionConfig:
    """The link by which `target` wants `unit`.

    A preset is applied when the machine id is new: with the lifecycle `flag` `enabled` alone does nothing.
    """
    return {
        "path": f"/etc/systemd/system/{target}.wants/{unit}",
        "target": f"/etc/systemd/system/{unit}",
        "overwrite": True,
    }
