"""How `scripts/preview.sh` adds up what is on a disk: its own awk programs, on listings made here."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from components.commands.reprovision.os_made import OS_MADE
from components.settings.keep import is_kept

if TYPE_CHECKING:
    from collections.abc import Iterable

SCRIPT = Path(__file__).parents[4] / "components" / "scripts" / "preview.sh"
SORTED = 'LC_ALL=C awk "$ADD_UP" | LC_ALL=C sort -k 1,1n -k 2,2n -k 3,3nr -k 5 | LC_ALL=C awk -v SECONDS=120 "$SHOW"'


def shown(lines: Iterable[str]) -> list[str]:
    """What is said about a listing; each line as `list_root` and `declared_by` have it."""
    done = subprocess.run(
        ["bash", "-c", f". {SCRIPT}; {SORTED}"],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
        check=True,
    )
    return [line.partition("|")[2] for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    "path",
    [
        "/etc/machine-id", "/etc/ld.so.cache", "/etc/passwd-", "/etc/gshadow", "/etc/.pwd.lock",
        "/etc/.ignition-result.json", "/etc/ssh/ssh_host_rsa_key", "/etc/ssl/certs/ca.pem",
        "/etc/iscsi/initiatorname.iscsi", "/etc/nvme/hostid", "/etc/docker/key.json", "/etc/udev/hwdb.bin",
        "/etc/audit/audit.rules", "/etc/amazon/ssm/seelog.xml", "/etc/eks/bootstrap.sh",
    ],
)  # fmt: skip
def test_what_the_audit_takes_for_the_systems_own_is_no_loss(path: str) -> None:
    assert is_kept(path, OS_MADE)
    assert shown([f"d 8 {path}", "end 0 /"])[0] == "will be deleted: nothing that no config declares"


def test_how_newer_flatcar_merges_etc_is_no_loss() -> None:
    listing = [
        "d 0 /var/lib/extensions.mutable/etc", "d 8 /.systemd-etc-workdir/work/#1f", "d 8 /.etc-work/work/#1f",
        "d 8 /var/lib/extensions.mutable/etc/mine", "end 0 /",
    ]  # fmt: skip
    assert shown(listing)[:2] == [
        "will be deleted: 1 file that no config declares, 4.0 KiB",
        "    /var/lib/extensions.mutable/etc/mine  4.0 KiB",
    ]


def test_units_and_drop_ins_are_declared_by_their_names() -> None:
    units = "/etc/systemd/system"
    listing = [
        "wanted n web.service", "wanted n 10-web.conf", "running n old.service", "running p /etc/old",
        f"d 8 {units}/web.service", f"d 8 {units}/web.service.d/10-web.conf", f"d 8 {units}/web.service.d/20-mine.conf",
        f"d 8 {units}/old.service", f"d 8 {units}/mine.service", "d 8 /etc/old", "end 0 /",
    ]  # fmt: skip
    assert shown(listing)[:-1] == [
        "will be deleted: 2 files that no config declares, 8.0 KiB",
        f"    {units}/mine.service  4.0 KiB",
        f"    {units}/web.service.d/20-mine.conf  4.0 KiB",
        "will be deleted besides: 2 files, 8.0 KiB",
        "    /etc/old  4.0 KiB",
        f"    {units}/old.service  4.0 KiB",
    ]


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("/data/a/b", "/data/"),
        ("/etc/app/conf.d/x", "/etc/app/"),
        ("/home/core/work/x/y", "/home/core/work/"),
        ("/opt/app/x/y", "/opt/app/"),
        ("/var/lib/app/x/y", "/var/lib/app/"),
        ("/var/www/x/y", "/var/www/"),
    ],
)
def test_folders_are_folded_where_an_operator_knows_them(path: str, line: str) -> None:
    listing = [f"d 2097152 {path}", f"d 2048 {path}2", "end 0 /"]
    assert shown(listing)[1] == f"    {line}  1.0 GiB, 2 files"


def test_a_folder_of_very_many_files_takes_no_memory_to_speak_of() -> None:
    listing = (f"d 8 /home/core/{number}" for number in range(300_000))
    told = shown([*listing, "end 0 /"])
    assert told[0] == "will be deleted: 300,000 files that no config declares, 1.1 GiB"
    assert told[1].startswith("    /home/core/  1.1 GiB, 2")
    assert told[11] == "    and 9,992 more"


@pytest.mark.parametrize("code", [124, 137])
def test_a_listing_that_was_ended_is_said_to_be_one(code: int) -> None:
    assert shown(["d 8 /srv/a", f"end {code} /"])[:2] == [
        "(not complete: listing the files took more than 120 s)",
        "will be deleted: 1 file that no config declares, 4.0 KiB",
    ]


def test_a_listing_that_failed_is_no_empty_machine() -> None:
    assert shown(["end 1 /"]) == ["(not complete: the files could not be listed)"]
    assert shown(["d 8 /srv/a", "end 1 /"])[0].startswith("will be deleted: 1 file"), "one that vanished meanwhile"
