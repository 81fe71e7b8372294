"""The daemon that owns one machine's QEMU: `python -m components.commands.qemu.supervisor`, started by `qemu.start`.

It works in the machine's state directory, takes everything from `machine.json` there, says on stdout once that the
machine is on (or why not), and then lives in silence in a session of its own until the guest switches itself off, a
signal comes, or QEMU dies. SIGTERM presses the power button and goes on pressing it; SIGUSR1 ends QEMU at once.

While the file system is full, the guest is paused, and let go on as soon as there is space.

A guest that reboots gets a fresh QEMU process under TCG, where a warm reset is three to five times slower than a cold
start; under KVM it is an ordinary reset inside the same process.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from components.commands.files import write_atomically
from components.commands.qemu import guest_memory, screen, serve
from components.commands.qemu.accelerator import flags
from components.commands.qemu.qmp import Qmp, QmpError
from components.commands.qemu.state import (
    BASE,
    CONSOLE,
    DISK,
    ENDED,
    MEMORY,
    POINTER,
    QEMU_LOG,
    QEMU_PID,
    SUPERVISOR_PID,
    MachineError,
    Record,
    hold,
    now,
    read_record,
    write_pid,
)

POWER_BUTTON_EVERY_S = 5.0
RETRY_DISK_EVERY_S = 10.0
LOOK_AT_SCREEN_EVERY_S = 2.0
SHORT_LIFE_S = 3.0
GUEST_ADDRESS, HOST_ADDRESS = "10.0.2.15", "10.0.2.2"
"""The guest's own address, and this computer's as the guest sees it, in QEMU's user network."""


def qemu_binary() -> str:
    """Return the path of QEMU; raises `MachineError` when it is not installed."""
    qemu = shutil.which("qemu-system-x86_64")
    if qemu is None:
        raise MachineError(
            "qemu-system-x86_64 is not on PATH: the machine can't be started\n"
            "  install QEMU (Debian, Ubuntu: qemu-system-x86 and qemu-utils; macOS: brew install qemu)"
        )
    return qemu


def qemu_command(record: Record, *, has_pointer: bool) -> list[str]:
    """Return QEMU's command line for a machine, to be run inside its state directory; the monitor comes on top."""
    network = f"user,id=net0,hostfwd=tcp:127.0.0.1:{record.ssh_port}-:22"
    if record.objects:
        server = shlex.join([sys.executable, "-I", "-S", str(Path(serve.__file__).absolute()), record.objects])
        for option in (f"tftp={record.objects}", f"guestfwd=tcp:{serve.ADDRESS}:{serve.PORT}-cmd:{server}"):
            network += "," + option.replace(",", ",,")
    command = [
        qemu_binary(), "-name", "machine", "-nodefaults", "-no-user-config", "-display", "none",
        *flags(record.accel), "-smp", str(record.cpus), "-m", str(record.memory_mib),
        "-chardev", f"file,id=console,path={CONSOLE},append=on", "-serial", "chardev:console",
        "-device", screen.DEVICE, "-device", "virtio-rng-pci",
        # flushes are honoured (no cache=unsafe): a killed QEMU must leave a disk that boots
        "-drive", f"if=none,id=disk0,file={DISK},format=qcow2,discard=unmap",
        "-device", "virtio-blk-pci,drive=disk0",
        "-netdev", network, "-device", "virtio-net-pci,netdev=net0,romfile=",
    ]  # fmt: skip
    if record.accel != "kvm":
        command.append("-no-reboot")
    if has_pointer:
        # Flatcar's Ignition reads the first name, upstream's (Debian, Fedora CoreOS) the second
        for name in ("opt/org.flatcar-linux/config", "opt/com.coreos/config"):
            command += ["-fw_cfg", f"name={name},file={POINTER}"]
    return command


class Supervisor:
    """One machine from power-on to power-off; the current directory is its state directory."""

    def __init__(self, record: Record, signals: socket.socket) -> None:
        self.record = record
        self.signals = signals
        self.stopping = False
        self.quitting = False
        self.processes = 0
        self.failures: list[str] = []
        """What Ignition said in boots before."""

    def run(self) -> str:
        """Run QEMU processes until the machine is off; return why it went off, in a few words."""
        while True:
            begin = time.monotonic()
            reason = self.run_process()
            if reason != "guest-reset" or self.stopping or self.quitting:
                return reason
            if time.monotonic() - begin < SHORT_LIFE_S:
                time.sleep(1.0)  # a guest that resets at once, for ever, must not burn the computer

    def run_process(self) -> str:
        """Run one QEMU process to its end; return QMP's reason for the shutdown, or how the process died."""
        self.processes += 1
        what = f"power-on {self.record.power_on}" + (", reboot" if self.processes > 1 else "")
        self.mark(f"{what}, {self.record.accel}, {self.record.memory_mib} MiB")
        ours, theirs = socket.socketpair()
        lock = hold(Path(QEMU_PID))
        os.set_inheritable(lock, True)
        command = [
            *qemu_command(self.record, has_pointer=Path(POINTER).exists()),
            "-chardev", f"socket,id=monitor,fd={theirs.fileno()}", "-mon", "chardev=monitor,mode=control",
        ]  # fmt: skip
        setpriv = shutil.which("setpriv")
        if setpriv is not None:
            command = [setpriv, "--pdeathsig", "KILL", *command]
        with open(QEMU_LOG, "ab") as log:
            qemu = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(theirs.fileno(), lock)
            )
        theirs.close()
        write_pid(lock, qemu.pid)
        os.close(lock)  # QEMU's copy holds it now, for as long as QEMU lives
        reason: str | None = None
        try:
            qmp = Qmp(ours)
            if self.processes == 1:
                say_ready()
            reason = self.follow(qmp)
        except QmpError as error:
            reason = None if qemu.poll() is not None else f"error: {error}"
        finally:
            ours.close()
            if reason is None or reason.startswith("error"):
                try:
                    qemu.wait(timeout=10)
                except subprocess.TimeoutExpired:
                    qemu.kill()
            status = qemu.wait()
        if reason is None:
            reason = f"QEMU was killed by signal {-status}" if status < 0 else f"QEMU ended with status {status}"
        self.mark(f"off: {reason}" if reason != "guest-reset" else "the guest rebooted")
        return reason

    def with_reason(self, qmp: Qmp, shown: list[str]) -> list[str]:
        """The screen's lines; where Ignition's reason is not among them any more, it comes before the prompt."""
        if any("Ignition failed: " in line for line in shown):
            return shown
        try:
            found = guest_memory.ignition_failures(qmp, self.record.memory_mib, Path(MEMORY))
        except (QmpError, OSError) as error:
            return [f"(why Ignition failed could not be read: {error})", *shown]
        reasons = [reason for reason in found if reason not in self.failures] or found
        self.failures += reasons
        return [*shown[:-1], *(f"Ignition failed: {reason}" for reason in reasons[-1:]), shown[-1]]

    def follow(self, qmp: Qmp) -> str | None:
        """Steer one QEMU until it closes its monitor; return the reason it gave, None when it gave none."""
        reason: str | None = None
        next_press = 0.0
        retry_disk_at: float | None = None
        next_look = time.monotonic() + LOOK_AT_SCREEN_EVERY_S
        shown: list[str] = []
        told_to_quit = False
        while not qmp.closed:
            try:
                if self.quitting and not told_to_quit:
                    told_to_quit = True
                    qmp.execute("quit")
                elif self.stopping and reason is None and time.monotonic() >= next_press:
                    next_press = time.monotonic() + POWER_BUTTON_EVERY_S
                    qmp.execute("system_powerdown")
                if retry_disk_at is not None and time.monotonic() >= retry_disk_at:
                    retry_disk_at = None
                    qmp.execute("cont")
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + LOOK_AT_SCREEN_EVERY_S
                    before, shown = shown, screen.emergency_lines(qmp)
                    if shown and not before:
                        self.mark(
                            "its screen says:]\n" + "\n".join(self.with_reason(qmp, shown)) + "\n[end of the screen"
                        )
            except QmpError as error:
                if not qmp.closed:
                    self.mark(f"supervisor: {error}")
            if not qmp.events:
                timeout = 1.0 if self.stopping or retry_disk_at is not None else LOOK_AT_SCREEN_EVERY_S
                readable, _, _ = select.select([qmp.fileno(), self.signals.fileno()], [], [], timeout)
                if self.signals.fileno() in readable:
                    self.take_signals()
                if qmp.fileno() in readable:
                    qmp.read_events()
            while qmp.events:
                event = qmp.events.popleft()
                data = event.get("data", {})
                if event["event"] == "SHUTDOWN":
                    reason = str(data.get("reason", "unknown"))
                elif event["event"] == "BLOCK_IO_ERROR" and data.get("action") == "stop":
                    self.mark("the guest is paused: its disk can't be written: " + str(data.get("reason", "")))
                    retry_disk_at = time.monotonic() + RETRY_DISK_EVERY_S
        return reason

    def take_signals(self) -> None:
        """Read which signals came."""
        for number in self.signals.recv(64):
            self.stopping |= number == signal.SIGTERM
            self.quitting |= number == signal.SIGUSR1

    def mark(self, text: str) -> None:
        """Append a line of our own to the console log, so that it tells one boot from the next."""
        with contextlib.suppress(OSError), open(CONSOLE, "a", encoding="utf-8") as console:
            console.write(f"\n[{now()} {text}]\n")  # a full disk must not end the machine


def say_ready() -> None:
    """Tell `start` that QEMU runs, and let go of the pipe to it."""
    pipe, null = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.write(pipe, b"on\n")
    os.close(null)
    os.close(pipe)


def main() -> int:
    """Run the machine in the current directory; 0 when it went off in order."""
    os.umask(0o077)
    ours, wakeup = socket.socketpair()
    wakeup.setblocking(False)
    signal.set_wakeup_fd(wakeup.fileno())
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _lock = hold(Path(SUPERVISOR_PID))
    try:
        record = read_record(Path())
        if record is None or not Path(BASE).exists():
            raise MachineError(f"no machine in {Path.cwd()}")
        reason = Supervisor(record, ours).run()
    except (MachineError, OSError) as error:
        reason = f"error: {error}"
    with contextlib.suppress(OSError):
        write_atomically(Path(ENDED), json.dumps({"reason": reason, "at": now()}) + "\n")
    return 0 if reason in ("guest-shutdown", "host-qmp-quit") else 1


if __name__ == "__main__":
    sys.exit(main())
