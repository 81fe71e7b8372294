"""Which Ignition configs a Flatcar release reads. Standard library only.

An Ignition config of a spec that the machine's Ignition doesn't know is refused in the initramfs, at each boot, before
anything else: the machine stays down. Specs came with Ignition 2.15 (3.4.0), 2.20 (3.5.0) and 2.26 (3.6.0); Flatcar has
2.15 since 3602, 2.19 in 4081, 2.22 in 4459 and 2.24 in 4593 (coreos/ignition, docs/specs.md; flatcar/scripts).
"""

from __future__ import annotations

import json
import re

_OLDEST = 2000
_VERSION = re.compile(r"(\d+)\.(\d+)\.\d+")
# spec: the last release line that is known not to read it, and the first that is known to; 0: none is
_LINES = {(3, 4): (3601, 3602), (3, 5): (4081, 4459), (3, 6): (4593, 0)}


def spec_of(config: str) -> str:
    """The spec version that an Ignition config (JSON) states; "" where it is none."""
    try:
        version = json.loads(config)["ignition"]["version"]
    except (ValueError, KeyError, TypeError):
        return ""
    return version if isinstance(version, str) else ""


def reads(os_version: str, spec: str) -> bool | None:
    """Whether Ignition in Flatcar `os_version` ("4459.2.1") reads `spec` ("3.5.0"); None where that is not known."""
    release, version = _VERSION.match(os_version), _VERSION.fullmatch(spec)
    if release is None or version is None:
        return None
    minor, line = (int(version[1]), int(version[2])), int(release[1])
    if minor <= (3, 3):
        return True
    unread, read = _LINES.get(minor, (0, 0))
    if line < _OLDEST:  # no Flatcar
        return None
    return False if line <= unread else True if read and line >= read else None
