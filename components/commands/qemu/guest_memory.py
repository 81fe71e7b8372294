"""What Ignition said when it failed, out of a machine's memory. For the supervisor alone.

Ignition prints the whole config once it has failed (coreos/ignition, internal/exec/engine.go). On the screen that
pushes the reason out of sight; the journal of the initramfs, in memory, still has it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from components.commands.qemu.qmp import Qmp

_MIB = 1 << 20
_CHUNK = 64 * _MIB
_GIB = 1024 * _MIB
_SAYS = b"Ignition failed: "
# As the journal and syslog's socket have it; what goes over the end of a page may go on with something else.
_REASON = re.compile(rb"(?:MESSAGE=|\]: )Ignition failed: ([ -~]+)[\0\n]")
_LONGEST = 1024


def ignition_failures(qmp: Qmp, memory_mib: int, scratch: Path) -> list[str]:
    """Each reason that memory has, in any order: after a warm reset also those of boots before.

    Writes `scratch` meanwhile. Raises `QmpError`, and OSError where it can't be written.
    """
    size = memory_mib * _MIB
    ranges = [(0, min(size, 3 * _GIB))]  # of 3.5 GiB and more, all but 3 GiB is above 4 GiB (QEMU, hw/i386/pc_piix.c)
    if size >= 3.5 * _GIB:
        ranges.append((4 * _GIB, _GIB + size))
    found: dict[str, None] = {}
    try:
        for first, end in ranges:
            for start in range(first, end, _CHUNK):
                scratch.touch(mode=0o600)
                qmp.execute("pmemsave", val=start, size=min(_CHUNK, end - start), filename=str(scratch))
                found.update(dict.fromkeys(_reasons(scratch.read_bytes())))
    finally:
        scratch.unlink(missing_ok=True)
    return list(found)


def _reasons(memory: bytes) -> Iterator[str]:
    at = memory.find(_SAYS)
    while at >= 0:
        if said := _REASON.search(memory, max(0, at - len(b"MESSAGE=")), at + _LONGEST):
            yield said[1].decode("ascii")
        at = memory.find(_SAYS, at + 1)
