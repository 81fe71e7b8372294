"""What a re-run will delete, told on a loopback machine: first, and largest first, what no config declares."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from loopback.lab import PROJECT, Lab, confirmed_lab, is_untouched

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with confirmed_lab(tmp_path) as lab:
        yield lab


def put(lab: Lab, path: str, size: int = 1) -> None:
    """A file of so many bytes, made by hand."""
    made = lab.machine.path(path)
    made.parent.mkdir(parents=True, exist_ok=True)
    made.write_bytes(b"x" * size)


def fill(lab: Lab) -> None:
    """What an operator has put there, and what a system has made."""
    for number in range(1200):
        put(lab, f"/opt/important-db/tables/{number}")
    put(lab, "/opt/important-db/log", 9 << 20)
    put(lab, "/srv/mydata/a", 3 << 20)
    put(lab, "/srv/mydata/b", 1 << 20)
    put(lab, "/etc/mine.conf")
    put(lab, "/etc/systemd/system/flatcar-rollback.service.d/mine.conf")
    for made in ("/etc/passwd", "/etc/machine-id", "/var/lib/systemd/random-seed", "/etc/docker/key.json"):
        put(lab, made)
    lab.machine.path("/etc/systemd/system/multi-user.target.wants").mkdir(parents=True)
    lab.machine.path("/etc/systemd/system/multi-user.target.wants/web.service").symlink_to("/etc/systemd/system/web")
    lab.machine.path("/var/run").symlink_to("../run")


class Shown:
    """`components.audit.wipe` on the machine of a lab."""

    def __init__(self, lab: Lab, folder: Path, **changes: Any) -> None:
        resource: dict[str, Any] = {"type": "command:local:Command", "urn": "urn::web-reprovision"}
        resource["inputs"] = {"stdin": json.dumps(lab.request(lab.good, **changes))}
        self.state = folder / "state.json"
        self.state.write_text(json.dumps({"deployment": {"resources": [resource]}}))

    def __call__(self, *options: str) -> list[str]:
        command = [sys.executable, "-m", "components.audit.wipe", "--export", str(self.state), *options]
        done = subprocess.run(command, capture_output=True, text=True, cwd=PROJECT, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return [line.removeprefix("  ") for line in done.stdout.split("\n")[1:-1]]


LOST = [
    "will be deleted: 1,205 files that no config declares, 17.7 MiB",
    "    /opt/important-db/  13.7 MiB, 1,201 files",
    "    /srv/mydata/  4.0 MiB, 2 files",
    "    /etc/mine.conf  4.0 KiB",
    "    /etc/systemd/system/flatcar-rollback.service.d/mine.conf  4.0 KiB",
]


def test_what_no_config_declares_comes_first_folded_with_its_size(lab: Lab, tmp_path: Path) -> None:
    fill(lab)
    put(lab, "/var/log/web/access", 2 << 20)
    shown = Shown(lab, tmp_path)()
    assert shown[:5] == LOST
    assert re.fullmatch(r"will be kept: \d+ files, 2\.\d MiB", shown[5])
    assert re.fullmatch(r"    /var/log/  2\.\d MiB, \d+ files", shown[6])
    assert re.fullmatch(r"    /etc/ssh/  [\d.]+ KiB, \d files", shown[7])
    assert shown[8:] == []
    is_untouched(lab)


def test_a_change_tells_it_before_staging_and_in_its_outputs(lab: Lab) -> None:
    fill(lab)
    code, outputs, progress = lab.run(lab.publish("new"), timeout=120)  # deletes each file by a process
    assert code == 0, progress
    said = [line.split("s  ", 1)[1] for line in progress.splitlines() if re.match(r"web +[\d.]+s  ", line)]
    first = said.index(LOST[0])
    assert said[first : first + 7] == [
        *LOST,
        "will be deleted besides: 1 file, 4.0 KiB",  # of the running config, and not of the new one
        "    /etc/only-good  4.0 KiB",
    ]
    assert said.index("staging lifecycle reset") > first
    assert outputs["lost"] == LOST
    assert not lab.machine.path("/opt/important-db").exists()
    code, outputs, progress = lab.run(lab.publish("new"))
    assert (code, outputs["lost"]) == (0, []), "nothing was deleted this time"


def test_an_untouched_machine_loses_nothing(lab: Lab) -> None:
    code, outputs, progress = lab.run(lab.publish("new"))
    assert code == 0, progress
    assert "will be deleted: nothing that no config declares" in progress
    assert outputs["lost"] == []


def test_many_entries_are_counted_and_all_are_shown_on_request(lab: Lab, tmp_path: Path) -> None:
    for number in range(1, 31):
        put(lab, f"/srv/file-{number:02}", number << 12)
    for number in range(40):
        put(lab, f"/opt/tools/deep/er/{number}")
    show = Shown(lab, tmp_path)
    shown = show()
    assert shown[:12] == [
        "will be deleted: 70 files that no config declares, 2.0 MiB",
        "    /opt/tools/  160.0 KiB, 40 files",
        *(f"    /srv/file-{number:02}  {number * 4}.0 KiB" for number in range(30, 21, -1)),
        "    and 21 more",
    ]
    every = show("--all")
    assert sum(line.startswith("    /opt/tools/deep/er/") for line in every) == 40
    assert sum(line.startswith("    /srv/file-") for line in every) == 30
    assert "    /srv/file-07  28.0 KiB" in every


def test_names_are_printable_and_one_line_each(lab: Lab, tmp_path: Path) -> None:
    put(lab, "/srv/first\nwill be kept: all\x1b[2Jof it\x7f")
    put(lab, "/srv/größe")
    shown = Shown(lab, tmp_path)()
    assert shown[0].startswith("will be deleted: 2 files that no config declares")
    assert shown[1:3] == ["    /srv/first?will be kept: all?[2Jof it?  4.0 KiB", "    /srv/größe  4.0 KiB"]
    assert shown[3].startswith("will be kept: ")


def test_what_flatcar_reset_says_is_no_file(lab: Lab, tmp_path: Path) -> None:
    put(lab, "/selective-os-reset")  # with it the real one says that a reset was staged already
    put(lab, "/srv/mine")
    shown = "\n".join(Shown(lab, tmp_path)())
    assert shown.startswith("will be deleted: 1 file that no config declares, 4.0 KiB\n    /srv/mine  4.0 KiB\n")
    assert "Note that" not in shown and "INFO" not in shown


def test_what_is_mounted_over_root_is_not_counted(lab: Lab, tmp_path: Path) -> None:
    put(lab, "/srv/mine")
    lab.machine.path("/srv/data").mkdir()
    entered = lab.machine.folder / "enter"
    mounted = "mount -t tmpfs tmpfs /srv/data; echo x >/srv/data/elsewhere; "
    entered.write_text(entered.read_text().replace('"$SSH_ORIGINAL', f'"{mounted}$SSH_ORIGINAL'))
    shown = Shown(lab, tmp_path)()
    assert shown[:2] == ["will be deleted: 1 file that no config declares, 4.0 KiB", "    /srv/mine  4.0 KiB"]


def test_reformat_tells_what_goes_as_well(lab: Lab, tmp_path: Path) -> None:
    put(lab, "/srv/mine")
    shown = Shown(lab, tmp_path, lifecycle="reformat")()
    assert shown[0].startswith("will be deleted: everything on ROOT")
    assert shown[1:3] == ["will be deleted: 1 file that no config declares, 4.0 KiB", "    /srv/mine  4.0 KiB"]
    assert any(line.startswith("    /var/log/") for line in shown[3:]), "no path is kept"


def test_a_listing_that_takes_too_long_is_told_as_far_as_it_got(lab: Lab, tmp_path: Path) -> None:
    put(lab, "/srv/mine")
    slow = lab.machine.path("/run/bin/find")
    slow.write_text('#!/bin/bash\n/usr/bin/find "$@"\n[[ $* != *-printf* ]] || sleep 300\n')
    slow.chmod(0o755)
    profile = lab.machine.path("/run/profile")
    profile.write_text("export PREVIEW_SECONDS=2\n")
    shown = Shown(lab, tmp_path)()
    assert shown[0] == "(not complete: listing the files took more than 2 s)"
    assert shown[1:3] == ["will be deleted: 1 file that no config declares, 4.0 KiB", "    /srv/mine  4.0 KiB"]


def test_a_machine_that_says_too_much_is_cut_short(lab: Lab) -> None:
    awk = lab.machine.path("/run/bin/awk")
    awk.unlink()
    awk.write_text('#!/bin/bash\nfor i in {1..20}; do printf "lost|\\e]0;%0600d\\n" "$i"; done\n')
    awk.chmod(0o755)
    code, outputs, progress = lab.run(lab.publish("new"))
    assert code == 0, progress
    assert len(outputs["lost"]) == 12
    assert {len(line) for line in outputs["lost"]} == {250}
    assert "\x1b" not in progress + json.dumps(outputs)
