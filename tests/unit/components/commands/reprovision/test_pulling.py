"""Waiting for a machine's reports: what ends it, what may be of before, and what is no report at all."""

from __future__ import annotations

import base64
import http.server
import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from components.commands.objects.bucket import BucketWriter
from components.commands.reprovision import pulling
from components.commands.reprovision.request import NotProvenError, Outputs, Progress
from loopback.bucket import REGION, LoopbackBucket
from tests.unit.components.test_audit import REQUEST

if TYPE_CHECKING:
    from pathlib import Path

WANTED = replace(REQUEST, pull="report", timeout=30)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling, "POLL_SECONDS", 0.02)


def report(state: str, config_id: str = WANTED.config_id, why: str = "") -> dict[str, str]:
    return {"state": state, "config_id": config_id, "running": "", "why": why, "boot_id": "b", "os_version": "1"}


def served(answer: Callable[[Any], None], login: str = "", timeout: float = 30) -> Outputs:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            address = f"http://{login}127.0.0.1:{server.server_address[1]}/web"
            return pulling.await_report(replace(WANTED, report=address, timeout=timeout), Progress("web"))
        finally:
            server.shutdown()
            thread.join()


def body(handler: Any, content: bytes, length: int | None = None) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content) if length is None else length))
    handler.end_headers()
    handler.wfile.write(content)


def waited(*reports: dict[str, str], timeout: float = 30) -> Outputs:
    """Wait for reports that are there one after the other, the first of them from the start, the last one for good."""
    coming = list(reports)
    return served(
        lambda handler: body(handler, json.dumps(coming.pop(0) if coming[1:] else coming[0]).encode()), timeout=timeout
    )


def test_a_refusal_from_before_does_not_end_the_waiting() -> None:
    for old in (report("refused", ""), report("refused"), report("not-proven")):
        assert waited(old, report("staging"), report("proven")).config_id == WANTED.config_id


def test_a_refusal_that_stays_is_told_at_the_end() -> None:
    with pytest.raises(NotProvenError, match="did not take config id aaaaaaaaaaaa within 1 s; last seen: refused"):
        waited(report("refused", why="the object is damaged"), timeout=0.6)


@pytest.mark.parametrize(
    "reports",
    [
        (report("waiting"), report("refused", "", "the object is damaged")),
        (
            report("refused", "", "the object is damaged"),
            report("waiting"),
            report("refused", "", "the object is damaged"),
        ),
    ],
    ids=["for the first time", "again"],
)
def test_a_refusal_that_comes_ends_it(reports: tuple[dict[str, str], ...]) -> None:
    with pytest.raises(NotProvenError, match="the machine refused the object: the object is damaged"):
        waited(*reports)


def test_a_refusal_where_no_report_was_before_is_a_new_one() -> None:
    answers = [404, 200]

    def answer(handler: Any) -> None:
        if answers.pop(0) == 404:
            handler.send_error(404)
        else:
            body(handler, json.dumps(report("refused", why="the object is damaged")).encode())

    with pytest.raises(NotProvenError, match="the machine refused the object: the object is damaged"):
        served(answer)


def test_a_config_that_the_machine_went_back_from_is_not_waited_for() -> None:
    with pytest.raises(NotProvenError, match="rolled back to its last good config"):
        waited(report("went-back"))


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: handler.wfile.write(b"SSH-2.0-nobody\r\n"),
        lambda handler: body(handler, b"{", length=100),
        lambda handler: body(handler, b"<html>Please log in</html>"),
        lambda handler: body(handler, b" " * 200_000 + b"{}"),
        lambda handler: handler.send_error(503),
        lambda handler: None,
    ],
    ids=["not http", "cut", "a page", "too long", "an error", "nothing"],
)
def test_what_is_no_report_is_waited_through(answer: Callable[[Any], None]) -> None:
    with pytest.raises(NotProvenError, match=r"last seen: (no report|the agent has not reported yet)"):
        served(answer, timeout=0.3)


def test_a_login_in_the_address_is_used_and_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(handler: Any) -> None:
        expected = "Basic " + base64.b64encode(b"me:p@ss").decode()
        if handler.headers["Authorization"] == expected:
            body(handler, b'{"state":"proven","config_id":"%s"}' % WANTED.config_id.encode())
        else:
            handler.send_error(401)

    assert served(answer, login="me:p%40ss@").config_id == WANTED.config_id
    with pytest.raises(NotProvenError) as refused:
        served(answer, login="me:wrong@", timeout=0.3)
    assert "wrong" not in f"{refused.value} {refused.value.advice} {capsys.readouterr()}"


@pytest.mark.parametrize("login", ["me:secret@", ""], ids=["with a login", "without"])
def test_a_redirect_is_followed_nowhere(login: str) -> None:
    asked: list[tuple[str, str | None]] = []

    def answer(handler: Any) -> None:
        asked.append((handler.path, handler.headers["Authorization"]))
        if handler.path == "/web":
            handler.send_response(302)
            # the same server by another name: another host
            handler.send_header("Location", f"http://localhost:{handler.server.server_address[1]}/elsewhere")
            handler.end_headers()
        else:
            body(handler, b'{"state":"proven","config_id":"%s"}' % WANTED.config_id.encode())

    with pytest.raises(NotProvenError, match=r"last seen: no report \(status 302\)"):
        served(answer, login=login, timeout=0.3)
    assert {path for path, _ in asked} == {"/web"}


def from_store(timeout: float = 30, **changes: Any) -> Outputs:
    place = BucketWriter(kind="s3", bucket="configs", key="machines/web.ign", region=REGION)
    request = replace(WANTED, **{"report": "store", "place": place, "timeout": timeout, **changes})
    return pulling.await_report(request, Progress("web"))


OWN = "/configs/reports/web.json"


def test_a_report_is_read_from_the_store(bucket: LoopbackBucket) -> None:
    bucket.objects |= {
        OWN: json.dumps(report("proven")).encode(),
        "/configs/reports/db.json": json.dumps(report("refused", "", "it is another's")).encode(),
    }
    outputs = from_store()
    assert (outputs.config_id, outputs.boot_id, outputs.os_version) == (WANTED.config_id, "b", "1")


@pytest.mark.parametrize("first", [None, b"{}"], ids=["nothing", "what lies there first"])
def test_a_refusal_after_nothing_in_the_store_is_a_new_one(bucket: LoopbackBucket, first: bytes | None) -> None:
    if first is not None:
        bucket.objects[OWN] = first
    refused = json.dumps(report("refused", why="the object is damaged")).encode()
    later = threading.Timer(0.3, bucket.objects.__setitem__, (OWN, refused))
    later.start()
    with pytest.raises(NotProvenError, match="the machine refused the object: the object is damaged"):
        from_store()
    later.join()


@pytest.mark.parametrize("status", [403, 500, 503])
def test_a_refusal_from_before_that_a_failing_store_hides_at_first_stays_one_from_before(
    bucket: LoopbackBucket, status: int
) -> None:
    bucket.status, bucket.objects[OWN] = status, json.dumps(report("refused")).encode()
    later = threading.Timer(0.3, setattr, (bucket, "status", 200))
    later.start()
    with pytest.raises(NotProvenError, match=r"did not take .* last seen: refused"):
        from_store(timeout=1)
    later.join()


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(report("proven", "b" * 128)).encode(),
        json.dumps(report("proven", "")).encode(),
        json.dumps({**report("proven"), "config_id": [WANTED.config_id]}).encode(),
        b'{"state": "proven", "config_id": "%s", "why": "%s"}' % (WANTED.config_id.encode(), b"x" * 70_000),
        b"<html>proven</html>",
        b"\xff\xfeproven",
        b"[" * 60_000,
    ],
    ids=["another id", "no id", "a list", "too long", "a page", "no UTF-8", "nested"],
)
def test_a_report_that_is_none_or_another_configs_proves_nothing(bucket: LoopbackBucket, content: bytes) -> None:
    bucket.objects[OWN] = content
    with pytest.raises(NotProvenError, match="the machine did not take config id aaaaaaaaaaaa"):
        from_store(timeout=0.3)


@pytest.mark.parametrize(
    ("status", "objects", "why"),
    [
        (200, {}, r"no report \(the bucket configs has no reports/web.json\)"),
        (403, {}, r"no report \(the bucket configs answers GET with 403 AccessDenied\)"),
        (503, {}, r"no report \(the bucket configs answers GET with 503 SlowDown\)"),
    ],
)
def test_why_the_store_tells_nothing_is_said_at_the_end(
    bucket: LoopbackBucket, status: int, objects: dict[str, bytes], why: str
) -> None:
    bucket.status, bucket.objects = status, objects
    with pytest.raises(NotProvenError, match=f"last seen: {why}"):
        from_store(timeout=0.3)


def test_a_store_that_is_away_and_credentials_that_are_not_there_are_told(
    bucket: LoopbackBucket, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:1")
    with pytest.raises(NotProvenError, match=r"last seen: no report \(the bucket configs does not answer: "):
        from_store(timeout=0.3)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(NotProvenError, match=r"last seen: no report \(no AWS credentials in the environment"):
        from_store(timeout=0.3)
    assert not bucket.asked


def test_what_has_no_bucket_is_not_waited_for() -> None:
    with pytest.raises(NotProvenError, match="read from a bucket, and this machine's object is in none"):
        from_store(place=None)
