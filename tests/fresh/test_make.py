"""`make up`, `make destroy` and `make test` on computers that have git, make and python3 beside their base alone.

A quarter of an hour for each on two cores: what can't be downloaded is built there.
"""

from __future__ import annotations

import re

import pytest

from tests.fresh.computer import DISTRIBUTIONS, Distribution, fresh, unavailable

HOUR = 3600.0
NOT_THERE = ("curl", "gcc", "go", "pip3", "qemu-system-x86_64", "ssh")


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda distribution: distribution.name)
def test_git_make_and_python_are_enough(distribution: Distribution) -> None:
    if reason := unavailable(distribution):
        pytest.skip(f"{distribution.name}: {reason}")
    with fresh(distribution) as computer:
        assert not [name for name in NOT_THERE if (computer.root / "usr" / "bin" / name).exists()]
        assert "kvm" not in computer.run("ls /dev")
        settings = computer.root / "srv/flatcar/stacks/Pulumi.local.yaml"
        settings.write_text(f"{settings.read_text()}  flatcar:image: stand-in\n")  # no test downloads Flatcar
        assert re.search(r"\+ \d+ created", computer.run("make up YES=1", seconds=HOUR))
        page = computer.root / "srv/flatcar/cl/machine-web.yaml"
        text = page.read_text()
        page.write_text(text.replace("This is ${machine_name}", "This now is ${machine_name}"))
        assert page.read_text() != text
        assert re.search(r"proven: [0-9a-f]{12} on ", computer.run("make up YES=1", seconds=HOUR))
        assert "qemu-system" in computer.run("cat /proc/[0-9]*/comm")
        assert re.search(r"- \d+ deleted", computer.run("make destroy YES=1", seconds=HOUR))
        assert "qemu-system" not in computer.run("cat /proc/[0-9]*/comm")
        counts = computer.run('CI=true make test TIERS="lint unit"', seconds=HOUR).splitlines()[-1]
        assert re.fullmatch(r"total: \d+ passed, 0 failed, 0 skipped", counts)


def test_one_of_them_can_be_made_here() -> None:
    assert not all(unavailable(distribution) for distribution in DISTRIBUTIONS)
