"""Settings of machines that pull, and what their configs get."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pulumi
import pytest

from cl.transpiler.ignition.checks import decode_data_url
from components.commands.reprovision.pulling import read_report
from components.commands.sign import NO_SIGNATURE, digest
from components.config.section import Section
from components.payload.agent import FOLDER, PARTS, addressed, text_at
from components.payload.machine_config import MachineConfig
from components.settings.pull import PullSettings, pull_problems, pull_settings
from tests.support.machine_configs import made_config

CONFIG = """\
variant: flatcar
version: 1.0.0
storage:
  files:
    - path: PATH
      contents: {inline: "x"}
"""
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA"
OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB"
ADDRESS = "https://configs.example/web.ign?a=1&b=%20"


def read(values: dict[str, Any]) -> tuple[PullSettings, list[str]]:
    problems: list[str] = []
    machine = Section("flatcar:machines.web", {"pull": values}, problems)
    settings = pull_settings(machine.section("pull"), "web")
    machine.value_problems(pull_problems(settings))
    return settings, problems


def made(tmp_path: Path, settings: PullSettings | None, path: str = "/etc/a", **changes: Any) -> MachineConfig:
    file = tmp_path / "a.yaml"
    file.write_text(CONFIG.replace("PATH", path))
    return made_config(file, **{"files_dir": tmp_path, "strict": False, "pull": settings, **changes})


def files(text: str) -> dict[str, str]:
    found = json.loads(text)["storage"]["files"]
    return {
        file["path"]: decode_data_url(file["contents"]["source"], file["contents"].get("compression")).decode()
        for file in found
    }


def test_the_defaults() -> None:
    settings, problems = read({})
    assert problems == []
    assert settings == PullSettings()
    assert (settings.interval, settings.jitter, settings.windows, settings.wait) == (300, 600, (), "no")


def test_everything_given() -> None:
    settings, problems = read(
        {
            "interval": 60,
            "jitter": 5,
            "window": "Mon,Wed 02:00-04:00",
            "lock": {"url": "http://lock.example:3333/", "group": "web"},
            "report": "https://user:pass@reports.example/{machine}?signature=s",
            "wait": "report",
        }
    )
    assert problems == []
    assert settings.windows == ((120, 240), (2880 + 120, 2880 + 240))
    assert settings.report == "https://user:pass@reports.example/web?signature=s"
    shown = settings.shown()
    assert shown["report"] == "https://reports.example/web?…"
    assert shown["windows"] == ["Mon 02:00 - Mon 04:00", "Wed 02:00 - Wed 04:00"]
    assert shown["lock"] == "http://lock.example:3333/ (web)"


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("02:00-04:00", tuple((day * 1440 + 120, day * 1440 + 240) for day in range(7))),
        ("Sun 00:00-24:00", ((8640, 10080),)),
        ("Sun 22:00-02:00", ((0, 120), (8640 + 1320, 10080))),
        ("Sat-Mon 01:00-02:00", ((60, 120), (7260, 7320), (8700, 8760))),
        ("Tue 23:30-00:30; Fri 01:00-01:01", ((1440 + 1410, 2880 + 30), (5820, 5821))),
    ],
)
def test_windows_are_minutes_of_the_week(text: str, windows: tuple[tuple[int, int], ...]) -> None:
    settings, problems = read({"window": text})
    assert problems == []
    assert settings.windows == windows


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"intervall": 60}, "pull.intervall: is not a known key; did you mean 'interval'?"),
        ({"interval": 5}, "pull.interval: has to be 10 to 86400"),
        ({"interval": "5m"}, "pull.interval: has to be a whole number"),
        ({"window": "Mon 25:00-26:00"}, "pull.window: 'Mon 25:00-26:00' is not a window such as"),
        ({"window": "Mo 01:00-02:00"}, "is not a window such as"),
        ({"window": "01:00-01:00"}, "is empty; the whole day is 00:00-24:00"),
        ({"lock": {"group": "a"}}, "pull.lock.url: is missing"),
        ({"lock": {"url": "etcd://x"}}, "pull.lock.url: has to be an http or https address"),
        ({"lock": {"url": "http://x", "group": "a b"}}, "pull.lock.group: 'a b' is not a FleetLock group"),
        ({"lock": {"ulr": "http://x"}}, "did you mean 'url'?"),
        ({"report": "x"}, "pull.report: has to be an http or https address"),
        ({"report": "http://reports:eighty/"}, "pull.report: has to be an http or https address"),
        ({"report": "http://[::1/"}, "pull.report: has to be an http or https address"),
        ({"report": "http://a b/"}, "pull.report: has to be an http or https address"),
        ({"report": "ftp://me:hunter2@x/"}, "an http or https address, not 'ftp://x/'"),
        ({"signers": ["ops"]}, "pull.signers: 'ops' is not an SSH public key of one line"),
        ({"signers": [KEY], "signed_by": OTHER}, "pull.signed_by: is none of signers"),
        ({"wait": "sssh"}, "did you mean 'ssh'?"),
        ({"wait": "report"}, "pull.wait: 'report' needs an address"),
    ],
)
def test_wrong_settings_are_told_by_their_keys(values: dict[str, Any], message: str) -> None:
    _, problems = read(values)
    assert any(re.search(message.replace("?", r"\?"), problem) for problem in problems), problems


def test_the_config_id_counts_the_interval_and_not_the_address_window_or_lock(tmp_path: Path) -> None:
    plain, pulls = made(tmp_path, None), made(tmp_path, PullSettings())
    assert plain.config_id != pulls.config_id
    assert made(tmp_path, PullSettings(interval=60)).config_id != pulls.config_id
    other = PullSettings(jitter=1, windows=((0, 1),), lock="http://lock", report="http://reports", wait="ssh")
    assert made(tmp_path, other).config_id == pulls.config_id
    assert made(tmp_path, other).text != pulls.text
    assert FOLDER not in plain.text


def test_reports_to_the_store_are_another_config_whose_agent_knows_where(tmp_path: Path) -> None:
    plain, address = made(tmp_path, PullSettings()), made(tmp_path, PullSettings(report="https://a.example/{machine}"))
    store = made(tmp_path, PullSettings(report="store"))
    assert plain.config_id == address.config_id != store.config_id
    assert store.config_id == made(tmp_path, PullSettings(report="store", wait="report")).config_id
    its = files(store.text)
    assert its.keys() - files(plain.text).keys() == {f"{FOLDER}/reports"}
    assert re.search(r"^REPORT='?s3:///reports/[a-z-]+\.json'?$", its[f"{FOLDER}/settings"], re.MULTILINE)
    assert PullSettings(report="store").shown()["report"] == "store" and not PullSettings(report="store").sensitive


def test_signers_are_another_config_and_their_comments_are_not(tmp_path: Path) -> None:
    plain, settings = made(tmp_path, PullSettings()), read({"signers": [f"{KEY} ops"]})[0]
    assert settings.signers == (KEY,)
    assert settings.shown()["signers"] == [KEY]
    assert "signers" not in PullSettings().shown()
    signed = made(tmp_path, settings)
    assert signed.config_id != plain.config_id
    assert made(tmp_path, replace(settings, signed_by=KEY)).config_id == signed.config_id
    assert files(signed.text)[f"{FOLDER}/signers"] == f'operator namespaces="flatcar-config" {KEY}\n'
    assert f"{FOLDER}/signers" not in files(plain.text)
    assert NO_SIGNATURE not in plain.text
    ends = made(tmp_path, PullSettings(signed_by=KEY))
    assert ends.config_id == plain.config_id, "it is signed, and asks for no signature"
    assert NO_SIGNATURE in ends.text


def test_what_is_signed_is_the_object_without_signature_and_checksum(tmp_path: Path) -> None:
    text = made(tmp_path, PullSettings(signers=(KEY,))).text
    whole = text_at(text, ADDRESS, "flatcar-object-signature-17-AAAA+/==")
    assert (
        digest(whole)
        == digest(addressed(text, ADDRESS))
        == hashlib.sha512(addressed(text, ADDRESS).encode()).hexdigest()
    )
    address, line, signature = files(whole)[f"{FOLDER}/object"].splitlines()
    assert (address, signature) == (ADDRESS, "flatcar-object-signature-17-AAAA+/==")
    sha256 = line.removeprefix("flatcar-object-sha256-")
    assert hashlib.sha256(whole.replace(sha256, "0" * 64).encode()).hexdigest() == sha256, "the signature is in the sum"


def test_a_login_or_a_signature_in_an_address_is_told_to_the_store(tmp_path: Path) -> None:
    plain = PullSettings(lock="http://lock:3333", report="https://reports/web")
    assert made(tmp_path, plain).secrets == ()
    assert made(tmp_path, PullSettings(lock="http://me:secret@lock:3333")).secrets == ("pull.lock",)
    assert made(tmp_path, PullSettings(report="https://reports/web?X-Amz-Signature=1")).secrets == ("pull.report",)


def test_the_object_holds_its_address_and_a_sum_over_itself(tmp_path: Path) -> None:
    text = text_at(made(tmp_path, PullSettings()).text, ADDRESS)
    address, line = files(text)[f"{FOLDER}/object"].splitlines()
    assert address == ADDRESS
    digest = line.removeprefix("flatcar-object-sha256-")
    assert hashlib.sha256(text.replace(digest, "0" * 64).encode()).hexdigest() == digest
    assert text.count(digest) == 1


def test_scripts_and_settings_are_those_of_this_project(tmp_path: Path) -> None:
    settings = PullSettings(windows=((1, 2), (3, 4)), lock="http://lock/it's")
    keep = ("/etc/ssh/ssh_host_.*", "/srv/a b")
    found = files(text_at(made(tmp_path, settings, keep=keep).text, ADDRESS))
    scripts = Path(__file__).resolve().parents[4] / "components" / "scripts"
    for part in PARTS:
        code = [line for line in (scripts / part).read_text().splitlines() if not re.match(r"\s*(#(?!!)|$)", line)]
        assert found[f"{FOLDER}/{part}"].splitlines() == code
    ask = 'printf "%s|" "$LIFECYCLE" "${KEEP[@]}" "${WINDOWS[@]}" "$LOCK_URL" "${#KINDS[@]}"'
    told = subprocess.run(
        ["bash", "-c", found[f"{FOLDER}/settings"] + ask], capture_output=True, text=True, check=True
    ).stdout
    assert told == "reset|/etc/ssh/ssh_host_.*|/srv/a b|1-2|3-4|http://lock/it's|0|"


def test_a_host_gets_its_pointer_back(tmp_path: Path) -> None:
    text = files(made(tmp_path, PullSettings(), platform="metal").text)[f"{FOLDER}/settings"]
    assert 'POINTER=\'{"ignition":' in text
    assert "POINTER=''" in files(made(tmp_path, PullSettings()).text)[f"{FOLDER}/settings"]


def test_who_reads_and_runs_what_the_agent_is_made_of(tmp_path: Path) -> None:
    nodes = made(tmp_path, PullSettings(signers=(KEY,))).ignition["storage"]["files"]
    found = {Path(node["path"]).name: node["mode"] for node in nodes if node["path"].startswith(f"{FOLDER}/")}
    private = {"settings": 0o600, "object": 0o600}  # the lock's address may hold a login
    assert found == {"interval": 0o644, "signers": 0o644, **private, **dict.fromkeys(PARTS, 0o755)}


@pytest.mark.parametrize(("interval", "first"), [(30, 30), (60, 60), (300, 60)])
def test_the_first_time_is_soon_after_the_boot(tmp_path: Path, interval: int, first: int) -> None:
    units = made(tmp_path, PullSettings(interval=interval)).ignition["systemd"]["units"]
    (timer,) = (unit for unit in units if unit["name"] == "flatcar-pull.timer")
    assert f"OnBootSec={first}\n" in timer["contents"]


def test_the_timer_asks_within_the_interval(tmp_path: Path) -> None:
    units = made(tmp_path, PullSettings(interval=100)).ignition["systemd"]["units"]
    (timer,) = (unit for unit in units if unit["name"] == "flatcar-pull.timer")
    seconds = dict(re.findall(r"^(\w+)=(\d+)$", timer["contents"], re.MULTILINE))
    assert int(seconds["OnUnitInactiveSec"]) + int(seconds["RandomizedDelaySec"]) <= 100
    assert timer["enabled"] is True


@pytest.mark.parametrize("path", [f"{FOLDER}/settings", f"{FOLDER}/mine"])
def test_the_agents_folder_is_the_programs_own(tmp_path: Path, path: str) -> None:
    with pytest.raises(pulumi.RunError, match="is written by the program itself"):
        made(tmp_path, PullSettings(), path)


def test_reports_are_read_and_what_is_none_is_not() -> None:
    assert read_report('{"state":"proven","config_id":"a","why":"x\\u001b[1m"}') == {
        "state": "proven", "config_id": "a", "running": "", "why": "x[1m", "boot_id": "", "os_version": "",
    }  # fmt: skip
    for text in ("", "[]", '{"state":1}', "<html>"):
        assert read_report(text) == {}
