"""The stack config of machines in QEMU as frozen, typed settings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from components.config.section import Section
    from components.platforms import Login


LEAST_MIB = 512
"""Of memory; less than this holds neither kernel and initramfs nor what they unpack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QemuSettings:
    """A machine's shape in QEMU. None: the memory that its image needs, the disk size that its image has."""

    memory_mib: int | None = None
    cpus: int = 2
    disk_gib: int | None = None


def image_setting(section: Section, login: Login) -> str:
    """Read `flatcar:image`: a file, or what set-up prepares, "" too; problems go to the section's list."""
    if login.port:
        section.problem("ssh.port", "would be asked for every machine, and each one in QEMU has a port of its own")
    return section.text("image")


def qemu_settings(section: Section) -> QemuSettings:
    """Read `qemu` of one machine."""
    memory = section.integer("memory_mib", 0, maximum=1 << 20)
    if 0 < memory < LEAST_MIB:
        section.problem("memory_mib", f"{memory} MiB are too few to boot in: Flatcar needs 2048, set-up's image 1024")
    settings = QemuSettings(
        memory_mib=memory or None,
        cpus=section.integer("cpus", 2, minimum=1, maximum=256),
        disk_gib=section.integer("disk_gib", 0, maximum=1 << 14) or None,
    )
    section.finish()
    return settings
