"""How the machines of a stack are, in words, in 80 columns, as JSON and as metrics."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from components.audit.noted import Noted, note, noted
from components.audit.records import NoRecordsError
from components.commands.qemu.state import Record, write_record
from components.operate.page import page
from components.operate.reports import Reported
from components.operate.status import State, Status, ago, document, metrics, statuses, table
from loopback.exports import exported, fleet, machine, proof

if TYPE_CHECKING:
    from components.commands.objects.bucket import BucketWriter

NOW = 1_700_003_600.0
OLD, LATER = 1_600_000_000.0, 1_700_001_000.0


def seen(**changes: Any) -> Noted:
    fields: dict[str, Any] = {
        "at": LATER, "drift": 0, "trouble": "", "config_id": "a" * 128, "os_version": "4593.2.1", "history": ()
    }  # fmt: skip
    return Noted(**{**fields, **changes})


def status_of(tmp_path: Path, *resources: dict[str, Any], note: Noted | None = None, **settings: Any) -> Status:
    (found,), _ = statuses(
        exported(*resources), settings=settings, notes={"web": note} if note else {}, machines_dir=tmp_path
    )
    return found


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PULUMI_HOME", str(tmp_path / "pulumi"))


def ran(tmp_path: Path, at: str, name: str = "web") -> None:
    """A run's log, as `commands.reprovision.log` begins it."""
    logs = tmp_path / "pulumi/flatcar-reprovision/logs"
    logs.mkdir(parents=True, exist_ok=True)
    (logs / f"organization.flatcar.dev.{name}.log").write_text(f"{at}\nweb    0.0s  rebooting\n")


BEHIND = proof("web", config_id="b" * 128)


@pytest.mark.parametrize(
    ("resources", "note", "state"),
    [
        ([machine("web"), proof("web")], None, State.PROVEN),
        ([machine("web")], None, State.NEVER_PROVEN),
        ([machine("web"), BEHIND], None, State.NOT_TRIED),
        ([machine("web", lifecycle="ignore"), BEHIND], None, State.IGNORED),
        ([machine("web", pull={"wait": "no"}), proof("web", config_id="")], None, State.PULLS),
        ([machine("web", pull={"wait": "no"}), proof("web", config_id="")], seen(), State.PROVEN),
        ([machine("web"), proof("web")], seen(trouble="no SSH server answers at h port 22"), State.NO_ANSWER),
        ([machine("web"), proof("web")], seen(at=OLD, trouble="no SSH server answers at h port 22"), State.PROVEN),
        ([machine("web"), proof("web")], seen(config_id="c" * 128), State.NOT_TRIED),
        ([machine("web"), {**proof("web"), "delete": True}], None, State.NEVER_PROVEN),
    ],
)
def test_the_word_for_a_machine(
    tmp_path: Path, resources: list[dict[str, Any]], note: Noted | None, state: State
) -> None:
    assert status_of(tmp_path, *resources, note=note).state is state


A, B = "a" * 128, "b" * 128
PULLS = machine("web", pull={"wait": "no", "report": "store"})
PLACE = {"kind": "s3", "bucket": "configs", "key": "machines/web.ign", "region": "eu-central-1", "profile": ""}
LEFT_ALONE = {**proof("web", config_id=""), "inputs": {"stdin": json.dumps({"machine": "web", "place": PLACE})}}


def reporting(tmp_path: Path, report: Reported, *, note: Noted | None = None, **settings: Any) -> Status:
    """A machine that reports to its store, and nobody has waited for."""
    asked: dict[str, BucketWriter] = {}

    def read(places: Mapping[str, BucketWriter]) -> Mapping[str, Reported]:
        asked.update(places)
        return dict.fromkeys(places, report)

    state = exported(PULLS, LEFT_ALONE, machine("db"), proof("db"))
    found, _ = statuses(state, settings=settings, notes={"web": note} if note else {}, machines_dir=tmp_path, read=read)
    assert {name: place.key for name, place in asked.items()} == {"web": "reports/web.json"}
    return found[1]


@pytest.mark.parametrize(
    ("report", "note", "state", "running"),
    [
        (Reported(state="proven", config_id=A, running=A, at=LATER), None, State.PROVEN, "a" * 12),
        (Reported(state="waiting", config_id=A, running=B, at=LATER), None, State.PULLS, "b" * 12),
        (Reported(state="staging", config_id=A, running=B, at=LATER), None, State.PULLS, "b" * 12),
        (Reported(state="proven", config_id=B, running=B, at=LATER), None, State.PULLS, "b" * 12),
        (Reported(state="refused", config_id="", running=B, at=LATER), None, State.FAILED, "b" * 12),
        (Reported(state="not-proven", config_id=A, running=A, at=LATER), None, State.FAILED, "a" * 12),
        (Reported(state="went-back", config_id=A, running=B, at=LATER), None, State.FAILED, "b" * 12),
        (Reported(state="no-object", config_id="", running=B, at=LATER), None, State.FAILED, "b" * 12),
        (Reported(state="went-back", config_id="c" * 128, running=B, at=LATER), None, State.PULLS, "b" * 12),
        (Reported(), None, State.PULLS, ""),
        (Reported(trouble="the bucket configs does not answer"), None, State.PULLS, ""),
        (Reported(state="waiting", config_id=A, running=B, at=OLD), seen(), State.PROVEN, "a" * 12),
    ],
)
def test_the_word_for_a_machine_that_reports_to_its_store(
    tmp_path: Path, report: Reported, note: Noted | None, state: State, running: str
) -> None:
    status = reporting(tmp_path, report, note=note)
    assert (status.state, status.running, status.wanted) == (state, running, "a" * 12)
    assert (status.reported, status.reported_at) == (report.state, report.at)
    assert status.why == report.trouble


def test_a_report_that_a_run_from_here_did_not_wait_for_to_its_end(tmp_path: Path) -> None:
    ran(tmp_path, "2023-11-14T23:00:00Z")
    proven = Reported(state="proven", config_id=A, running=A, at=LATER)
    assert reporting(tmp_path, proven).state is State.PROVEN
    assert reporting(tmp_path, Reported(trouble="away")).state is State.FAILED


def test_a_report_is_in_the_table_the_history_json_and_metrics(tmp_path: Path) -> None:
    why = "<b>it was not proven"
    report = Reported(state="went-back", config_id=A, running=B, why=why, os_version="1", at=LATER)
    status = reporting(tmp_path, report)
    text = table("dev", [status], NOW, all_of_them=False)
    assert "  web: it reports went-back: <b>it was" in text and "reports    " in text
    assert max(map(len, text.splitlines())) <= 80
    assert (status.os_version, status.history[-1].by, status.history[-1].step) == ("1", "report", "went-back")
    (row,) = document("dev", [status], NOW)["machines"]
    assert (row["reported"], row["reported_at"], row["needs_a_person"]) == ("went-back", LATER, True)
    lines = metrics("dev", [status], NOW).splitlines()
    assert 'flatcar_machine_report{stack="dev",machine="web",reported="went-back"} 1' in lines
    assert 'flatcar_machine_reported_timestamp_seconds{stack="dev",machine="web"} 1700001000' in lines
    assert "<b>" not in page("dev", [status], {"web": {}}, NOW)


@pytest.mark.parametrize(
    ("resources", "at", "state"),
    [
        ([machine("web"), BEHIND], "2023-11-14T22:20:00Z", State.FAILED),
        ([machine("web"), BEHIND], "2023-11-14T22:13:00Z", State.NOT_TRIED),  # its last good run
        ([machine("web"), proof("web")], "2023-11-14T22:20:00Z", State.PROVEN),  # a check of what runs
        ([machine("web")], "2023-11-14T22:20:00Z", State.FAILED),
    ],
)
def test_a_run_from_here_that_proved_nothing_has_failed(
    tmp_path: Path, resources: list[dict[str, Any]], at: str, state: State
) -> None:
    ran(tmp_path, at)
    ran(tmp_path, "2030-01-01T00:00:00Z", "web.other")
    assert status_of(tmp_path, *resources).state is state


def test_a_machine_in_qemu_that_is_off(tmp_path: Path) -> None:
    (tmp_path / "web").mkdir()
    record = Record(
        power_on=1, disk_made="", image="", image_size=0, image_mtime_ns=0, ssh_port=1, memory_mib=1, cpus=1, accel="",
        objects="", started_at="",
    )  # fmt: skip
    write_record(tmp_path / "web", record)
    assert status_of(tmp_path, machine("web"), proof("web")).state is State.OFF


def test_what_is_known_of_a_machine(tmp_path: Path) -> None:
    history = ("2023-11-14T22:00:00Z push aaaaaaaaaaaaaaaaaaaa staged", "\x1b[2J evil")
    status = status_of(
        tmp_path, machine("web"), proof("web"), note=seen(drift=2, history=history),
        rollout={"canary": 0, "batch": 1}, machines={"db": {}, "web": {"group": "front", "config": "c"}},
    )  # fmt: skip
    assert (status.group, status.wave, status.running, status.wanted) == ("front", "2/2", "a" * 12, "a" * 12)
    assert (status.changed_at, status.downtime_seconds, status.drift) == (1_700_000_000.0, 23.4, 2)
    assert [(event.at, event.by, event.config_id, event.step) for event in status.history] == [
        ("2023-11-14T22:00:00Z", "push", "aaaaaaaaaaaa", "staged"),
        ("[2J", "evil", "", ""),
    ]
    alone = status_of(tmp_path, machine("web"), proof("web"))
    assert [(event.at, event.by, event.step) for event in alone.history] == [("2023-11-14T22:13:20Z", "up", "proven")]
    assert (alone.group, alone.wave, alone.drift, alone.audited_at) == ("", "", None, None)


def test_what_a_config_declares_is_a_hash(tmp_path: Path) -> None:
    files = {"/etc/one": {"contents": "not to be told"}, "/etc/two": {"mode": "0644"}}
    found, declares = statuses(
        exported(machine("web", files=files, kernelArguments=["quiet"]), machine("db", files={"/etc/one": {}})),
        settings={}, notes={}, machines_dir=tmp_path,
    )  # fmt: skip
    assert [list(declares[status.name]) for status in found] == [
        ["files /etc/one"],
        ["files /etc/one", "files /etc/two", "kernelArguments"],
    ]
    assert declares["web"]["files /etc/one"] != declares["db"]["files /etc/one"]
    assert "told" not in str(declares)


@pytest.mark.parametrize(
    ("text", "names", "said"),
    [
        ("[]", [], "not what `pulumi stack export` prints"),
        (exported(machine("web")), ["wbe"], "the stack has no machine wbe; it has web"),
    ],
)
def test_what_cannot_be_shown(tmp_path: Path, text: str, names: list[str], said: str) -> None:
    with pytest.raises(NoRecordsError, match=re.escape(said)):
        statuses(text, names=names, settings={}, notes={}, machines_dir=tmp_path)


def test_a_table_has_groups_first_then_what_needs_a_person_and_fits(tmp_path: Path) -> None:
    names = ["web-of-a-very-long-name-indeed-that-has-no-end", "db", "cache", "queue"]
    resources = [machine(name) for name in names] + [
        proof(names[0], config_id="b" * 128, os_version="4593.2.1+nightly-20261127-2100"),
        proof("db", downtime_seconds=0.0),
        proof("queue"),
    ]
    settings = {"machines": {name: {"group": "front" if name == "db" else "back"} for name in names}, "rollout": {}}
    notes = {"queue": seen(drift=3)}
    found, _ = statuses(exported(*resources), settings=settings, notes=notes, machines_dir=tmp_path)
    shown = table("dev", found, NOW, all_of_them=False)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= 80, shown
    assert lines[:3] == [
        "dev: 4 machines: 1 never proven, 1 not tried, 2 proven, 1 drifted",
        "  back       3: 1 never proven, 1 not tried, 1 proven, 1 drifted",
        "  front      1: 1 proven",
    ]
    assert lines[4:8] == [
        "needs a person:",
        "  cache: no run has proven it: `make up`",
        "  queue: 3 drifts: `make audit`",
        "  web-of-a-very-long-name-indeed-that-has-no-end: it runs bbbbbbbbbbbb, aaaaaa …",
    ]
    assert re.search(r"^db +proven +a{12}", shown, re.MULTILINE), shown


def test_a_stack_of_one_machine_shows_what_is_known_of_it(tmp_path: Path) -> None:
    found, _ = statuses(exported(machine("web"), proof("web")), settings={}, notes={}, machines_dir=tmp_path)
    header, row = table("local", found, NOW, all_of_them=False).splitlines()[-2:]
    assert header.split()[:3] == ["machine", "state", "lifecycle"]
    assert row.split()[:2] == ["web", "proven"]
    assert "wanted" not in header, "nobody needs an empty column"


def test_a_large_stack_lists_who_needs_a_person(tmp_path: Path) -> None:
    found, _ = statuses(fleet(1000), settings={}, notes={}, machines_dir=tmp_path)
    shown = table("dev", found, NOW, all_of_them=False)
    assert shown.startswith("dev: 1000 machines: 20 not tried, 980 proven\n\nneeds a person:\n")
    assert shown.endswith("\n980 more: ARGS=--all, or name them")
    assert len(shown.splitlines()) == 48
    assert len(table("dev", found, NOW, all_of_them=True).splitlines()) == 1026


def test_json_has_what_the_table_has(tmp_path: Path) -> None:
    found, _ = statuses(exported(machine("web"), BEHIND), settings={}, notes={}, machines_dir=tmp_path)
    written = json.loads(json.dumps(document("dev", found, NOW)))
    assert (written["stack"], written["at"], written["counts"]) == ("dev", NOW, {"not tried": 1})
    (web,) = written["machines"]
    assert (web["name"], web["state"], web["running"], web["needs_a_person"]) == ("web", "not tried", "b" * 12, True)


def test_metrics_are_read_by_both_formats(tmp_path: Path) -> None:
    hostile = 'a"b\\c'
    resources = [machine(hostile), proof(hostile), machine("db")]
    found, _ = statuses(exported(*resources), settings={}, notes={hostile: seen(drift=1)}, machines_dir=tmp_path)
    text = metrics("dev", found, NOW)
    assert text.endswith("# EOF\n")
    for line in text.splitlines()[:-1]:
        assert re.fullmatch(
            r'# (TYPE [a-z_]+ gauge|HELP [a-z_]+ .+)|[a-z_]+\{([a-z_]+="([^"\\\n]|\\.)*",?)+\} [0-9.e+]+', line
        ), line
    assert 'flatcar_machine_drift{stack="dev",machine="a\\"b\\\\c"} 1\n' in text
    assert 'flatcar_machines{stack="dev",group="",state="never proven"} 1\n' in text
    names = re.findall(r"^# TYPE (\w+)", text, re.MULTILINE)
    assert len(names) == len(set(names))


def test_the_last_audit_of_each_machine_is_noted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINES_DIR", str(tmp_path))
    assert noted("org/flatcar/dev") == {}
    note("dev", {"web": seen(), "db": seen(history=("a", "b"))})
    note("dev", {"web": seen(drift=4)})
    assert noted("org/flatcar/dev") == {"web": seen(drift=4), "db": seen(history=("a", "b"))}
    file = tmp_path / "dev/audit.json"
    assert (file.stat().st_mode & 0o777, os.listdir(tmp_path / "dev")) == (0o600, ["audit.json"])
    file.write_text(json.dumps({"web": {"at": 1}, "db": 3}))
    assert noted("dev") == {}


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (61, "1 min"), (7200, "2 h"), (180000, "2 d")]
)
def test_times_in_words(seconds: float, words: str) -> None:
    assert ago(NOW, NOW - seconds) == words
    assert ago(NOW, None) == ""
