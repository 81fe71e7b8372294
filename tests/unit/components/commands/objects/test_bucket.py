"""How the deployer writes an object in a bucket: its signature, its credentials, and what it makes of answers."""

from __future__ import annotations

import contextlib
import http.server
import os
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import pytest

from components.commands.objects import bucket as bucket_place
from components.commands.objects.aws_signature import Credentials, signed_headers
from components.commands.objects.bucket import MARK, BucketWriter
from components.commands.objects.credentials import aws_credentials, spaces_credentials
from components.commands.objects.folder import NoAccessError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NOW = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)
STATIC = {"AWS_ACCESS_KEY_ID": "AKIA1", "AWS_SECRET_ACCESS_KEY": "s3cret"}


@pytest.fixture(autouse=True)
def nothing_of_this_computer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("AWS_", "SPACES_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))


def give(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("token", ["", "to/ken+=="])
@pytest.mark.parametrize(
    ("method", "url", "headers", "body"),
    [
        ("GET", "https://configs.s3.eu-central-1.amazonaws.com/machines/web.ign", {}, b""),
        ("DELETE", "http://127.0.0.1:5000/configs/web.ign?versionId=a%2Fb", {}, b""),
        ("PUT", "https://c.fra1.digitaloceanspaces.com/web%20x.ign", {"x-amz-acl": "public-read", MARK: "a  b"}, b"{}"),
    ],
)
def test_a_request_is_signed_as_botocore_signs_it(
    method: str, url: str, headers: dict[str, str], body: bytes, token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = signed_headers(
        method,
        url,
        headers,
        body,
        credentials=Credentials(key="AKIA1", secret="s3cret", token=token),
        region="eu-central-1",
        now=NOW,
    )
    monkeypatch.setattr(botocore.auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None))
    theirs = botocore.awsrequest.AWSRequest(method, url, headers=headers, data=body)
    theirs.context["payload_signing_enabled"] = True
    botocore.auth.S3SigV4Auth(
        botocore.credentials.Credentials("AKIA1", "s3cret", token or None), "s3", "eu-central-1"
    ).add_auth(theirs)
    assert ours["Authorization"] == theirs.headers["Authorization"]
    assert ours["x-amz-date"] == theirs.headers["X-Amz-Date"]
    assert "s3cret" not in repr(Credentials(key="AKIA1", secret="s3cret", token="t0ken"))


def test_credentials_of_the_environment_come_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shared_files(tmp_path)
    give(monkeypatch, STATIC | {"AWS_SESSION_TOKEN": "t", "AWS_PROFILE": "static"})
    assert aws_credentials("") == Credentials(key="AKIA1", secret="s3cret", token="t")
    assert aws_credentials("static").key == "AKIA-static", "but for a profile that the stack itself names"


def test_credentials_of_a_profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shared_files(tmp_path)
    assert aws_credentials("") == Credentials(key="AKIA-default", secret="d")
    monkeypatch.setenv("AWS_PROFILE", "static")
    assert aws_credentials("") == Credentials(key="AKIA-static", secret="s", token="session")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    (tmp_path / "config").write_text("[profile static]\naws_access_key_id = A\naws_secret_access_key = B\n")
    assert aws_credentials("") == Credentials(key="A", secret="B")


@pytest.mark.parametrize("profile", ["sso", "role", "absent"])
def test_credentials_that_no_file_holds_are_asked_of_the_aws_command_line(tmp_path: Path, profile: str) -> None:
    shared_files(tmp_path)
    answer = '{"Version": 1, "AccessKeyId": "ASIA", "SecretAccessKey": "x", "SessionToken": "y"}'
    program = tmp_path / "bin/aws"
    program.write_text(f"#!/bin/sh\n[ \"$*\" = 'configure export-credentials --format process --profile {profile}' ]")
    program.write_text(program.read_text() + f" && echo '{answer}'\n")
    program.chmod(0o755)
    assert aws_credentials(profile) == Credentials(key="ASIA", secret="x", token="y")


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("", "for SSO and roles the AWS command line is needed"),
        ("echo 'Error loading SSO Token: it has expired' >&2; exit 255", "says: Error loading SSO Token: it has expir"),
        ("exit 1", "says: exit code 1"),
        ("echo nonsense", "the AWS command line gave none either"),
    ],
)
def test_no_credentials_are_told_with_the_place_to_look_at(tmp_path: Path, program: str, says: str) -> None:
    if program:
        (tmp_path / "bin/aws").write_text(f"#!/bin/sh\n{program}\n")
        (tmp_path / "bin/aws").chmod(0o755)
    with pytest.raises(
        NoAccessError, match="no AWS credentials in the environment, and none in the profile 'default'"
    ) as told:
        aws_credentials("")
    assert says in str(told.value)


def test_shared_config_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("no section\n")
    with pytest.raises(NoAccessError, match=r"~/\.aws/config can't be read as AWS's shared config"):
        aws_credentials("")


def test_a_spaces_key_is_in_the_environment_or_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ACCESS_KEY_ID", "DO1")
    with pytest.raises(NoAccessError, match="SPACES_SECRET_ACCESS_KEY are not in the environment"):
        spaces_credentials()
    monkeypatch.setenv("SPACES_SECRET_ACCESS_KEY", "x")
    assert spaces_credentials() == Credentials(key="DO1", secret="x")


@pytest.mark.parametrize(
    ("place", "variables", "url"),
    [
        ({}, {}, "https://configs.s3.eu-central-1.amazonaws.com/machines/web.ign"),
        ({"region": "cn-north-1"}, {}, "https://configs.s3.cn-north-1.amazonaws.com.cn/machines/web.ign"),
        ({"region": "eusc-de-east-1"}, {}, "https://configs.s3.eusc-de-east-1.amazonaws.eu/machines/web.ign"),
        ({}, {"AWS_ENDPOINT_URL": "http://127.0.0.1:5/"}, "http://127.0.0.1:5/configs/machines/web.ign"),
        ({}, {"AWS_ENDPOINT_URL": "http://a", "AWS_ENDPOINT_URL_S3": "http://b"}, "http://b/configs/machines/web.ign"),
        (
            {"kind": "spaces", "region": "fra1"},
            {"AWS_ENDPOINT_URL": "http://a"},
            "https://configs.fra1.digitaloceanspaces.com/machines/web.ign",
        ),
        (
            {"kind": "spaces", "region": "fra1"},
            {"SPACES_ENDPOINT_URL": "https://{{.Region}}.digitaloceanspaces.com"},
            "https://configs.fra1.digitaloceanspaces.com/machines/web.ign",
        ),
        (
            {"kind": "spaces", "region": "fra1"},
            {"SPACES_ENDPOINT_URL": "http://c"},
            "http://c/configs/machines/web.ign",
        ),
    ],
)
def test_the_address_is_the_providers(
    place: dict[str, str], variables: dict[str, str], url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(monkeypatch, variables)
    fields = {"kind": "s3", "bucket": "configs", "key": "machines/web.ign", "region": "eu-central-1", **place}
    assert BucketWriter(**fields)._url() == url


Asked = list[tuple[str, dict[str, str]]]


@contextlib.contextmanager
def bucket(
    monkeypatch: pytest.MonkeyPatch, *answers: tuple[int, dict[str, str], bytes]
) -> Iterator[tuple[BucketWriter, Asked]]:
    """A place in a bucket that gives these answers, the last one again and again; and what it was asked."""
    asked: Asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def respond(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", "0")))
            asked.append((f"{self.command} {self.path}", dict(self.headers)))
            status, headers, body = answers[min(len(asked), len(answers)) - 1]
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            self.respond()

        def do_PUT(self) -> None:
            self.respond()

        def do_DELETE(self) -> None:
            self.respond()

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setattr(bucket_place, "PAUSES_S", (0.0, 0.0))
    give(monkeypatch, STATIC | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"})
    try:
        yield BucketWriter(kind="s3", bucket="configs", key="web.ign", region="eu-central-1"), asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


DENIED: tuple[int, dict[str, str], bytes] = (403, {}, b"<Error><Code>AccessDenied</Code></Error>")


def test_what_is_there_already_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket(monkeypatch, (200, {}, b"new")) as (place, asked):
        assert place.put("new") is False
        place.roll_back("new")
    assert [request for request, _ in asked] == ["GET /configs/web.ign"] * 2


def test_a_marked_version_is_taken_away_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    marked = (200, {MARK: "yes", "x-amz-version-id": "v/2"}, b"old")
    with bucket(monkeypatch, marked, (204, {}, b""), (200, {}, b"new")) as (place, asked):
        assert place.put("new") is True
    assert [request for request, _ in asked] == [
        "GET /configs/web.ign",
        "DELETE /configs/web.ign?versionId=v%2F2",
        "GET /configs/web.ign",
    ]
    with bucket(monkeypatch, marked, DENIED, (200, {}, b"")) as (place, asked):
        assert place.put("new") is True
    assert asked[-1][0] == "PUT /configs/web.ign", "who may not delete writes"
    with bucket(monkeypatch, (200, {"x-amz-version-id": "v2"}, b"old"), (200, {}, b"")) as (place, asked):
        assert place.put("new") is True
    assert [request for request, _ in asked] == ["GET /configs/web.ign", "PUT /configs/web.ign"], "someone else's"
    assert MARK not in {name.lower() for name in asked[-1][1]}


def test_what_is_put_back_has_the_mark_and_the_objects_rights(monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket(monkeypatch, (404, {}, b""), (200, {}, b"")) as (place, asked):
        place.roll_back("old")
    headers = {name.lower(): value for name, value in asked[-1][1].items()}
    assert headers[MARK] == "yes" and headers["content-type"] == bucket_place.CONTENT_TYPE
    assert "x-amz-acl" not in headers
    assert "s3cret" not in str(asked)


def test_the_versions_of_an_object_are_those_of_its_very_key(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = (
        "<Version><Key>{}</Key><VersionId>{}</VersionId><LastModified>2026-01-31T12:00:00.000Z</LastModified></Version>"
    )
    marker = "<DeleteMarker><Key>web.ign</Key><VersionId>v0</VersionId></DeleteMarker>"
    listed = marker + "".join(entry.format(*of) for of in (("web.ign", "v/3"), ("web.ign2", "v9"), ("web.ign", "v1")))
    with bucket(monkeypatch, (200, {}, listed.encode()), (200, {}, b"new"), (404, {}, b"")) as (place, asked):
        found = [*place.versions()]
    assert [(version.name, version.written, version.content) for version in found] == [
        ("v/3", "2026-01-31T12:00:00.000Z", b"new")
    ]
    assert [request for request, _ in asked] == [
        "GET /configs/?max-keys=50&prefix=web.ign&versions=",
        "GET /configs/web.ign?versionId=v%2F3",
        "GET /configs/web.ign?versionId=v1",
    ]
    with bucket(monkeypatch, DENIED) as (place, _), pytest.raises(NoAccessError, match="answers GET with 403"):
        [*place.versions()]


def test_a_bucket_in_trouble_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket(monkeypatch, (503, {}, b""), (500, {}, b""), (200, {}, b"new")) as (place, asked):
        assert place.put("new") is False
    assert len(asked) == 3
    with (
        bucket(monkeypatch, (503, {}, b"<Code>SlowDown</Code>")) as (place, _),
        pytest.raises(OSError, match="the bucket configs answers GET with 503 SlowDown"),
    ):
        place.put("new")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(OSError, match=r"the bucket configs does not answer: .*refused"):
        place.put("new")


def test_rights_that_are_missing_are_told_apart_from_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        bucket(monkeypatch, DENIED) as (place, _),
        pytest.raises(NoAccessError, match="the bucket configs answers GET with 403 AccessDenied"),
    ):
        place.put("new")
    with (
        bucket(monkeypatch, (200, {}, b"old"), DENIED) as (place, _),
        pytest.raises(OSError, match="answers PUT with 403 AccessDenied"),
    ):
        place.put("new")  # the object is known to hold another config: no machine may be sent there


def test_a_signature_is_not_sent_on_to_another_host(monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        bucket(monkeypatch, (307, {"Location": "http://127.0.0.1:1/"}, b"")) as (place, asked),
        pytest.raises(OSError, match="answers GET with 307"),
    ):
        place.put("new")
    assert len(asked) == 1


def shared_files(home: Path) -> None:
    (home / ".aws").mkdir()
    (home / ".aws/credentials").write_text(
        "[default]\naws_access_key_id = AKIA-default\naws_secret_access_key = d\n"
        "[static]\naws_access_key_id = AKIA-static\naws_secret_access_key = s\naws_session_token = session\n"
        "[role]\naws_access_key_id = AKIA-role\naws_secret_access_key = r\n"
    )
    (home / ".aws/config").write_text(
        "[profile static]\nregion = eu-central-1\n"
        "[profile sso]\nsso_session = company\n"
        "[profile role]\nrole_arn = arn:aws:iam::1:role/x\nsource_profile = default\n"
    )


def test_an_object_is_read_as_it_lies_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with bucket(monkeypatch, (200, {}, "é".encode()), (200, {}, b"\xff"), (404, {}, b""), DENIED) as (place, asked):
        assert place.get() == "é"
        assert place.get() == "\N{REPLACEMENT CHARACTER}", "no text that has a hash of one"
        with pytest.raises(FileNotFoundError, match=r"the bucket configs has no object web\.ign"):
            place.get()
        with pytest.raises(NoAccessError, match="403 AccessDenied"):
            place.get()
    assert [request for request, _ in asked] == ["GET /configs/web.ign"] * 4
