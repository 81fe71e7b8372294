"""A config that would do harm when it runs again does not get past the preview: each rule, with its message."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest

from cl.transpiler.lint import OneDevice, Rule
from components.payload import rules
from components.payload.machine_config import MachineConfig
from components.platforms import IgnitionPlatform
from components.settings.keep import kept_paths
from components.settings.lifecycle import Lifecycle
from components.settings.machine import MachineSettings
from components.settings.pull import PullSettings
from components.settings.ssh import LoginKey
from tests.support.machine_configs import made_config

HEAD = "variant: flatcar\nversion: 1.0.0\n"
LOGIN = "passwd:\n  users:\n    - name: core\n      ssh_authorized_keys: [ssh-ed25519 AAAA]\n"
OFF = "systemd: {units: [{name: locksmithd.service, mask: true}]}\n"
LOG = "storage:\n  files:\n    - path: /var/log/app.conf\n      overwrite: false\n      contents: {inline: a}\n"
DISK = "storage:\n  filesystems:\n    - {device: /dev/vdb, format: ext4, wipe_filesystem: true}\n"
ROOT = "storage:\n  filesystems:\n    - {device: /dev/disk/by-label/ROOT, format: ext4, wipe_filesystem: true}\n"
TABLE = "storage:\n  disks:\n    - {device: /dev/vdb, wipe_table: true}\n"
PARTITION = "storage:\n  disks:\n    - device: /dev/vdb\n      partitions:\n        - {label: data, size_mib: 9}\n"
LUKS = "storage:\n  luks:\n    - {name: data, device: /dev/vdb}\n"
REMOTE = "storage:\n  files:\n    - {path: /a, contents: {source: 'https://u:${token}@h/x?${token}'}}\n"
REPLACE = "ignition: {config: {replace: {source: 'https://h/x'}}}\n"


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", told.append)
    monkeypatch.setattr(rules, "_shown", set())
    return told


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(text: str, lifecycle: str = "reset", **more: Any) -> MachineConfig:
        Path("web.yaml").write_text(text)
        options: dict[str, Any] = {
            "files_dir": tmp_path, "secrets": {"token": "hunter2-hunter2"}, "keep": kept_paths(["logs"]),
            "platform_user": None,
        }  # fmt: skip
        return made_config(Path("web.yaml"), lifecycle=Lifecycle(lifecycle), **{**options, **more})

    return run


@pytest.mark.parametrize(
    ("text", "lifecycle", "message", "place", "rule"),
    [
        (
            LOG,
            "reset",
            "/var/log/app.conf survives the next run, which may not overwrite it",
            "web.yaml:10:13",
            Rule.KEPT,
        ),
        (LOG.replace("/var/log", "/srv"), "flag", "/srv/app.conf survives the next run", "web.yaml:10:13", Rule.KEPT),
        (DISK, "reset", "the file system on /dev/vdb is erased each time", "web.yaml:10:16", Rule.WIPE),
        (DISK, "reformat", "the file system on /dev/vdb is erased each time", "web.yaml:10:16", Rule.WIPE),
        (TABLE, "reset", "the partition table of /dev/vdb is erased each time", "web.yaml:10:16", Rule.WIPE),
        (ROOT, "reset", "ROOT is erased each time", "web.yaml:10:16", Rule.WIPE),
        (PARTITION, "flag", "partition 'data' of /dev/vdb has no number", "web.yaml:12:19", Rule.DISKS),
        (LUKS, "reformat", "the encrypted volume data has no key_file", "web.yaml:10:14", Rule.DISKS),
        (REPLACE, "reset", "the config replaces itself by another one", "web.yaml:8:39", Rule.REPLACE),
    ],
)
def test_an_error_stops_the_preview_until_it_is_allowed(
    run: Any, warnings: list[str], text: str, lifecycle: str, message: str, place: str, rule: Rule
) -> None:
    config = HEAD + LOGIN + OFF + text
    with pytest.raises(pulumi.RunError) as refused:
        run(config, lifecycle)
    told = str(refused.value)
    assert told.startswith("web.yaml would do harm when the machine runs it again\n\nerror: ")
    assert message in told
    assert f"--> {place}" in told
    assert re.search(rf"allow: \[\"?{rule}\b", told)
    assert run(config, lifecycle, allow=[rule]).config_id
    assert warnings == []


def test_a_device_that_is_allowed_leaves_the_others_guarded(run: Any, warnings: list[str]) -> None:
    both = HEAD + LOGIN + OFF + DISK + "    - {device: /dev/vdc, format: ext4, wipe_filesystem: true}\n"
    allow = [OneDevice(Rule.WIPE, "/dev/vdb")]
    with pytest.raises(pulumi.RunError) as refused:
        run(both, allow=allow)
    assert "/dev/vdb" not in str(refused.value).partition("the file system on /dev/vdc")[0]
    assert 'allow: ["wipe:/dev/vdc"]' in str(refused.value)
    assert run(both, allow=[*allow, OneDevice(Rule.WIPE, "/dev/vdc")]).config_id
    assert run(HEAD + LOGIN + OFF + DISK, allow=allow).config_id
    assert warnings == []


def test_nobody_is_locked_out(run: Any, warnings: list[str]) -> None:
    with pytest.raises(pulumi.RunError, match="core has no SSH key in the config"):
        run(HEAD + OFF)
    with pytest.raises(pulumi.RunError, match="ada has no SSH key in the config"):
        run(HEAD + LOGIN + OFF, login_user="ada")
    assert run(HEAD + OFF, platform_user="core").config_id  # the platform brings the keys
    assert run(HEAD + OFF, allow=[Rule.LOGIN]).config_id
    assert warnings == []


MINE, OTHER = LoginKey(public="ssh-ed25519 MINE0123456789abcd", alone=True), "ssh-ed25519 AAAA"


def test_the_key_that_logs_in_is_asked_for(run: Any, warnings: list[str]) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        run(HEAD + LOGIN + OFF, login_key=MINE)
    said = str(refused.value)
    assert (
        "core has other SSH keys in the config than the one that logs in, ssh-ed25519 …23456789abcd: the mach" in said
    )
    assert "--> web.yaml:5:13" in said
    assert "allow: [login]" in said
    assert run(HEAD + LOGIN + OFF, login_key=MINE, allow=[Rule.LOGIN]).config_id
    mine = LOGIN.replace(OTHER, '"${ssh_public_key}"')
    assert run(HEAD + mine + OFF, login_key=MINE, shared={"ssh_public_key": f"{MINE.public} another comment"}).config_id
    assert run(HEAD + LOGIN + OFF, login_key=MINE, platform_user="core").config_id
    assert run(HEAD + LOGIN + OFF, login_key=MINE, pull=PullSettings(wait="report", report="https://h/r")).config_id
    assert warnings == []


def test_what_is_assumed_of_a_login_is_told(run: Any, warnings: list[str]) -> None:
    run(HEAD + LOGIN + OFF, login_key=replace(MINE, alone=False))
    authority = "storage: {files: [{path: /etc/ssh/sshd_config, contents: {inline: 'TrustedUserCAKeys /etc/ca'}}]}\n"
    run(HEAD + authority + OFF, login_key=MINE)
    agent, certificate = warnings
    assert (
        "core has other SSH keys in the config than the one that is known to log in; assumed is that ssh-agent or the "
        "SSH configuration of who logs in offers one of them"
    ) in agent
    assert (
        "core has no SSH key in the config; assumed is that TrustedUserCAKeys in /etc/ssh/sshd_config lets the login in"
    ) in certificate


SECRET = "storage:\n  {kind}:\n    - path: /etc/token\n      mode: {mode}\n      contents: {{inline: 'a=${{token}}'}}\n"


def test_a_secret_that_every_user_may_read_is_told(run: Any, warnings: list[str]) -> None:
    run(HEAD + LOGIN + OFF + SECRET.format(kind="files", mode="0644"))
    (warning,) = warnings
    assert "/etc/token holds the secret 'token', and every user of the machine may read it" in warning
    assert "--> web.yaml:10:13" in warning
    assert "give it mode: 0600" in warning
    assert "hunter2" not in warning
    unit = OFF.replace("[{", '[{name: a.service, contents: "[Service]\\nEnvironment=A=${token}\\n"}, {')
    run(HEAD + LOGIN + unit)
    assert "the unit a.service holds the secret 'token'" in warnings[1]


@pytest.mark.parametrize(
    "storage",
    [
        SECRET.format(kind="files", mode="0600"),
        SECRET.format(kind="files", mode="0640"),
        SECRET.format(kind="files", mode="0644").replace("/etc/token", "/root/token"),
        SECRET.format(kind="files", mode="0644") + "  directories: [{path: /etc, mode: 0750}]\n",
        SECRET.format(kind="files", mode="0644").replace("${token}", "${plain}"),
    ],
)
def test_a_secret_that_is_closed_to_others_is_not(run: Any, warnings: list[str], storage: str) -> None:
    run(HEAD + LOGIN + OFF + storage, shared={"plain": "x"})
    run(HEAD + LOGIN + OFF + SECRET.format(kind="files", mode="0644"), allow=[Rule.SECRET])
    assert warnings == []


@pytest.mark.parametrize(
    ("name", "near"), [("machine_nam", "machine_name"), ("tokn", "token"), ("greting", "greeting")]
)
def test_a_misspelt_variable_is_told(run: Any, name: str, near: str) -> None:
    file = "storage: {files: [{path: /a, contents: {inline: '${" + name + "}'}}]}\n"
    with pytest.raises(pulumi.RunError) as refused:
        run(HEAD + LOGIN + OFF + file, shared={"machine_name": "web", "greeting": "hello"})
    assert f"variable {name!r} is not known" in str(refused.value)
    assert f"did you mean {near!r}?" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message", "rule"),
    [
        (OFF + REMOTE, "https://h/x is fetched after the wipe", Rule.REMOTE),
        ("", "nothing says when the machine reboots after an update", Rule.REBOOT),
    ],
)
def test_a_warning_is_shown_once_and_without_secrets(
    run: Any, warnings: list[str], text: str, message: str, rule: Rule
) -> None:
    run(HEAD + LOGIN + text, allow=[rule])
    assert warnings == []
    for generation in (0, 1):
        run(HEAD + LOGIN + text, generation=generation)
    (warning,) = warnings
    assert message in warning
    assert "--> web.yaml" in warning
    assert "hunter2" not in warning


def test_an_object_has_a_longest_length(run: Any, warnings: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    config = HEAD + LOGIN + OFF
    size = len(run(config).text.encode())

    def limited(limit: int, limit_of: str) -> None:
        platform = IgnitionPlatform(name="qemu", limit=limit, limit_of=limit_of)
        monkeypatch.setattr(rules, "ignition_platform", lambda name: platform)

    limited(size, "TFTP")
    run(config)
    with pytest.raises(pulumi.RunError, match=f"has {size + 2} bytes, TFTP takes {size}"):
        run(config.replace("AAAA", "AAAAAA"))
    limited(size - 1, "the engine")
    with pytest.raises(pulumi.RunError, match=f"the engine takes {size - 1}"):
        run(config, platform="aws")
    assert warnings == []


@pytest.mark.parametrize(
    ("platform", "longest", "limit_of"),
    [("qemu", 33_553_919, "TFTP, by which QEMU serves it,"), ("aws", 67_108_864, "Pulumi's engine")],
)
def test_an_object_may_be_as_long_as_its_way_allows(platform: str, longest: int, limit_of: str) -> None:
    def found(size: int) -> list[str]:
        report = rules.check_rules(
            {}, MachineSettings(config="", allow=[Rule.REBOOT]), size=size, sources=[], variables={},
            platform=platform, login_user=None,
        )  # fmt: skip
        return [entry.message for entry in report]

    assert found(longest) == []
    (message,) = found(longest + 1)
    assert message.endswith(f"has {longest + 1} bytes, {limit_of} takes {longest}")


@pytest.mark.parametrize(
    ("image_version", "version", "told"),
    [
        ("4081.2.0", "3.5.0", "Flatcar 4081.2.0, the image of new machines, can't read Ignition 3.5.0"),
        ("4459.2.1", "3.5.0", None),
        ("4593.2.0", "3.6.0", "Flatcar 4593.2.0, the image of new machines, can't read Ignition 3.6.0"),
        ("", "3.6.0", "Ignition 3.6.0 is read by Flatcars newer than 4593 alone"),
    ],
)
def test_what_the_image_of_new_machines_cannot_read_is_told(image_version: str, version: str, told: str | None) -> None:
    report = rules.check_rules(
        {"ignition": {"version": version}}, MachineSettings(config="", allow=[Rule.REBOOT]), size=1, sources=[],
        variables={}, platform="aws", login_user=None, image_version=image_version,
    )  # fmt: skip
    assert [(entry.severity, entry.message.partition(": ")[0]) for entry in report] == (
        [("warning", told)] if told else []
    )


ALL_WRONG: dict[str, Any] = {
    "ignition": {"version": "3.7.0-experimental", "config": {"replace": {"source": "https://h/x"}}},
    "storage": {
        "disks": [{"device": "/dev/vdb", "wipeTable": True}, {"device": "/dev/vdc", "partitions": [{"label": "data"}]}],
        "files": [
            {"path": "/var/log/a", "contents": {"source": "data:,"}, "overwrite": False},
            {"path": "/a", "contents": {"source": "https://h/x"}},
        ],
    },
}


@pytest.mark.parametrize(
    ("lifecycle", "skipped"),
    [
        ("reset", set()),
        ("live", set()),
        ("flag", set()),
        ("reformat", {Rule.KEPT}),  # nothing is
        ("replace", {Rule.KEPT, Rule.WIPE, Rule.DISKS, Rule.REMOTE}),
        ("ignore", {Rule.KEPT, Rule.WIPE, Rule.DISKS, Rule.REMOTE}),
    ],
)
def test_a_lifecycle_skips_the_rules_about_what_it_does_not_meet(lifecycle: str, skipped: set[Rule]) -> None:
    report = rules.check_rules(
        ALL_WRONG, MachineSettings(config="", lifecycle=Lifecycle(lifecycle), keep=["/var/log/.*"]), size=1 << 30,
        sources=[], variables={}, platform="qemu", login_user="core", readable={"storage.files.0": "token"},
    )  # fmt: skip
    found = {re.findall(r'allow: \["?(\w+)', entry.hint or "")[0] for entry in report}
    assert found == {*Rule} - skipped


@pytest.mark.parametrize("lifecycle", ["replace", "ignore"])
def test_a_machine_that_does_not_run_it_again_has_nothing_to_lose(
    run: Any, warnings: list[str], lifecycle: str
) -> None:
    assert run(HEAD + LOGIN + OFF + LOG, lifecycle).config_id
    assert run(HEAD + LOGIN + OFF + LOG.replace("/var/log", "/oem"), lifecycle).config_id
    assert run(HEAD + LOGIN + OFF + DISK, lifecycle).config_id
    assert run(HEAD + LOGIN + OFF + PARTITION, lifecycle).config_id
    assert run(HEAD + LOGIN + OFF + REMOTE, lifecycle).config_id
    assert warnings == []


def test_reformat_keeps_no_path(run: Any, warnings: list[str]) -> None:
    assert run(HEAD + LOGIN + OFF + LOG, "reformat").config_id
    assert run(HEAD + LOGIN + OFF + ROOT, "reformat").config_id
    assert warnings == []


def test_a_warning_is_shown_once_and_says_only_once_that_it_is_one(warnings: list[str]) -> None:
    for text in ("warning: a", "b: warning: ", "warning: a", ""):
        rules.warn_once(text)
    assert warnings == ["a", "b: warning: "]
