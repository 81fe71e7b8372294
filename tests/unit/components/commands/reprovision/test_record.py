"""What the deployer remembers of a machine: it comes back as it was left, and answers the same request alone."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from components.commands.reprovision.record import LOOKED_AT, Record
from components.commands.reprovision.request import HealthCheck, Outputs, Request
from components.commands.ssh_session import SshTarget
from tests.support.requests import made_request

OUTPUTS = Outputs(
    config_id="a" * 128, boot_id="b-1", os_version="1", host_key="ssh-ed25519 AAAA", downtime_seconds=1.5,
    failed_units=("a.service",), lost=("/etc/lost",), ended_at=7.0,
)  # fmt: skip
OLD = {
    "config_id": "a", "boot_id": "b", "os_version": "1", "host_key": "", "downtime_seconds": 0, "failed_units": [],
}  # fmt: skip


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    """A request for a machine with two pinned keys, and a third that is another's."""
    pins = tmp_path / "known_hosts"
    pins.write_text("web ssh-rsa BBBB\nweb ssh-ed25519 AAAA\nother ssh-ed25519 CCCC\n")
    target = SshTarget(host="h", port=22, user="core", known_hosts=str(pins), host_key_alias="web")
    return made_request(target=target, version="v1")


def previous(text: str) -> Record | None:
    return Record.previous({"PULUMI_COMMAND_STDOUT": text})


def test_a_record_comes_back_as_it_was_left(request_: Request) -> None:
    record = Record.of(request_, OUTPUTS, None)
    assert record.host_keys == ("ssh-ed25519 AAAA", "ssh-rsa BBBB")
    assert record.objects == (request_.object_sha512,)
    assert json.loads(record.text())["record"]["wanted"] == {
        "config_id": "a" * 128, "lifecycle": "reset", "version": "v1", "host_key_alias": "web",
    }  # fmt: skip
    assert previous(f"a line before it\n{record.text()}\n") == record


def test_what_an_earlier_version_remembered_of_the_config_is_passed_over(request_: Request) -> None:
    record = Record.of(request_, OUTPUTS, None)
    document = json.loads(record.text())
    document["record"]["manifest"] = {"paths": [{"path": "/etc/a", "kind": "file"}]}
    assert previous(json.dumps(document)) == record


def test_the_record_of_an_older_version_has_outputs_alone() -> None:
    record = previous(json.dumps(OLD))
    assert record == Record(outputs=Outputs(**{**OLD, "failed_units": (), "lost": ()}))  # type: ignore[arg-type]
    assert not record.answers(made_request()) and not record.is_of(made_request())


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", "7", json.dumps({**OLD, "record": []}),
                                  json.dumps({**OLD, "new": 1})])  # fmt: skip
def test_what_is_no_record_is_none(text: str) -> None:
    assert previous(text) is None
    assert Record.previous({}) is None


@pytest.mark.parametrize("change", [{"config_id": "c" * 128}, {"lifecycle": "flag"}, {"version": "v2"}])
def test_another_request_is_not_answered(request_: Request, change: dict[str, Any]) -> None:
    record = Record.of(request_, OUTPUTS, None)
    assert record.answers(request_) and record.answers(replace(request_, timeout=99, keep=("/a",)))
    assert not record.answers(replace(request_, **change))
    assert record.is_of(replace(request_, **change))


def test_a_machine_that_was_made_anew_is_another_one(request_: Request) -> None:
    record = Record.of(request_, OUTPUTS, None)
    anew = replace(request_, target=replace(request_.target, host_key_alias="web-2"))
    assert not record.answers(anew) and not record.is_of(anew)


def test_the_last_four_objects_that_were_proven_are_remembered(request_: Request) -> None:
    before = replace(Record.of(request_, OUTPUTS, None), objects=("1", "2", "3", "4"))
    assert Record.of(request_, OUTPUTS, before).objects == (request_.object_sha512, "1", "2", "3")
    known = replace(before, objects=("1", request_.object_sha512, "3"))
    assert Record.of(request_, OUTPUTS, known).objects == (request_.object_sha512, "1", "3")
    stayed = replace(OUTPUTS, config_id="d" * 128)
    assert Record.of(request_, stayed, before).objects == ("1", "2", "3", "4")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"health": (HealthCheck(name="up", subject="true", seconds=5),)}, "health"),
        ({"allow_degraded": True}, "health"),
        ({"power_on": "2"}, "power_on"),
    ],
)
def test_what_a_look_at_the_machine_answers_is_told_apart(request_: Request, change: dict[str, Any], name: str) -> None:
    assert Record.of(request_, OUTPUTS, None).changed(replace(request_, **change)) == {name} < LOOKED_AT
