"""What a pinned machine gets: the proven object byte for byte, and no other file for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pulumi
import pytest

from components.payload import rules
from components.payload.masking import MASK
from components.payload.pinned_config import ProvenObject, pinned_config, read_pinned
from components.settings.lifecycle import Lifecycle
from tests.support.machine_configs import config_args, made_config

TEXT = """\
variant: flatcar
version: 1.0.0
systemd: {units: [{name: locksmithd.service, mask: true}]}
storage:
  files:
    - {path: /etc/motd, contents: {inline: "KEY"}}
"""


def proven(key: str = "hello", **more: Any) -> ProvenObject:
    made = made_config(TEXT.replace("KEY", key), rollback_after=300, **more)
    found = ProvenObject.of(made.text.encode())
    assert (found.config_id, found.text) == (made.config_id, made.text)
    return found


def test_the_object_is_taken_byte_for_byte_and_shown_as_its_config_would_be() -> None:
    before = proven()
    config = pinned_config(config_args("", generation=3), before, "web.ign")
    assert (config.config_id, config.text, config.salt) == (before.config_id, before.text, None)
    files: Any = config.summary["files"]
    assert [*files] == ["/etc/motd"], "this project's own files are left out"
    assert "hello" in str(files)


def test_of_an_object_with_secrets_nothing_is_shown_and_its_name_keeps_it_out_of_repositories() -> None:
    with_token = proven("${token}", secrets={"token": "hunter2-hunter2"}, salt="ab" * 32)
    assert with_token.has_secrets and with_token.file_name("web").endswith(".secret.ign")
    files: Any = pinned_config(config_args(""), with_token, "web.ign").summary["files"]
    assert [*files] == [MASK]
    key = proven("-----BEGIN PRIVATE KEY-----")
    assert key.has_secrets and key.sensitive == ["/etc/motd"] and not key.is_salted
    assert not proven().has_secrets and ".secret" not in proven().file_name("web")


def test_a_file_is_taken_for_its_machine_alone_and_as_it_was_written(tmp_path: Path) -> None:
    before = proven()
    file = tmp_path / before.file_name("web")
    file.write_text(before.text)
    assert read_pinned(file, "web") == before
    short = before.config_id[:12]
    for name, machine, text, said in (
        (file.name, "db", before.text, f"pinned for db: by what it holds it would be called db-{short}-"),
        (file.name, "web", before.text.replace("hello", "howdy"), "is not what was pinned for web: "),
        ("web.ign", "web", before.text, f"`make rollback MACHINE=web TO={short}` writes it anew"),
        (file.name, "web", "{}", "is no object that `make rollback` has written: there is no /etc/flatcar/conf"),
        (file.name, "web", "[", "is no object that `make rollback` has written: "),
        ("no/such", "web", "", "can't be read: No such file"),
    ):  # fmt: skip
        if "/" not in name:
            (tmp_path / name).write_text(text)
        with pytest.raises(pulumi.RunError) as caught:
            read_pinned(tmp_path / name, machine)
        assert said in str(caught.value)


def test_what_would_do_harm_with_the_settings_of_today_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", told.append)
    monkeypatch.setattr(rules, "_shown", set())
    reformat = proven(lifecycle=Lifecycle.REFORMAT)
    pinned_config(config_args("", lifecycle=Lifecycle.REFORMAT), reformat, "web.ign")
    with pytest.raises(pulumi.RunError) as caught:
        pinned_config(config_args("", lifecycle=Lifecycle.RESET), reformat, "web.ign")
    assert "web.ign would do harm when the machine runs it again" in str(caught.value)
    assert "ROOT is erased each time the config runs again" in str(caught.value)
    with pytest.raises(pulumi.RunError, match="core has no SSH key in the config"):
        pinned_config(config_args("", platform_user=None), proven(), "web.ign")
    assert told == []


def test_the_bytes_are_those_of_json_that_ignition_reads() -> None:
    assert json.loads(proven().text)["ignition"]["version"] == "3.3.0"
