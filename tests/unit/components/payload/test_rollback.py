"""What rollbacks add to Ignition configs, and how the deployer reads health checks and console fingerprints."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from cl.transpiler.fragments import merged
from cl.transpiler.ignition.checks import decode_data_url
from components.commands.objects.folder import FolderPlace
from components.commands.reprovision.host_key import console_fingerprints, fingerprint
from components.config.section import Section
from components.payload.rollback import SCRIPT, retry_fragment, rollback_fragment
from components.settings.health import health_checks

if TYPE_CHECKING:
    from pathlib import Path


def repeatable(config: dict[str, Any]) -> dict[str, Any]:
    return merged(config, retry_fragment(config))


def test_the_rollback_is_a_script_a_service_and_a_timer_that_is_enabled_both_ways() -> None:
    own = {"storage": {"files": [{"path": "/a"}]}, "systemd": {"units": [{"name": "b"}]}}
    config = merged(own, rollback_fragment(77))
    assert [file["path"] for file in config["storage"]["files"]] == ["/a", SCRIPT]
    assert [unit["name"] for unit in config["systemd"]["units"]] == [
        "b",
        "flatcar-rollback.service",
        "flatcar-rollback.timer",
    ]
    assert "OnBootSec=77\n" in config["systemd"]["units"][2]["contents"]
    assert config["systemd"]["units"][2]["enabled"] is True
    assert config["storage"]["links"][0]["path"].endswith("timers.target.wants/flatcar-rollback.timer")


def test_the_script_is_roots_and_the_service_tries_until_it_has_succeeded() -> None:
    fragment = rollback_fragment(300)
    (file,) = fragment["storage"]["files"]
    assert (file["path"], file["mode"], file["overwrite"]) == ("/etc/flatcar/rollback.sh", 0o700, True)
    service, timer = (unit["contents"] for unit in fragment["systemd"]["units"])
    assert service.partition("[Service]\n")[2].splitlines() == [
        "Type=oneshot",
        "ExecStart=/usr/bin/bash /etc/flatcar/rollback.sh",
        "Restart=on-failure",
        "RestartSec=15",
    ]
    assert timer.partition("[Timer]\n")[2].splitlines()[1:] == [
        "OnBootSec=300",
        "AccuracySec=1s",
        "Unit=flatcar-rollback.service",
        "",
        "[Install]",
        "WantedBy=timers.target",
    ]


def test_a_drop_in_for_a_unit_of_the_rollback_is_beside_it() -> None:
    dropin = {"name": "10-log.conf", "contents": "[Service]\nStandardOutput=tty\n"}
    own = {"systemd": {"units": [{"name": "flatcar-rollback.service", "dropins": [dropin]}]}}
    service, timer = merged(own, rollback_fragment(300))["systemd"]["units"]
    assert (service["name"], service["dropins"]) == ("flatcar-rollback.service", [dropin])
    assert "Restart=on-failure\n" in service["contents"]
    assert timer["name"] == "flatcar-rollback.timer"


def test_the_script_on_the_machine_is_valid_shell() -> None:
    files = rollback_fragment(60)["storage"]["files"]
    script = decode_data_url(files[0]["contents"]["source"])
    subprocess.run(["bash", "-n"], input=script, check=True)
    assert b"stage_lifecycle()" in script


def test_a_config_can_be_run_again_over_its_own_remains() -> None:
    config: dict[str, Any] = {
        "storage": {
            "files": [
                {"path": "/written", "contents": {"source": "data:,x"}},
                {"path": "/said", "overwrite": False, "contents": {"source": "data:,x"}},
                {"path": "/appended", "append": [{"source": "data:,x"}]},
            ],
            "links": [{"path": "/link", "target": "/written"}],
            "directories": [{"path": "/directory"}],
        }
    }
    storage = repeatable(config)["storage"]
    assert [file.get("overwrite") for file in storage["files"]] == [True, False, None]
    assert storage["links"][0]["overwrite"] is True
    assert "overwrite" not in storage["directories"][0]
    assert "overwrite" not in config["storage"]["files"][0], "the config id is of the config as it was"


def test_fetching_has_an_end_unless_the_config_says_when() -> None:
    remote: dict[str, Any] = {
        "ignition": {"version": "3.3.0"},
        "storage": {"files": [{"path": "/a", "contents": {"source": "https://example.com/a"}}]},
    }
    assert repeatable(remote)["ignition"] == {"version": "3.3.0", "timeouts": {"httpTotal": 300}}
    remote["ignition"]["timeouts"] = {"httpTotal": 5}
    assert repeatable(remote)["ignition"]["timeouts"] == {"httpTotal": 5}
    assert repeatable({"ignition": {"version": "3.3.0"}}) == {"ignition": {"version": "3.3.0"}}


def test_health_checks_of_all_kinds_are_read() -> None:
    problems: list[str] = []
    section = Section(
        "flatcar:machines.web.health",
        {
            "commands": [{"command": "true"}],
            "http": [{"url": "http://{address}:8080/", "status": 204, "from": "operator", "seconds": 5}],
            "tcp": [{"port": 22}, {"port": "10.0.0.1:53", "name": "dns"}],
            "units": ["web.service"],
        },
        problems,
    )
    checks = health_checks(section)
    section.finish()
    assert problems == []
    assert [(check.kind, check.name, check.subject, check.vantage) for check in checks] == [
        ("command", "true", "true", "machine"),
        ("http", "http://{address}:8080/", "http://{address}:8080/", "operator"),
        ("tcp", "port 22", "22", "machine"),
        ("tcp", "dns", "10.0.0.1:53", "machine"),
        ("unit", "web.service", "web.service", "machine"),
    ]
    assert (checks[1].expected, checks[1].seconds) == ("204", 5)


@pytest.mark.parametrize(
    ("health", "key"),
    [
        ({"http": [{"url": "ftp://x/"}]}, "http[0].url"),
        ({"http": [{"url": "http://x/", "from": "moon"}]}, "http[0].from"),
        ({"tcp": [{"port": 70000}]}, "tcp[0].port"),
        ({"tcp": [{"port": "x;reboot:22"}]}, "tcp[0].port"),
        ({"units": ["web service; reboot"]}, "units"),
        ({"commands": [{"name": "x"}]}, "commands[0].command"),
    ],
)
def test_wrong_health_checks_are_told_by_their_keys(health: dict[str, Any], key: str) -> None:
    problems: list[str] = []
    health_checks(Section("flatcar:machines.web.health", health, problems))
    assert len(problems) == 1
    assert f"health.{key}" in problems[0]


def test_fingerprints_are_those_of_openssh(tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    public = key.with_suffix(".pub").read_text()
    told = subprocess.run(["ssh-keygen", "-l", "-f", f"{key}.pub"], capture_output=True, text=True, check=True).stdout
    console = tmp_path / "console.log"
    console.write_text(f"\x1b[0mSSH host key: {told.split()[1]} (ED25519)\r\n\nlocalhost login: ")
    assert console_fingerprints(console) == {fingerprint(public)}
    assert fingerprint("nonsense") == ""
    assert console_fingerprints(tmp_path / "none") == set()


def test_an_object_is_written_again_only_when_it_is_another(tmp_path: Path) -> None:
    place = FolderPlace(path=str(tmp_path / "config.ign"), written="2025-01-31T12:00:00.000000Z")
    assert place.put("new") is True
    assert place.put("new") is False
    written = (tmp_path / "config.ign").stat().st_mtime
    place.put_back("old")
    assert (tmp_path / "config.ign").read_text() == "old"
    assert (tmp_path / "config.ign").stat().st_mtime != written, "Pulumi's next run has to notice"
