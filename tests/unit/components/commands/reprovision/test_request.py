"""What re-provisions a machine takes a request on stdin and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from components.commands.objects.bucket import BucketWriter
from components.commands.objects.content import Content
from components.commands.objects.content_file import forget, path_of
from components.commands.objects.folder import FolderWriter
from components.commands.objects.packing import packed
from components.commands.reprovision.log import LEFT_OUT
from components.commands.reprovision.request import (
    MOST_TOLD,
    NEVER_ANSWERED,
    PRIVATE,
    PRIVATE_VARIABLE,
    HealthCheck,
    NotProvenError,
    Progress,
    Request,
    salted_digest,
)
from components.commands.ssh_session import SshTarget
from tests.support.requests import DEFAULTS, made_request
from toolchain.places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

TARGET: dict[str, Any] = {"host": "h", "port": 22, "user": "ops", "known_hosts": "/pins", "host_key_alias": "web"}
BUCKET = {"kind": "s3", "bucket": "b", "key": "k", "region": "r", "profile": ""}
FOLDER = {"path": "/a", "written": ""}


def test_nothing_but_a_request_is_accepted() -> None:
    command = [sys.executable, "-m", "components.commands.reprovision"]
    done = subprocess.run(command, input="{}", capture_output=True, text=True, cwd=ROOT, env={**os.environ})
    assert done.returncode == 2
    assert "stdin is not a request" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_is_told_is_utf_8_wherever_it_runs(encoding: str) -> None:
    """Pulumi's command plugin fails at anything else after the command has run."""
    command = [sys.executable, "components/commands/__main__.py", "reprovision"]
    done = subprocess.run(
        command,
        input=b'{"target": {"\xc3\xa9\\u00e9": 1}}',
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert "argument 'éé'" in done.stderr.decode()


@pytest.mark.parametrize(
    ("place", "writer"), [(None, None), (FOLDER, FolderWriter(**FOLDER)), (BUCKET, BucketWriter(**BUCKET))]
)
def test_a_request_is_read_as_it_was_written(place: dict[str, str] | None, writer: object) -> None:
    check: dict[str, Any] = {"name": "up", "subject": "true", "seconds": 5}
    document: dict[str, Any] = {
        **DEFAULTS, "target": TARGET, "content": packed("{}"), "place": place, "keep": ["/a"], "health": [check],
    }  # fmt: skip
    wanted = made_request(target=SshTarget(**TARGET), place=writer, keep=("/a",), health=(HealthCheck(**check),))
    request = Request.from_json(document)  # as earlier versions wrote it
    assert request == wanted and request.text == "{}"
    del document["content"]
    document |= {"object_sha512": wanted.object_sha512, "object_bytes": 2}
    private = {name: document.pop(name) for name in PRIVATE if name in document}
    request = Request.from_json(document, json.dumps(private))
    assert replace(request, content=wanted.content) == wanted
    assert (request.object_sha512, request.content.size) == (wanted.object_sha512, 2)
    assert request.signers == ()
    assert Request.from_json({**document, "signers": ["key"]}).signers == ("key",)


def test_an_objects_text_is_read_where_it_lies_and_counts_if_it_has_the_hash(tmp_path: Path) -> None:
    wanted, stored = Content.of("wanted"), tmp_path / "stored"
    target = {**TARGET, "known_hosts": str(tmp_path / "known_hosts" / "web")}
    fields = {"object_sha512": wanted.sha512, "object_bytes": 6, "place": {**FOLDER, "path": str(stored)}}
    document = {name: value for name, value in {**DEFAULTS, "target": target, **fields}.items() if name != "content"}
    kept = path_of(tmp_path, "web", wanted.sha512)

    with pytest.raises(NotProvenError) as failure:
        _ = Request.from_json(document).text
    assert str(failure.value) == f"the object of web can't be read: [Errno 2] No such file or directory: '{stored}'"
    assert failure.value.advice == "nothing was staged; run 'pulumi up', which writes it again"
    assert not failure.value.rolls_back
    stored.write_text("another")
    with pytest.raises(NotProvenError, match="it is not in its store, and no file of this run has it"):
        _ = Request.from_json(document).text
    wanted.keep(kept)
    assert kept.stat().st_mode & 0o777 == 0o600
    request = Request.from_json(document)
    assert (request.text, request.object_sha512) == ("wanted", wanted.sha512)
    forget(kept)
    assert not kept.parent.exists() and request.text == "wanted"
    stored.write_text("wanted")
    assert Request.from_json(document).text == "wanted"


def test_what_states_and_outside_programs_know_of_a_request() -> None:
    assert PRIVATE == ("health", "drain", "restore", "report", "salt"), "the other fields are plain in the state"
    assert PRIVATE_VARIABLE == "PULUMI_FLATCAR_PRIVATE"
    assert NEVER_ANSWERED == 3


def test_an_unsalted_id_of_an_earlier_version_is_known_by_its_digest() -> None:
    document = {**DEFAULTS, "target": TARGET, "content": packed("{}"), "salt": "s", "unsalted_id": "abc"}
    assert Request.from_json(document).unsalted == salted_digest("abc", "s")
    del document["salt"]
    assert Request.from_json(document).unsalted == salted_digest("abc", "")
    assert salted_digest("abc", "s") == hashlib.sha512(b"s abc").hexdigest()


@pytest.mark.parametrize(
    ("oem", "config", "fetched"), [("", "", "tftp://o"), ("config", "é", ""), ("pointer", "{p}", "tftp://o")]
)
def test_what_a_host_has_in_place_of_user_data(oem: str, config: str, fetched: str) -> None:
    request = made_request(oem=oem, content="é", user_data="{p}", source="tftp://o")
    assert (request.oem_config, request.fetched_from) == (config, fetched)
    assert request.object_sha512 == hashlib.sha512("é".encode()).hexdigest()


def test_what_a_config_declares_is_told_once() -> None:
    content = '{"files":[{"path":"/a b"},{"path": "/c"}],"units":[{"name":"u.service"},{"name":"u.service"}],"x":"y"}'
    assert made_request(content=content).declared == ("p /a b", "p /c", "n u.service")


def test_an_advice_holds_for_a_machine_that_is_back_unless_there_is_another() -> None:
    plain, other = NotProvenError("m", "a"), NotProvenError("m", "a", rolls_back=False, back_advice="b")
    assert (str(plain), plain.advice, plain.back_advice) == ("m", "a", "a")
    assert (plain.rolls_back, plain.has_booted) == (True, False)
    assert (other.advice, other.back_advice, other.rolls_back) == ("a", "b", False)


def test_a_run_says_so_much_and_then_that_more_was_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("web")
    for number in range(MOST_TOLD // 40 + 2):  # each line is as long, its end counted
        progress.say(f"line {number:06} of a run".ljust(26, "."))
    *lines, last = capsys.readouterr().err.splitlines()
    assert {len(line) + 1 for line in lines} == {40} and len(lines) == MOST_TOLD // 40
    assert last == LEFT_OUT


def test_a_long_line_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    Progress("web").say("x" * 2000)
    assert len(capsys.readouterr().err) == 1000 + len("\n")


def test_of_what_others_say_the_beginning_and_the_end_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"line {number:04}" for number in range(30)]
    Progress("web").pass_on(lines, most=100)
    assert capsys.readouterr().err.splitlines() == [*lines[:10], LEFT_OUT, *lines[-5:]]
