"""Reports of machines that pull, read from their store: what is none says nothing, what a machine says is bounded."""

from __future__ import annotations

import json
from typing import Any

import pytest

from components.commands.objects.bucket import BucketWriter
from components.operate import reports
from components.operate.reports import Reported, place_of_reports, read_reports
from loopback.bucket import REGION, LoopbackBucket

PLACE = {"kind": "s3", "bucket": "configs", "key": "machines/web.ign", "region": REGION, "profile": ""}
KEY = "/configs/reports/web.json"
WANTED = "a" * 128
GOOD: dict[str, Any] = {
    "machine": "web", "state": "proven", "config_id": WANTED, "running": WANTED, "why": "", "boot_id": "b",
    "os_version": "4593.2.1",
}  # fmt: skip


def place(machine: str = "web", report: str = "store") -> BucketWriter | None:
    return place_of_reports({"pull": {"report": report}}, json.dumps({"machine": machine, "place": PLACE}))


def told(bucket: LoopbackBucket, content: bytes | None) -> Reported:
    if content is not None:
        bucket.objects[KEY] = content
    its = place()
    assert its is not None
    return read_reports({"web": its})["web"]


def test_the_place_is_beside_the_object_and_known_without_secrets() -> None:
    its = place()
    assert its == BucketWriter(kind="s3", bucket="configs", key="reports/web.json", region=REGION)


@pytest.mark.parametrize(
    ("machine", "stdin"),
    [
        ({}, json.dumps({"machine": "web", "place": PLACE})),
        ({"pull": {"report": "https://a.example/"}}, json.dumps({"machine": "web", "place": PLACE})),
        ({"pull": {"report": "store"}}, {"4dabf18193072939515e22adb298388d": "x"}),
        ({"pull": {"report": "store"}}, None),
        ({"pull": {"report": "store"}}, "{"),
        ({"pull": {"report": "store"}}, json.dumps({"machine": "web", "place": None})),
        ({"pull": {"report": "store"}}, json.dumps({"machine": "web", "place": {"path": "/a", "written": "now"}})),
    ],
)
def test_a_machine_without_such_a_place(machine: dict[str, Any], stdin: object) -> None:
    assert place_of_reports(machine, stdin) is None


def test_a_report_is_read_with_its_time(bucket: LoopbackBucket) -> None:
    assert told(bucket, json.dumps(GOOD).encode()) == Reported(
        state="proven", config_id=WANTED, running=WANTED, os_version="4593.2.1", at=bucket.written
    )


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{}",
        b"<html><script>alert(1)</script></html>",
        b"\xff\xfe\x00",
        b"[" * 60_000,
        b'{"state": "proven", "why": "' + b"x" * 70_000 + b'"}',
        json.dumps({**GOOD, "state": "excellent"}).encode(),
        json.dumps({**GOOD, "state": ["proven"]}).encode(),
    ],
    ids=["nothing", "empty", "the first one", "a page", "no UTF-8", "nested", "too long", "no state", "a list"],
)
def test_what_is_no_report_says_nothing(bucket: LoopbackBucket, content: bytes | None) -> None:
    assert told(bucket, content) == Reported()


def test_what_a_machine_says_is_bounded_printable_and_of_its_form(bucket: LoopbackBucket) -> None:
    hostile = "\x1b]0;owned\x07<b>\n\u202e" + "x" * 9_000
    said = told(bucket, json.dumps(dict.fromkeys(GOOD, hostile) | {"state": "refused"}).encode())
    assert (said.state, said.config_id, said.running, said.os_version) == ("refused", "", "", "")
    assert said.why.isprintable() and len(said.why) <= 400 and said.why.startswith("]0;owned<b>")


@pytest.mark.parametrize(
    ("status", "said", "asked"), [(403, "GET with 403 AccessDenied", 1), (503, "GET with 503 SlowDown", 2)]
)
def test_a_store_that_gives_none_is_told(bucket: LoopbackBucket, status: int, said: str, asked: int) -> None:
    bucket.status = status
    assert told(bucket, json.dumps(GOOD).encode()) == Reported(trouble=f"the bucket configs answers {said}")
    assert bucket.asked["GET"] == asked


def test_a_store_that_is_away_is_told(bucket: LoopbackBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    assert "the bucket configs does not answer: " in told(bucket, None).trouble


def test_without_credentials_nobody_is_asked(bucket: LoopbackBucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.setenv("PATH", "")
    assert told(bucket, None).trouble.startswith("no AWS credentials in the environment")
    assert not bucket.asked


def test_many_are_read_side_by_side_each_by_its_own_name(bucket: LoopbackBucket) -> None:
    names = [f"web-{number}" for number in range(3 * reports.AT_ONCE)]
    places = {name: its for name in names if (its := place(name)) is not None}
    for number, name in enumerate(names):
        if number % 3:
            bucket.objects[f"/configs/reports/{name}.json"] = json.dumps({**GOOD, "why": name}).encode()
    found = read_reports(places)
    assert [found[name].why for name in names] == [name if number % 3 else "" for number, name in enumerate(names)]
    assert read_reports({}) == {}
