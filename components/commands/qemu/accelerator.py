"""Which accelerator QEMU uses: KVM where it was seen to work, else TCG.

/dev/kvm proves nothing: inside some virtual machines and containers it exists while guests hang. (Seen: with the host's
CPU model QEMU aborts; with a generic one a real-mode boot sector takes 3 s instead of 0.2 s, GRUB comes up, and Linux
hangs for ever.) So a boot sector that enters 64-bit mode and counts is booted once per boot of this computer, with the
very flags a machine gets, and KVM is used only when that isn't far slower than TCG.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from components.commands.environment import for_child
from components.commands.files import write_atomically
from components.commands.qemu.state import Progress, read_json

ACCELS = ("auto", "kvm", "tcg")
_CACHE = ".kvm-probe.json"
_PASS = 0x2A
_BOOT_SECTOR = (
    bytes.fromhex(
        "fa 6631c0 8ed8 8ec0 fc"  # cli; xor eax,eax; mov ds,ax; mov es,ax; cld
        "66bf00100000 0f22df b9000c 66f3ab"  # mov edi,0x1000; mov cr3,edi; mov cx,0xc00; rep stosd
        "66c706001003200000 66c706002003300000 66c706003083000000"  # page tables at 0x1000: one 2 MiB page
        "0f20e0 0c20 0f22e0"  # cr4: PAE
        "66b9800000c0 0f32 80cc01 0f30"  # EFER: long mode
        "660f0116807c 0f20c0 660d01000080 0f22c0"  # lgdt [0x7c80]; cr0: protection and paging
        "ea5f7c0800"  # jmp 8:0x7c5f, 64-bit code from here
        "b900000001 ffc9 75fc"  # mov ecx,1<<24; dec ecx; jnz
        "b02a e6f4 f4 ebfd 90"  # mov al,0x2a; out 0xf4,al: ends QEMU with status 0x2a << 1 | 1; hlt
        "0000000000000000 00000000009a2000 0f00707c0000"  # 0x7c70: descriptors; 0x7c80: where they are
    ).ljust(510, b"\0")
    + b"\x55\xaa"
)


def choose(wanted: str, qemu: str, cache_dir: Path, progress: Progress) -> str:
    """Return "kvm" or "tcg" for `wanted` (one of `ACCELS`); `cache_dir` keeps the proof for this host boot."""
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
    limit_s = max(3.0, 4 * (tcg_s or 1))
    kvm_s = boot_sector_seconds(qemu, "kvm", timeout_s=limit_s)
    accel = "tcg" if kvm_s is None else "kvm"
    progress(
        f"KVM: a test guest booted in {kvm_s:.1f} s, using it"
        if kvm_s is not None
        else "KVM: /dev/kvm is there, but a test guest doesn't boot in it: using TCG (slower)"
    )
    write_atomically(cache, json.dumps({**key, "accel": accel}) + "\n")
    return accel


def flags(accel: str) -> list[str]:
    """Return QEMU's flags for an accelerator and the CPU model that goes with it."""
    return ["-accel", "kvm", "-cpu", "host"] if accel == "kvm" else ["-accel", "tcg,thread=multi", "-cpu", "qemu64"]


def boot_sector_seconds(qemu: str, accel: str, *, timeout_s: float) -> float | None:
    """Boot a boot sector that ends QEMU; return the seconds it took, None when it didn't within `timeout_s`."""
    with tempfile.NamedTemporaryFile(suffix=".img") as disk:
        disk.write(_BOOT_SECTOR)
        disk.flush()
        command = [
            qemu, *flags(accel), "-nodefaults", "-no-user-config", "-display", "none", "-m", "64",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=1",
            "-drive", f"if=ide,format=raw,snapshot=on,file={disk.name}",
        ]  # fmt: skip
        begin = time.monotonic()
        try:
            done = subprocess.run(
                command, timeout=timeout_s, stdin=subprocess.DEVNULL, capture_output=True, check=False, env=for_child()
            )
        except (subprocess.TimeoutExpired, OSError):
            return None
        return time.monotonic() - begin if done.returncode == (_PASS << 1 | 1) else None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return "unknown"
