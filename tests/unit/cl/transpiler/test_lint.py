"""Lint: each rule in a config that breaks it and in one that doesn't."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from cl.transpiler import transpile
from cl.transpiler.lint import OneDevice, Rule, Situation, lint

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.covering

HEAD = "variant: flatcar\nversion: 1.1.0\n"
KEY = "passwd: {users: [{name: core, ssh_authorized_keys: [k]}]}\n"
KEYS = "passwd: {users: [{name: core, ssh_authorized_keys: ['from=\"10.0.0.0/8\" ssh-ed25519 AAAA= me', sk-x@y BB]}]}\n"
CA = "storage: {files: [{path: /etc/ssh/sshd_config.d/ca.conf, contents: {inline: 'TrustedUserCAKeys /etc/ca'}}]}\n"
AUTHORITY = "passwd: {users: [{name: core, ssh_authorized_keys: [cert-authority ssh-ed25519 AAAA]}]}\n"
KEY_FILE = "storage: {files: [{path: /home/core/.ssh/authorized_keys.d/x, contents: "


def _logs_in(key: str, **more: Any) -> Situation:
    return Situation(ssh_user="core", ssh_key=key, **more)


def config(text: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(transpile(HEAD + text).unwrap())
    return loaded


def found(text: str, situation: Situation | None = None, **more: Any) -> list[tuple[str, str]]:
    return [(entry.severity, entry.path) for entry in lint(config(text), situation or Situation(), **more)]


STORE = "/dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_AWS"
KEPT = Situation(is_kept=lambda path: path.startswith("/var/log"))


@pytest.mark.parametrize(
    ("text", "situation", "expected"),
    [
        (
            "storage: {files: [{path: /var/log/a, overwrite: false, contents: {inline: a}}]}",
            KEPT,
            [("error", "$.storage.files.0")],
        ),
        ("storage: {files: [{path: /a, overwrite: false, contents: {inline: a}}]}", KEPT, []),
        (
            "storage: {links: [{path: /var/log/a, overwrite: false, target: b}]}",
            KEPT,
            [("error", "$.storage.links.0")],
        ),
        (
            "storage: {files: [{path: /var/log/a, contents: {inline: a}}], links: [{path: /var/log/b, target: b}]}",
            KEPT,
            [],
        ),
        ("storage: {files: [{path: /oem/grub.cfg, append: [{inline: a}]}]}", None, [("warning", "$.storage.files.0")]),
        ("storage: {files: [{path: /oem, append: [{inline: a}]}]}", None, []),
        (
            (
                "storage: {filesystems: [{device: /dev/b, format: xfs, path: /srv}], files: [{path: /srv/a, append: "
                "[{inline: a}]}, {path: /srv/b, overwrite: false, contents: {inline: b}}, {path: /srv2/a, append: "
                "[{inline: a}]}]}"
            ),
            None,
            [("warning", "$.storage.files.0"), ("error", "$.storage.files.1")],
        ),
        (
            (
                "storage: {filesystems: [{device: /dev/disk/by-label/ROOT, format: ext4, path: /}], files: [{path: /a, "
                "append: [{inline: a}]}]}"
            ),
            None,
            [],
        ),
        (
            (
                f"storage: {{filesystems: [{{device: {STORE}, format: xfs, path: /srv, wipe_filesystem: true}}], "
                "files: [{path: /srv/a, append: [{inline: a}]}]}"
            ),
            None,
            [],
        ),
        ("storage: {files: [{path: /var/log/a, overwrite: true, contents: {inline: a}}]}", KEPT, []),
        ("storage: {files: [{path: /var/log/a}, {path: /a, contents: {inline: a}}]}", KEPT, []),
        (
            "storage: {files: [{path: /var/log/a, append: [{inline: a}]}, {path: /b, append: [{inline: b}]}]}",
            KEPT,
            [("warning", "$.storage.files.0")],
        ),
        (
            "storage: {files: [{path: /var/log/a, overwrite: true, contents: {inline: a}, append: [{inline: a}]}]}",
            KEPT,
            [],
        ),
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
        (
            "storage: {filesystems: [{device: /dev/disk/by-label/ROOT, format: ext4, wipe_filesystem: true}]}",
            Situation(root_is_kept=True),
            [("error", "$.storage.filesystems.0")],
        ),
        ("storage: {luks: [{name: a, device: /dev/b, key_file: {inline: k}}], disks: [{device: /dev/vdb}]}", None, []),
        ("storage: {disks: [{device: /dev/vdb, wipe_table: true}]}", None, [("error", "$.storage.disks.0")]),
        ("storage: {luks: [{name: a, device: /dev/b, wipe_volume: true}]}", None, [("error", "$.storage.luks.0")]),
        ("storage: {filesystems: [{device: /dev/vdb, format: swap, wipe_filesystem: true}]}", None, []),
        (
            "storage: {filesystems: [{device: /dev/vdb, format: ext4, label: ROOT, wipe_filesystem: true}]}",
            Situation(root_is_kept=True),
            [("error", "$.storage.filesystems.0")],
        ),
        ("storage: {filesystems: [{device: /dev/vdb, format: ext4, label: ROOT, wipe_filesystem: true}]}", None, []),
        (  # the root has moved to another disk
            (
                "storage: {filesystems: [{device: /dev/disk/by-partlabel/ROOT, format: ext4, label: OLD, "
                "wipe_filesystem: true}, {device: /dev/vdb, format: ext4, label: ROOT}]}"
            ),
            Situation(root_is_kept=True),
            [],
        ),
        (
            (
                f"storage: {{disks: [{{device: {STORE}1, wipe_table: true, partitions: [{{number: 1, label: fast}}, "
                "{number: 2}]}, {device: /dev/vdb, partitions: [{number: 1, label: slow}]}], "
                f"luks: [{{name: a, device: {STORE}2, wipe_volume: true}}, "
                "{name: b, device: /dev/vdc, key_file: {inline: k}}], filesystems: ["
                "{device: /dev/disk/by-partlabel/fast, format: ext4, wipe_filesystem: true}, "
                "{device: /dev/mapper/a, format: ext4, wipe_filesystem: true}, "
                f"{{device: {STORE}3, format: ext4, wipe_filesystem: true}}]}}"
            ),
            None,
            [],
        ),
        (
            (
                "storage: {filesystems: [{device: /dev/disk/by-partlabel/slow, format: ext4, wipe_filesystem: true}], "
                "disks: [{device: /dev/vdb, partitions: [{number: 1, label: slow}]}]}"
            ),
            None,
            [("error", "$.storage.filesystems.0")],
        ),
        (
            (
                f"storage: {{raid: [{{name: a, level: raid0, devices: [{STORE}1, {STORE}2]}}, "
                f"{{name: /dev/md/b, level: raid1, devices: [{STORE}3, /dev/vdb]}}], filesystems: ["
                "{device: /dev/md/a, format: ext4, wipe_filesystem: true}, "
                "{device: /dev/md/b, format: ext4, wipe_filesystem: true}]}"
            ),
            None,
            [
                ("error", "$.storage.filesystems.1"),
                ("error", "$.storage.raid.0"),
                ("error", "$.storage.raid.1"),
            ],
        ),
        (
            "storage: {disks: [{device: /dev/vdb, partitions: [{label: a}, {number: 1}, {number: 0, label: b}]}]}",
            None,
            [("error", "$.storage.disks.0.partitions.0"), ("error", "$.storage.disks.0.partitions.2")],
        ),
        (
            "storage: {disks: [{device: /dev/vdb, wipe_table: true, partitions: [{label: a}]}]}",
            None,
            [("error", "$.storage.disks.0")],
        ),
        ("storage: {luks: [{name: a, device: /dev/b}]}", None, [("error", "$.storage.luks.0")]),
        (
            (
                "storage: {luks: [{name: a, device: /dev/b, uuid: AAAAAAAA-2222-3333-4444-555555555555, "
                "key_file: {inline: k}}]}"
            ),
            None,
            [("error", "$.storage.luks.0")],
        ),
        (
            (
                "storage: {luks: [{name: a, device: /dev/b, uuid: aaaaaaaa-2222-3333-4444-555555555555, "
                "key_file: {inline: k}}]}"
            ),
            None,
            [],
        ),
        (
            "storage: {filesystems: [{device: /dev/vdb, format: none}]}",
            None,
            [("error", "$.storage.filesystems.0")],
        ),
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
        (KEYS, _logs_in("ssh-ed25519 AAAA="), []),
        (KEYS, _logs_in("sk-x@y BB"), []),
        (KEYS, _logs_in(""), []),
        (KEYS, _logs_in("ssh-ed25519 BBBB"), [("error", "$.passwd.users")]),
        (KEYS, _logs_in("ssh-ed25519 BBBB", other_ssh_keys=True), [("warning", "$.passwd.users")]),
        (KEYS + CA, _logs_in("ssh-ed25519 BBBB"), [("warning", "$.passwd.users")]),
        (CA, _logs_in("ssh-ed25519 BBBB"), [("warning", "$.passwd.users")]),
        (AUTHORITY, _logs_in("ssh-ed25519 BBBB"), [("warning", "$.passwd.users")]),
        (KEY, _logs_in("ssh-ed25519 BBBB"), []),  # its text may be known later
        (KEY_FILE + "{inline: ssh-ed25519 BB me}}]}", _logs_in("ssh-ed25519 BB"), []),
        (KEY_FILE + "{inline: ssh-ed25519 BB me}}]}", _logs_in("ssh-ed25519 CC"), [("error", "$.passwd.users")]),
        (
            KEY_FILE + "{source: https://h/k}}]}",
            _logs_in("ssh-ed25519 CC"),
            [("warning", "$.storage.files.0.contents")],
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


@pytest.mark.parametrize(
    ("text", "situation", "severity", "message", "hint"),
    [
        (
            "storage: {files: [{path: /var/log/a, overwrite: false, contents: {inline: a}}]}",
            KEPT,
            "error",
            "/var/log/a survives the next run, which may not overwrite it: Ignition fails, after the wipe",
            "leave out overwrite: false, or keep less; if it is meant so: allow: [kept]",
        ),
        (
            "storage: {files: [{path: /var/log/a, append: [{inline: a}]}]}",
            KEPT,
            "warning",
            "/var/log/a survives the next run, and each run appends to it once more",
            "write it whole, with contents and overwrite: true, or keep less; if it is meant so: allow: [kept]",
        ),
        (
            "storage: {filesystems: [{device: /dev/vdb, format: ext4, wipe_filesystem: true}]}",
            Situation(),
            "error",
            "the file system on /dev/vdb is erased each time the config runs again",
            (
                "without wipe_filesystem, one that fits (format, label, UUID) is used as it is; if it is meant "
                'so: allow: ["wipe:/dev/vdb"]'
            ),
        ),
        (
            "storage: {filesystems: [{device: /dev/disk/by-label/ROOT, format: ext4, wipe_filesystem: true}]}",
            Situation(root_is_kept=True),
            "error",
            "ROOT is erased each time the config runs again, with all that was to be kept on it",
            (
                "leave wipe_filesystem to the lifecycle that formats ROOT; if it is meant so: allow: "
                '["wipe:/dev/disk/by-label/ROOT"]'
            ),
        ),
        (
            "storage: {disks: [{device: /dev/vdb, wipe_table: true}]}",
            Situation(),
            "error",
            "the partition table of /dev/vdb is erased each time the config runs again",
            (
                "without wipe_table, partitions that have a number and fit are used as they are; if it is meant "
                'so: allow: ["wipe:/dev/vdb"]'
            ),
        ),
        (
            "storage: {luks: [{name: a, device: /dev/b, wipe_volume: true}]}",
            Situation(),
            "error",
            "the encrypted volume a is erased each time the config runs again",
            (
                "without wipe_volume, one that its key_file opens is used as it is (not so with clevis); if it is "
                'meant so: allow: ["wipe:/dev/b"]'
            ),
        ),
        (
            "storage: {disks: [{device: /dev/vdb, partitions: [{number: 1}, {label: a}]}]}",
            Situation(),
            "error",
            "partition 'a' of /dev/vdb has no number: each run makes another one, and fails once none fits",
            'set its number, 2 if `lsblk` on the machine shows no other; if it is meant so: allow: ["disks:/dev/vdb"]',
        ),
        (
            "storage: {raid: [{name: a, level: raid1, devices: [/dev/vdb, /dev/vdc]}]}",
            Situation(),
            "error",
            "the array a is created anew by each run: that fails, or takes old data for new ones",
            (
                "mdadm finds it busy where it is assembled, and else copies the first member, be it the one that "
                "failed; make it once, by a unit: `blkid -p /dev/vdb || mdadm --create /dev/md/a …`; if it is "
                'meant so: allow: ["disks:/dev/md/a"]'
            ),
        ),
        (
            "storage: {luks: [{name: a, device: /dev/b}]}",
            Situation(),
            "error",
            (
                "the encrypted volume a has no key_file: each run makes a new key, and Ignition refuses the "
                "volume that the last one made"
            ),
            'give it a key_file; if it is meant so: allow: ["disks:/dev/b"]',
        ),
        (
            (
                "storage: {luks: [{name: a, device: /dev/b, uuid: AAAAAAAA-2222-3333-4444-555555555555, key_file: "
                "{inline: k}}]}"
            ),
            Situation(),
            "error",
            (
                "the encrypted volume a has a UUID in capitals: cryptsetup gives it in small letters, and "
                "Ignition refuses the volume as another"
            ),
            'write the UUID in small letters; if it is meant so: allow: ["disks:/dev/b"]',
        ),
        (
            "storage: {filesystems: [{device: /dev/vdb, format: none}]}",
            Situation(),
            "error",
            "/dev/vdb has the format none: once a file system is on it, the next run fails",
            (
                "leave this entry out: Ignition makes nothing on a device that it isn't told of; if it is meant "
                'so: allow: ["disks:/dev/vdb"]'
            ),
        ),
        (
            "ignition: {config: {replace: {source: 'https://h/y'}}}",
            Situation(),
            "error",
            "the config replaces itself by another one: what is checked here never runs, nor is it proven to run",
            "point the machine at that config itself; if it is meant so: allow: [replace]",
        ),
        (
            "storage: {files: [{path: /a, contents: {source: 'https://u:p@h/x?token=secret'}}]}",
            Situation(),
            "warning",
            "https://h/x is fetched after the wipe: if it can't be, the machine stays down",
            (
                "put short contents into the config (local:, inline:), long ones where the machine's object is, with a "
                "verification.hash; if it is meant so: allow: [remote]"
            ),
        ),
        (
            "",
            Situation(ssh_user="core"),
            "error",
            "core has no SSH key in the config: after the wipe nobody can log in",
            "give core ssh_authorized_keys; if it is meant so: allow: [login]",
        ),
        (
            KEYS,
            _logs_in("ssh-ed25519 AAAA0123456789ab"),
            "error",
            (
                "core has other SSH keys in the config than the one that logs in, ssh-ed25519 …0123456789ab: the "
                "machine would not let it in"
            ),
            (
                'give core ssh_authorized_keys with that key too ("${ssh_public_key}"), or log in with a key that is '
                "there; if it is meant so: allow: [login]"
            ),
        ),
        (
            KEYS,
            _logs_in("ssh-ed25519 BBBB", other_ssh_keys=True),
            "warning",
            (
                "core has other SSH keys in the config than the one that is known to log in; assumed is that ssh-agent "
                "or the SSH configuration of who logs in offers one of them"
            ),
            (
                "give core ssh_authorized_keys: ${ssh_public_key} is the one that is known; if it is meant so: "
                "allow: [login]"
            ),
        ),
        (
            CA,
            _logs_in("ssh-ed25519 BBBB"),
            "warning",
            (
                "core has no SSH key in the config; assumed is that TrustedUserCAKeys in /etc/ssh/sshd_config.d/"
                "ca.conf lets the login in"
            ),
            (
                "give core ssh_authorized_keys: ${ssh_public_key} is the one that is known; if it is meant so: "
                "allow: [login]"
            ),
        ),
        (
            AUTHORITY,
            _logs_in("ssh-ed25519 BBBB"),
            "warning",
            (
                "core has other SSH keys in the config than the one that is known to log in; assumed is that a "
                "certificate of the cert-authority there is offered"
            ),
            (
                "give core ssh_authorized_keys: ${ssh_public_key} is the one that is known; if it is meant so: "
                "allow: [login]"
            ),
        ),
        (
            CA.replace("/etc/ssh/", "/opt/notes/"),
            _logs_in("ssh-ed25519 BBBB"),
            "error",
            "core has no SSH key in the config: after the wipe nobody can log in",
            "give core ssh_authorized_keys; if it is meant so: allow: [login]",
        ),
        (
            "",
            Situation(managed_rollouts=True),
            "warning",
            "nothing says when the machine reboots after an update: it may do so in the middle of a rollout",
            "write REBOOT_STRATEGY=off into /etc/flatcar/update.conf; if it is meant so: allow: [reboot]",
        ),
        (
            "",
            Situation(limit=100, limit_of="user data"),
            "error",
            "the config has 101 bytes, user data takes 100",
            "move large contents to a place that the machine fetches them from; if it is meant so: allow: [size]",
        ),
    ],
)
def test_what_a_rule_says(text: str, situation: Situation, severity: str, message: str, hint: str) -> None:
    (entry,) = lint(config(text), situation, size=101)
    assert (entry.severity, entry.message, entry.hint) == (severity, message, hint)


def test_the_limit_of_a_store() -> None:
    situation = Situation(limit=100, limit_of="user data")
    assert found("", situation, size=100) == []
    (entry,) = lint(config(""), situation, size=101, sources=[("web.yaml", HEAD)])
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


def test_a_rule_can_be_taken_back_for_one_device() -> None:
    text = "storage: {disks: [{device: /dev/vdb, wipe_table: true, partitions: [{number: 1}]}, {device: /dev/vdc, "
    text += "wipe_table: true}, {device: /dev/vdd, partitions: [{label: a}]}]}"
    disks = [("error", f"$.storage.disks.{place}") for place in ("0", "1", "2.partitions.0")]
    assert found(text) == disks
    assert found(text, allow=[OneDevice(Rule.WIPE, "/dev/vdb")]) == disks[1:]
    assert found(text, allow=[OneDevice(Rule.WIPE, "/dev/vdb"), OneDevice(Rule.DISKS, "/dev/vdd")]) == [disks[1]]
    assert found(text, allow=[OneDevice(Rule.WIPE, "/dev/vdd"), OneDevice(Rule.DISKS, "/dev/vdb")]) == disks
    assert found(text, allow=[Rule.WIPE, OneDevice(Rule.DISKS, "/dev/vdd")]) == []


@pytest.mark.parametrize(
    ("storage", "line", "message", "hint", "allow"),
    [
        (
            "  disks:\n    - device: /dev/vdb\n      partitions:\n        - number: 1\n        - label: data\n",
            8,
            "partition 'data' of /dev/vdb has no number: each run makes another one",
            "set its number, 2 if",
            "disks:/dev/vdb",
        ),
        (
            "  disks:\n    - device: /dev/vdb\n      wipe_table: true\n",
            5,
            "the partition table of /dev/vdb is erased",
            "partitions that have a number and fit",
            "wipe:/dev/vdb",
        ),
        (
            "  luks:\n    - name: data\n      device: /dev/vdb\n      wipe_volume: true\n",
            5,
            "the encrypted volume data is erased",
            "one that its key_file opens is used as it is",
            "wipe:/dev/vdb",
        ),
        (
            "  luks:\n    - device: /dev/vdb\n      name: data\n",
            6,
            "data has no key_file",
            "give it a key_file",
            "disks:/dev/vdb",
        ),
        (
            "  raid:\n    - devices: [/dev/vdb, /dev/vdc]\n      name: data\n      level: raid1\n",
            6,
            "the array data is created anew by each run",
            "make it once, by a unit: `blkid -p /dev/vdb || mdadm --create /dev/md/data …`",
            "disks:/dev/md/data",
        ),
        (
            "  filesystems:\n    - format: none\n      device: /dev/vdb\n",
            6,
            "/dev/vdb has the format none",
            "leave this entry out",
            "disks:/dev/vdb",
        ),
        (
            "  filesystems:\n    - format: ext4\n      device: /dev/vdb\n      wipe_filesystem: true\n",
            6,
            "the file system on /dev/vdb is erased",
            "without wipe_filesystem, one that fits",
            "wipe:/dev/vdb",
        ),
    ],
)
def test_a_finding_about_a_disk_has_its_line_and_a_way_out(
    storage: str, line: int, message: str, hint: str, allow: str
) -> None:
    source = HEAD + "storage:\n" + storage
    (entry,) = lint(config("storage:\n" + storage), Situation(), sources=[("web.yaml", source)])
    assert (entry.severity, entry.line) == ("error", line)
    assert message in entry.message
    assert hint in (entry.hint or "")
    assert (entry.hint or "").endswith(f'; if it is meant so: allow: ["{allow}"]')


@pytest.mark.parametrize(
    ("clevis", "refused"),
    [
        ({"tpm2": True}, True),
        ({"tang": [{"url": "http://t"}]}, True),
        ({"custom": {"pin": "tpm2", "config": "{}"}}, True),
        ({"custom": {}}, False),
        ({}, False),
    ],
)
def test_a_volume_that_clevis_binds_is_refused_by_the_next_run(clevis: dict[str, object], refused: bool) -> None:
    volume = {"name": "data", "device": "/dev/vdb", "clevis": clevis, "keyFile": {"source": "data:,k"}}
    report = lint({"storage": {"luks": [volume]}}, Situation())
    message = "the encrypted volume data is bound by clevis: Ignition refuses such a volume when it is there already"
    hint = "give it a key_file instead, and bind it by a unit (`clevis luks bind`); if it is meant so: allow: "
    told = [(entry.severity, entry.message, entry.hint) for entry in report]
    assert told == [("error", message, hint + '["disks:/dev/vdb"]')] * refused


def test_a_finding_stands_where_the_last_source_names_its_subject() -> None:
    base = (
        HEAD
        + "storage:\n  files:\n    - path: /a\n"
        + "    - path: &p ${where}\n      overwrite: false\n      contents: {inline: a}\n"
    )
    snippet = HEAD + "storage:\n  files:\n    - path: /var/log/b\n      overwrite: false\n      contents: {inline: b}\n"
    variables = {"where": "/var/log/a"}
    made = transpile(base, variables=variables, snippets=[snippet]).unwrap()
    sources = [("web.yaml", base), ("b.yaml", snippet)]
    report = lint(json.loads(made), KEPT, sources=sources, variables=variables)
    assert [(entry.filename, entry.line, entry.column) for entry in report] == [("web.yaml", 6, 13), ("b.yaml", 5, 13)]
    assert "6 |     - path: &p ${where}" in report.render()


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("passwd: {users: [{name: core}]}", (1, 25)),
        ("systemd: {units: [{name: core.service}]}", (None, None)),
        ('{"ignition": {"version": "3.3.0"},\n "passwd": {"users": [{"name": "core"}]}}', (2, 32)),
        ("[core]", (None, None)),
    ],
)
def test_places_in_other_sources(source: str, place: tuple[int | None, int | None]) -> None:
    (entry,) = lint(config(""), Situation(ssh_user="core"), sources=[("a", source)])
    assert (entry.filename, entry.line, entry.column) == ("a", *place)


def test_a_finding_without_a_subject_stands_in_the_first_source() -> None:
    (entry,) = lint(config(""), Situation(limit=1), size=2, sources=[("a.yaml", HEAD), ("b.yaml", HEAD)])
    assert (entry.filename, entry.line) == ("a.yaml", None)


def test_a_remote_file_of_a_container_linux_config_has_its_line() -> None:
    source = "storage:\n  files:\n    - {path: /a, filesystem: root, contents: {remote: {url: https://h/x}}}\n"
    made = json.loads(transpile(source, spec="3").unwrap())
    (entry,) = lint(made, Situation(), sources=[("w.yaml", source)])
    assert entry.line == 3


ENABLED = "/etc/flatcar/enabled-sysext.conf"


@pytest.mark.parametrize(
    ("text", "kept", "names"),
    [
        ("podman\n", "/etc/flatcar/sysext", None),
        ("# mine\npodman\n\n-docker\nzfs", "/var/log", "podman, zfs"),
        ("podman", "/etc/flatcar/oem-sysext", "podman"),
        ("-docker\n", "/var/log", None),
    ],
)
def test_images_of_extensions_that_a_reset_deletes_are_fetched_after_it(
    text: str, kept: str, names: str | None
) -> None:
    made = {"storage": {"files": [{"path": ENABLED, "contents": {"source": f"data:,{quote(text)}"}}]}}
    found = [(entry.severity, entry.path, entry.message) for entry in lint(made, Situation(is_kept=_below(kept)))]
    why = "downloaded after the wipe: if it can't be, the machine stays down"
    expected = [("warning", "$.storage.files.0", f"Flatcar's extension {names} is {why}")]
    assert found == (expected if names else [])


def _below(folder: str) -> Callable[[str], bool]:
    return lambda path: path.startswith(f"{folder}/")


def test_an_image_of_an_extension_has_its_line_and_a_way_out() -> None:
    text = f"{HEAD}storage: {{files: [{{path: /a}}, {{path: {ENABLED}, contents: {{inline: podman}}}}]}}\n"
    made = json.loads(transpile(text).unwrap())
    (entry,) = lint(made, Situation(), sources=[("web.yaml", text)])
    assert (entry.path, entry.line) == ("$.storage.files.1", 3)
    hint = "keep its image, which belongs to the OS: keep: [flatcar-extensions]; if it is meant so: allow: [remote]"
    assert entry.hint == hint
    image = "/etc/flatcar/sysext/flatcar-podman-0.raw"
    assert list(lint(made, Situation(is_kept=lambda path: path == image))) == []


def test_contents_that_cannot_be_read_name_no_strategy() -> None:
    contents = {"source": "data:;base64,bm8gZ3ppcA==", "compression": "gzip"}
    made = {"storage": {"files": [{"path": "/etc/flatcar/update.conf", "contents": contents}]}}
    (entry,) = lint(made, Situation(managed_rollouts=True))
    assert "REBOOT_STRATEGY=off" in (entry.hint or "")
    assert "allow: [reboot]" in (entry.hint or "")


@pytest.mark.parametrize(
    "device",
    [f"{STORE}1", "/dev/disk/by-id/google-local-ssd-0", "/dev/disk/azure/resource", "/dev/disk/azure/local/by-index/0"],
)
@pytest.mark.parametrize("made", ["{device}", "/dev/disk/by-id/dm-name-a", "/dev/mapper/a", "/dev/md/b"])
def test_what_a_cloud_gives_empty_may_be_erased_and_what_is_made_of_it(device: str, made: str) -> None:
    filesystem = {"device": made.format(device=device), "format": "ext4", "wipeFilesystem": True}
    luks = {"name": "a", "device": device, "wipeVolume": True}
    raid = {"name": "/dev/md/b", "level": "raid1", "devices": [device]}
    report = lint({"storage": {"filesystems": [filesystem], "luks": [luks], "raid": [raid]}}, Situation())
    assert [entry.path for entry in report] == ["$.storage.raid.0"]


@pytest.mark.parametrize(
    ("numbers", "free"), [([None], 1), ([None, 1], 2), ([2, None], 1), ([1, 2, None], 3), ([0, 2], 1)]
)
def test_the_number_that_is_free_is_told(numbers: list[int | None], free: int) -> None:
    partitions = [{"label": "a"} if number is None else {"label": "a", "number": number} for number in numbers]
    (entry,) = lint({"storage": {"disks": [{"device": "/dev/vdb", "partitions": partitions}]}}, Situation())
    assert (entry.hint or "").startswith(f"set its number, {free} if ")


def test_a_format_of_none_that_is_erased_is_told_once() -> None:
    filesystem = {"device": "/dev/vdb", "format": "none", "wipeFilesystem": True}
    report = lint({"storage": {"filesystems": [filesystem]}}, Situation())
    assert [entry.hint for entry in report if '["disks:' in (entry.hint or "")] == []


def test_a_finding_without_any_source_stands_in_the_config() -> None:
    (entry,) = lint(config(""), Situation(limit=1), size=2)
    assert entry.filename == "<config>"


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("storage:\n  disks:\n    - {device: /dev/vdb, wipe_table: true}\n", ("b", 5)),
        ("passwd: {}\n", ("a", None)),
        ("storage: none\n", ("a", None)),
    ],
)
def test_a_finding_about_a_section_in_a_section(source: str, place: tuple[str, int | None]) -> None:
    made = {"storage": {"disks": [{"device": "/dev/vdb", "wipeTable": True}]}}
    (entry,) = lint(made, Situation(), sources=[("a", HEAD), ("b", HEAD + source)])
    assert (entry.filename, entry.line) == place


def test_a_dollar_means_itself_without_variables() -> None:
    source = 'storage:\n  links:\n    - {path: "/var/log/$${a}", target: b, overwrite: false}\n'
    (entry,) = lint(config(source), KEPT, sources=[("a", source)])
    assert entry.line == 3


def test_a_config_that_replaces_itself_has_its_line() -> None:
    source = HEAD + "ignition:\n  config:\n    replace: {source: 'data:,x'}\n"
    (entry,) = lint({"ignition": {"config": {"replace": {"source": "data:,x"}}}}, Situation(), sources=[("a", source)])
    assert entry.line == 5


def test_an_address_is_shown_up_to_its_first_question_mark() -> None:
    made = {"storage": {"files": [{"path": "/a", "contents": {"source": "https://h/x?a?b"}}]}}
    (entry,) = lint(made, Situation())
    assert entry.message.startswith("https://h/x is fetched ")


CORE_OS = {"path": "/etc/coreos/update.conf", "contents": {"source": "data:,REBOOT_STRATEGY=off"}}


@pytest.mark.parametrize(
    "made",
    [
        {"storage": {"files": [CORE_OS]}},
        {"storage": {"files": [{**CORE_OS, "path": "/etc/flatcar/update.conf"}]}},
        {"systemd": {"units": [{"name": "locksmithd.service", "mask": True}]}},
        {"systemd": {"units": [{"name": "update-engine.service", "mask": True}]}},
    ],
)
def test_each_way_to_say_when_a_machine_reboots(made: dict[str, Any]) -> None:
    assert list(lint(made, Situation(managed_rollouts=True))) == []


@pytest.mark.parametrize(("path", "line"), [("/etc/flatcar/update.conf", 5), ("/etc/coreos/update.conf", None)])
def test_a_strategy_is_missed_where_it_belongs(path: str, line: int | None) -> None:
    source = HEAD + f"storage:\n  files:\n    - path: {path}\n"
    contents = {"source": "data:,%FFGROUP=stable"}
    made = {"storage": {"files": [{"path": path, "contents": contents}]}}
    (entry,) = lint(made, Situation(managed_rollouts=True), sources=[("a", source)])
    assert entry.line == line


def test_what_is_fetched_with_a_hash_may_go_where_the_object_is() -> None:
    verified = {"source": "https://h/x", "verification": {"hash": "sha256-" + "0" * 64}}
    (entry,) = lint({"storage": {"files": [{"path": "/a", "contents": verified}]}}, Situation())
    assert entry.hint is not None
    assert entry.hint.startswith("put it where the machine's object is, which has to be there anyway;")


@pytest.mark.parametrize(
    ("version", "severity", "message"),
    [
        ("3.4.0", None, ""),
        ("3.5.0", None, ""),
        (
            "3.6.0",
            "warning",
            "Ignition 3.6.0 is read by Flatcars newer than 4593 alone: an older one stops in its initrd",
        ),
        (
            "3.7.0-experimental",
            "error",
            "no released Flatcar reads Ignition 3.7.0-experimental: the machine would stop in its initrd",
        ),
    ],
)
def test_a_spec_that_no_stable_flatcar_reads(version: str, severity: str | None, message: str) -> None:
    found = [(entry.severity, entry.message) for entry in lint({"ignition": {"version": version}}, Situation())]
    assert found == ([] if severity is None else [(severity, message)])


def test_the_experimental_version_of_butane_is_told() -> None:
    made = json.loads(transpile(HEAD.replace("1.1.0", "1.2.0-experimental")).unwrap())
    (entry,) = lint(made, Situation())
    assert (entry.severity, entry.path, entry.hint) == (
        "error",
        "$.ignition.version",
        "take a stable version: flatcar 1.1.0 for Butane; if it is meant so: allow: [spec]",
    )


@pytest.mark.parametrize(
    ("version", "hint"),
    [
        ("3.6.0", "write what 3.5.0 can say, or see that the machine's OS is new enough"),
        ("3.7.0-experimental", "take a stable version: flatcar 1.1.0 for Butane"),
    ],
)
def test_a_spec_is_told_where_it_stands(version: str, hint: str) -> None:
    text = f'{{"ignition": {{"version": "{version}"}}}}'
    (entry,) = lint(json.loads(text), Situation(), sources=[("a.ign", text)])
    assert (entry.path, entry.line, entry.column) == ("$.ignition.version", 1, 26)
    assert entry.hint == f"{hint}; if it is meant so: allow: [spec]"


def test_what_is_appended_below_the_old_place_of_oem_grows() -> None:
    file = {"path": "/usr/share/oem/grub.cfg", "append": [{"source": "data:,a"}]}
    (entry,) = lint({"ignition": {"version": "3.3.0"}, "storage": {"files": [file]}}, Situation())
    assert entry.message.startswith("/usr/share/oem/grub.cfg survives the next run, and each run appends to it once")


@pytest.mark.parametrize("query", ["", "?a=1?b=2"])
def test_where_a_fetched_file_comes_from_is_shown_without_its_query(query: str) -> None:
    file = {"path": "/x", "contents": {"source": f"https://user:pw@host/f{query}"}}
    config = {"ignition": {"version": "3.3.0"}, "storage": {"files": [file]}}
    (entry,) = lint(config, Situation(), allow={Rule.REBOOT})
    assert entry.message == "https://host/f is fetched after the wipe: if it can't be, the machine stays down"


def test_what_the_image_of_new_machines_cannot_read_is_told() -> None:
    situation = Situation(image="4081.2.0", reads=lambda spec: spec < "3.5.0")
    assert list(lint({"ignition": {"version": "3.4.0"}}, situation)) == []
    text = '{"ignition": {"version": "3.5.0"}}'
    (entry,) = lint(json.loads(text), situation, sources=[("a.ign", text)])
    assert (entry.severity, entry.path, entry.column) == ("warning", "$.ignition.version", 26)
    assert entry.hint == (
        "pin a newer image, or take an older version of the config's language; if it is meant so: allow: [spec]"
    )
    assert entry.message == (
        "Flatcar 4081.2.0, the image of new machines, can't read Ignition 3.5.0: they would stop in their initrd"
    )


def test_a_secret_that_every_user_may_read_is_told() -> None:
    text = (
        f"{HEAD}storage: {{files: [{{path: /etc/a}}, {{path: /etc/token}}]}}\n"
        "systemd: {units: [{name: a.service}, {name: b.service}]}\n"
    )
    secrets = {"storage.files.1": "token", "systemd.units.0": "password"}
    file, unit = lint(config(text[len(HEAD) :]), Situation(secrets=secrets), sources=[("web.yaml", text)])
    assert (file.severity, file.path, file.line) == ("warning", "$.storage.files.1", 3)
    assert file.message == "/etc/token holds the secret 'token', and every user of the machine may read it"
    assert file.hint == "give it mode: 0600, and an owner who needs it; if it is meant so: allow: [secret]"
    assert (unit.severity, unit.path, unit.line) == ("warning", "$.systemd.units.0", 4)
    assert unit.message == "the unit a.service holds the secret 'password', and every user of the machine may read it"
    assert unit.hint == (
        "put it into a file of mode 0600, for EnvironmentFile= or LoadCredential=; if it is meant so: allow: [secret]"
    )
