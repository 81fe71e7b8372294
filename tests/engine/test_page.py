"""The page of a stack in a real browser: it is used by hand, by keyboard, on a phone, and by who means harm."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.audit.noted import Noted
from components.operate.page import page
from components.operate.reports import Reported
from components.operate.status import statuses
from loopback import browser as browsers
from loopback.browser import Browser
from loopback.exports import exported, fleet, machine, proof
from tests.conftest import missing

NOW = 1_700_003_600.0
EVIL = "</script><script>document.title=1</script><img src=http://127.0.0.1:1/x onerror=document.title=1>{{DATA}}"


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    if not browsers.is_there():
        missing(f"a browser with its driver (Debian packages {browsers.PACKAGES})")
    with browsers.browser(tmp_path_factory.mktemp("browser")) as window:
        yield window


def shown(
    window: Browser,
    folder: Path,
    state: str,
    notes: dict[str, Noted],
    report: Reported | None = None,
    /,
    **machines: Any,
) -> Browser:
    found, declares = statuses(
        state,
        settings={"machines": machines},
        notes=notes,
        machines_dir=folder,
        read=lambda places: dict.fromkeys(places, report or Reported()),
    )
    (folder / "page.html").write_text(page("dev", found, declares, NOW))
    window.resize(1200, 900)
    window.open(folder / "page.html")
    return window


def names(window: Browser) -> list[str]:
    return list(
        window.run("return [...document.querySelectorAll('#rows td:first-child')].map(cell => cell.textContent)")
    )


@pytest.fixture
def four(tmp_path: Path, window: Browser) -> Browser:
    """Four machines, one of them behind, one that has drifted and tells what happened on it."""
    files = {"/etc/a": {"contents": "told to nobody"}, "/etc/b": {}}
    resources = [
        *[machine(name, files=files) for name in ("web-1", "web-2", "queue")],
        machine("db", files={**files, "/etc/a": {}, "/etc/c": {}}, config="other"),
        *[proof(name) for name in ("web-1", "db")],
        proof("web-2", config_id="b" * 128, ended_at=NOW),
        proof("queue", os_version="4600.0.0"),
    ]
    history = ("2023-11-14T22:00:00Z push aaaaaaaaaaaaaaaa staged", "2023-11-14T22:01:00Z push aaaaaaaaaaaaaaaa proven")
    seen = Noted(at=NOW, drift=2, trouble="", config_id="a" * 128, os_version="4593.2.1", history=history)
    groups = {"web-1": {"group": "front"}, "web-2": {"group": "front"}}
    return shown(window, tmp_path, exported(*resources), {"db": seen}, **groups)


def test_machines_are_found_filtered_and_sorted(four: Browser) -> None:
    assert names(four) == ["web-2", "db", "queue", "web-1"], "what needs a person first"
    four.run("document.getElementById('search').focus()")
    four.type("web-1 prov")
    assert names(four) == ["web-1"]
    assert four.run("return document.getElementById('count').textContent") == "1 of 4 machines"
    four.run("document.querySelector('button[type=reset]').click()")
    choose = "const s = document.getElementById('{}'); s.value = '={}'; s.dispatchEvent(new Event('input'))"
    for field, value, left in (
        ("group", "front", ["web-2", "web-1"]),
        ("state", "proven", ["web-1"]),
        ("group", "", ["db", "queue"]),
        ("config", "other", ["db"]),
    ):
        four.run(choose.format(field, value))
        assert names(four) == left, field
    four.run("document.querySelector('button[type=reset]').click()")
    four.ask("/execute/async", {"script": "setTimeout(arguments[0], 50)", "args": []})
    assert len(names(four)) == 4
    click = "[...document.querySelectorAll('#heads button')].find(head => head.textContent.startsWith('OS')).click()"
    for wanted in ("ascending", "descending"):
        four.run(click)
        assert four.run("return document.querySelector('#heads [aria-sort$=scending]').ariaSort") == wanted
    assert names(four)[0] == "queue"
    assert four.run("return [...document.querySelectorAll('#groups tr')].map(row => row.textContent)") == [
        "GroupMachinesnot triedprovendrifted", "all4131", "(none)2021", "front2110",
    ]  # fmt: skip
    assert four.errors() == []


def test_a_machine_is_opened_by_keyboard_and_closed_again(four: Browser) -> None:
    four.run("document.getElementById('search').focus()")
    heads = four.run("return document.querySelectorAll('#heads button').length")
    four.type(*["Tab"] * (4 + heads + 2))
    assert four.run("return document.activeElement.textContent") == "db"
    four.type("Enter")
    assert four.run("return document.activeElement.id") == "machine"
    told = four.run("return [...document.querySelectorAll('#history li')].map(item => item.textContent)")
    assert told == [
        "2023-11-14 22:13:20 proven by up aaaaaaaaaaaa",
        "2023-11-14 22:01:00 proven by push aaaaaaaaaaaa",
        "2023-11-14 22:00:00 staged by push aaaaaaaaaaaa",
    ]
    assert "Drift2" in four.run("return document.getElementById('facts').textContent")
    four.type("Tab", "Tab", "web-1")
    assert four.run("return [...document.querySelectorAll('#differences li')].map(item => item.textContent)") == [
        "files /etc/a: differs",
        "files /etc/c: db alone",
    ]
    four.run("document.getElementById('close').focus()")
    four.type("Enter")
    assert four.run("return document.activeElement.textContent") == "db"
    assert "told to nobody" not in four.run("return document.documentElement.outerHTML")
    assert four.errors() == []


def test_everything_has_a_name_for_a_screen_reader(four: Browser) -> None:
    four.run("document.querySelector('#rows button').click()")
    for element in four.ask("/elements", {"using": "css selector", "value": "button, input, select, table, section"}):
        (identity,) = element.values()
        label = four.ask(f"/element/{identity}/computedlabel")
        markup = four.ask(f"/element/{identity}/property/outerHTML")[:200]
        assert label or 'id="groups"' in markup, markup
    roles = {
        selector: four.ask(f"/element/{next(iter(found.values()))}/computedrole")
        for selector in ("#machines", "#heads th", "#rows tr", "#rows td", "#filters", "#count")
        for found in [four.ask("/element", {"using": "css selector", "value": selector})]
    }
    assert list(roles.values()) == ["table", "columnheader", "row", "cell", "search", "status"]


def test_it_fits_a_phone_and_is_dark_where_that_is_wished(four: Browser) -> None:
    for width in (1200, 390):
        four.resize(width, 800)
        four.run("document.querySelector('#rows button').click()")
        overflow = four.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, width
    backs = []
    for scheme in ("light", "dark"):
        feature = {"name": "prefers-color-scheme", "value": scheme}
        four.ask("/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": [feature]}})
        backs.append(four.run("return getComputedStyle(document.body).backgroundColor"))
    four.ask("/goog/cdp/execute", {"cmd": "Emulation.setEmulatedMedia", "params": {"features": []}})
    assert backs == ["rgb(255, 255, 255)", "rgb(22, 24, 28)"]


def test_what_a_machine_says_stays_text(tmp_path: Path, window: Browser) -> None:
    resources = [machine(EVIL, config=EVIL, files={EVIL: {}}), proof(EVIL, os_version=EVIL, config_id=EVIL)]
    seen = Noted(
        at=1.0, drift=1, trouble="", config_id=EVIL, os_version=EVIL, history=(f"{EVIL} {EVIL} {EVIL} {EVIL}",)
    )
    evil = shown(window, tmp_path, exported(*resources), {EVIL: seen}, **{EVIL: {"group": EVIL}})
    evil.run("document.querySelector('#rows button').click()")
    evil.run("const o = document.getElementById('other'); o.value = '<b>'; o.dispatchEvent(new Event('input'))")
    assert names(evil) == [EVIL]
    assert evil.run("return document.title") == "Machines of dev"
    assert evil.run("return document.querySelectorAll('img, #machine b').length") == 0
    asked = evil.run("return performance.getEntriesByType('resource').map(entry => entry.name)")
    assert [url for url in asked if not url.startswith("data:")] == []
    assert evil.errors() == []


def test_what_a_machine_reports_is_shown_and_stays_text(tmp_path: Path, window: Browser) -> None:
    report = Reported(state="went-back", config_id="a" * 128, running="b" * 128, why=EVIL, os_version="1", at=NOW)
    place = {"kind": "s3", "bucket": "configs", "key": "machines/web.ign", "region": "eu-central-1"}
    left_alone = {**proof("web", config_id=""), "inputs": {"stdin": json.dumps({"machine": "web", "place": place})}}
    resources = [machine("web", pull={"report": "store"}), left_alone, machine("db"), proof("db")]
    evil = shown(window, tmp_path, exported(*resources), {}, report)
    assert "Reports" in evil.run("return document.getElementById('heads').textContent")
    assert "went-back" in evil.run("return document.getElementById('rows').textContent")
    evil.run("[...document.querySelectorAll('#rows button')].find(button => button.textContent === 'web').click()")
    assert EVIL in evil.run("return document.getElementById('facts').textContent")
    assert "went-back by report" in evil.run("return document.getElementById('history').textContent")
    assert evil.run("return document.title") == "Machines of dev"
    assert evil.run("return document.querySelectorAll('img').length") == 0
    assert evil.errors() == []


def test_a_script_that_gets_in_does_not_run_and_nothing_is_asked_for(four: Browser) -> None:
    four.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title=1\">')")
    four.run(
        "const s = document.createElement('script'); s.textContent = 'document.title = 2'; document.body.append(s)"
    )
    assert four.run("return document.title") == "Machines of dev"
    refused = four.errors()
    assert sum("Content Security Policy" in error for error in refused) >= 2, refused


def test_ten_thousand_machines_are_paged(tmp_path: Path, window: Browser) -> None:
    large = shown(window, tmp_path, fleet(10_000), {})
    assert large.run("return document.getElementById('page').textContent") == "page 1 of 100"
    assert names(large)[0] == "machine-00007"
    large.run("document.getElementById('next').click()")
    assert (len(names(large)), names(large)[-1]) == (100, "machine-09957")
    large.run("document.getElementById('search').focus()")
    large.type("09999")
    assert names(large) == ["machine-09999"]
    assert large.errors() == []
