"""The QEMU machine commands against real QEMU processes; the guests are boot sectors, so no image is needed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from components.commands.qemu import accelerator as qemu_accel
from components.commands.qemu import disk as qemu_disk
from components.commands.qemu import machine as qemu
from components.commands.qemu import state as qemu_state
from components.commands.qemu.machine import Spec
from components.commands.qemu.state import MachineError

pytestmark = pytest.mark.skipif(
    shutil.which("qemu-system-x86_64") is None and not os.environ.get("CI"), reason="QEMU is not installed"
)
DEADLINE_S = 60.0
PROJECT = Path(__file__).resolve().parents[5]
IDLE = bytes([0xF4, 0xEB, 0xFD])  # hlt; jmp back
RESET = bytes([0xB0, 0xFE, 0xE6, 0x64, 0xF4, 0xEB, 0xFD])  # mov al,0xfe; out 0x64,al: reset through the keyboard port
# mov dx,0x604; mov ax,0x2000; out dx,ax: ACPI's S5, once the BIOS has enabled it at another port
POWER_OFF = bytes([0xBA, 0x04, 0x06, 0xB8, 0x00, 0x20, 0xEF, 0xF4, 0xEB, 0xFD])
# prints the text behind it (at 0x7c19) on the screen: xor ax,ax; mov ds,ax; mov si,0x7c19; cld; lodsb; test al,al;
# jz to hlt; mov ah,0x0e; mov bx,7; int 0x10; jmp to lodsb; hlt; jmp back
SHOW = bytes.fromhex("31c0 8ed8 be197c fc ac 84c0 7409 b40e bb0700 cd10 ebf2 f4 ebfd")
# writes a sector to every 64 KiB of the disk through the BIOS: xor ax,ax; mov ds,ax; mov si,0x7c18; mov ah,0x43;
# xor al,al; int 0x13; add dword [0x7c20],128; jmp back to mov si; then the packet: one sector from 0x7c00 to LBA 128
FILL = bytes.fromhex("31c0 8ed8 be187c b443 30c0 cd13 6681 06207c 80000000 ebec 1000 0100 007c 0000 80000000 00000000")


def boot_sector(code: bytes) -> bytes:
    return code.ljust(510, b"\0") + b"\x55\xaa"


MakeSpec = Callable[..., Spec]


@pytest.fixture
def make_spec(tmp_path: Path) -> Iterator[MakeSpec]:
    """Return specs of small machines below `tmp_path`; every one is deleted at the end."""
    made: list[Spec] = []

    def make(name: str = "m", code: bytes = IDLE, **more: object) -> Spec:
        image = tmp_path / f"{name}.img"
        if not image.exists():
            image.write_bytes(boot_sector(code).ljust(1024 * 1024, b"\0"))
        settings: dict[str, object] = {"memory_mib": 64, "cpus": 1, "accel": "tcg", **more}
        spec = Spec(directory=str(tmp_path / "machines" / name), image=str(image), **settings)  # type: ignore[arg-type]
        made.append(spec)
        return spec

    yield make
    for spec in made:
        qemu.delete(Path(spec.directory), print)


def start(spec: Spec) -> tuple[dict[str, object], str]:
    """Start a machine; return its outputs and the progress lines."""
    lines: list[str] = []
    return qemu.start(spec, lines.append), "\n".join(lines)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def environment_of(pid: int) -> dict[str, str]:
    text = Path(f"/proc/{pid}/environ").read_bytes().decode("utf-8", "replace")
    return dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)


def test_what_outlives_a_run_has_no_passphrase_and_no_keys(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_COMMAND_STDOUT", "AWS_SECRET_ACCESS_KEY", "DIGITALOCEAN_TOKEN"):
        monkeypatch.setenv(name, "hunter2")
    spec = make_spec()
    start(spec)
    for name in (qemu_state.SUPERVISOR_PID, qemu_state.QEMU_PID):
        pid = qemu_state.holder(Path(spec.directory) / name)
        assert pid is not None
        seen = environment_of(pid)
        assert "hunter2" not in seen.values(), name
        assert seen["PATH"] == os.environ["PATH"]


def qemu_pid(spec: Spec) -> int:
    pid = qemu_state.holder(Path(spec.directory) / qemu_state.QEMU_PID)
    assert pid
    return pid


def supervisor_pid(spec: Spec) -> int:
    pid = qemu_state.holder(Path(spec.directory) / qemu_state.SUPERVISOR_PID)
    assert pid
    return pid


def alive(pid: int) -> bool:
    """Tell whether a process runs; one that only waits to be reaped doesn't."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_start_stop_start_keeps_disk_port_and_console(make_spec: MakeSpec) -> None:
    spec = make_spec()
    directory = Path(spec.directory)
    first, said = start(spec)
    assert first["running"] and first["power_on"] == 1 and str(first["ssh_port"]) in said
    inode = (directory / qemu_state.DISK).stat().st_ino
    with socket.create_connection(("127.0.0.1", int(str(first["ssh_port"]))), timeout=10):
        pass  # QEMU itself listens there
    qemu.stop(directory, print, grace_s=0)
    assert qemu.outputs(directory)["running"] is False
    assert qemu.outputs(directory)["ended"] == "host-qmp-quit"
    second, _ = start(spec)
    assert second["power_on"] == 2
    assert second["ssh_port"] == first["ssh_port"]
    assert (directory / qemu_state.DISK).stat().st_ino == inode
    console = (directory / qemu_state.CONSOLE).read_text()
    assert console.index("power-on 1") < console.index("off: host-qmp-quit") < console.index("power-on 2")


def test_start_of_a_running_machine_does_nothing(make_spec: MakeSpec) -> None:
    spec = make_spec()
    first, _ = start(spec)
    pid = qemu_pid(spec)
    again, said = start(spec)
    assert "runs already" in said
    assert again == first and qemu_pid(spec) == pid


def test_a_folder_of_the_same_name_beside_a_machine_is_not_run(make_spec: MakeSpec) -> None:
    spec = make_spec()
    decoy = Path(spec.directory) / "components"
    decoy.mkdir(parents=True)
    (decoy / "__init__.py").write_text("raise SystemExit('decoy')\n")
    assert start(spec)[0]["running"]


def test_supervisor_has_its_own_session_and_no_open_streams(make_spec: MakeSpec) -> None:
    spec = make_spec()
    start(spec)
    pid = supervisor_pid(spec)
    assert os.getsid(pid) == pid
    streams = [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)]
    assert streams == ["/dev/null", "/dev/null", str(Path(spec.directory) / qemu_state.SUPERVISOR_LOG)]


def test_killed_qemu_is_noticed_and_started_again(make_spec: MakeSpec) -> None:
    spec = make_spec()
    directory = Path(spec.directory)
    start(spec)
    supervisor = supervisor_pid(spec)
    os.kill(qemu_pid(spec), signal.SIGKILL)
    wait_until(lambda: not qemu_state.is_running(directory), "the supervisor didn't notice")
    wait_until(lambda: not alive(supervisor), "the supervisor didn't end")
    assert qemu.outputs(directory)["ended"] == "QEMU was killed by signal 9"
    again, said = start(spec)
    assert again["running"] and again["power_on"] == 2
    assert "killed by signal 9" in said and "same disk" in said


def test_killed_supervisor_takes_qemu_with_it(make_spec: MakeSpec) -> None:
    assert shutil.which("setpriv"), "setpriv (util-linux) ties QEMU's life to the supervisor's"
    spec = make_spec()
    start(spec)
    pid = qemu_pid(spec)
    os.kill(supervisor_pid(spec), signal.SIGKILL)
    wait_until(lambda: not alive(pid), "QEMU outlived its supervisor")
    again, _ = start(spec)
    assert again["running"]
    assert "supervisor was killed" in qemu.why_ended(Path(spec.directory))


def test_qemu_without_supervisor_is_ended_by_the_next_start(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"  # a PATH without setpriv, as on macOS
    tools.mkdir()
    for tool in ("qemu-system-x86_64", "qemu-img"):
        (tools / tool).symlink_to(str(shutil.which(tool)))
    monkeypatch.setenv("PATH", str(tools))
    spec = make_spec()
    start(spec)
    orphan = qemu_pid(spec)
    os.kill(supervisor_pid(spec), signal.SIGKILL)
    wait_until(lambda: not qemu_state.is_running(Path(spec.directory)), "the supervisor lives on")
    assert alive(orphan)
    again, said = start(spec)
    assert again["running"] and "ending a QEMU whose supervisor was killed" in said
    assert not alive(orphan)


def test_guest_reset_gets_a_fresh_process(make_spec: MakeSpec) -> None:
    spec = make_spec(code=RESET)
    directory = Path(spec.directory)
    start(spec)
    wait_until(
        lambda: (directory / qemu_state.CONSOLE).read_text().count("the guest rebooted") >= 2, "no second process"
    )
    assert qemu_state.is_running(directory)
    assert qemu.outputs(directory)["power_on"] == 1, "a reboot from inside is no power-on"


def test_an_emergency_on_the_screen_is_told_on_the_console(make_spec: MakeSpec) -> None:
    text = "\r\n".join(["Ignition failed: " + "no such file, " * 8, "\x02Press Enter for emergency shell or wait\0"])
    spec = make_spec(code=SHOW + text.encode())
    start(spec)
    console = Path(spec.directory) / qemu_state.CONSOLE
    wait_until(lambda: "[end of the screen]" in console.read_text(), "nothing of the screen")
    told = console.read_text().partition("its screen says:]\n")[2].partition("\n[end")[0].splitlines()
    failure = "Ignition failed: " + "no such file, " * 7 + "no such file,"
    assert told[-2:] == [failure, " Press Enter for emergency shell or wait"]


def test_a_reason_that_has_left_the_screen_comes_from_memory_and_no_config_is_told(make_spec: MakeSpec) -> None:
    shown = '[    9.1] ignition[144]:   "source": "data:,secret"\r\nPress Enter for emergency shell or wait\0'
    journal = "a program's own text: Ignition failed: %v\0MESSAGE=Ignition failed: no such file\0"
    spec = make_spec(code=SHOW + f"BIOS\r\n{shown}{journal}".encode())
    start(spec)
    console = Path(spec.directory) / qemu_state.CONSOLE
    wait_until(lambda: "[end of the screen]" in console.read_text(), "nothing of the screen")
    told = console.read_text().partition("its screen says:]\n")[2].partition("\n[end")[0].splitlines()
    assert told[-2:] == ["Ignition failed: no such file", "Press Enter for emergency shell or wait"]
    assert "secret" not in console.read_text()
    assert not (Path(spec.directory) / qemu_state.MEMORY).exists()


def test_guest_power_off_ends_the_machine(make_spec: MakeSpec) -> None:
    spec = make_spec(code=POWER_OFF)
    directory = Path(spec.directory)
    start(spec)
    wait_until(lambda: not qemu_state.is_running(directory), "the machine is still on")
    assert qemu.outputs(directory)["ended"] == "guest-shutdown"


def test_stop_pulls_the_plug_on_a_deaf_guest(make_spec: MakeSpec) -> None:
    spec = make_spec()
    start(spec)
    pid = qemu_pid(spec)
    lines: list[str] = []
    qemu.stop(Path(spec.directory), lines.append, grace_s=0.5)
    assert "pressing the power button" in lines[0] and "pulling the plug" in lines[1]
    assert not alive(pid)
    assert qemu.outputs(Path(spec.directory))["ended"] == "host-qmp-quit"


def test_stop_ends_a_supervisor_that_hangs(make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "PATIENCE_S", 1.0)
    spec = make_spec()
    start(spec)
    pids = (supervisor_pid(spec), qemu_pid(spec))
    os.kill(pids[0], signal.SIGSTOP)
    qemu.stop(Path(spec.directory), print, grace_s=0)
    assert not any(alive(pid) for pid in pids)


def test_delete_leaves_nothing_of_the_machine(make_spec: MakeSpec) -> None:
    spec = make_spec()
    directory = Path(spec.directory)
    start(spec)
    pids = (supervisor_pid(spec), qemu_pid(spec))
    qemu.delete(directory, print)
    assert not directory.exists() and not directory.parent.exists()
    assert not any(alive(pid) for pid in pids)
    assert Path(spec.image).exists()
    qemu.delete(directory, print)


def test_delete_spares_files_that_are_not_the_machines(make_spec: MakeSpec) -> None:
    spec = make_spec()
    start(spec)
    note = Path(spec.directory) / "note.txt"
    note.write_text("mine")
    qemu.delete(note.parent, print)
    assert [path.name for path in note.parent.iterdir()] == ["note.txt"]


def test_two_starts_at_once_make_one_machine(make_spec: MakeSpec) -> None:
    spec = make_spec()
    results: list[dict[str, object]] = []
    threads = [threading.Thread(target=lambda: results.append(start(spec)[0])) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert all(result == results[0] for result in results)
    assert results[0]["power_on"] == 1


def test_plan_changes_only_when_the_machine_is_off_or_lost(make_spec: MakeSpec) -> None:
    spec = make_spec()
    directory = Path(spec.directory)
    planned = qemu.plan_power_on(directory)
    spec = replace(spec, power_on=planned)
    start(spec)
    assert qemu.plan_power_on(directory) == planned
    qemu.stop(directory, print, grace_s=0)
    off = qemu.plan_power_on(directory)
    assert off == {**planned, "number": 2} == qemu.plan_power_on(directory)
    start(replace(spec, power_on=off))
    assert qemu.plan_power_on(directory) == off
    qemu.delete(directory, print)
    wait_until(lambda: qemu.plan_power_on(directory)["disk"] != planned["disk"], "a new disk looks like the old one")


def test_a_power_on_has_a_name_that_a_machine_of_an_older_version_gets_when_it_was_off(make_spec: MakeSpec) -> None:
    def name() -> str:
        return qemu.power_on_name(directory, qemu.plan_power_on(directory))

    spec = make_spec()
    directory = Path(spec.directory)
    planned = qemu.plan_power_on(directory)
    first = qemu.power_on_name(directory, planned)
    start(replace(spec, power_on=planned))
    assert name() == first == f"1 {planned['disk']}"
    record = qemu_state.read_record(directory)
    assert record is not None
    older = {key: value for key, value in asdict(record).items() if key != "awaited"}
    (directory / qemu_state.RECORD).write_text(json.dumps(older))
    assert name() == "", "what runs since an upgrade is asked for nothing new"
    qemu.stop(directory, print, grace_s=0)
    assert name() == f"2 {planned['disk']}"
    start(replace(spec, power_on=qemu.plan_power_on(directory)))
    assert name() == f"2 {planned['disk']}"


def test_a_restart_is_another_qemu_and_no_other_power_on(make_spec: MakeSpec) -> None:
    spec = make_spec()
    directory = Path(spec.directory)
    first, _ = start(spec)
    process, planned = qemu_pid(spec), qemu.plan_power_on(directory)
    inode = (directory / qemu_state.DISK).stat().st_ino
    qemu.restart(directory, print, grace_s=0)
    assert qemu_pid(spec) != process
    assert not alive(process)
    assert qemu.plan_power_on(directory) == planned, "a preview has nothing to do"
    assert qemu.outputs(directory)["ssh_port"] == first["ssh_port"]
    assert (directory / qemu_state.DISK).stat().st_ino == inode
    qemu.stop(directory, print, grace_s=0)
    qemu.restart(directory, print, grace_s=0)
    assert qemu.outputs(directory)["running"] is True
    with pytest.raises(MachineError, match="no machine in"):
        qemu.restart(directory.with_name("none"), print)


def test_changed_pointer_switches_the_machine_off_and_on(make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu, "STOP_GRACE_S", 0.0)
    spec = make_spec(user_data='{"a":1}')
    first, _ = start(spec)
    second, said = start(replace(spec, user_data='{"a":2}'))
    assert "pointer" in said and second["power_on"] == 2 and second["ssh_port"] == first["ssh_port"]
    pointer = Path(spec.directory) / qemu_state.POINTER
    assert pointer.read_text() == '{"a":2}' and pointer.stat().st_mode & 0o777 == 0o600


def test_changed_image_and_memory_leave_a_running_machine_alone(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec()
    start(spec)
    pid = qemu_pid(spec)
    other = tmp_path / "other.img"
    other.write_bytes(boot_sector(RESET).ljust(1024 * 1024, b"\0"))
    result, said = start(replace(spec, image=str(other), memory_mib=96))
    assert qemu_pid(spec) == pid and result["image"] == spec.image and result["memory_mib"] == 64
    assert "keeps its disk" in said and "next power-on" in said
    qemu.stop(Path(spec.directory), print, grace_s=0)
    result, said = start(replace(spec, image=str(other), memory_mib=96))
    assert result["image"] == spec.image and result["memory_mib"] == 96 and "keeps its disk" in said


def test_image_replaced_by_a_newer_one_does_not_hurt(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec()
    start(spec)
    qemu.stop(Path(spec.directory), print, grace_s=0)
    newer = tmp_path / "newer.img"
    newer.write_bytes(b"\0" * 4096)
    newer.replace(spec.image)
    assert start(spec)[0]["running"]


def test_image_changed_in_place_is_refused(make_spec: MakeSpec) -> None:
    spec = make_spec()
    start(spec)
    qemu.stop(Path(spec.directory), print, grace_s=0)
    with open(spec.image, "ab") as image:
        image.write(b"\0" * 512)
    with pytest.raises(MachineError, match=r"changed in place(.|\n)*--replace"):
        start(spec)


def test_damaged_disk_is_refused_and_kept(make_spec: MakeSpec) -> None:
    spec = make_spec()
    disk = Path(spec.directory) / qemu_state.DISK
    start(spec)
    qemu.stop(disk.parent, print, grace_s=0)
    disk.write_bytes(b"junk" * 1000)
    with pytest.raises(MachineError, match=r"disk .*disk.qcow2 is damaged"):
        start(spec)
    assert disk.read_bytes() == b"junk" * 1000


def test_taken_port_is_refused_and_the_address_kept(make_spec: MakeSpec) -> None:
    spec = make_spec()
    first, _ = start(spec)
    qemu.stop(Path(spec.directory), print, grace_s=0)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", int(str(first["ssh_port"]))))
        other.listen()
        with pytest.raises(MachineError, match=f"port {first['ssh_port']} .* is taken"):
            start(spec)
    assert start(spec)[0]["ssh_port"] == first["ssh_port"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image": "/nonexistent/image.img"}, "/nonexistent/image.img can't be read"),
        ({"memory_mib": 2**40}, "QEMU didn't start"),
        ({"memory_mib": 1}, "memory is 1 MiB"),
        ({"accel": "warp"}, "accel is 'warp'"),
        ({"cpus": 0}, "cpus is 0"),
        ({"user_data": "#cloud-config"}, "user data is no JSON"),
        ({"ssh_port": 70000}, "SSH port is 70000"),
        ({"disk_gib": 0}, "disk size is 0"),
    ],
)
def test_failed_first_start_leaves_nothing_behind(make_spec: MakeSpec, change: dict[str, object], message: str) -> None:
    spec = replace(make_spec(), **change)  # type: ignore[arg-type]
    with pytest.raises(MachineError, match=message):
        start(spec)
    assert not Path(spec.directory).exists()


def test_no_space_is_said_before_anything_is_made(make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(qemu_disk, "MIN_FREE_BYTES", 2**62)
    spec = make_spec()
    with pytest.raises(MachineError, match=r"no space for a machine's disk: \d+ MiB free"):
        start(spec)
    assert not Path(spec.directory).exists()


def test_full_file_system_pauses_the_guest_until_there_is_space(
    make_spec: MakeSpec, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(qemu_disk, "MIN_FREE_BYTES", 0)
    small = tmp_path / "machines"
    small.mkdir()

    def mount(options: str) -> bool:
        return subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", small], check=False).returncode == 0

    if not mount("size=2m"):
        pytest.skip("needs the right to mount a small tmpfs")
    try:
        spec = make_spec(code=FILL, disk_gib=1)
        disk = Path(spec.directory) / qemu_state.DISK
        start(spec)
        pid = qemu_pid(spec)
        console = disk.with_name(qemu_state.CONSOLE)
        wait_until(lambda: "paused: its disk can't be written: No space" in console.read_text(), "no pause")
        full = disk.stat().st_blocks
        assert qemu_pid(spec) == pid
        assert mount("remount,size=4m")
        wait_until(lambda: disk.stat().st_blocks > full, "the guest doesn't go on")
        assert qemu_pid(spec) == pid
        qemu.delete(Path(spec.directory), print)
    finally:
        subprocess.run(["umount", "--lazy", small], check=True)


def test_disk_grows_to_the_wanted_size(make_spec: MakeSpec) -> None:
    spec = make_spec(disk_gib=1)
    start(spec)
    qemu.stop(Path(spec.directory), print, grace_s=0)
    info = subprocess.run(
        ["qemu-img", "info", "--output=json", str(Path(spec.directory) / qemu_state.DISK)],
        capture_output=True, check=True,
    )  # fmt: skip
    assert json.loads(info.stdout)["virtual-size"] == 2**30


def test_objects_folder_with_a_comma_in_its_name(make_spec: MakeSpec, tmp_path: Path) -> None:
    assert start(make_spec(objects=str(tmp_path / "a,b")))[0]["running"]


def command(verb: str, document: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "components.commands.qemu", verb],
        input=json.dumps(document), capture_output=True, text=True, check=False,
        cwd=PROJECT, env={**os.environ, **environment},
    )  # fmt: skip


@pytest.mark.parametrize("end", ["\\n", ""])
def test_what_qemu_says_at_its_end_is_told_cut_and_printable(make_spec: MakeSpec, tmp_path: Path, end: str) -> None:
    fake = tmp_path / "bin/qemu-system-x86_64"
    fake.parent.mkdir()
    long = "head -c 10000000 /dev/zero | tr '\\0' x >&2"
    fake.write_text(f"#!/bin/sh\n{long}\nprintf '\\nno \\377\\0\\033[2Jaccelerator{end}' >&2\nexit 1\n")
    fake.chmod(0o755)
    done = command("start", asdict(make_spec()), PATH=f"{fake.parent}:{os.environ['PATH']}")
    assert done.returncode == 1
    first, cut, *_, last = done.stderr.splitlines()
    assert first.startswith("error: m: QEMU didn't start (")
    assert cut.startswith("  xxx") and len(cut) < 5_000
    assert last == "  no \ufffd[2Jaccelerator"


def test_command_line(make_spec: MakeSpec) -> None:
    spec = make_spec()
    document = {"directory": spec.directory, "image": spec.image, "memory_mib": 64, "cpus": 1, "accel": "tcg"}
    done = command("start", document)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["address"] == "127.0.0.1"
    assert json.loads(command("status", document).stdout)["running"] is True
    assert command("stop", {"directory": spec.directory, "grace_s": 0}).returncode == 0
    assert json.loads(command("status", document).stdout)["running"] is False
    assert command("delete", document).returncode == 0
    gone = command("status", document)
    assert gone.returncode == 1 and gone.stderr.startswith("error: no machine in ") and gone.stdout == ""


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], "not usable"),
        ({}, "not usable"),
        ({"directory": "x", "color": 1}, "unknown keys in the machine's spec: color"),
    ],
)
def test_bad_document_is_an_error_without_traceback(document: object, message: str) -> None:
    done = command("start", document)
    assert done.returncode == 1 and message in done.stderr and "Traceback" not in done.stderr


def test_missing_qemu_is_named(make_spec: MakeSpec) -> None:
    spec = make_spec()
    done = command("start", {"directory": spec.directory, "image": spec.image}, PATH="/nonexistent")
    assert done.returncode == 1 and "qemu-system-x86_64 is not on PATH" in done.stderr
    assert not Path(spec.directory).exists()


def test_damaged_record_is_named(make_spec: MakeSpec) -> None:
    spec = make_spec()
    start(spec)
    (Path(spec.directory) / qemu_state.RECORD).write_text('{"power_on": 1')
    with pytest.raises(MachineError, match=r"machine.json can't be read as a machine's record"):
        qemu.plan_power_on(Path(spec.directory))


def test_boot_sector_proves_an_accelerator_or_not() -> None:
    assert qemu_accel.boot_sector_seconds("qemu-system-x86_64", "tcg", timeout_s=DEADLINE_S) is not None
    assert qemu_accel.boot_sector_seconds("false", "tcg", timeout_s=DEADLINE_S) is None
    assert qemu_accel.boot_sector_seconds("qemu-system-x86_64", "tcg", timeout_s=0.001) is None


def test_accelerator_proof_is_kept_for_this_boot(tmp_path: Path) -> None:
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        assert qemu_accel.choose("auto", "qemu-system-x86_64", tmp_path, print) == "tcg"
        return
    lines: list[str] = []
    first = qemu_accel.choose("auto", "qemu-system-x86_64", tmp_path, lines.append)
    assert first in ("kvm", "tcg") and len(lines) == 1
    assert qemu_accel.choose("auto", "qemu-system-x86_64", tmp_path, lines.append) == first
    assert len(lines) == 1
    cache = next(tmp_path.iterdir())
    cache.write_text(cache.read_text().replace('"boot_id": "', '"boot_id": "other-'))
    qemu_accel.choose("auto", "qemu-system-x86_64", tmp_path, lines.append)
    assert len(lines) == 2, "the proof of another boot was believed"
