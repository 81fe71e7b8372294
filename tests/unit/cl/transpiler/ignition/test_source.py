"""Ignition JSON as a source: what is checked, where findings stand, what passes through."""

from __future__ import annotations

import json

import pytest

from cl.transpiler import transpile

pytestmark = pytest.mark.covering

V2 = '{"ignition": {"version": "2.3.0"}'
V3 = '{"ignition": {"version": "3.3.0"}'


def storage(section: str, version: str = "2.3.0") -> str:
    return f'{{"ignition": {{"version": "{version}"}}, "storage": {section}}}'


@pytest.mark.parametrize(
    "text", [V2 + "}", V3 + "}", "\n" + V2 + ', "x": [1, -2.5e3, true, false, null, "\\ud83d\\ude00"]}']
)
def test_a_config_passes_through(text: str) -> None:
    result = transpile(text)
    assert result.json is not None
    assert json.loads(result.json) == json.loads(text)


def test_spec_2_becomes_3_when_it_is_asked_for() -> None:
    result = transpile(storage('{"files": [{"path": "/a", "filesystem": "root", "mode": 420}]}'), spec="3")
    assert result.json is not None
    assert json.loads(result.json) == {
        "ignition": {"version": "3.1.0"},
        "storage": {"files": [{"path": "/a", "mode": 420, "overwrite": True, "contents": {"source": ""}}]},
    }


def test_what_older_versions_took_for_given_is_said() -> None:
    text = """{"ignition": {"version": "2.0.0", "config": {"append": [{"source": "HTTP://A/b c"}], "replace": {}}},
      "storage": {"files": [{"path": "/a", "filesystem": "root", "user": {"id": 5}}]}}"""
    result = transpile(text, spec="3")
    assert result.json is not None
    config = json.loads(result.json)
    assert config["storage"]["files"][0]["mode"] == 0
    assert (config["storage"]["files"][0]["user"], config["storage"]["files"][0]["group"]) == ({"id": 5}, {"id": 0})
    assert config["ignition"]["config"]["merge"] == [{"source": "http://A/b%20c"}]
    directories = storage('{"directories": [{"path": "/a", "filesystem": "root"}]}', "2.1.0")
    assert '"mode":0' in (transpile(directories, spec="3").json or "")


@pytest.mark.parametrize(
    ("text", "severity", "path", "line"),
    [
        ('{"ignition":\n {"version": "2.9.0"}}', "error", "$.ignition.version", 2),
        ('{"ignition":\n {"version": "x"}}', "error", "$.ignition.version", 2),
        ('{"ignition":\n {"version": "4.0.0"}}', "error", "$.ignition.version", 2),
        ('{"ignition":\n {"version": "2.3.1"}}', "error", "$.ignition.version", 2),
        (V2 + ',\n "foo": 1}', "warning", "$.foo", 2),
        (V2 + ',\n "systemd": {},\n "systemd": {}}', "warning", "$.systemd", 3),
        (V2 + ',\n "systemd": []}', "error", "$.systemd", 2),
        (V2 + ',\n "systemd": {"units": {}}}', "error", "$.systemd.units", 2),
        (V2 + ',\n "systemd": {"units": ["a"]}}', "error", "$.systemd.units.0", 2),
        (V2 + ',\n "systemd": {"units": [{"name": 5}]}}', "error", "$.systemd.units.0.name", 2),
        (
            V2 + ',\n "systemd": {"units": [{"name": "a.service", "mask": "true"}]}}',
            "error",
            "$.systemd.units.0.mask",
            2,
        ),
        (V2 + ',\n "passwd": {"users": [{"name": "a", "uid": 1.0}]}}', "error", "$.passwd.users.0.uid", 2),
        (
            V2 + ',\n "passwd": {"users": [{"name": "a", "uid": 99999999999999999999}]}}',
            "error",
            "$.passwd.users.0.uid",
            2,
        ),
        (
            V2 + ',\n "passwd": {"users": [{"name": "' + "a" * 30 + '", "uid": "' + "b" * 30 + '"}]}}',
            "error",
            "$.passwd.users.0.uid",
            2,
        ),
        (V2 + ',\n "passwd": {"users": [{"uid": {}}]}}', "error", "$.passwd.users.0.uid", 2),
        (V2 + ',\n "systemd": {"units": [{"name": "a"}]}}', "error", "$.systemd.units.0.name", 2),
        (V3 + ',\n "systemd": {"units": [{"name": "a"}]}}', "error", "$.systemd.units.0.name", 2),
        (V3 + ',\n "systemd": {"units": 5}}', "error", "$.systemd.units", 2),
        (V3 + ',\n "passwd": {"users": [{"name": "a"},\n {"name": "a"}]}}', "error", "$.passwd.users.1", 3),
        (storage('{"files": [{"path": "/a"}]}'), "error", "$.storage.files.0.filesystem", 1),
        (storage('{"files": [{"path": "/a", "filesystem": "root"}]}'), "warning", "$.storage.files.0.mode", 1),
        (
            storage(
                '{"disks": [{"device": "/a", "partitions": [{"size": 1, "start": 2048}, {"size": 0, "start": 2048}]}]}'
            ),
            "error",
            "$.storage.disks.0.partitions",
            1,
        ),
        (
            storage('{"disks": [{"device": "/a", "partitions": [{"start": 1}]}]}'),
            "error",
            "$.storage.disks.0.partitions",
            1,
        ),
        (
            storage('{"disks": [{"device": "/a", "partitions": [{"start": 2048}]}]}'),
            "warning",
            "$.storage.disks.0.partitions.0.start",
            1,
        ),
        (
            storage('{"disks": [{"device": "/a", "partitions": [{"size": 5, "sizeMiB": 5}]}]}'),
            "error",
            "$.storage.disks.0.partitions.0",
            1,
        ),
        (
            storage('{"disks": [{"device": "/a", "partitions": [{"shouldExist": false}]}]}'),
            "error",
            "$.storage.disks.0.partitions",
            1,
        ),
        (
            storage('{"disks": [{"device": "/a", "partitions": [{"number": 1, "shouldExist": false, "guid": "x"}]}]}'),
            "error",
            "$.storage.disks.0.partitions.0",
            1,
        ),
        (
            storage(
                '{"files": [{"path": "/a", "filesystem": "root", "mode": 1, "contents": {"source": "data:,",'
                ' "httpHeaders": [{"name": "", "value": "a"}, {"name": "", "value": "b"}]}}]}',
                "2.4.0",
            ),
            "error",
            "$.storage.files.0.contents.httpHeaders",
            1,
        ),
        (
            storage('{"files": [{"path": "/a", "filesystem": "root", "contents": {"source": "s3://a/b"}}]}', "2.0.0"),
            "error",
            "$.storage.files.0.contents.source",
            1,
        ),
        (
            storage('{"filesystems": [{"mount": {"device": "/a", "format": "swap"}}]}', "2.0.0"),
            "error",
            "$.storage.filesystems.0.mount.format",
            1,
        ),
        (
            storage('{"disks": [{"device": "/a", "partitions": [{"number": 1, "size": -1}]}]}', "2.0.0"),
            "error",
            "$.storage.disks.0.partitions.0.size",
            1,
        ),
        (
            '{"ignition": {"version": "2.2.0", "config": {"replace": {"verification": {"hash": "x"}}}}}',
            "error",
            "$.ignition.config.replace.verification",
            1,
        ),
        (
            '{"ignition": {"version": "2.0.0", "config": {"append": [{"source": "http://[a"}]}}}',
            "error",
            "$.ignition.config.append.0.source",
            1,
        ),
    ],
)
def test_a_finding_stands_at_its_key(text: str, severity: str, path: str, line: int) -> None:
    result = transpile(text)
    assert (severity, path) in [(entry.severity, entry.path) for entry in result.report.entries]
    entry = next(entry for entry in result.report.entries if entry.path == path)
    assert entry.line == line
    assert (result.json is None) == any(entry.severity == "error" for entry in result.report.entries)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"a" 1}',
        "{1: 2}",
        '{"a": 1,}',
        '{"a": "\\x"}',
        "[1 2]",
        "{} x",
        "nope",
        '"\t"',
        "[" * 500,
        '{"ignition": {"version": "3.3.0"}, "x": ' + "1" * 5000 + "}",
        '{"ignition": {"version": "3.3.0"}, "x": 1e400}',
        '{"ignition": 5}',
    ],
)
def test_what_is_no_ignition_config_is_refused(text: str) -> None:
    assert transpile(text, dialect="ignition").json is None


def test_what_only_looks_like_json_is_read_as_yaml() -> None:
    assert transpile("{docker: {flags: [a]}}").json is not None


@pytest.mark.parametrize("head", [V2, V3])
def test_keys_count_in_any_spelling_and_a_null_item_is_an_empty_one(head: str) -> None:
    spelt = transpile(head + ', "Systemd": {"UNITS": [{"name": "a.nope"}]}}')
    assert [(entry.severity, entry.path) for entry in spelt.report.entries] == [
        ("warning", "$.Systemd"),
        ("error", "$.systemd.units.0.name"),
    ]
    empty = transpile(head + ', "systemd": {"units": [null, {"name": "a.service"}]}}')
    assert [entry.path for entry in empty.report.entries] == ["$.systemd.units.0.name"]
    keys = transpile(head + ', "passwd": {"users": [{"name": "a", "sshAuthorizedKeys": [null]}]}}')
    assert keys.json is not None


def test_a_wrong_url_of_2_0_is_left_to_the_rules() -> None:
    text = '{"ignition": {"version": "2.0.0", "config": {"replace": {"source": "http://[a"}}}}'
    assert transpile(text).json is None


def test_variables_are_filled_into_texts_and_nulls_are_absent() -> None:
    text = V2 + ', "passwd": {"users": [{"name": "${who}", "uid": null}]}, "storage": null, "networkd": {"units": []}}'
    assert '"name":"me"' in (transpile(text, variables={"who": "me"}).json or "")


@pytest.mark.parametrize(
    ("section", "path"),
    [
        ('{"disks": [{"device": "/a", "partitions": [{"start": 2048}]}]}', "$.storage.disks.0.partitions.0"),
        ('{"raid": [{"name": "a", "level": "raid1"}]}', "$.storage.raid.0.devices"),
    ],
)
def test_what_spec_3_refuses_stands_at_its_key(section: str, path: str) -> None:
    result = transpile(storage(section), spec="3")
    assert result.json is None
    assert path in [entry.path for entry in result.report.entries if entry.severity == "error"]


def test_partitions_of_older_versions_are_in_sectors_which_spec_3_refuses() -> None:
    text = storage('{"disks": [{"device": "/a", "partitions": [{"number": 1}]}]}', "2.2.0")
    assert transpile(text).json is not None
    assert transpile(text, spec="3").json is None


def test_a_proxy_and_headers_are_converted() -> None:
    text = """{"ignition": {"version": "2.4.0", "proxy": {"httpProxy": "http://p", "noProxy": ["a"]}, "config":
      {"replace": {"source": "http://a", "httpHeaders": [{"name": "a", "value": "b"}]}}}}"""
    result = transpile(text, spec="3")
    assert result.json is not None
    assert json.loads(result.json)["ignition"] == {
        "version": "3.1.0",
        "proxy": {"httpProxy": "http://p", "noProxy": ["a"]},
        "config": {"replace": {"source": "http://a", "httpHeaders": [{"name": "a", "value": "b"}]}},
    }


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("true", "expected a number, found true"),
        ("[]", "expected a number, found a list"),
        ("{}", "expected a number, found a mapping"),
        ('"5"', "expected a number, found the text '5'"),
        ("1.0", "expected a number, found 1.0"),
        ("99999999999999999999", "the number 99999999999999999999 doesn't fit 64 bits"),
    ],
)
def test_a_value_of_the_wrong_type_is_shown(value: str, said: str) -> None:
    (entry,) = transpile(V3 + f', "passwd": {{"users": [{{"name": "a", "uid": {value}}}]}}}}').report
    assert entry.message == said


@pytest.mark.parametrize(
    ("version", "section"),
    [
        ("2.2.0", '"storage": {"disks": [{"device": "/a", "partitions": [{"number": 1, "size": 2048}]}]}'),
        ("2.0.0", '"passwd": {"users": [{"name": "a", "create": {"uid": 5}}]}'),
        (
            "2.0.0",
            '"storage": {"filesystems": [{"mount": {"device": "/a", "format": "ext4", "create": {"force": true}}}]}',
        ),
    ],
)
def test_nothing_is_deprecated_before_its_successor_is_there(version: str, section: str) -> None:
    def entries(version: str) -> list[str]:
        return [entry.severity for entry in transpile(f'{{"ignition": {{"version": "{version}"}}, {section}}}').report]

    assert entries(version) == []
    assert set(entries("2.3.0")) == {"warning"}


def test_half_a_character_is_read_as_go_reads_it() -> None:
    result = transpile(V3 + ', "passwd": {"users": [{"name": "a", "gecos": "\\ud800"}]}}')
    assert '"gecos":"\ufffd"' in result.unwrap()


@pytest.mark.parametrize(
    ("minor", "luks", "mode"),
    [
        (4, [("warning", "key 'cex' is not known here")], True),
        (5, [], True),
        (6, [], False),
    ],
)
def test_what_3_5_and_3_6_brought(minor: int, luks: list[tuple[str, str]], mode: bool) -> None:
    text = storage('{"luks": [{"name": "a", "device": "/dev/a", "cex": {"enabled": true}}]}', f"3.{minor}.0")
    result = transpile(text)
    assert [(entry.severity, entry.message) for entry in result.report] == luks
    assert json.loads(result.unwrap()) == json.loads(text)
    report = transpile(storage('{"files": [{"path": "/a", "mode": 2541}]}', f"3.{minor}.0")).report
    assert [entry.path for entry in report] == ["$.storage.files.0.mode"] * mode


def test_a_volume_is_not_opened_by_cex_and_a_key() -> None:
    volume = '{"name": "a", "device": "/dev/a", "cex": {"enabled": true}, "keyFile": {"source": "data:,k"}}'
    (entry,) = transpile(storage(f'{{"luks": [{volume}]}}', "3.5.0")).report
    assert (entry.severity, entry.path) == ("error", "$.storage.luks.0.cex")


def test_3_7_is_not_known_yet() -> None:
    (entry,) = transpile('{"ignition": {"version": "3.7.0"}}').report
    assert entry.hint == "known are 2.0.0 to 2.4.0, 3.0.0 to 3.6.0"
