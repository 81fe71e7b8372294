"""Platform: virtual machines in QEMU on this computer, without root and without libvirt.

The machine is a `local.Command` that runs `components.commands.qemu`; a supervisor process owns QEMU from then on.
A machine that is off when the program runs (killed, crashed, switched off from inside, computer restarted) shows as an
update of that Command, "power_on" being one higher, and `pulumi up` starts it again on the same disk. Then it is waited
for and its health is checked.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path

import pulumi
from pulumi_command import local

from components.commands.qemu import machine as qemu
from components.commands.qemu.state import CONSOLE, MachineError, is_running, read_record
from components.launcher import interpreter
from components.platforms import PlatformMachine
from components.platforms.qemu import PLATFORM, QemuPlatform
from components.platforms.qemu.settings import QemuSettings

_NAME = re.compile(r"(?!(objects|known_hosts|login_key)$)[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Qemu:
    """Machines on this computer. Image and disk size count when a machine is made, memory and cpus at each power-on.

    A change of any of them never replaces a machine: it shows as an update that says what it left as it was.
    """

    image: Path
    """Base image, qcow2 or raw, never written: `flatcar_production_qemu_image.img` or the stand-in."""
    image_version: str = ""
    """The OS version in it, "" where that is not known: told at preview is what it can't read."""
    directory: Path
    """State of the machines, one folder each; usually `machines_dir()`."""
    objects: Path | None = None
    """The `LocalFolder` store's folder, served to each machine as far as it is its own."""
    memory_mib: int = 1024
    """Flatcar needs 2048."""
    cpus: int = 2
    disk_gib: int | None = None
    """Size of a new disk in GiB; the image's own when None."""
    accel: str = "auto"
    """"kvm", "tcg", or "auto": KVM when a test guest boots in it."""

    @property
    def ignition_platform(self) -> str:
        """Ignition's name of the platform."""
        return PLATFORM.ignition.name

    @property
    def login_user(self) -> None:
        """No metadata here: SSH keys come with the config."""

    @property
    def described(self) -> tuple[QemuPlatform, QemuSettings]:
        """The platform, and what is the machine's own on it (`Platform`)."""
        return PLATFORM, QemuSettings(memory_mib=self.memory_mib, cpus=self.cpus, disk_gib=self.disk_gib)

    def create(
        self, name: str, *, user_data: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> PlatformMachine:
        """Declare the machine `name`; see `Platform.create`. Deleting it removes its disk."""
        if not _NAME.fullmatch(name):
            raise pulumi.RunError(
                f"{name!r} can't name a machine: letters, digits and . _ - after a letter or digit, "
                "and not objects, known_hosts or login_key, which lie beside the machines"
            )
        directory = self.directory / name
        try:
            record = read_record(directory)
            power_on = qemu.plan_power_on(directory)
            spec = qemu.Spec(
                directory=str(directory),
                image=str(self.image),
                objects=str(self.objects / name) if self.objects is not None else "",
                memory_mib=self.memory_mib,
                cpus=self.cpus,
                disk_gib=self.disk_gib,
                accel=self.accel,
                power_on=power_on,
            )
            qemu.check(spec)
        except MachineError as error:
            raise pulumi.RunError(str(error)) from error
        if record is None and not self.image.exists():
            raise pulumi.RunError(
                f"the machine image {self.image} is missing\n"
                "  run `make up`, which gets one, or name another with `pulumi config set flatcar:image`:\n"
                "  a file, a channel (stable, beta, alpha, lts), or a version such as 4593.2.0"
            )
        settings = {key: value for key, value in asdict(spec).items() if value not in (None, "") and key != "user_data"}
        running = local.Command(
            name,
            create="qemu start",
            delete="qemu delete",
            interpreter=interpreter(),
            stdin=pulumi.Output.from_input(user_data).apply(lambda text: json.dumps({**settings, "user_data": text})),
            logging=local.Logging.STDERR,
            add_previous_output_in_env=False,
            # the new machine would get the old one's folder: the old one has to go first
            opts=pulumi.ResourceOptions.merge(pulumi.ResourceOptions(delete_before_replace=True), opts),
        )
        console = str((directory / CONSOLE).absolute())
        return PlatformMachine(
            resource=running,
            ssh_host=qemu.ADDRESS,
            # a port once chosen is kept: known at preview, also while the Command is being updated
            ssh_port=record.ssh_port
            if record is not None
            else running.stdout.apply(lambda text: int(json.loads(text.splitlines()[-1])["ssh_port"])),
            console_log=console,
            console_hint=f"the file {console}",
            power_on=qemu.power_on_name(directory, power_on),
            is_off=record is not None and not is_running(directory),
        )
