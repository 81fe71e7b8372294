"""What a user without rights on a machine could do with what this program leaves there: nothing.

Who can read a file can lock it, and who can write into a folder can put a link where a file of root's goes.
"""

from __future__ import annotations

import fcntl
import json
import os
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from loopback.lab import SICK, Lab, confirmed_lab, converges
from loopback.machine import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK = "/run/flatcar-reprovision.lock"
NOBODY = 65534
TRY_TO_OPEN = """
import json, os, sys
os.setgroups([]); os.setgid({nobody}); os.setuid({nobody})
opened = []
for name in {names}:
    try:
        os.close(os.open(name, os.O_RDONLY, dir_fd=int(sys.argv[1])))
        opened.append(name)
    except PermissionError:
        pass
print(json.dumps(opened))
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A machine that runs the confirmed config "good"."""
    with confirmed_lab(tmp_path) as lab:
        yield lab


def ours(lab: Lab) -> list[Path]:
    """Every file and folder that this program's scripts have left on the machine."""
    places = [lab.machine.path(place) for place in ("/", "/run", "/oem", "/boot/flatcar", "/etc/flatcar")]
    names = ("flatcar-", ".flatcar-", "config.ign", "selective-os-reset", "first_boot")
    heads = [path for place in places for path in place.iterdir() if path.name.startswith(names)]
    return sorted({*heads, *(inner for head in heads if head.is_dir() for inner in head.rglob("*"))})


def modes_are_right(lab: Lab) -> set[str]:
    """Assert that all of it is root's alone; its paths on the machine."""
    for path in ours(lab):
        mode = path.lstat().st_mode
        assert not stat.S_IMODE(mode) & 0o077, f"{path}: {stat.filemode(mode)}"
        assert stat.S_ISREG(mode) or stat.S_ISDIR(mode), path
    return {"/" + str(path.relative_to(lab.machine.root)) for path in ours(lab)}


def test_what_the_scripts_leave_behind_is_roots_alone(lab: Lab) -> None:
    """After a change, and after another one that was staged and rolled back by itself."""
    seen = modes_are_right(lab)
    lab.machine.hangs_on_shutdown = 2
    process = lab.start(lab.publish("sick", "/etc/sick"), health=[SICK])
    wait_until(lambda: lab.machine.path("/selective-os-reset").exists())
    seen |= modes_are_right(lab)
    _, progress = process.communicate(timeout=120)
    assert "back on its last good" in progress
    seen |= modes_are_right(lab)
    assert {LOCK, "/oem/.flatcar-history", "/oem/.flatcar-reprovision/last-good", "/selective-os-reset"} <= seen
    assert not [path for path in lab.machine.path("/tmp").iterdir() if "flatcar" in path.name]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can try it as another user")
def test_another_user_can_open_none_of_it(lab: Lab) -> None:
    names = [path.name for path in lab.machine.path("/run").iterdir() if path.name.startswith("flatcar-")]
    assert LOCK.removeprefix("/run/") in names
    folder = os.open(lab.machine.path("/run"), os.O_PATH)
    script = TRY_TO_OPEN.format(nobody=NOBODY, names=names)
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, str(folder)], pass_fds=[folder], capture_output=True, text=True, check=True
        )
    finally:
        os.close(folder)
    assert json.loads(done.stdout) == []


def test_a_lock_that_an_older_version_left_open_to_all_stops_nothing(lab: Lab) -> None:
    """A user holds it: neither an update nor the rollback waits for that."""
    lock = lab.machine.path(LOCK)
    lock.chmod(0o644)
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        started = time.monotonic()
        converges(lab)
        assert time.monotonic() - started < 30
        lab.good = next(reversed(lab.contents))
        wanted = lab.publish("sick", "/etc/sick")
        code, _, progress = lab.run(wanted, health=[SICK])
        assert code == 1
    assert "back on its last good" in progress
    assert stat.S_IMODE(lock.stat().st_mode) == 0o600
