"""The line of a preview about one machine, and whether that reboots."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from components.commands.reprovision.live_plan import Live, Reset
from components.preview import MOST_GROUPS, Plan, Seen, in_groups, in_words
from components.settings.lifecycle import Lifecycle

BY_ITSELF = "it takes its config by itself"
RESET = "reset: reboots, ROOT is wiped but for 2 kept paths"


def plan(**others: Any) -> Plan:
    values = {"kept": 2, "pulls": False, "wave": "", "unsalted_id": "new", "is_off": False, "is_there": False}
    return Plan(**{"lifecycle": Lifecycle.RESET, **values, **others})


def tried(**others: Any) -> Seen:
    return Seen(**{"changed": "/a changes", "is_tried": True, "runs": "old", "wanted": "new", **others})


@pytest.mark.parametrize(
    ("machine", "seen", "line", "reboots"),
    [
        (plan(), Seen(), "", False),
        (plan(), tried(), f"/a changes; {RESET}", True),
        (plan(wave="1 of 3", kept=1), tried(), f"/a changes; {RESET[:-12]}1 kept path; wave 1 of 3", True),
        (plan(lifecycle=Lifecycle.REFORMAT), tried(), "/a changes; reformat: reboots, ROOT is made anew", True),
        (plan(lifecycle=Lifecycle.FLAG), tried(), "/a changes; flag: reboots, old files stay", True),
        (plan(lifecycle=Lifecycle.REPLACE), tried(), "/a changes; replace: a new machine takes its place", False),
        (plan(lifecycle=Lifecycle.IGNORE), tried(), "/a changes; ignore: it stays as it is, the change waits", False),
        (plan(pulls=True), tried(), "/a changes; it takes its config by itself", False),
        (plan(is_off=True), Seen(), "is off, will be started", False),
        (plan(), Seen(is_new=True, is_tried=True), "new", False),
        (plan(is_there=True), Seen(is_new=True, is_tried=True), f"new; {RESET}", True),
        (plan(), tried(changed=""), f"a masked value changes; {RESET}", True),
        (plan(), tried(changed=None), f"its last change is tried again; {RESET}", True),
        (plan(), tried(changed="what is kept changes", wanted="old"), "what is kept changes", False),
        (plan(unsalted_id="old"), tried(changed="", wanted=None), "", False),
        (plan(unsalted_id=None), tried(wanted=None), f"/a changes; {RESET}", True),
    ],
)
def test_what_happens_to_a_machine(machine: Plan, seen: Seen, line: str, reboots: bool) -> None:
    assert in_words(machine, seen) == (line, reboots)


LIVE = Live(writes=("/a",), restarts=("web.service",))


@pytest.mark.parametrize(
    ("machine", "seen", "change", "line", "reboots"),
    [
        (plan(), tried(), LIVE, "live: /a changes, web.service restarts", False),
        (plan(wave="1 of 3"), tried(), LIVE, "live: /a changes, web.service restarts; wave 1 of 3", False),
        (plan(), tried(), Reset(reason="disks change"), f"/a changes; reset, since disks change: {RESET[7:]}", True),
        (plan(), tried(), None, f"/a changes; live if all of it can be, else {RESET}", True),
        (plan(), tried(wanted="old"), None, "/a changes", False),
        (plan(pulls=True), tried(), LIVE, f"live: /a changes, web.service restarts; {BY_ITSELF}", False),
        (
            plan(pulls=True), tried(), Reset(reason="disks change"),
            f"/a changes; reset, since disks change; {BY_ITSELF}", False,
        ),
        (plan(pulls=True), tried(), None, f"/a changes; {BY_ITSELF}", False),
        (plan(pulls=True), tried(wanted="old"), LIVE, "/a changes", False),
    ],
)  # fmt: skip
def test_what_happens_to_a_machine_that_changes_live(
    machine: Plan, seen: Seen, change: Live | Reset | None, line: str, reboots: bool
) -> None:
    assert in_words(replace(machine, lifecycle=Lifecycle.LIVE), seen, change) == (line, reboots)


SECRET = ("web.service", "hunter2.timer")


@pytest.mark.parametrize(
    ("change", "line", "reboots"),
    [
        (LIVE, "/a changes; live: web.service restarts", False),
        (
            Live(writes=("/hunter2",), restarts=SECRET, reloads=("hunter2.service",), stops=("web.service",)),
            "/a changes; live: web.service, [masked] restart, [masked] reloads, web.service stops",
            False,
        ),
        (Live(writes=("/hunter2",)), "/a changes; live: no unit restarts", False),
        (
            Reset(reason="no unit names /hunter2"),
            f"/a changes; reset, since not all of it can be live: {RESET[7:]}",
            True,
        ),
    ],
)
def test_of_a_config_with_secrets_no_name_is_told_that_may_hold_one(
    change: Live | Reset, line: str, reboots: bool
) -> None:
    machine = plan(lifecycle=Lifecycle.LIVE, salt="salt")
    shown = {"web.service", "db.service"}
    assert in_words(machine, tried(), change, shown) == (line, reboots)
    told = line.split(": reboots,")[0] + f"; {BY_ITSELF}"
    assert in_words(replace(machine, pulls=True), tried(), change, shown) == (told, False)


def test_edits_that_are_the_same_are_told_once_and_many_have_an_end() -> None:
    one, two = ["/etc/motd", "  - a", "  + b"], ["/etc/rack", "  + c"]
    assert in_groups({"web": one, "db": two, "web-2": one, "same": []}) == (
        "web, web-2:\n  /etc/motd\n    - a\n    + b\ndb:\n  /etc/rack\n    + c"
    )
    assert in_groups({"web": []}) == ""
    many = in_groups({f"m{number}": [f"/etc/{number}"] for number in range(MOST_GROUPS + 3)})
    assert many.count("m") == MOST_GROUPS and many.endswith("\nand 3 other edits")
