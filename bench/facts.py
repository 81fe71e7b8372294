"""What a reader has to know of the computer and the programs to make something of the figures."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

from toolchain.places import ROOT
from toolchain.plugins import install


def machine_facts() -> dict[str, str]:
    """Processor, memory, kernel, Python, programs and plugins, the project's commit, and how busy the machine is."""
    return {
        "processor": f"{_field('/proc/cpuinfo', 'model name') or platform.machine()}, {os.cpu_count()} CPUs",
        "memory": f"{int((_field('/proc/meminfo', 'MemTotal') or '0').split()[0]) // 1024} MiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "pulumi": _version("pulumi", "version"),
        "pulumi SDK": metadata.version("pulumi"),
        "command plugin": "stand-in" if install.is_stand_in("command") else "real, or not needed",
        "project": _version("git", "-C", str(ROOT), "describe", "--always", "--dirty"),
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def _field(file: str, name: str) -> str:
    try:
        found = re.search(rf"^{name}\s*:\s*(.*)$", Path(file).read_text(), re.MULTILINE)
    except OSError:
        return ""
    return found[1] if found else ""


def _version(program: str, *arguments: str) -> str:
    if shutil.which(program) is None:
        return "not there"
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
