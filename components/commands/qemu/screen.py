"""What a machine's screen shows: the text memory of its VGA card. For the supervisor alone.

Flatcar's image for QEMU has tty0 as its console (flatcar/scripts, build_library/grub.cfg: console=ttyS0,115200n8
console=tty0), so what Ignition and the emergency prompt of the initramfs say is on the screen and nowhere else.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from components.commands.emergency import EMERGENCY

if TYPE_CHECKING:
    from components.commands.qemu.qmp import Qmp

DEVICE = "isa-vga"
"""On the ISA bus, where no graphics driver looks for one: the kernel's console stays in text mode."""
_START, _WORDS = 0xB8000, 4096  # 32 KiB: the kernel scrolls through all of it
_COLUMNS = 80
_PRINTED_CONFIG = re.compile(r"ignition\[\d+\]: [ {}]")  # JSON, indented (coreos/ignition, internal/exec/engine.go)


def emergency_lines(qmp: Qmp) -> list[str]:
    """What the screen says, as far back as its memory has it, down to the prompt of an initramfs that has given up.

    [] where there is no such prompt. Raises `QmpError`.
    """
    dump = str(qmp.execute("human-monitor-command", **{"command-line": f"xp /{_WORDS}gx {_START:#x}"}))
    words = re.findall(r"0x([0-9a-f]{16})", dump)
    return down_to_prompt(b"".join(int(word, 16).to_bytes(8, "little") for word in words))


def down_to_prompt(memory: bytes) -> list[str]:
    """The lines of VGA text memory (a character, its colours, and so on) that end with the last emergency prompt.

    Without the config that Ignition prints when it has failed: what it holds is no one's to read on a console.
    """
    text = "".join(letter if letter.isprintable() else " " for letter in memory[::2].decode("cp437"))
    rows = [text[start : start + _COLUMNS] for start in range(0, len(text) - _COLUMNS + 1, _COLUMNS)]
    prompts = [number for number, row in enumerate(rows) if EMERGENCY.search(row)]
    if not prompts:
        return []
    newest = prompts[-1] + 1
    # The kernel begins at the top again once it is at the bottom: what is below the newest row is the oldest.
    return [*_lines(rows[newest:]), *_lines(rows[:newest])]


def _lines(rows: list[str]) -> list[str]:
    """What these rows say. A line that fills its row goes on in the next one, so the first one may lack its start."""
    text = "".join(row if row[-2:] != "  " else row.rstrip() + "\n" for row in rows)
    lines = [line for line in text.splitlines() if line]
    if lines and not lines[0].startswith("[") and not EMERGENCY.search(lines[0]):
        del lines[0]
    return [line for line in lines if not _PRINTED_CONFIG.search(line)]
