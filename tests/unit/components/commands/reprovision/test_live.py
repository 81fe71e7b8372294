"""What `scripts/live.sh` is given of a change."""

from __future__ import annotations

import base64

import pytest

from components.commands.reprovision.live import script_values
from components.commands.reprovision.live_plan import Live
from components.commands.reprovision.manifest import PRESETS


@pytest.mark.parametrize(
    ("units", "text"),
    [
        ({"b.service": True, "a.timer": True}, "enable a.timer\nenable b.service\n"),
        ({"b.service": True, "a.service": False}, "disable a.service\nenable b.service\n"),
        ({"a.service": True, "b.service": False, "c.service": None}, "enable a.service\ndisable b.service\n"),
        ({"x@1.service": True, "x@2.service": True, "x.service": True}, "enable x.service\nenable x@.service 1 2\n"),
        ({"x@one.service": True, "x@two.service": False}, "enable x@.service one\n"),
        ({"only.service": False}, "disable only.service\n"),
    ],
)  # fmt: skip
def test_presets_are_those_that_ignition_writes(units: dict[str, bool | None], text: str) -> None:
    config = {"systemd": {"units": [{"name": name, "enabled": enabled} for name, enabled in units.items()]}}
    values = script_values(Live(writes=(PRESETS,)), config)
    assert values["PATHS"] == [PRESETS]
    assert base64.b64decode(values["CONTENTS"][0]).decode() == text


GIVEN = (
    "--groups docker --no-user-group --system --no-log-init "
    "--home-dir /srv/ann --uid 1200 --comment Ann, of Arc --gid users --shell /bin/sh"
)


def test_users_are_made_and_changed_as_ignition_does_it() -> None:
    core = {
        "name": "core",
        "groups": ["wheel", "docker"],
        "passwordHash": "$6$core",
        "sshAuthorizedKeys": ["a b", "c d"],
    }
    ann = {
        "name": "ann", "uid": 1200, "gecos": "Ann, of Arc", "homeDir": "/srv/ann", "primaryGroup": "users",
        "shell": "/bin/sh", "noUserGroup": True, "system": True, "noLogInit": True, "groups": ["docker"],
    }  # fmt: skip
    bob = {"name": "bob", "noCreateHome": True, "shell": ""}
    plan = Live(users=("core", "ann", "bob"), new_users=("ann", "bob"), regrouped=("core",), new_groups=("ops",))
    config = {"passwd": {"users": [core, ann, bob], "groups": [{"name": "web", "gid": 1}, {"name": "ops", "gid": 0}]}}
    values = script_values(plan, config)
    assert [" ".join(str(words).split("\n")) for words in values["USER_COMMANDS"]] == [
        "usermod --groups wheel,docker core",
        f"useradd --create-home --password * {GIVEN} ann",
        "useradd --no-create-home --password * bob",
    ]
    assert values["USER_PASSWORDS"] == ["$6$core", "", ""]
    assert values["USER_KEYS"] == ["a b\nc d", "", ""]
    assert values["NEW_HOMES"] == ["", "/srv/ann", ""]
    assert values["GROUP_COMMANDS"] == ["groupadd\n--gid\n0\n--password\n*\nops"]
    only_keys = script_values(Live(users=("core",)), config)
    assert only_keys["USER_COMMANDS"] == [""]
