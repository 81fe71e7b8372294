"""What the record of a machine's last run answers, and what a look at the running machine has to."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from components.commands.environment import PREVIOUS_OUTPUT
from components.commands.reprovision.record import LOOKED_AT, Record
from components.commands.reprovision.request import HealthCheck, Outputs, Request
from components.commands.ssh_session import SshTarget

if TYPE_CHECKING:
    from pathlib import Path

CHECK = HealthCheck(name="page", subject="true", seconds=5)
OUTPUTS = Outputs(
    config_id="c" * 128, boot_id="b", os_version="1.2.3", host_key="", downtime_seconds=9.0, failed_units=()
)


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    return Request(
        machine="web",
        config_id="c" * 128,
        source="http://h/web.ign",
        content="{}",
        version="1",
        place=None,
        lifecycle="reset",
        keep=(),
        target=SshTarget(
            host="h", port=22, user="core", known_hosts=str(tmp_path / "pins"), host_key_alias="web", identity_file=""
        ),
        health=(CHECK,),
        allow_degraded=False,
        timeout=1,
        rollback_after=0,
        pause=0,
        drain="",
        restore="",
        console_log="",
        console_hint="",
    )


@pytest.mark.parametrize(
    ("changes", "changed"),
    [
        ({"timeout": 9, "drain": "true", "console_log": "elsewhere", "pause": 3}, set()),
        ({"health": (replace(CHECK, subject="false"),)}, {"health"}),
        ({"health": (replace(CHECK, seconds=6),)}, {"health"}),
        ({"health": ()}, {"health"}),
        ({"allow_degraded": True}, {"health"}),
        ({"power_on": "2 disk"}, {"power_on"}),
        ({"health": (), "power_on": "2 disk"}, {"health", "power_on"}),
        ({"health": (), "config_id": "d"}, {"health", "config_id"}),
        ({"lifecycle": "flag", "version": "2"}, {"lifecycle", "version"}),
    ],
)
def test_what_has_changed_since_a_run(request_: Request, changes: dict[str, Any], changed: set[str]) -> None:
    record = Record.of(request_, OUTPUTS, None)
    assert Record.previous({PREVIOUS_OUTPUT: record.text()}) == record
    assert record.answers(request_)
    now = replace(request_, **changes)
    assert record.changed(now) == changed
    assert record.answers(now) == (not changed)


def test_a_record_of_an_older_version_knows_of_no_checks(request_: Request) -> None:
    document = json.loads(Record.of(request_, OUTPUTS, None).text())
    del document["record"]["wanted"]["health"]
    older = Record.previous({PREVIOUS_OUTPUT: json.dumps(document)})
    assert older is not None
    assert older.changed(request_) == {"health"} <= LOOKED_AT, "they are tried once, on the running machine"
    assert older.answers(replace(request_, health=())), "there is nothing to try"
