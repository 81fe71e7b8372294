"""A machine's state directory: its files, its record, its locks. For the `qemu` commands and the supervisor.

Who is alive is told by locks, not by process ids alone: the supervisor holds `supervisor.pid` locked, QEMU inherits
a lock on `qemu.pid`, and the kernel drops both however the process ends. So a process id that was used again is never
taken for a machine, and a QEMU that outlived a killed supervisor is found.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.commands.files import write_atomically

Progress = Callable[[str], None]

RECORD, ENDED, POINTER = "machine.json", "ended.json", "pointer.ign"
DISK, BASE, CONSOLE = "disk.qcow2", "base.img", "console.log"
SUPERVISOR_PID, QEMU_PID = "supervisor.pid", "qemu.pid"
SUPERVISOR_LOG, QEMU_LOG, LOCK, MEMORY = "supervisor.log", "qemu.log", "lock", "memory.part"
FILES = (
    RECORD, ENDED, POINTER, DISK, BASE, CONSOLE, SUPERVISOR_PID, QEMU_PID, SUPERVISOR_LOG, QEMU_LOG, LOCK, MEMORY,
)  # fmt: skip
"""Every file a machine consists of; nothing else is ever deleted."""


class MachineError(Exception):
    """What is wrong, where and what to do about it; shown to the operator as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """`machine.json`: what the machine was last switched on with."""

    power_on: int
    """How many times the machine was switched on with this disk; a guest's own reboots don't count."""
    disk_made: str
    """When the disk was made (UTC): tells this disk from one that came after it was lost."""
    image: str
    image_size: int
    image_mtime_ns: int
    ssh_port: int
    memory_mib: int
    cpus: int
    accel: str
    objects: str
    """Folder that QEMU serves, absolute; "" for none."""
    started_at: str
    awaited: bool = False
    """Whether whoever switched the machine on waits for it, by the name of its power-on; older versions did not."""


def now() -> str:
    """Return the time as 2025-01-31T12:00:00Z."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_record(directory: Path) -> Record | None:
    """Return the record of the machine in `directory`, None when there is none; raises `MachineError`."""
    path = directory / RECORD
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        known = {field.name: document[field.name] for field in fields(Record) if field.name != "awaited"}
        return Record(**known, awaited=document.get("awaited", False))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MachineError(
            f"{path} can't be read as a machine's record: {error}\n"
            f"  repair it, or remove {directory} to have the machine made anew (its disk is lost then)"
        ) from error


def write_record(directory: Path, record: Record) -> None:
    """Write `machine.json`."""
    write_atomically(directory / RECORD, json.dumps(asdict(record), indent=2) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in `path`; {} when the file is missing or torn."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}


def hold(path: Path, pid: int | None = None) -> int:
    """Lock `path` for this process and say in it whose it is; the descriptor returned holds the lock while open."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    write_pid(descriptor, os.getpid() if pid is None else pid)
    return descriptor


def write_pid(descriptor: int, pid: int) -> None:
    """Put a process id and the time into a file locked by `hold`."""
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, json.dumps({"pid": pid, "started_at": now()}).encode() + b"\n", 0)


def holder(path: Path) -> int | None:
    """Return the id of the process that holds `path` locked, None when nobody does (0: it has not said who it is)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return int(read_json(path).get("pid", 0))
    finally:
        os.close(descriptor)
    return None


def is_running(directory: Path) -> bool:
    """Tell whether the machine is on and looked after: its supervisor and its QEMU, or the next one, live."""
    return holder(directory / SUPERVISOR_PID) is not None


def end_process(path: Path, how: signal.Signals) -> None:
    """Signal the process that holds `path`; nothing happens when nobody does."""
    pid = holder(path)
    if pid:
        try:
            os.kill(pid, how)
        except ProcessLookupError:
            pass
        except PermissionError as error:
            raise MachineError(f"process {pid}, which runs the machine, belongs to another user: {error}") from error


def wait_until_free(path: Path, timeout_s: float) -> bool:
    """Wait until nobody holds `path`; False when that takes longer than `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while holder(path) is not None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.05)
    return True


@contextmanager
def exclusive(directory: Path, progress: Progress) -> Iterator[None]:
    """Make `directory` if needed and let one command at a time work on the machine in it."""
    told = False
    while True:
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(directory / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except FileNotFoundError:
            continue  # deleted by another command in between
        except OSError as error:
            raise MachineError(f"can't make the machine's folder {directory}: {error.strerror}") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not told:
                    progress(f"another command works on {directory.name}: waiting for it")
                    told = True
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                current = (directory / LOCK).stat().st_ino == os.fstat(descriptor).st_ino
            except FileNotFoundError:
                current = False
            if current:
                yield
                return
        finally:
            os.close(descriptor)
