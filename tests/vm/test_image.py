"""The machine image, walked through its states: the tests are steps of one story of one machine, in this order."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.commands.qemu import state as qemu_state
from tests.vm.machines import VM, machine, needs_the_stand_in

pytestmark = pytest.mark.slow

KEPT = "/etc/ssh/ssh_host_.*' /var/log '/srv/kept"  # between single quotes in a shell's line


def config(vm: VM, name: str, **storage: object) -> dict[str, object]:
    """A config that writes /etc/only-NAME and enables NAME.service, which makes /run/NAME."""
    unit = f"[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/touch /run/{name}\n"
    return {
        "ignition": {"version": "3.3.0"},
        "passwd": {"users": [{"name": "core", "sshAuthorizedKeys": [vm.public_key]}]},
        "storage": {"files": [{"path": f"/etc/only-{name}", "contents": {"source": f"data:,{name}"}}], **storage},
        "systemd": {
            "units": [
                {
                    "name": f"{name}.service",
                    "enabled": True,
                    "contents": f"{unit}[Install]\nWantedBy=multi-user.target\n",
                }
            ]
        },
    }


def exists(vm: VM, path: str) -> bool:
    return vm.ssh(f"sudo test -e {path} && echo yes || echo no").strip() == "yes"


def identity(vm: VM) -> tuple[str, str]:
    """Machine id and SSH host key."""
    machine_id, key = vm.ssh("cat /etc/machine-id /etc/ssh/ssh_host_ed25519_key.pub").splitlines()
    return machine_id, key


def root_bytes(vm: VM, scratch: Path) -> str:
    """A digest over every byte of the partition ROOT of a machine that is off, or has not mounted it yet."""
    raw = scratch / "disk.raw"
    disk = vm.directory / qemu_state.DISK
    subprocess.run(["qemu-img", "convert", "--force-share", "-O", "raw", str(disk), str(raw)], check=True)
    table = subprocess.run(["/sbin/sfdisk", "--json", str(raw)], check=True, capture_output=True, text=True).stdout
    [root] = [part for part in json.loads(table)["partitiontable"]["partitions"] if part.get("name") == "ROOT"]
    total = hashlib.sha256()
    with raw.open("rb") as stream:
        stream.seek(root["start"] * 512)
        for _ in range(root["size"] * 512 >> 20):
            total.update(stream.read(1 << 20))
    raw.unlink()
    return total.hexdigest()


@pytest.fixture(scope="module")
def vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    needs_the_stand_in()
    with machine(tmp_path_factory.mktemp("image"), started=False) as made:
        made.put(config(made, "one"))
        made.start()
        made.wait_for_ssh()
        yield made


def test_the_first_boot_applies_the_config(vm: VM) -> None:
    assert vm.ssh("systemctl is-system-running").strip() == "running"
    assert exists(vm, "/etc/only-one") and exists(vm, "/run/one")
    assert not exists(vm, "/boot/flatcar/first_boot")
    result = json.loads(vm.ssh("sudo cat /etc/.ignition-result.json"))
    assert result["provisioningBootID"] == vm.boot_id()
    assert result["userConfigProvided"] is True


def test_the_machine_says_that_it_is_a_stand_in(vm: VM) -> None:
    release = vm.ssh("cat /etc/os-release")
    assert "ID=flatcar-stand-in\n" in release and "VERSION_ID=" in release
    assert "a Flatcar stand-in" in vm.console()


def test_the_journal_holds_what_ignition_said(vm: VM) -> None:
    served = (Path(vm.spec.objects) / "config.ign").read_bytes()
    journal = vm.ssh("sudo journalctl -b -t ignition -o cat --no-pager")
    assert f"with SHA512: {hashlib.sha512(served).hexdigest()}" in journal
    assert "files passed" in journal


def test_the_console_tells_the_host_key(vm: VM) -> None:
    told = re.findall(r"SSH host key: (SHA256:\S+) \(ED25519\)", vm.console())
    assert told[-1] in vm.ssh("ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub")


def test_dev_console_is_the_screen_as_on_flatcar(vm: VM) -> None:
    assert vm.ssh("cat /sys/class/tty/console/active").split() == ["ttyS0", "tty0"]
    assert "ignition[" not in vm.console(), "nothing of the initramfs is on ttyS0"


def test_sshd_is_started_by_its_socket(vm: VM) -> None:
    assert vm.ssh("systemctl is-active sshd.socket; systemctl is-active sshd.service || true").split() == [
        "active",
        "inactive",
    ]


def test_what_a_fresh_machine_has_in_etc(vm: VM) -> None:
    link = vm.ssh("readlink /etc/extensions/oem-qemu.raw").strip()
    assert re.fullmatch(r"/oem/sysext/oem-qemu-.+\.raw", link) and exists(vm, link)
    assert exists(vm, "/etc/audit/audit.rules")


def test_usr_is_read_only_and_core_may_do_all(vm: VM) -> None:
    assert vm.ssh_try("sudo touch /usr/x").returncode != 0
    assert vm.ssh("id -u; sudo id -u").split() == ["500", "0"]


def test_the_machine_can_fetch_its_object(vm: VM) -> None:
    served = (Path(vm.spec.objects) / "config.ign").read_text()
    for address in ("http://10.0.2.4", "tftp://10.0.2.2"):
        assert vm.ssh(f"curl -sS --fail {address}/config.ign") == served
        assert vm.ssh_try(f"curl -sS --fail {address}/other.ign").returncode != 0


def test_a_plain_reboot_keeps_all(vm: VM) -> None:
    before = identity(vm)
    vm.ssh("sudo touch /etc/handmade")
    booted = vm.reboot()
    assert identity(vm) == before
    assert exists(vm, "/etc/handmade") and exists(vm, "/run/one")
    assert json.loads(vm.ssh("sudo cat /etc/.ignition-result.json"))["provisioningBootID"] != booted


def test_the_flag_alone_leaves_old_files_and_new_units_disabled(vm: VM) -> None:
    vm.put(config(vm, "two"))
    vm.ssh("sudo touch /boot/flatcar/first_boot")
    vm.reboot()
    assert exists(vm, "/etc/only-two"), "Ignition ran again"
    assert exists(vm, "/etc/only-one") and exists(vm, "/etc/handmade"), "nothing was removed"
    assert vm.ssh_try("systemctl is-enabled two.service").stdout.strip() == "disabled"
    assert not exists(vm, "/run/two")
    assert exists(vm, "/run/one"), "the old unit runs still"


def test_flatcar_reset_shows_backs_up_and_restores(vm: VM) -> None:
    vm.ssh("sudo mkdir -p /srv/kept /srv/old && echo 1 | sudo tee /srv/kept/a '/srv/old/it is' > /dev/null")
    deleted = vm.ssh(f"sudo flatcar-reset --preview-delete --keep-paths '{KEPT}'").splitlines()
    kept = vm.ssh(f"sudo flatcar-reset -W -K '{KEPT}'").splitlines()
    assert "/etc/handmade" in deleted and "/srv/old/it is" in deleted
    assert "/srv/kept/a" in kept and "/etc/ssh/ssh_host_ed25519_key" in kept
    assert not set(deleted) & set(kept)
    assert not [path for path in deleted if path.startswith(("/usr/", "/proc/", "/boot/", "/oem/"))]
    assert not exists(vm, "/selective-os-reset"), "a preview stages nothing"

    vm.ssh(f"sudo flatcar-reset --backup -K '{KEPT}'")
    assert exists(vm, "/flatcar-backup/etc/handmade") and not exists(vm, "/flatcar-backup/srv/kept/a")
    assert exists(vm, "/selective-os-reset") and exists(vm, "/boot/flatcar/first_boot")
    vm.ssh("sudo flatcar-reset --stop && sudo rm /etc/handmade '/srv/old/it is'")
    assert not exists(vm, "/selective-os-reset") and not exists(vm, "/boot/flatcar/first_boot")
    vm.ssh("sudo flatcar-reset --restore-backup && sudo flatcar-reset --delete-backup")
    assert exists(vm, "/etc/handmade") and exists(vm, "'/srv/old/it is'") and not exists(vm, "/flatcar-backup")


def test_a_config_that_fails_in_fetch_leaves_root_alone_and_a_repaired_one_heals(vm: VM, tmp_path: Path) -> None:
    before = identity(vm)
    vm.ssh("sudo ln -s ../usr/bin /srv/to-a-directory && sudo ln -s ../usr/bin/env /srv/to-a-file")
    vm.ssh("echo 'set emergency_wait=\"15\"' | sudo tee -a /oem/grub.cfg")
    late = 'set linux_append="$linux_append stand_in.lease_after=3"'
    vm.ssh(f"echo '{late}' | sudo tee -a /oem/grub.cfg")
    vm.ssh(f"sudo flatcar-reset --keep-machine-id --keep-paths '{KEPT}'")
    vm.stop()
    untouched = root_bytes(vm, tmp_path)

    vm.put('{"ignition": {"version": "3.3.0"}, "storage": {"files": [{"path": "not-absolute"}]}}')
    said = len(vm.console())
    vm.start()
    vm.wait_for_console(r"path not absolute", after=said)
    vm.wait_for_console(r"Press Enter for emergency shell", after=said)
    assert root_bytes(vm, tmp_path) == untouched
    vm.put(config(vm, "three"))
    booted = vm.wait_for_ssh()
    assert identity(vm) == before, "a reset with --keep-machine-id keeps the identity"
    said_by_ignition = vm.ssh("sudo journalctl -b -t ignition -o cat --no-pager")
    assert "http://10.0.2.4/config.ign: attempt #2" in said_by_ignition, "it asks again until there is a lease"
    assert json.loads(vm.ssh("sudo cat /etc/.ignition-result.json"))["provisioningBootID"] == booted


def test_the_reset_removed_the_old_and_enabled_the_new(vm: VM) -> None:
    assert exists(vm, "/etc/only-three") and exists(vm, "/run/three")
    assert vm.ssh("systemctl is-enabled three.service").strip() == "enabled"
    for gone in ("/etc/only-one", "/etc/only-two", "/etc/handmade", "/srv/old", "/etc/systemd/system/one.service"):
        assert not exists(vm, gone), gone
    assert exists(vm, "/srv/kept/a")
    assert vm.ssh("ls /srv").split() == ["kept", "to-a-directory"], "links to directories stay, as on Flatcar"
    assert not exists(vm, "/selective-os-reset") and not exists(vm, "/boot/flatcar/first_boot")
    assert vm.ssh("systemctl is-system-running").strip() == "running"
