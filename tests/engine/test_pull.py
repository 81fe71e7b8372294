"""The agent of a machine that pulls, on a loopback machine (real scripts and curl, stand-in system).

Object, reports and FleetLock are servers of the tests' own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.settings.lifecycle import Lifecycle
from loopback.lab import Lab
from loopback.machine import ObjectServer, wait_until
from tests.engine.pull_lab import Pulled, pulled_machine
from tests.fakes import tftp

pytestmark = pytest.mark.engine


@pytest.fixture
def pulled(tmp_path: Path) -> Iterator[Pulled]:
    with pulled_machine(tmp_path) as made:
        yield made


def test_a_first_boot_proves_itself_and_a_look_at_the_same_object_is_cheap(pulled: Pulled) -> None:
    stamp = pulled.stamp()
    assert pulled.machine.path("/oem/.flatcar-reprovision/last-good").read_text().splitlines()[0] == stamp
    assert pulled.history() == [f"pull {stamp} proven"]
    before = len(pulled.store.answers)
    for _ in range(3):
        pulled.look()
    assert pulled.store.answers[before:] == [304, 304, 304]
    assert pulled.store.states == ["proven"], "nothing new, nothing to report"
    assert pulled.machine.boots == 1


def test_a_changed_object_is_taken_and_proven_and_the_lock_given_back_after_it(pulled: Pulled) -> None:
    first = pulled.stamp()
    pulled.machine.path("/var/log/kept").write_text("mine")
    pulled.machine.path("/etc/by-hand").write_text("drift")
    wanted = pulled.publish("b")
    told = pulled.look()
    assert (
        "will be deleted: 1 file that no config declares, 4.0 KiB\n    /etc/by-hand  4.0 KiB\n"
        "will be deleted besides: 1 file, 4.0 KiB\n    /etc/only-a  4.0 KiB\n"
    ) in told
    pulled.wait_for("proven", wanted)
    assert pulled.stamp() == wanted
    assert pulled.machine.boots == 2
    assert pulled.machine.path("/var/log/kept").exists()
    assert not pulled.machine.path("/etc/by-hand").exists()
    assert pulled.history() == [f"pull {first} proven", f"pull {wanted} staged", f"pull {wanted} proven"]
    assert pulled.store.states == ["proven", "staging", "proven"]
    assert [(step, status) for step, _, status in pulled.lock.log] == [("pre-reboot", 200), ("steady-state", 200)]
    assert pulled.lock.holders == {"default": []}
    assert pulled.machine.path("/oem/.flatcar-reprovision/last-good").read_text().splitlines()[0] == wanted


def test_a_lock_held_by_another_is_waited_for(pulled: Pulled) -> None:
    pulled.lock.holders["default"] = ["another machine"]
    wanted = pulled.publish("b")
    assert "the lock at" in pulled.look()
    assert pulled.reports("waiting", wanted)
    assert "all 1 semaphore slots currently locked" in pulled.store.reports[-1]["why"]
    assert [step for step, _, _ in pulled.lock.log] == ["pre-reboot"], "what was not given is not given back"
    assert pulled.machine.boots == 1
    assert not pulled.machine.path("/boot/flatcar/first_boot").exists()
    pulled.lock.holders["default"] = []
    pulled.look()
    pulled.wait_for("proven", wanted)


def flipped(text: str) -> str:
    return text.replace("/etc/only-b", "/etc/only-c")


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        (flipped, "the object is damaged: its checksum does not fit"),
        (lambda text: text[: len(text) // 2], "the object is"),
        (lambda _: '{"ignition":{"version":"3.3.0"}}', "not a config for a machine that pulls"),
        (lambda _: "", "not a config for a machine that pulls"),
        (lambda _: "<html><h1>Please log in</h1></html>", "not a config for a machine that pulls"),
    ],
    ids=["one word changed", "cut", "somebody else's", "empty", "a page"],
)
def test_a_broken_object_is_refused_and_reported_and_the_machine_stays_up(
    pulled: Pulled, broken: Callable[[str], str], why: str
) -> None:
    wanted = pulled.publish("b")
    whole = pulled.store.content
    pulled.store.put(broken(whole))
    for _ in range(2):
        pulled.look()
    assert pulled.store.states == ["proven", "refused"]
    assert why in pulled.store.reports[-1]["why"]
    assert pulled.machine.boots == 1
    assert not pulled.machine.path("/boot/flatcar/first_boot").exists()
    assert pulled.history()[1:] == ["pull - refused"]
    assert pulled.lock.log == []
    pulled.store.put(whole)
    pulled.look()
    pulled.wait_for("proven", wanted)


def test_a_config_that_fails_its_proof_is_left_again_and_not_taken_twice(pulled: Pulled) -> None:
    first = pulled.stamp()
    sick = pulled.publish("sick")
    pulled.look()
    pulled.wait_for("went-back", sick)
    assert pulled.stamp() == first
    assert pulled.store.states == ["proven", "staging", "not-proven", "went-back"]
    assert "health checks failed" in pulled.store.reports[-2]["why"]
    assert not pulled.machine.path("/oem/config.ign").exists(), "nothing shadows the pointer"
    assert pulled.lock.holders == {"default": []}
    boots = pulled.machine.boots
    pulled.look()
    assert pulled.reports("refused", sick)
    assert pulled.machine.boots == boots
    wanted = pulled.publish("b", 1)
    pulled.look()
    pulled.wait_for("proven", wanted)


def test_without_a_way_back_the_lock_is_kept_until_the_machine_is_well(pulled: Pulled) -> None:
    sick = pulled.publish("sick", rollback_after=0)
    pulled.look()
    pulled.wait_for("not-proven", sick)
    pulled.look()
    assert pulled.reports("not-proven", sick)
    assert len(pulled.lock.holders["default"]) == 1
    boots = pulled.machine.boots
    pulled.machine.path("/etc/only-sick").unlink()
    pulled.look()
    assert pulled.reports("proven", sick)
    assert pulled.lock.holders == {"default": []}
    assert pulled.machine.boots == boots


def test_the_window_of_the_wanted_config_counts_so_that_a_fix_can_open_it(pulled: Pulled) -> None:
    never = replace(pulled.settings, windows=((0, 0),))
    wanted = pulled.publish("b", pull=never)
    pulled.look()
    assert pulled.reports("waiting", wanted)
    assert "maintenance window" in pulled.store.reports[-1]["why"]
    always = replace(pulled.settings, windows=((0, 10080),))
    assert pulled.publish("b", pull=always) == wanted, "a window is no other config"
    pulled.look()
    pulled.wait_for("proven", wanted)


def test_a_machine_that_is_to_ignore_changes_waits(pulled: Pulled) -> None:
    wanted = pulled.publish("b", lifecycle=Lifecycle.IGNORE)
    pulled.look()
    assert pulled.reports("waiting", wanted)
    assert "lifecycle is ignore" in pulled.store.reports[-1]["why"]


def test_an_object_from_before_the_running_one_is_refused(pulled: Pulled) -> None:
    pulled.look()
    pulled.publish("b")
    pulled.store.written = 1_600_000_000
    pulled.look()
    assert "before the one that this machine runs" in pulled.store.reports[-1]["why"]
    assert pulled.machine.boots == 1


def test_what_stage_refuses_gives_the_lock_back(pulled: Pulled) -> None:
    wanted = pulled.publish("b")
    pulled.machine.path("/oem/grub.cfg").write_text('set linux_append="ignition.config.url=http://x"')
    pulled.look()
    assert pulled.reports("refused", wanted)
    assert "shadows the pointer" in pulled.store.reports[-1]["why"]
    assert pulled.lock.holders == {"default": []}
    assert pulled.machine.boots == 1


def test_a_lock_server_that_is_gone_stops_nothing_but_the_re_run(pulled: Pulled) -> None:
    gone = replace(pulled.settings, lock="http://127.0.0.1:1")
    wanted = pulled.publish("b", pull=gone)
    pulled.look()
    assert pulled.reports("waiting", wanted)
    assert pulled.machine.path("/oem/.flatcar-pull/locks").read_text() == "default http://127.0.0.1:1\n", (
        "it may be held: it is given back later"
    )
    assert pulled.publish("b", pull=replace(pulled.settings, lock="")) == wanted
    pulled.look()
    pulled.wait_for("proven", wanted)


def test_a_store_that_does_not_answer_is_asked_again(pulled: Pulled) -> None:
    source = pulled.machine.path("/etc/flatcar/pull/object")
    source.write_text(source.read_text().replace("/web.ign", "/gone.ign"))
    assert "status 404" in pulled.look()
    assert pulled.machine.boots == 1


def test_an_object_on_tftp_is_fetched_whole(pulled: Pulled) -> None:
    with tftp.serving(lambda: pulled.store.content.encode()) as port:
        source = pulled.machine.path("/etc/flatcar/pull/object")
        pulled.source = f"tftp://127.0.0.1:{port}/web.ign"
        source.write_text(source.read_text().replace(f"{pulled.address}/web.ign", pulled.source))
        pulled.machine.serves, pulled.machine.source = pulled.machine.source, pulled.source  # Ignition has its client
        pulled.publish("a")
        before = len(pulled.store.answers)
        for _ in range(2):
            assert pulled.look() == ""
        assert len(pulled.store.answers) == before, "not asked over http"
        wanted = pulled.publish("b")
        pulled.look()
        pulled.wait_for("proven", wanted)


@pytest.fixture
def lab(pulled: Pulled, tmp_path: Path) -> Lab:
    made = Lab(pulled.machine, ObjectServer(tmp_path))
    made.request = lambda config_id, **changes: Lab.request(  # type: ignore[method-assign]
        made, config_id, **changes, content=pulled.store.content, place=None
    )
    return made


@pytest.mark.parametrize("wait", ["ssh", "report"])
def test_the_deployer_waits_for_the_machine_when_asked(pulled: Pulled, lab: Lab, wait: str) -> None:
    wanted = pulled.publish("b")
    looking = threading.Timer(1, pulled.look)
    looking.start()
    code, outputs, progress = lab.run(wanted, pull=wait, timeout=120, report=f"{pulled.address}/status/web")
    looking.join()
    assert code == 0, progress
    assert outputs["config_id"] == wanted
    assert pulled.history()[-2:] == [f"pull {wanted} staged", f"pull {wanted} proven"]
    sick = pulled.publish("sick")
    looking = threading.Timer(1, pulled.look)
    looking.start()
    code, _, progress = lab.run(sick, pull=wait, timeout=120, report=f"{pulled.address}/status/web")
    looking.join()
    assert code == 1
    assert "health check" in progress or "rolled back" in progress
    wait_until(lambda: pulled.stamp() == wanted, 120)


def test_nobody_is_asked_when_nothing_waits(pulled: Pulled, lab: Lab) -> None:
    wanted = pulled.publish("b")
    code, outputs, progress = lab.run(wanted, pull="no", target={
        "host": "192.0.2.1", "port": 22, "user": "x", "known_hosts": str(pulled.folder / "none"), "host_key_alias": "x",
    })  # fmt: skip
    assert code == 0, progress
    assert outputs["config_id"] == ""
    assert "pulls config id" in progress


def test_a_machine_without_an_agent_is_pushed_once(tmp_path: Path) -> None:
    with pulled_machine(tmp_path, agent=False) as made:
        lab = Lab(made.machine, ObjectServer(tmp_path), 3600)
        code, _, progress = lab.run(made.stamp(), content=made.store.content, place=None)
        assert code == 0, progress
        wanted = made.publish("a")
        assert wanted != made.stamp()
        code, outputs, progress = lab.run(wanted, content=made.store.content, place=None, pull="ssh")
        assert code == 0, progress
        assert "no agent on this machine yet" in progress
        assert outputs["config_id"] == wanted
        assert f"push {wanted} staged" in made.history()
        status = "/run/flatcar-pull/status.json"  # the agent proves it for itself, once sshd is up
        wait_until(lambda: made.machine.text(status) and json.loads(made.machine.text(status))["state"] == "proven")


def test_the_agent_leaves_alone_what_was_not_made_for_it_and_goes_with_the_push_that_follows(pulled: Pulled) -> None:
    pushed = pulled.publish("b", pull=None)
    pulled.look()
    assert "not a config for a machine that pulls" in pulled.store.reports[-1]["why"]
    assert pulled.machine.boots == 1
    lab = Lab(pulled.machine, ObjectServer(pulled.folder), 3600)
    code, _, progress = lab.run(pushed, content=pulled.store.content, place=None)
    assert code == 0, progress
    assert pulled.stamp() == pushed
    assert not pulled.machine.path("/etc/flatcar/pull/pull.sh").exists()
