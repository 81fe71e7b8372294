"""What rollbacks add to Ignition configs, and what lets Ignition run one again."""

from __future__ import annotations

import subprocess
from typing import Any

from cl.transpiler.fragments import merged
from cl.transpiler.ignition.checks import decode_data_url
from components.payload.rollback import SCRIPT, retry_fragment, rollback_fragment


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
