"""Disks through two runs of the real Ignition: what the rules let pass keeps its data, what they refuse fails or loses.

The machine's spare disks are attached by a wrapper of QEMU, as the program makes none.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cl.transpiler import transpile
from cl.transpiler.lint import Rule, Situation, lint
from tests.conftest import missing
from tests.vm.machines import VM, machine, needs_the_stand_in

DOCS = Path(__file__).resolve().parents[2] / "docs" / "configs.md"
SPARE = "bcdefghijklm"
"""Last letters of the spare disks: /dev/vdb is the first."""
CONFIG = """\
variant: flatcar
version: 1.1.0
passwd:
  users:
    - name: core
      ssh_authorized_keys: ["${key}"]
storage:
  disks:
    - device: /dev/vdb
      partitions:
        - {number: 1, label: data, size_mib: 30}
        - {number: 2, label: swap, size_mib: 0, start_mib: 0}
  luks:
    - name: secret
      device: /dev/vde
      key_file: {inline: a long passphrase}
      options: [--pbkdf, pbkdf2, --pbkdf-force-iterations, "1000"]
  filesystems:
    - {device: /dev/disk/by-partlabel/data, format: ext4, path: /srv/kept, with_mount_unit: true}
    - {device: /dev/disk/by-partlabel/swap, format: swap, wipe_filesystem: true}
    - {device: /dev/mapper/secret, format: ext4, label: secret}
  files:
    - path: /etc/generation
      contents: {inline: "${generation}"}
systemd:
  units:
    - name: locksmithd.service
      mask: true
    - {name: srv-data.mount, enabled: true, contents_local: srv-data.mount}
    - {name: data-array.service, enabled: true, contents_local: data-array.service}
"""
PLACES = ("/srv/kept", "/srv/data", "/mnt")
"""On the partition, the array and the encrypted volume."""


def transpiled(vm: VM, folder: Path, generation: int) -> str:
    units = re.findall(r"```ini\n# (data-array.service|srv-data.mount)\n(.*?)```", DOCS.read_text("utf-8"), re.DOTALL)
    for name, text in units:
        (folder / name).write_text(text, encoding="utf-8")
    variables = {"key": vm.public_key, "generation": str(generation)}
    return transpile(CONFIG, files_dir=folder, variables=variables).unwrap()


def refused(config: dict[str, Any]) -> set[Rule]:
    """The rules with an error about this config, as a reset of the machine asks them."""
    return {finding for finding in Rule if lint(config, ASKED, allow=set(Rule) - {finding}).is_fatal}


ASKED = Situation(root_is_kept=True, ssh_user="core")


@pytest.fixture(scope="module")
def vm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VM]:
    needs_the_stand_in()
    folder = tmp_path_factory.mktemp("disks")
    qemu, lines = shutil.which("qemu-system-x86_64"), ['set -- "$@"']
    if qemu is None:
        missing("QEMU")
    for letter in SPARE:
        disk = folder / f"{letter}.img"
        disk.touch()
        os.truncate(disk, 64 << 20)
        lines[0] += f" -drive if=none,id=spare{letter},format=raw,file={shlex.quote(str(disk))}"
        lines[0] += f" -device virtio-blk-pci,drive=spare{letter}"
    wrapper = folder / "bin" / "qemu-system-x86_64"
    wrapper.parent.mkdir()
    wrapper.write_text(f'#!/bin/sh\n{lines[0]}\nexec {qemu} "$@"\n')
    wrapper.chmod(0o755)
    with pytest.MonkeyPatch.context() as patch, machine(folder, started=False) as made:
        patch.setenv("PATH", f"{wrapper.parent}{os.pathsep}{os.environ['PATH']}")
        made.put(transpiled(made, folder, 1))
        made.start()
        made.wait_for_ssh()
        yield made


def test_partitions_a_kept_disk_luks_and_an_array_by_a_unit_run_twice(vm: VM, tmp_path: Path) -> None:
    assert refused(json.loads(transpiled(vm, tmp_path, 1))) == set()
    state = (
        "sudo sgdisk -p /dev/vdb | grep -A9 ^Number; sudo mdadm --detail --export /dev/md/data | grep UUID;"
        "sudo blkid -s UUID -o value /dev/vdb1 /dev/md/data /dev/mapper/secret /dev/vde"
    )
    before = vm.ssh(state)
    vm.ssh("sudo mount /dev/mapper/secret /mnt")
    for place in PLACES:
        vm.ssh(f"mountpoint {place} && echo intact | sudo tee {place}/marker && sync")
    vm.put(transpiled(vm, tmp_path, 2))
    vm.ssh("sudo flatcar-reset --keep-machine-id --keep-paths '/etc/ssh/ssh_host_.*' && sudo touch /etc/by-hand")
    vm.reboot()
    assert vm.ssh("cat /etc/generation; echo; ls /etc/by-hand 2>/dev/null || echo wiped").split() == ["2", "wiped"]
    vm.ssh("sudo mount /dev/mapper/secret /mnt")
    assert vm.ssh("cat " + " ".join(f"{place}/marker" for place in PLACES)).split() == ["intact"] * 3
    assert vm.ssh(state) == before
    vm.ssh("sudo umount /mnt")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A config's `storage`, what comes between its runs, and how the runs end: exit codes, or what a program prints."""

    storage: dict[str, Any]
    first: dict[str, Any] | None = None
    """What ran before, where that is another one."""
    between: str = ""
    ends: tuple[str, ...]
    rules: frozenset[Rule] = frozenset()


def partition(device: str, **entry: Any) -> dict[str, Any]:
    return {"disks": [{"device": device, "partitions": [{"sizeMiB": 25, "label": "a", **entry}]}]}


def volume(device: str, **more: Any) -> dict[str, Any]:
    options = ["--pbkdf", "pbkdf2", "--pbkdf-force-iterations", "1000"]
    return {"luks": [{"name": "v", "device": device, "options": options, **more}]}


KEY = {"source": "data:,k"}
UUID = "aaaaaaaa-2222-3333-4444-555555555555"
DISKS = frozenset({Rule.DISKS})
ARRAY = {"raid": [{"name": "again", "level": "raid1", "devices": ["/dev/vdk", "/dev/vdl"]}]}
OLD_MEMBER_FIRST = """\
mdadm --wait /dev/md/again
mkfs.ext4 -q /dev/md/again
mount /dev/md/again /mnt; echo old > /mnt/marker; sync
mdadm -q /dev/md/again --fail /dev/vdk
echo new > /mnt/marker; umount /mnt
mdadm -q --stop /dev/md/again
"""
CASES = {
    "numbers are found again": Case(storage=partition("/dev/vdf", number=1), ends=("0", "0")),
    "a label is a new partition each time": Case(storage=partition("/dev/vdm"), ends=("0", "0", "1"), rules=DISKS),
    "LUKS with a UUID": Case(storage=volume("/dev/vdg", keyFile=KEY, uuid=UUID), ends=("0", "0")),
    "LUKS with a UUID in capitals": Case(
        storage=volume("/dev/vdh", keyFile=KEY, uuid=UUID.upper()), ends=("0", "1"), rules=DISKS
    ),
    "LUKS without a key": Case(storage=volume("/dev/vdi"), ends=("0", "1"), rules=DISKS),
    "LUKS by clevis, on the volume that is there": Case(
        first=volume("/dev/vdg", keyFile=KEY),
        storage=volume("/dev/vdg", keyFile=KEY, clevis={"tpm2": True}),
        ends=("0", "1"),
        rules=DISKS,
    ),
    "no format": Case(
        storage={"filesystems": [{"device": "/dev/vdj", "format": "none"}]},
        between="mkfs.ext4 -q /dev/vdj",
        ends=("0", "1"),
        rules=DISKS,
    ),
    "wiped swap": Case(
        storage={"filesystems": [{"device": "/dev/vdi", "format": "swap", "wipeFilesystem": True}]}, ends=("0", "0")
    ),
    "an array that is assembled": Case(storage=ARRAY, ends=("0", "1"), rules=DISKS),
    "an array whose first member has failed once": Case(
        storage=ARRAY,
        first={},
        between="mdadm -q --stop /dev/md/again; mdadm -q --create /dev/md/again --run --homehost any --level 1 "
        "--raid-devices 2 /dev/vdk /dev/vdl\n" + OLD_MEMBER_FIRST,
        ends=("0", "0"),
        rules=DISKS,
    ),
}
RUN = """\
run() {
  if test -e /dev/mapper/v; then cryptsetup close v; fi
  rm -rf /run/ignition; mkdir -p /run/ignition
  printf '%s' "$1" > /run/ignition.json
  timeout 100 ignition --platform=file --stage=disks --root=/run/disks-root --config-cache=/run/ignition.json \\
    --state-file=/run/ignition/state --log-to-stdout > /run/disks.log 2>&1
  echo "run: $?"
  grep CRITICAL /run/disks.log
  udevadm settle
}
"""


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_rule_says_what_the_second_run_does(vm: VM, case: Case) -> None:
    config = {"ignition": {"version": "3.3.0"}, "storage": case.storage}
    users = {"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["k"]}]}}
    assert refused({**config, **users}) == case.rules
    first = {**config, "storage": case.storage if case.first is None else case.first}
    script = [f"run {shlex.quote(json.dumps(config))}"] * len(case.ends)
    script[0] = f"run {shlex.quote(json.dumps(first))}\n{{ {case.between or ':'}\n}} > /run/between.log 2>&1"
    printed = vm.ssh(f"sudo bash -c {shlex.quote(RUN + chr(10).join([*script, 'true']))}", timeout_s=400)
    print(printed)
    assert tuple(re.findall(r"^run: (\d+)$", printed, re.MULTILINE)) == case.ends
    if case.between.endswith(OLD_MEMBER_FIRST):
        assert vm.ssh("sudo mount /dev/md/again /mnt && cat /mnt/marker && sudo umount /mnt").strip() == "old"
