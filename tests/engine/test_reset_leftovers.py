"""A reset leaves nothing behind: a loopback machine whose initramfs leaves links to directories, as Flatcar does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loopback.lab import KEEP, confirmed_lab, is_back
from loopback.machine import wait_until
from tests.support.left_over import left_over, listing, read_listing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loopback.lab import Lab
    from loopback.machine import LoopbackMachine

pytestmark = pytest.mark.engine

LINKS = {
    "/etc/absolute": "/etc/flatcar",
    "/etc/relative": "flatcar",
    "/var/lib/to-a-kept-one": "../log",
    "/var/lib/dangling-afterwards": "../mine",
    "/var/mine/in-a-folder": "/usr/bin",
    "/home/another-file-system": "/boot/flatcar",
    "/home/broken": "/nowhere",
    "/etc/a line\nbreak": "flatcar",
    "/root/to-a-file": "/etc/only-good",
}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with confirmed_lab(tmp_path) as lab:
        for path, target in {**LINKS, "/var/log/kept-link": "/etc/flatcar"}.items():
            lab.machine.path(path).parent.mkdir(parents=True, exist_ok=True)
            lab.machine.path(path).symlink_to(target)
        lab.machine.path("/run/lock").mkdir()
        for path, target in {"/var/run": "../run", "/var/lock": "../run/lock"}.items():  # the OS's
            lab.machine.path(path).symlink_to(target)
        yield lab


def paths(machine: LoopbackMachine) -> dict[str, str]:
    """Every path that the stand-in initramfs looks at."""
    return read_listing(machine.inside(listing("/etc", "/var", "/home", "/root")).stdout)


def test_no_link_to_a_directory_survives_a_reset(lab: Lab) -> None:
    before = paths(lab.machine)
    assert not LINKS.keys() - before.keys()
    code, _, progress = lab.run(lab.publish("b"))
    assert code == 0, progress
    assert [path for path in LINKS if lab.machine.path(path).is_symlink()] == []
    left = left_over(before, paths(lab.machine), KEEP)
    print(f"undeclared paths left after a reset: {len(left)} of {len(before)}")
    assert left == []
    assert lab.machine.path("/var/log/kept-link").readlink().name == "flatcar", "a kept link stays"
    for path in ("/bin", "/lib64", "/var/run", "/var/lock"):
        assert lab.machine.path(path).is_symlink(), path


def test_a_config_turns_a_link_into_a_directory(lab: Lab) -> None:
    code, _, progress = lab.run(lab.publish("b", "/etc/absolute/file", "/var/lib/to-a-kept-one/file"))
    assert code == 0, progress
    for folder in ("/etc/absolute", "/var/lib/to-a-kept-one"):
        assert not lab.machine.path(folder).is_symlink()
        assert lab.machine.path(folder + "/file").read_text() == "x"
    assert not lab.machine.path("/var/log/file").exists(), "nothing was written through the old link"


def test_the_way_back_leaves_no_link_either(lab: Lab) -> None:
    wanted = lab.publish("bad")
    sick = {"name": "it makes a link", "subject": "ln -sfn flatcar /etc/made-later; false", "seconds": 1}
    code, _, progress = lab.run(wanted, health=[sick])
    assert code == 1
    is_back(lab, progress, wanted)
    assert not lab.machine.path("/etc/made-later").is_symlink()


def test_power_lost_before_links_are_deleted_is_told(lab: Lab) -> None:
    lab.machine.hangs_on_shutdown = 3
    wanted = lab.publish("b")
    process = lab.start(wanted)
    wait_until(lambda: lab.machine.text("/run/system-state") == "stopping\n")
    lab.machine.pull_the_plug()
    lab.machine.plug_in()
    _, progress = process.communicate(timeout=180)
    assert process.returncode == 0, progress
    assert "links to directories may be left from before the reset" in progress
    assert lab.machine.path("/etc/relative").is_symlink(), "Flatcar's initramfs leaves it"
    lab.machine.hangs_on_shutdown = 0
    code, _, progress = lab.run(lab.publish("c"))
    assert code == 0, progress
    assert "may be left" not in progress, progress + lab.machine.console.read_text()
    assert [path for path in LINKS if lab.machine.path(path).is_symlink()] == []
