"""Hosts without user data: the config, or a pointer, on the OEM partition of a loopback machine."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from components.commands.ssh_session import script_text
from loopback.lab import Lab
from loopback.machine import LoopbackMachine, ObjectServer, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BY_HAND = {"storage": {"files": [{"path": "/etc/by-hand", "contents": {"source": "data:,x"}}]}}


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """A host that someone provisioned by hand, from a config on its OEM partition."""
    objects, folder = tmp_path / "objects", tmp_path / "machine"
    objects.mkdir()
    folder.mkdir()
    server = ObjectServer(objects)
    with server.running() as address:
        machine = LoopbackMachine(folder, f"{address}/web.ign")
        machine.path("/oem/config.ign").write_text(json.dumps(BY_HAND))
        with machine:
            wait_until(lambda: machine.came_up)
            assert machine.path("/etc/by-hand").exists()
            yield Lab(machine, server, rollback_after=300)


def pointer(lab: Lab) -> dict[str, Any]:
    text = json.dumps({"ignition": {"config": {"replace": {"source": lab.machine.source}}}})
    return {"oem": "pointer", "user_data": text}


CONFIG = {"oem": "config"}


def own(lab: Lab) -> str:
    return lab.machine.path("/oem/config.ign").read_text()


def files(lab: Lab) -> list[str]:
    return sorted(path.name for path in lab.machine.path("/oem").iterdir() if path.name.startswith("config.ign"))


def test_adopted_then_moved_to_the_bucket_and_back(lab: Lab) -> None:
    lab.machine.path("/var/log/kept").write_text("mine")
    first = lab.publish("a")
    code, _, progress = lab.run(first, **CONFIG)
    assert code == 0, progress
    assert (own(lab), files(lab)) == (lab.contents[first], ["config.ign"])
    assert lab.machine.path("/oem/config.ign").stat().st_mode & 0o777 == 0o600
    assert lab.machine.path("/etc/only-a").exists()
    assert not lab.machine.path("/etc/by-hand").exists()
    assert lab.machine.path("/var/log/kept").read_text() == "mine"

    code, _, progress = lab.run(first, **pointer(lab))
    assert (code, lab.machine.boots) == (0, 2), progress
    assert own(lab) == pointer(lab)["user_data"]
    second = lab.publish("b")
    code, _, progress = lab.run(second, **pointer(lab))
    assert (code, lab.machine.boots) == (0, 3), progress
    assert own(lab) == pointer(lab)["user_data"]
    assert lab.machine.path("/etc/only-b").exists()

    third = lab.publish("c")
    lab.object.unlink()
    code, _, progress = lab.run(third, place=None, **CONFIG)
    assert (code, lab.machine.boots) == (0, 4), progress
    assert (own(lab), files(lab)) == (lab.contents[third], ["config.ign"])


@pytest.mark.parametrize("mode", ["config", "pointer"])
def test_a_host_goes_back_and_keeps_its_mode(lab: Lab, mode: str) -> None:
    how = CONFIG if mode == "config" else pointer(lab)
    good = lab.publish("a")
    assert lab.run(good, **how)[0] == 0
    failing = {"name": "never", "subject": "false", "seconds": 1}
    code, _, progress = lab.run(lab.publish("b"), health=[failing], **how)
    assert code == 1
    assert f"it is back on its last good config ({good[:12]})" in progress, progress
    assert lab.machine.path("/etc/only-a").exists()
    assert own(lab) == (lab.contents[good] if mode == "config" else pointer(lab)["user_data"])
    code, _, progress = lab.run(lab.publish("c"), **how)
    assert code == 0, progress


def test_the_old_config_stays_until_the_new_one_is_proven(lab: Lab) -> None:
    failing = {"name": "never", "subject": "false", "seconds": 1}
    code, _, progress = lab.run(lab.publish("a"), health=[failing], **CONFIG)
    assert code == 1, progress
    previous = lab.machine.path("/oem/config.ign.previous")
    assert json.loads(previous.read_text()) == BY_HAND
    assert lab.run(lab.publish("b"), health=[failing], **CONFIG)[0] == 1
    assert json.loads(previous.read_text()) == BY_HAND, "an unproven one does not take its place"
    assert lab.run(lab.publish("c"), **CONFIG)[0] == 0
    assert files(lab) == ["config.ign"]


def test_a_machine_with_user_data_is_still_refused_when_something_shadows_it(lab: Lab) -> None:
    code, _, progress = lab.run(lab.publish("a"))
    assert code == 1
    assert "/oem/config.ign shadows the pointer" in progress


@pytest.mark.parametrize("cut", ["base64", "sync", "cp", "mv"])
def test_killed_at_any_step_of_writing_the_old_config_is_in_force(lab: Lab, cut: str) -> None:
    encoded = base64.b64encode(b'{"new": true}').decode()
    script = f"{script_text('staging.sh')}\n{cut}() {{ kill -9 $$; }}\nOEM_CONFIG={encoded}\ninstall_own_config"
    done = lab.machine.inside(script)
    assert done.returncode != 0
    assert json.loads(own(lab)) == BY_HAND
    # and the next try gets through
    done = lab.machine.inside(f"{script_text('staging.sh')}\nOEM_CONFIG={encoded}\ninstall_own_config")
    assert done.returncode == 0, done.stderr
    assert own(lab) == '{"new": true}'
