"""Which accelerator QEMU uses: KVM where it was seen to work, else TCG.

/dev/kvm proves nothing: inside some virtual machines and containers it exists while guests hang or crawl (seen:
a boot sector took 0.2 s in TCG and over 3 s in such a KVM, and Linux never came up). So a boot sector is booted in
both, once per boot of this computer, and KVM is used only when it isn't far slower.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from components.commands.qemu_state import Progress, read_json, write_atomically

ACCELS = ("auto", "kvm", "tcg")
_CACHE = ".kvm-probe.json"
_PASS = 0x2A
# cli; mov al,0x2a; out 0xf4,al; hlt; jmp $-1: ends QEMU through isa-debug-exit with status (0x2a << 1) | 1
_BOOT_SECTOR = bytes([0xFA, 0xB0, _PASS, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD]).ljust(510, b"\0") + b"\x55\xaa"


def choose(wanted: str, qemu: str, cache_dir: Path, progress: Progress) -> str:
    """Return "kvm" or "tcg" for `wanted` (one of `ACCELS`); the proof is kept in `cache_dir` until the next host boot."""
    if wanted != "auto":
        return wanted
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return "tcg"
    cache = cache_dir / _CACHE
    key = {"boot_id": _boot_id(), "qemu": qemu}
    known = read_json(cache)
    if {name: known.get(name) for name in key} == key and known.get("accel") in ("kvm", "tcg"):
        return str(known["accel"])
    tcg_s = boot_sector_seconds(qemu, "tcg", timeout_s=60)
    limit_s = max(2.0, 4 * (tcg_s or 1))
    kvm_s = boot_sector_seconds(qemu, "kvm", timeout_s=limit_s)
    accel = "tcg" if kvm_s is None else "kvm"
    progress(
        f"KVM: a test guest booted in {kvm_s:.1f} s, using it"
        if kvm_s is not None
        else f"KVM: /dev/kvm is there, but a test guest didn't boot within {limit_s:.0f} s: using TCG (slower)"
    )
    write_atomically(cache, json.dumps({**key, "accel": accel}) + "\n")
    return accel


def boot_sector_seconds(qemu: str, accel: str, *, timeout_s: float) -> float | None:
    """Boot a boot sector that ends QEMU; return the seconds it took, None when it didn't within `timeout_s`."""
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.write(_BOOT_SECTOR)
        disk.flush()
        command = [
            qemu, "-accel", accel, "-nodefaults", "-no-user-config", "-display", "none", "-m", "64",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
            "-drive", f"if=ide,format=raw,snapshot=on,file={disk.name}",
        ]  # fmt: skip
        begin = time.monotonic()
        try:
            done = subprocess.run(
                command, timeout=timeout_s, stdin=subprocess.DEVNULL, capture_output=True, check=False
            )
        except (subprocess.TimeoutExpired, OSError):
            return None
        return time.monotonic() - begin if done.returncode == (_PASS << 1 | 1) else None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
