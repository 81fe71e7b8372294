"""What a machine that nobody has touched by hand has to lose: nothing. The real image, its /etc merged by confext."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from components.commands.ssh_session import script_text
from tests.vm.machines import VM, login_config, machine, needs_image

if TYPE_CHECKING:
    from pathlib import Path


@needs_image
def test_an_untouched_system_loses_nothing_that_it_does_not_make_again(tmp_path: Path) -> None:
    with machine(tmp_path, started=False) as vm:
        files = [{"path": "/etc/declared", "contents": {"source": "data:,x"}}]
        vm.put(login_config(vm.public_key, files=files))
        vm.start()
        vm.wait_for_ssh()
        assert lost(vm) == ["will be deleted: nothing that no config declares"]
        vm.ssh("sudo mkdir /srv/mydata && echo x | sudo tee /srv/mydata/a /srv/mydata/b /etc/mine.conf")
        shown = lost(vm)
        assert shown[0] == "will be deleted: 3 files that no config declares, 12.0 KiB"
        assert [line.split("  ")[2] for line in shown[1:]] == ["/srv/mydata/", "/etc/mine.conf"]


def lost(vm: VM) -> list[str]:
    """The preview's lines, up to what is deleted besides and what is kept; no warning about `keep` comes before them.

    The last expression matches a folder of the image alone: on ROOT there is none, so nothing in it can be lost.
    """
    values = "LIFECYCLE=reset KEEP=('/etc/ssh/ssh_host_.*' /var/log '/etc/pam.(d)') DECLARED=('p /etc/declared')\n"
    text = values + script_text("staging.sh", "keep.sh", "preview.sh", "wipe.sh")
    printed = vm.ssh(f"sudo bash -c {shlex.quote(text)} 2>&1 >/dev/null")
    print(printed)
    lines = printed.splitlines()
    end = next(i for i, line in enumerate(lines) if line.startswith(("will be deleted besides", "will be kept")))
    return lines[:end]
