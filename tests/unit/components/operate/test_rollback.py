"""What a machine can go back to: what was proven and is still there, and which of it is meant."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from components.audit.records import Record
from components.commands.objects.bucket import BucketWriter
from components.commands.objects.folder import FolderWriter
from components.commands.reprovision.request import NotProvenError
from components.operate import rollback
from components.operate.rollback import NoVersionError, ProvenVersion, former, named, versions_of, write_pinned
from tests.support.machine_configs import made_config
from tests.support.requests import made_request

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "variant: flatcar\nversion: 1.0.0\nstorage: {files: [{path: /etc/motd, contents: {inline: NAME}}]}\n"
MADE = {name: made_config(HEAD.replace("NAME", name)) for name in ("first", "second", "third", "failed")}
IDS = {name: made.config_id for name, made in MADE.items()}


def _found(record: Record) -> list[ProvenVersion]:
    return versions_of(record, lambda _: None)


def sha512(name: str) -> str:
    return hashlib.sha512(MADE[name].text.encode()).hexdigest()


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Record:
    """A machine that runs the third config, after a fourth that failed. It answers nobody."""

    def of_machine(*_: object) -> bytes:
        raise NotProvenError("it is off", "")

    monkeypatch.setattr(rollback, "_of_machine", of_machine)
    writer = FolderWriter(path=str(tmp_path / "objects/web/config.ign"), written="2025-01-31T12:00:00.000000Z")
    for made in MADE.values():
        writer.put(made.text)
        os.utime(writer.path)
    return Record(
        request=made_request(place=writer),
        proven_boot_id="b",
        proven_os_version="1",
        proven_config_id=IDS["third"],
        proven_objects=tuple(map(sha512, ("third", "second", "first"))),
        declared_id=IDS["failed"][:12],
    )


def test_what_was_proven_and_is_in_the_store_is_listed_the_last_one_first(record: Record) -> None:
    found = versions_of(record, pytest.fail)
    assert [version.proven.config_id for version in found] == [IDS["third"], IDS["second"], IDS["first"]]
    assert re.fullmatch(rf"{IDS['third'][:12]}  20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ in its store", str(found[0]))


def test_what_cannot_be_asked_is_noted(record: Record, tmp_path: Path) -> None:
    notes: list[str] = []
    (tmp_path / "objects/web/config.ign").unlink()
    (tmp_path / "objects/web/config.ign").mkdir()
    shutil.rmtree(tmp_path / "objects/.versions")
    assert versions_of(record, notes.append) == []
    assert notes == ["the machine can't be asked: it is off"]
    bucket = BucketWriter(kind="spaces", bucket="b", key="k", region="fra1")
    notes.clear()
    assert versions_of(dataclasses.replace(record, request=made_request(place=bucket)), notes.append) == []
    assert notes[0].startswith("its store can't be asked: SPACES_ACCESS_KEY_ID and ")


def test_the_machine_itself_has_what_the_store_has_no_more(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "_of_machine", lambda *_: MADE["third"].text.encode())
    found = versions_of(dataclasses.replace(record, request=made_request(place=None)), pytest.fail)
    assert [(version.proven.config_id, version.place) for version in found] == [
        (IDS["third"], "the machine's last good config")
    ]


def test_what_was_never_proven_from_here_counts_for_nothing(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollback, "_of_machine", lambda *_: b'{"storage": {"files": []}}')
    unknown = dataclasses.replace(record, proven_objects=(sha512("first") + "0",))
    assert versions_of(unknown, pytest.fail) == []
    notes: list[str] = []
    assert versions_of(dataclasses.replace(record, proven_objects=()), notes.append) == []
    assert notes == ["there is no record yet of what was proven: the next `pulumi up` makes it"]


def test_without_a_name_it_is_the_last_good_one_or_after_a_proof_the_one_before(record: Record) -> None:
    found = versions_of(record, lambda _: None)
    went_well = dataclasses.replace(record, declared_id=IDS["third"][:12])
    assert former(record, found, is_pinned=False).proven.config_id == IDS["third"]
    assert former(record, found, is_pinned=True).proven.config_id == IDS["third"]
    assert former(went_well, found, is_pinned=False).proven.config_id == IDS["second"]
    with pytest.raises(NoVersionError, match="has gone back already; name another version by TO=, or TO=none"):
        former(went_well, found, is_pinned=True)
    with pytest.raises(NoVersionError, match="has a config that was proven before; there are:\n  "):
        former(went_well, found[:1], is_pinned=False)
    with pytest.raises(NoVersionError, match=f"has its last good config {IDS['third'][:12]}; there is none"):
        former(record, [], is_pinned=False)


def test_a_name_is_a_config_id_or_the_stores_own(record: Record) -> None:
    found = [dataclasses.replace(version, name=f"v{number}") for number, version in enumerate(_found(record))]
    assert named(record, found, IDS["first"][:6]) is found[2]
    assert named(record, found, IDS["first"]) is found[2]
    assert named(record, found, "v1") is found[1]
    for name in (IDS["first"][:5], IDS["failed"], "x" * 12):
        with pytest.raises(NoVersionError, match=rf"web has no proven version {name}; there are:\n  "):
            named(record, found, name)


def test_what_is_pinned_is_for_its_owner_and_overwrites_itself(record: Record, tmp_path: Path) -> None:
    version = versions_of(record, lambda _: None)[2]
    for _ in range(2):
        file = write_pinned(tmp_path / "stacks/pinned", "web", version)
        assert file.read_text() == MADE["first"].text
        assert (file.stat().st_mode & 0o777, file.name) == (0o600, version.proven.file_name("web"))
        file.chmod(0o644)
    assert (tmp_path / "stacks/pinned/.gitignore").read_text().endswith("\n*.secret.ign\n")
