"""What the audit takes as declared, reads as seen, and calls drift. The machine's side: tests/long/test_audit.py."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from components.audit import __main__ as audit
from components.audit.__main__ import ADVICE, BACK_ADVICE, Report, advice, look_at_all, main, table
from components.audit.drift import compare
from components.audit.records import NoRecordsError, Record, read_records
from components.commands.objects.packing import packed
from components.commands.reprovision.drift import Finding
from components.commands.reprovision.manifest import PRESETS, Manifest
from components.commands.reprovision.request import Request
from components.commands.reprovision.seen import Account, Seen, SeenPath, read_seen
from components.commands.ssh_session import Finished, SshTarget
from tests.support.requests import made_request

ID = "a" * 128
SECRET_MARK = "4dabf18193072939515e22adb298388d"
REQUEST = made_request(config_id=ID, keep=("/etc/kept",))
RECORD = Record(request=REQUEST, proven_boot_id="b-1", proven_os_version="1.0")
SEEN = Seen(
    boot_id="b-1",
    up_seconds=60,
    stamp=ID,
    os_version="1.0",
    provisioning_boot_id="b1",
    oem_config="",
    oem_config_sha512="",
    config_urls=(),
    staged=(),
    is_unwiped=False,
    rolled_back_from="",
    pull_source_sha512="",
    pull_report="",
    history=(),
    paths=(),
    etc=(),
    units=(),
    unit_files={},
    failed_units=(),
    accounts={"root": Account(uid=0, gid=0, home="/root", shell="/bin/bash")},
    groups={},
    passwords={},
    keys={},
)


def findings(config: dict[str, Any], seen: Seen, record: Record = RECORD) -> list[tuple[str, str, str]]:
    return [(found.kind, found.subject, found.problem) for found in compare(record, Manifest.of(config, "salt"), seen)]


def of_file(content: bytes = b"hello", **changes: Any) -> SeenPath:
    digest = hashlib.sha512(content).hexdigest()
    same = SeenPath(kind="file", mode=0o644, user="root", uid="0", group="root", gid="0", sha512=digest)
    return replace(same, **changes)


FILE = {"storage": {"files": [{"path": "/etc/a", "contents": {"source": "data:,hello"}}]}}


def test_what_is_as_declared_gives_no_finding() -> None:
    assert findings(FILE, replace(SEEN, paths=(of_file(),))) == []


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (of_file(b"other"), "has other content"),
        (of_file(mode=0o600), "has mode 0600, declared is 0644"),
        (of_file(user="core", uid="500"), "belongs to user core, declared is root"),
        (of_file(group="core", gid="500"), "belongs to group core, declared is root"),
        (SeenPath(kind="missing"), "is missing"),
        (of_file(kind="link"), "is a link, declared as a file"),
    ],
)
def test_each_way_in_which_a_file_can_differ(found: SeenPath, problem: str) -> None:
    assert findings(FILE, replace(SEEN, paths=(found,))) == [("file", "/etc/a", problem)]


@pytest.mark.parametrize(
    ("declared", "found", "problem"),
    [
        (0o644, 0o4644, "has mode 4644, declared is 0644"),
        (0o755, 0o2755, "has mode 2755, declared is 0755"),
        (0o777, 0o1777, "has mode 1777, declared is 0777"),
        # Ignition may leave special bits out that are declared, in the specs that the program writes
        *((0o755 | special, 0o755 | seen, None) for special in (0o4000, 0o2000, 0o1000) for seen in (0, special)),
        (0o4755, 0o4711, "has mode 4711, declared is 4755"),
    ],
)
def test_special_bits_of_a_mode_are_drift_unless_they_are_declared(
    declared: int, found: int, problem: str | None
) -> None:
    file = {**FILE["storage"]["files"][0], "mode": declared}
    drift = findings({"storage": {"files": [file]}}, replace(SEEN, paths=(of_file(mode=found),)))
    assert [what for _, _, what in drift] == ([problem] if problem else [])


def test_special_bits_are_read_as_stat_prints_them() -> None:
    lines = (
        "path=0|regular file|4755|root|0|root|0|1:2|sum|",
        "path=1|directory|1777|root|0|root|0|1:3||",
        "complete=1",
    )
    seen = read_seen(Finished(code=0, lines=lines, stderr=""))
    assert seen is not None
    assert [(path.kind, path.mode) for path in seen.paths] == [("file", 0o4755), ("directory", 0o1777)]


def test_what_ignition_leaves_as_it_finds_it_is_not_compared() -> None:
    storage = {
        "directories": [{"path": "/srv"}],
        "files": [
            {"path": "/etc/profile", "append": [{"source": "data:,more"}]},
            {"path": "/r", "contents": {"source": "https://x/y"}},
        ],
    }
    manifest = Manifest.of({"storage": storage})
    appended, remote, folder = manifest.paths
    assert (folder.mode, folder.user) == (None, None)
    assert (appended.mode, appended.user, appended.tail) == (None, None, 4)
    assert appended.digest == manifest.digest(hashlib.sha512(b"more").hexdigest())
    assert (remote.mode, remote.digest) == (0o644, None)


def test_remote_content_with_a_declared_hash_is_compared_with_that() -> None:
    contents = {"source": "https://x/y", "verification": {"hash": "sha512-" + "c" * 128}}
    manifest = Manifest.of({"storage": {"files": [{"path": "/r", "contents": contents}]}})
    assert manifest.paths[0].digest == manifest.digest("c" * 128)


def test_units_are_files_presets_and_states() -> None:
    units = [
        {
            "name": "a.service",
            "enabled": True,
            "contents": "[Service]\n",
            "dropins": [{"name": "1.conf", "contents": "#"}],
        },
        {"name": "b.service", "mask": True},
    ]
    declared = Manifest.of({"systemd": {"units": units}})
    paths = {path.path: path.kind for path in declared.paths}
    assert paths == {
        "/etc/systemd/system/a.service": "file",
        "/etc/systemd/system/a.service.d/1.conf": "file",
        "/etc/systemd/system/b.service": "link",
        PRESETS: "file",
    }


def unit(state: str, preset: str = "enabled", **shown: str) -> list[tuple[str, str, str]]:
    config = {"systemd": {"units": [{"name": "a@x.service", "enabled": True}]}}
    seen = replace(SEEN, paths=(of_file(),), units=(shown,), unit_files={"a@.service": (state, preset)})
    return findings(config, seen)


@pytest.mark.parametrize(
    ("shown", "problem"),
    [
        (
            {"ActiveState": "inactive", "Type": "simple", "ExecMainCode": "2", "Restart": "no"},
            "is stopped, declared as enabled",
        ),
        (
            {"ActiveState": "inactive", "Type": "simple", "ExecMainCode": "1", "ExecMainStatus": "0", "Restart": "no"},
            None,
        ),
        ({"ActiveState": "inactive", "Type": "oneshot", "ExecMainCode": "1", "ExecMainStatus": "0"}, None),
        ({"ActiveState": "inactive", "Type": "simple", "ConditionResult": "no"}, None),
        ({"ActiveState": "active", "Type": "simple"}, None),
        ({"NeedDaemonReload": "yes"}, "was changed on disk since systemd read it"),
    ],
)
def test_a_unit_that_would_still_run_by_itself_is_stopped(shown: dict[str, str], problem: str | None) -> None:
    assert unit("enabled", **shown) == ([("unit", "a@x.service", problem)] if problem else [])


def test_enablement_masks_and_presets() -> None:
    assert unit("disabled") == [("unit", "a@x.service", "is disabled, declared as enabled")]
    assert unit("masked") == [("unit", "a@x.service", "is masked by hand")]
    seen = replace(SEEN, unit_files={"sshd.socket": ("disabled", "enabled")})
    assert findings({}, seen) == [("unit", "sshd.socket", "is disabled; the image enables it")]


def test_a_unit_that_is_declared_as_masked_and_as_enabled_is_masked() -> None:
    config = {"systemd": {"units": [{"name": "a.service", "mask": True, "enabled": True}]}}
    seen = replace(SEEN, paths=(SeenPath(kind="link", target="/dev/null"), of_file()), units=({},))
    assert findings(config, replace(seen, unit_files={"a.service": ("masked", "enabled")})) == []
    told = [("unit", "a.service", "is not masked, declared as masked")]
    assert findings(config, replace(seen, unit_files={"a.service": ("enabled", "enabled")})) == told


def test_links_that_presets_make_are_declared_and_others_are_not() -> None:
    wants = "/etc/systemd/system/multi-user.target.wants"
    seen = replace(
        SEEN,
        etc=(
            ("l", f"{wants}/a.service", "/usr/lib/systemd/system/a.service"),
            ("l", f"{wants}/getty@tty1.service", "/usr/lib/systemd/system/getty@.service"),
            ("l", f"{wants}/b.service", "/usr/lib/systemd/system/b.service"),
            ("l", "/etc/systemd/system/a.service", "/dev/null"),
        ),
        unit_files={
            "a.service": ("enabled", "enabled"),
            "getty@.service": ("enabled", "enabled"),
            "b.service": ("enabled", "disabled"),
        },
    )
    assert [subject for _, subject, _ in findings({}, seen)] == ["/etc/systemd/system/a.service", f"{wants}/b.service"]


def test_links_to_extensions_of_the_os_are_its_own_and_links_to_others_are_not() -> None:
    etc = "/etc/extensions"
    seen = replace(
        SEEN,
        etc=(
            ("l", f"{etc}/oem-qemu.raw", "/oem/sysext/oem-qemu-4459.2.1.raw"),
            ("l", f"{etc}/oem-ami.raw", "/etc/flatcar/oem-sysext/oem-ami-4459.2.1.raw"),
            ("l", f"{etc}/flatcar-podman.raw", "/etc/flatcar/sysext/flatcar-podman-4459.2.1.raw"),
            ("f", "/etc/flatcar/sysext/flatcar-podman-4459.2.1.raw", ""),
            ("l", f"{etc}/flatcar-mine.raw", "/srv/mine.raw"),
            ("f", f"{etc}/oem-mine.raw", ""),
        ),
    )
    assert findings({}, seen) == [
        ("etc", f"{etc}/flatcar-mine.raw", "is a link to /srv/mine.raw that nobody declared"),
        ("etc", f"{etc}/oem-mine.raw", "is a file that nobody declared"),
    ]


def test_kept_paths_and_what_the_system_makes_need_no_declaration() -> None:
    paths = ("/etc/kept/deep/file", "/etc/machine-id", "/etc/ssh/ssh_host_ed25519_key", "/etc/mine\x1b")
    assert findings({}, replace(SEEN, etc=tuple(("f", path, "") for path in paths))) == [
        ("etc", "/etc/mine?", "is a file that nobody declared")
    ]


def test_a_plain_restart_is_a_note_and_a_strange_run_of_ignition_is_drift() -> None:
    restarted = compare(RECORD, Manifest.of({}), replace(SEEN, boot_id="b-2"))
    assert [(found.problem, found.is_drift) for found in restarted] == [("has restarted since it was proven", False)]
    again = compare(RECORD, Manifest.of({}), replace(SEEN, boot_id="b-2", provisioning_boot_id="b2"))
    assert [found.is_drift for found in again] == [True]


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({"stamp": ""}, "stamp"),
        ({"rolled_back_from": "c" * 128}, "stamp"),
        ({"oem_config": "other"}, "pointer"),
        ({"oem_config": "last-good"}, "pointer"),
        ({"config_urls": (("/proc/cmdline", "ignition.config.url="),)}, "pointer"),
        ({"is_unwiped": True}, "boot"),
        ({"staged": ("/selective-os-reset",)}, "staged"),
        ({"failed_units": ("x.service",)}, "unit"),
        ({"accounts": {"toor": Account(uid=0, gid=0, home="/", shell="/sbin/nologin")}}, "user"),
        ({"passwords": {"root": "d" * 128}}, "user"),
        ({"keys": {"root": {"authorized_keys": ("ssh-ed25519 AAAA me",)}}}, "user"),
    ],
)
def test_each_kind_of_drift_of_a_machine_as_a_whole(change: dict[str, Any], kind: str) -> None:
    assert [found[0] for found in findings({}, replace(SEEN, **change))] == [kind]


def test_a_host_without_user_data_has_its_own_config_on_the_oem_partition() -> None:
    host = replace(RECORD, request=replace(REQUEST, oem="pointer", user_data="{}"))
    right = replace(SEEN, oem_config="other", oem_config_sha512=hashlib.sha512(b"{}").hexdigest())
    assert findings({}, right, host) == []
    assert findings({}, SEEN, host) == [("pointer", "/oem/config.ign", "is not what this program wrote there")]


def test_settings_of_a_machine_that_pulls_may_be_of_an_earlier_object_but_lead_to_no_other() -> None:
    settings = {"path": "/etc/flatcar/pull/settings", "contents": {"source": "data:,JITTER=1"}}
    config = {"storage": {"files": [settings]}}
    earlier = replace(SEEN, paths=(of_file(b"JITTER=0"),))
    assert [found.is_drift for found in compare(RECORD, Manifest.of(config), earlier)] == [True]
    pulls = replace(RECORD, request=replace(REQUEST, pull="no", source="s3://b/web.ign"))
    assert [found.is_drift for found in compare(pulls, Manifest.of(config), earlier)] == [False]
    here, elsewhere = (hashlib.sha512(text).hexdigest() for text in (b"s3://b/web.ign", b"s3://b/evil.ign"))
    assert findings({}, replace(SEEN, pull_source_sha512=here), pulls) == []
    assert findings({}, replace(SEEN, pull_source_sha512=elsewhere), pulls) == [
        ("pointer", "/etc/flatcar/pull/object", "leads the agent to another object")
    ]


def test_a_machine_that_has_not_pulled_yet_says_what_it_waits_for() -> None:
    pulls = replace(RECORD, request=replace(REQUEST, pull="no"))
    report = json.dumps({"state": "waiting", "config_id": ID, "why": "for the maintenance window"})
    ((_, _, problem),) = findings({}, replace(SEEN, stamp="b" * 128, pull_report=report), pulls)
    assert problem.endswith("declared is aaaaaaaaaaaa (its agent: waiting: for the maintenance window)")


def test_users_and_groups() -> None:
    config = {
        "passwd": {
            "users": [
                {
                    "name": "deploy",
                    "uid": 5,
                    "groups": ["crew"],
                    "passwordHash": "$6$",
                    "sshAuthorizedKeys": ["ssh-rsa AA x"],
                }
            ],
            "groups": [{"name": "crew", "gid": 7}],
        }
    }
    account = Account(uid=6, gid=6, home="/home/deploy", shell="/bin/bash")
    assert findings(config, replace(SEEN, accounts={"deploy": account})) == [
        ("user", "deploy", "has id 6, declared is 5"),
        ("user", "deploy", "is not in group crew"),
        ("user", "deploy", "has another password than the declared one"),
        ("user", "deploy", "lacks 1 of 1 declared SSH keys"),
        ("group", "crew", "is missing"),
    ]
    right = replace(
        SEEN,
        accounts={"deploy": replace(account, uid=5)},
        groups={"crew": (7, ("deploy",))},
        passwords={"deploy": hashlib.sha512(b"$6$").hexdigest()},
        keys={
            "deploy": {
                "ignition": ("ssh-rsa AA another comment",),
                "afterburn": ("ssh-rsa BB",),
                "authorized_keys": ("ssh-rsa BB",),
            }
        },
    )
    assert findings(config, right) == []


def exported(stdin: Any, **changes: Any) -> str:
    resource = {
        "urn": "urn:pulumi:s::flatcar::flatcar:index:Machine$command:local:Command::web-reprovision",
        "type": "command:local:Command",
        "inputs": {"stdin": stdin},
        "outputs": {"stdout": json.dumps({"boot_id": "b-1"})},
        **changes,
    }
    return json.dumps({"deployment": {"resources": [resource]}})


def request_json() -> str:
    """As earlier versions wrote it, with the content."""
    request = {name: getattr(REQUEST, name) for name in Request.__slots__ if name != "live"}
    target = {name: getattr(REQUEST.target, name) for name in SshTarget.__slots__ if name != "connection"}
    return json.dumps({**request, "content": packed(REQUEST.text), "target": target})


def test_records_come_from_pulumis_state_also_where_the_input_is_a_secret() -> None:
    secret = {
        SECRET_MARK: "1b47061264138c4ac30d75fd1eb44270",
        "plaintext": json.dumps(request_json()),
    }
    for stdin in (request_json(), secret):
        record = read_records(exported(stdin))[0][0]
        assert (record.name, record.proven_boot_id) == ("web", "b-1")
        assert record.request.read_manifest() == Manifest()


def test_what_a_config_declares_is_in_the_state_without_its_contents() -> None:
    salt = {SECRET_MARK: "x", "plaintext": json.dumps(json.dumps({"salt": "s" * 64}))}
    manifest = Manifest.of(FILE, "s" * 64).to_json()
    fields = {**json.loads(request_json()), "object_sha512": "0" * 128, "object_bytes": 9}
    fields["manifest"] = packed(json.dumps({name: part for name, part in manifest.items() if name != "salt"}))
    del fields["content"], fields["salt"]
    inputs = {"stdin": json.dumps(fields), "environment": {"PULUMI_FLATCAR_PRIVATE": salt}}
    ((record,), _) = read_records(exported(None, inputs=inputs))
    assert record.request.read_manifest() == Manifest.of(FILE, "s" * 64)
    seen = replace(SEEN, paths=(of_file(b"other"),))
    assert [found.problem for found in compare(record, record.request.read_manifest(), seen)] == ["has other content"]


def test_a_record_tells_what_was_proven_and_what_was_wanted_last() -> None:
    document = json.loads(exported(request_json()))
    resources = document["deployment"]["resources"]
    machine = {"urn": "urn:pulumi:s::flatcar::flatcar:index:Machine::web", "type": "flatcar:index:Machine"}
    resources.append({**machine, "inputs": {"configId": "0123456789ab"}})
    stdout = {"config_id": ID, "record": {"objects": ["f" * 128]}}
    resources[0].setdefault("outputs", {})["stdout"] = json.dumps(stdout)
    ((record,), _) = read_records(json.dumps(document))
    assert (record.proven_config_id, record.proven_objects, record.declared_id) == (ID, ("f" * 128,), "0123456789ab")


@pytest.fixture
def never_proven(tmp_path: Path) -> Path:
    machine = {"urn": "urn:pulumi:s::flatcar::flatcar:index:Machine::db", "type": "flatcar:index:Machine"}
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"deployment": {"resources": [machine]}}))
    return state


def test_a_machine_that_was_never_proven_is_not_passed_over(
    never_proven: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--export", str(never_proven)]) == 1
    assert "db: not looked at: no `pulumi up` has proven it yet" in capsys.readouterr().out


def test_a_result_that_can_not_be_written_is_no_verdict(never_proven: Path) -> None:
    def audited(stdout: BinaryIO) -> tuple[int, bytes]:
        argv = [sys.executable, "-m", "components.audit", "--export", str(never_proven)]
        env = {**os.environ, "PYTHONUNBUFFERED": ""}
        done = subprocess.run(argv, stdout=stdout, stderr=subprocess.PIPE, env=env, check=False)
        return done.returncode, done.stderr

    with Path("/dev/full").open("wb") as full:
        assert audited(full) == (2, b"audit: the result can't be written: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        assert audited(gone) == (1, b"")


@pytest.fixture
def nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "GREETING_SECONDS", 0.5)


@pytest.mark.usefixtures("nobody_answers")
def test_many_machines_are_looked_at_in_their_order_with_progress(capsys: pytest.CaptureFixture[str]) -> None:
    records = [replace(RECORD, request=replace(REQUEST, machine=f"m{number}")) for number in range(40)]
    assert [report.machine for report in look_at_all(records)] == [record.name for record in records]
    progress = capsys.readouterr().err.splitlines()
    assert len(progress) == 40 and progress[-1].startswith("[40/40] ")


@pytest.mark.parametrize(
    ("text", "names", "message"),
    [
        ("", [], "is not what"),
        ("[]", [], "is not what"),
        ('{"deployment": {}}', [], "no machines yet"),
        (exported(request_json()), ["db"], "no machine db; it has web"),
        (exported({SECRET_MARK: "x", "ciphertext": "v1:"}), [], "--show-secrets"),
        (exported(request_json(), delete=True), [], "no machines yet"),
    ],
)
def test_states_that_tell_nothing_are_named(text: str, names: list[str], message: str) -> None:
    with pytest.raises(NoRecordsError, match=message):
        read_records(text, names)


def test_an_answer_without_its_end_is_no_answer() -> None:
    assert read_seen(Finished(code=0, lines=("stamp=x",), stderr="")) is None
    keys = base64.b64encode(b"# comment\nssh-rsa AA me\n\n").decode()
    etc = base64.b64encode(b"l\tx\t/etc/a\tb\0").decode()
    lines = (
        f"etc={etc}",
        "password=a|*",
        "password=b|",
        "password=c|sum|dd",
        f"keys=a|{base64.b64encode(b'ignition').decode()}|{keys}",
        "path=0|missing",
        "complete=1",
    )
    seen = read_seen(Finished(code=0, lines=lines, stderr=""))
    assert seen is not None
    assert seen.etc == (("l", "/etc/a\tb", "x"),)
    assert seen.passwords == {"b": "", "c": "dd"}
    assert seen.keys == {"a": {"ignition": ("ssh-rsa AA me",)}}


@pytest.mark.usefixtures("nobody_answers")
def test_a_machine_that_rolled_back_is_not_told_to_run_its_config_again() -> None:
    back = Report(machine="web", findings=tuple(compare(RECORD, Manifest.of({}), replace(SEEN, rolled_back_from=ID))))
    drifted = Report(machine="db", findings=tuple(compare(RECORD, Manifest.of({}), replace(SEEN, stamp=""))))
    assert advice([Report(machine="clean")]) == []
    assert advice([drifted]) == [ADVICE]
    assert advice([back]) == [BACK_ADVICE] and "generation" not in BACK_ADVICE
    assert advice([back, drifted]) == [ADVICE, BACK_ADVICE]


def test_the_table_and_the_exit_codes(tmp_path: Any, capsys: pytest.CaptureFixture[str]) -> None:
    drifted = Report(
        machine="web", config_id=ID, findings=(Finding(kind="boot", subject="boot id", problem="x", is_drift=False),)
    )
    assert drifted.is_clean and table([drifted]).splitlines()[1] == "  - boot  boot id  x"
    told = table([replace(drifted, findings=(), history=(f"2025-01-31T12:00:00Z push {ID} pro\x1b[0mven",))])
    assert told.splitlines()[1] == f"    2025-01-31T12:00:00Z  push  {ID[:12]}  pro[0mven"
    state = tmp_path / "state.json"
    state.write_text(exported(request_json()))
    assert main(["--export", str(state), "--json"]) == 1
    out, err = capsys.readouterr()
    assert json.loads(out)["machines"][0]["trouble"] == "no SSH server answers at 127.0.0.1 port 9"
    assert "[1/1] web: not looked at" in err
    assert main(["--export", str(tmp_path / "none")]) == 2
    with pytest.raises(SystemExit, match="2"):
        main(["--export", str(state), "--ignore", r"/etc/x\d"])
    assert r"--ignore '/etc/x\\d' holds '\d', which find takes otherwise: write [0-9]" in capsys.readouterr().err
