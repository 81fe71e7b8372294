"""What a Command says to the program that follows it, and what is left for its own stderr."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from components.commands.reprovision.followed import Follower
from components.commands.reprovision.log import LEFT_OUT, Log
from components.commands.reprovision.request import MOST_TOLD, Progress

if TYPE_CHECKING:
    from pathlib import Path

STACK = "organization/project/stack"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path))


def run(machine: str, *, log: bool = False) -> Progress:
    owner = f"{STACK}/{machine}"
    return Progress(machine, Log(owner) if log else None, owner)


def test_events_reach_the_follower_and_details_wait_for_a_failure(capfd: pytest.CaptureFixture[str]) -> None:
    follower = Follower(STACK)
    web, db = run("web", log=True), run("db")
    web.note("wanted config id aa")
    web.say("rebooting")
    db.say("checking health: it")
    web.say("rebooting")
    web.pass_on(["from the journal"], 100)
    assert follower.lines() == [("web", "rebooting"), ("db", "checking health: it")]
    assert capfd.readouterr().err == ""
    web.fail("it is broken", "mend it")
    told = capfd.readouterr().err.splitlines()
    assert told[:3] == ["web: it is broken", "web: mend it", "from the journal"]
    assert told[3].startswith("all that was said: ") and told[3].endswith(".web.log")


def test_a_list_is_one_event(capfd: pytest.CaptureFixture[str]) -> None:
    follower = Follower(STACK)
    web = run("web")
    for line in ("will be deleted: 1 file", "    /srv/mine", "will be kept: nothing", "staged"):
        web.say(line)
    assert follower.lines() == [
        ("web", "will be deleted: 1 file\n    /srv/mine\nwill be kept: nothing"),
        ("web", "staged"),
    ]
    web.say("will be kept: this")
    assert follower.lines() == []
    web.end()
    assert follower.lines() == [("web", "will be kept: this")]
    assert capfd.readouterr().err == ""


def test_what_a_command_said_that_ended_well_is_no_detail(capfd: pytest.CaptureFixture[str]) -> None:
    follower = Follower(STACK)
    web = run("web")
    web.pass_on(["kept"], 100)
    before = web.details
    web.pass_on(["drained"], 100)
    web.forget(before)
    web.fail("broken", "mend")
    assert capfd.readouterr().err.splitlines() == ["web: broken", "web: mend", "kept"]
    assert follower.lines() == []


def test_nobody_follows_and_all_goes_to_stderr(capfd: pytest.CaptureFixture[str]) -> None:
    follower = Follower(STACK)
    other = Progress("web", None, "organization/project/other/web")
    other.say("rebooting")
    other.note("a detail")
    other.pass_on(["from the journal"], 100)
    told = capfd.readouterr().err.splitlines()
    assert [line.split("s  ")[-1] for line in told] == ["rebooting", "a detail", "from the journal"]
    assert follower.lines() == []


def test_a_stack_has_one_follower() -> None:
    first = Follower(STACK)
    with pytest.raises(OSError, match="unavailable"):
        Follower(STACK)
    assert first.lines() == []


def test_a_follower_gets_so_much_and_then_that_more_was_left_out() -> None:
    follower = Follower(STACK)
    web, said = run("web"), list[tuple[str, str]]()
    for number in range(MOST_TOLD // 40 + 2):
        web.say(f"line {number:06} of a run".ljust(26, "."))
        said += follower.lines()
    assert (len(said), said[-1]) == (MOST_TOLD // 40 + 1, ("web", LEFT_OUT))
    assert LEFT_OUT not in {text for _, text in said[:-1]}
