"""Start, stop, look at and delete one QEMU machine on this computer: `python -m components.commands.qemu VERB`.

VERB is start, stop, status or delete; the JSON document on stdin is a `Spec` (stop, status and delete need
`directory` alone; stop takes `grace_s`). Outputs: see `outputs`. Everything a machine consists of lies in its state
directory; `start` is idempotent, so it may run again after anything that went wrong.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from components.commands.environment import for_daemon
from components.commands.files import write_atomically
from components.commands.qemu import accelerator as qemu_accel
from components.commands.qemu.disk import check_disk, make_disk
from components.commands.qemu.state import (
    CONSOLE,
    DISK,
    ENDED,
    FILES,
    POINTER,
    QEMU_LOG,
    QEMU_PID,
    RECORD,
    SUPERVISOR_LOG,
    SUPERVISOR_PID,
    MachineError,
    Progress,
    Record,
    end_process,
    exclusive,
    holder,
    is_running,
    now,
    read_json,
    read_record,
    wait_until_free,
    write_record,
)
from components.commands.qemu.supervisor import qemu_binary
from components.commands.untrusted import printable, shortened

ADDRESS = "127.0.0.1"
PORTS = range(22000, 32000)
"""Where SSH ports come from: below the range that systems take the ports of outgoing connections from."""
STOP_GRACE_S = 90.0
PATIENCE_S = 10.0
"""How long a process is given to obey a signal before a stronger one."""
MOST_SAID = 16_384  # bytes of what QEMU and its supervisor said
_COMMANDS = Path(__file__).resolve().parents[1] / "__main__.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a machine is to be. Image and disk size count when the disk is made, memory and cpus at each power-on."""

    directory: str
    """State directory, one per machine; its last part is the machine's name in messages."""
    image: str
    """Base image (qcow2 or raw), never written."""
    user_data: str = ""
    """The pointer, passed as fw_cfg; "" passes none."""
    objects: str = ""
    """Folder that the guest reads as http://10.0.2.4/ and tftp://10.0.2.2/; "" for none."""
    memory_mib: int = 1024
    cpus: int = 2
    disk_gib: int | None = None
    """Size of a new disk in GiB; the image's own size when None or smaller than that."""
    accel: str = "auto"
    ssh_port: int | None = None
    """Loopback port of the guest's sshd; None chooses a free one at the first start and keeps it."""
    power_on: Mapping[str, object] | None = None
    """What `plan_power_on` said: {"number": …, "disk": …}. It makes Pulumi run `start` when the machine is off."""


def plan_power_on(directory: Path) -> dict[str, object]:
    """Return the power-on that the machine is in, or the next one when it is off.

    {"number": 1, "disk": "2025-01-31T12:00:00Z"}: equal to what was recorded while the machine runs, different as soon
    as it is off or its disk is lost (the disk's name is the time it was made, so a new one is never an old one).
    Reads only; raises `MachineError` for a damaged record.
    """
    record = read_record(directory)
    if record is None or not (directory / DISK).exists():
        return {"number": 1, "disk": now()}
    return {"number": record.power_on + (0 if is_running(directory) else 1), "disk": record.disk_made}


def power_on_name(directory: Path, planned: Mapping[str, object]) -> str:
    """Return what names the power-on that was `planned`, for who waits for the machine after it.

    "" while a machine runs that an older version switched on: nobody has to wait for it now.
    Raises `MachineError` for a damaged record.
    """
    record = read_record(directory)
    is_on = record is not None and planned == {"number": record.power_on, "disk": record.disk_made}
    return "" if record is not None and is_on and not record.awaited else f"{planned['number']} {planned['disk']}"


def outputs(directory: Path) -> dict[str, object]:
    """Return where and what the machine is; raises `MachineError` when there is none.

    address, ssh_port, console and disk (absolute paths), image, accel ("kvm" or "tcg"), memory_mib, cpus,
    power_on (a count), started_at (UTC), running, and ended (why it is off, "" while it runs).
    """
    record = read_record(directory)
    if record is None:
        raise MachineError(f"no machine in {directory}")
    running = is_running(directory)
    return {
        "address": ADDRESS,
        "ssh_port": record.ssh_port,
        "console": str((directory / CONSOLE).absolute()),
        "disk": str((directory / DISK).absolute()),
        "image": record.image,
        "accel": record.accel,
        "memory_mib": record.memory_mib,
        "cpus": record.cpus,
        "power_on": record.power_on,
        "started_at": record.started_at,
        "running": running,
        "ended": "" if running else why_ended(directory),
    }


def why_ended(directory: Path) -> str:
    """Return why a machine that is off went off."""
    ended = read_json(directory / ENDED)
    return str(ended.get("reason") or "its supervisor was killed, or the computer was restarted")


def start(spec: Spec, progress: Progress) -> dict[str, object]:
    """Switch the machine on, unless it runs already; return its `outputs`. Raises `MachineError`."""
    check(spec)
    directory = Path(spec.directory)
    existed = directory.exists()
    with exclusive(directory, progress):
        try:
            record = read_record(directory)
            if record is not None and is_running(directory):
                if not launched_with(directory, record, spec):
                    progress(f"{directory.name}: its pointer or object folder changed: switching it off and on")
                    _end(directory, STOP_GRACE_S, progress)
                else:
                    note_differences(record, spec, progress)
                    progress(f"{directory.name} runs already, since {record.started_at}")
                    return outputs(directory)
            _power_on(directory, record, spec, progress)
        except (MachineError, OSError) as error:
            if not existed or not (directory / RECORD).exists():
                _remove(directory)
            if isinstance(error, OSError):
                raise MachineError(f"{directory.name} can't be started: {error}") from error
            raise
        return outputs(directory)


def stop(directory: Path, progress: Progress, grace_s: float = STOP_GRACE_S) -> None:
    """Press the power button, wait up to `grace_s` seconds, then pull the plug. The disk is kept."""
    if not directory.exists():
        return
    with exclusive(directory, progress):
        _end(directory, grace_s, progress)


def restart(directory: Path, progress: Progress, grace_s: float = STOP_GRACE_S) -> None:
    """Switch the machine off, as `stop` does, and on again with what it was last switched on with.

    It is the same power-on to who plans (`plan_power_on`): nothing is to be done afterwards. Raises `MachineError`.
    """
    if read_record(directory) is None:
        raise MachineError(f"no machine in {directory}")
    with exclusive(directory, progress):
        _end(directory, grace_s, progress)
        record = read_record(directory)
        if record is None:
            raise MachineError(f"no machine in {directory}")
        check_disk(directory, record)
        (directory / ENDED).unlink(missing_ok=True)
        write_record(directory, replace(record, started_at=now()))
        _spawn(directory)
    progress(f"{directory.name} is on again")


def delete(directory: Path, progress: Progress) -> None:
    """Pull the plug and remove the machine's files, its disk included; harmless when there is no machine."""
    if not directory.exists():
        return
    with exclusive(directory, progress):
        _end(directory, 0, progress)
        _remove(directory)
    progress(f"{directory.name} and its disk are removed")


def check(spec: Spec) -> None:
    """Raise `MachineError` for a spec that can't work."""
    wrong = ""
    if spec.accel not in qemu_accel.ACCELS:
        wrong = f"accel is {spec.accel!r}, not one of {', '.join(qemu_accel.ACCELS)}"
    elif spec.memory_mib < 64:
        wrong = f"memory is {spec.memory_mib} MiB; a machine needs 1024 or more, Flatcar 2048"
    elif spec.cpus < 1:
        wrong = f"cpus is {spec.cpus}, not a positive number"
    elif spec.disk_gib is not None and spec.disk_gib < 1:
        wrong = f"the disk size is {spec.disk_gib} GiB, not a positive number"
    elif spec.ssh_port is not None and not 0 < spec.ssh_port < 65536:
        wrong = f"the SSH port is {spec.ssh_port}, not one of 1 to 65535"
    if wrong:
        raise MachineError(f"{Path(spec.directory).name}: {wrong}")
    if spec.user_data:
        try:
            json.loads(spec.user_data)
        except ValueError as error:
            raise MachineError(f"{Path(spec.directory).name}: its user data is no JSON: {error}") from error


def launched_with(directory: Path, record: Record, spec: Spec) -> bool:
    """Tell whether what QEMU reads only when it starts is what `spec` wants."""
    try:
        pointer = (directory / POINTER).read_text(encoding="utf-8")
    except FileNotFoundError:
        pointer = ""
    return pointer == spec.user_data and record.objects == _absolute(spec.objects)


def note_differences(record: Record, spec: Spec, progress: Progress) -> None:
    """Say what of a changed spec doesn't take effect now."""
    name = Path(spec.directory).name
    if record.image != _absolute(spec.image):
        progress(f"{name}: keeps its disk, made from {record.image}; a new image needs a new machine")
    if (record.memory_mib, record.cpus) != (spec.memory_mib, spec.cpus):
        progress(f"{name}: {spec.memory_mib} MiB and {spec.cpus} cpus count from its next power-on")


def _power_on(directory: Path, record: Record | None, spec: Spec, progress: Progress) -> None:
    qemu = qemu_binary()
    if holder(directory / QEMU_PID) is not None:
        progress(f"{directory.name}: ending a QEMU whose supervisor was killed")
        end_process(directory / QEMU_PID, signal.SIGKILL)
        wait_until_free(directory / QEMU_PID, PATIENCE_S)
    port = record.ssh_port if record is not None else spec.ssh_port
    if port is None:
        port = free_port()
    elif not is_free(port):
        raise MachineError(
            f"port {port} of {ADDRESS}, where {directory.name} is reached, is taken by another program\n"
            f"  find it with `ss -ltnp 'sport = :{port}'` and end it; the machine keeps its address, so it waits for it"
        )
    settings = {
        "ssh_port": port,
        "memory_mib": spec.memory_mib,
        "cpus": spec.cpus,
        "accel": qemu_accel.choose(spec.accel, qemu, directory.parent, progress),
        "objects": _absolute(spec.objects),
        "started_at": now(),
        "awaited": True,
    }
    made_disk = record is None or not (directory / DISK).exists()
    if record is None or made_disk:
        if record is not None:
            progress(f"{directory.name}: its disk is gone; making a new one")
        image = Path(spec.image).absolute()
        stat = make_disk(directory, image, spec.disk_gib)
        record = Record(
            power_on=1,
            disk_made=str((spec.power_on or {}).get("disk") or now()),
            image=str(image),
            image_size=stat.st_size,
            image_mtime_ns=stat.st_mtime_ns,
            **settings,  # type: ignore[arg-type]
        )
    else:
        progress(f"{directory.name} was off ({why_ended(directory)}): starting it again on the same disk")
        check_disk(directory, record)
        note_differences(replace(record, memory_mib=spec.memory_mib, cpus=spec.cpus), spec, progress)
        record = replace(record, power_on=record.power_on + 1, **settings)  # type: ignore[arg-type]
    if spec.user_data:
        write_atomically(directory / POINTER, spec.user_data)
    else:
        (directory / POINTER).unlink(missing_ok=True)
    try:
        (directory / ENDED).unlink(missing_ok=True)
        write_record(directory, record)
        _spawn(directory)
    except (MachineError, OSError):
        if made_disk:  # nothing ever ran on it
            (directory / RECORD).unlink(missing_ok=True)
            (directory / DISK).unlink(missing_ok=True)
        raise
    progress(
        f"{directory.name} is on: {record.accel.upper()}, {record.memory_mib} MiB, ssh at {ADDRESS} "
        f"port {record.ssh_port}, console in {directory / CONSOLE}"
    )


def _spawn(directory: Path) -> None:
    """Start the supervisor and wait until it says that QEMU runs."""
    (directory / QEMU_LOG).unlink(missing_ok=True)
    read_on, said_on = os.pipe()
    with open(directory / SUPERVISOR_LOG, "wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-I", str(_COMMANDS), "qemu.supervisor"],
            cwd=directory,
            env=for_daemon(),
            stdin=subprocess.DEVNULL,
            stdout=said_on,
            stderr=log,
            start_new_session=True,
        )
    os.close(said_on)
    with open(read_on, "rb") as pipe:
        if pipe.readline():
            return
    process.wait()
    said = [line for name in (QEMU_LOG, SUPERVISOR_LOG) for line in _last_lines(directory / name)]
    raise MachineError("\n  ".join([f"{directory.name}: QEMU didn't start ({why_ended(directory)})", *said]))


def _last_lines(log: Path) -> list[str]:
    """The end of what a program said, cut and printable: Pulumi's command plugin stands still at a line of 64 KiB."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - MOST_SAID))
            lines = file.read(MOST_SAID).decode("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return []
    return [shortened(printable(line)) for line in lines if line.strip()]


def _end(directory: Path, grace_s: float, progress: Progress) -> None:
    supervisor, qemu = directory / SUPERVISOR_PID, directory / QEMU_PID
    if grace_s > 0 and is_running(directory):
        progress(f"{directory.name}: pressing the power button")
        end_process(supervisor, signal.SIGTERM)
        if not wait_until_free(supervisor, grace_s):
            progress(f"{directory.name}: not off after {grace_s:.0f} s: pulling the plug")
    for how in (signal.SIGUSR1, signal.SIGKILL):
        if is_running(directory):
            end_process(supervisor, how)
            wait_until_free(supervisor, PATIENCE_S)
    end_process(qemu, signal.SIGKILL)  # one that outlived a killed supervisor
    if not wait_until_free(qemu, PATIENCE_S):
        raise MachineError(f"{directory.name}: QEMU, process {holder(qemu)}, can't be ended")


def _remove(directory: Path) -> None:
    """Remove the machine's files, and its folder and the stack's when they are empty then."""
    for name in FILES:
        for path in (directory / name, *directory.glob(f"{name}*.new")):
            path.unlink(missing_ok=True)
    try:
        directory.rmdir()
        directory.parent.rmdir()
    except OSError:
        pass  # something that isn't the machine's is in there: it stays


def free_port() -> int:
    """Return a port of `PORTS` that is free on the loopback address."""
    for port in random.sample(PORTS, 200):
        if is_free(port):
            return port
    raise MachineError(f"no free port found between {PORTS.start} and {PORTS.stop - 1} on {ADDRESS}")


def is_free(port: int) -> bool:
    """Tell whether nobody listens on a loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _absolute(path: str) -> str:
    return str(Path(path).absolute()) if path else ""


def main(arguments: list[str]) -> int:
    """Run the command line; see the module's description."""
    if len(arguments) != 1 or arguments[0] not in ("start", "stop", "status", "delete"):
        print("usage: python -m components.commands.qemu start|stop|status|delete < SPEC.json", file=sys.stderr)
        return 2
    os.umask(0o077)
    try:
        document: dict[str, Any] = json.load(sys.stdin)
        directory = Path(document["directory"])
        if arguments[0] == "start":
            known = {field.name for field in fields(Spec)}
            unknown = sorted(set(document) - known)
            if unknown:
                raise MachineError(f"unknown keys in the machine's spec: {', '.join(unknown)}")
            result = start(Spec(**document), say)
        elif arguments[0] == "stop":
            stop(directory, say, float(document.get("grace_s", STOP_GRACE_S)))
            result = {"running": False}
        elif arguments[0] == "delete":
            delete(directory, say)
            result = {"running": False}
        else:
            result = outputs(directory)
    except MachineError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        print(f"error: the machine's spec on stdin is not usable: {error}", file=sys.stderr)
        return 1
    print(json.dumps(result))
    return 0


def say(text: str) -> None:
    """Print a line of progress."""
    print(text, file=sys.stderr, flush=True)
