"""Lint: each rule in a config that breaks it and in one that doesn't."""

from __future__ import annotations

import json
from typing import Any

import pytest

from cl.transpiler import transpile
from cl.transpiler.lint import Rule, Situation, lint

HEAD = "variant: flatcar\nversion: 1.1.0\n"
KEY = "passwd: {users: [{name: core, ssh_authorized_keys: [k]}]}\n"


def config(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(transpile(HEAD + text).unwrap())
    return loaded


def found(text: str, situation: Situation | None = None, **more: Any) -> list[tuple[str, str]]:
    return [(entry.severity, entry.path) for entry in lint(config(text), situation or Situation(), **more)]


KEPT = Situation(is_kept=lambda path: path.startswith("/var/log"))


@pytest.mark.parametrize(
    ("text", "situation", "expected"),
    [
        ("storage: {files: [{path: /var/log/a, contents: {inline: a}}]}", KEPT, [("error", "$.storage.files.0")]),
        ("storage: {links: [{path: /var/log/a, target: b}]}", KEPT, [("error", "$.storage.links.0")]),
        ("storage: {files: [{path: /var/log/a, overwrite: true, contents: {inline: a}}]}", KEPT, []),
        ("storage: {files: [{path: /var/log/a}, {path: /a, contents: {inline: a}}]}", KEPT, []),
        (
            "storage: {filesystems: [{device: /dev/vdb, format: ext4, wipe_filesystem: true}]}",
            None,
            [("error", "$.storage.filesystems.0")],
        ),
        (
            "storage: {filesystems: [{device: /dev/disk/by-label/ROOT, format: ext4, wipe_filesystem: true}]}",
            None,
            [],
        ),
        ("storage: {filesystems: [{device: /dev/vdb, format: ext4}]}", None, []),
        ("storage: {disks: [{device: /dev/vdb, wipe_table: true}]}", None, [("error", "$.storage.disks.0")]),
        ("storage: {luks: [{name: a, device: /dev/b, wipe_volume: true}]}", None, [("error", "$.storage.luks.0")]),
        (
            "storage: {files: [{path: /a, contents: {source: 'https://u:p@h/x?y'}, append: [{source: s3://b/k}]}]}",
            None,
            [("warning", "$.storage.files.0.contents"), ("warning", "$.storage.files.0.append.0")],
        ),
        (
            "storage: {luks: [{name: a, device: /dev/b, key_file: {source: tftp://h/k}}]}",
            None,
            [("warning", "$.storage.luks.0.keyFile")],
        ),
        (
            "ignition: {config: {merge: [{source: https://h/x}], replace: {source: https://h/y}}}",
            None,
            [("error", "$.ignition.config.replace"), ("warning", "$.ignition.config.merge.0")],
        ),
        ("", Situation(ssh_user="core"), [("error", "$.passwd.users")]),
        (KEY, Situation(ssh_user="core"), []),
        (KEY, Situation(ssh_user="ada"), [("error", "$.passwd.users")]),
        (
            "storage: {files: [{path: /home/core/.ssh/authorized_keys.d/x, contents: {inline: k}}]}",
            Situation(ssh_user="core"),
            [],
        ),
        ("", Situation(managed_rollouts=True), [("warning", "$.storage.files")]),
        (
            'storage: {files: [{path: /etc/flatcar/update.conf, contents: {inline: "A=x\\nREBOOT_STRATEGY=off\\n"}}]}',
            Situation(managed_rollouts=True),
            [],
        ),
        (
            'storage: {files: [{path: /etc/flatcar/update.conf, contents: {inline: "REBOOT_STRATEGY=off\\n'
            + "#\\n" * 200
            + '"}}]}',
            Situation(managed_rollouts=True),
            [],
        ),
        (
            "storage: {files: [{path: /etc/flatcar/update.conf, contents: {source: https://h/x}}]}",
            Situation(managed_rollouts=True),
            [("warning", "$.storage.files.0.contents"), ("warning", "$.storage.files")],
        ),
        ("systemd: {units: [{name: locksmithd.service, mask: true}]}", Situation(managed_rollouts=True), []),
    ],
)
def test_rule(text: str, situation: Situation | None, expected: list[tuple[str, str]]) -> None:
    assert found(text, situation) == expected


def test_the_limit_of_a_store() -> None:
    situation = Situation(limit=100, limit_of="user data")
    assert found("", situation, size=100) == []
    (entry,) = lint(config(""), situation, size=101, filename="web.yaml")
    assert (entry.severity, entry.path, entry.filename) == ("error", "$", "web.yaml")
    assert "101" in entry.message
    assert "user data" in entry.message


def test_each_finding_says_what_to_do_and_shows_no_secret() -> None:
    text = "storage: {files: [{path: /a, contents: {source: 'https://user:secret@host/x?token=secret'}}]}"
    (entry,) = lint(config(text), Situation())
    assert entry.hint
    assert "secret" not in entry.message


def test_a_rule_can_be_taken_back() -> None:
    text = "storage: {disks: [{device: /dev/vdb, wipe_table: true}]}"
    assert found(text, allow={Rule.WIPE}) == []
    assert found(text, allow=set(Rule) - {Rule.WIPE}) != []
