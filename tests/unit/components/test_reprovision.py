"""The request of a machine's Command: its text, recorded when it stood in the first states of users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pulumi
import pytest

from components.commands.objects.content import Content
from components.commands.objects.content_file import sha512_of
from components.commands.objects.packing import packed
from components.commands.reprovision.live_plan import LiveSettings
from components.commands.reprovision.request import HealthCheck, salted_digest
from components.ignition_object import IgnitionObject
from components.payload.wanted_config import WantedConfig
from components.platforms import PlatformMachine
from components.reprovision import ReprovisionArgs, request_document
from components.sdk import json_text
from components.settings.lifecycle import Lifecycle
from components.settings.machine import MachineSettings
from components.settings.pull import PullSettings
from components.settings.ssh import SshSettings

if TYPE_CHECKING:
    from pathlib import Path

known = pulumi.Output.from_input
OBJECT = '{"ignition":{}}'
CONTENT = f'"object_sha512": "{sha512_of(OBJECT)}", "object_bytes": {len(OBJECT)}, "manifest": "{packed("{}")}", '
DEFAULTS = (
    '{"machine": "web", "config_id": "aa11", "source": "http://127.0.0.1/web/config.ign", '
    f'{CONTENT}"version": "v1", "place": null, "lifecycle": "reset", '
    '"keep": ["/etc/ssh/ssh_host_.*", "/var/log"], "target": {"host": "127.0.0.1", "port": 2222, "user": "core", '
    '"known_hosts": "FOLDER/stack/known_hosts/web", "host_key_alias": "web", "identity_file": "", "jump_host": ""}, '
    '"host_key": "", "health": [], "allow_degraded": false, "timeout": 600, "rollback_after": 300, "pause": 0, '
    '"drain": "", "restore": "", "console_log": "/tmp/console", "console_hint": "its screen", "oem": "", '
    r'"user_data": "{\"pointer\":1}", "pull": "", "report": "", "os_update": "allow", "owner": "o/p/s/web", '
    '"take_over": false}'
)
EVERYTHING = (
    '{"machine": "web", "config_id": "aa11", "source": "http://127.0.0.1/web/config.ign", '
    f'{CONTENT}"version": "v1", "place": {{"bucket": "b", "region": "r"}}, '
    '"lifecycle": "flag", "keep": ["/etc/ssh/ssh_host_.*", "/var/lib/docker", "/srv"], "target": {"host": "127.0.0.1", '
    '"port": 2200, "user": "me", "known_hosts": "FOLDER/stack/known_hosts/web", "host_key_alias": "web", '
    '"identity_file": "key", "jump_host": "jump"}, "host_key": "ssh-ed25519 AAAA", "health": [{"name": "up", '
    '"subject": "true", "seconds": 5, "kind": "command", "expected": "200", "vantage": "machine"}, {"name": "web", '
    '"subject": "http://{address}/", "seconds": 7, "kind": "http", "expected": "204", "vantage": "operator"}], '
    '"allow_degraded": true, "timeout": 90, "rollback_after": 60, "pause": 5, "drain": "drain it", '
    '"restore": "bring it back", "console_log": "/tmp/console", "console_hint": "its screen", "oem": "pointer", '
    r'"user_data": "{\"pointer\":1}", "pull": "report", "report": "https://reports/web", '
    '"signers": ["ssh-ed25519 BBBB", "ssh-ed25519 CCCC"], "os_update": "refuse", "owner": "o/p/s/web", '
    '"take_over": true, "unsalted": "UNSALTED", "salt": "salt0"}'
)


def request(
    ssh: SshSettings,
    settings: dict[str, Any],
    *,
    place: dict[str, str] | None = None,
    salt: str | None = None,
    oem: str = "",
    pause: int = 0,
    power_on: str = "",
) -> str:
    nothing: Any = None  # no resource is looked at
    texts: list[str] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> pulumi.Output[None]:
        return json_text(request_document("web", args())).apply(texts.append)

    def args() -> ReprovisionArgs:
        return ReprovisionArgs(
            settings=MachineSettings(config="", **settings),
            config=WantedConfig(
                config_id="aa11",
                unsalted_id="bb22",
                salt=known(salt) if salt else None,
                text="",
                masked=None,
                summary={},
            ),
            ignition_object=IgnitionObject(
                source_url=known("http://127.0.0.1/web/config.ign"),
                content=known(Content.of(OBJECT)),
                text=known(OBJECT),
                user_data=known('{"pointer":1}'),
                version=known("v1"),
                place=known(place) if place else None,
                resource=nothing,
            ),
            machine=PlatformMachine(
                resource=nothing,
                ssh_host=known("127.0.0.1"),
                ssh_port=2222,
                console_log="/tmp/console",
                console_hint="its screen",
                oem=oem,
                power_on=power_on,
            ),
            ssh=ssh,
            owner="o/p/s/web",
            pause=pause,
        )

    program()
    (text,) = texts
    return text


def test_the_request_of_a_machine_with_defaults_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINES_DIR", str(tmp_path))
    assert request(SshSettings(), {}) == DEFAULTS.replace("FOLDER", str(tmp_path))


def test_the_request_with_all_settings_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINES_DIR", str(tmp_path))
    settings = {
        "lifecycle": Lifecycle.FLAG,
        "keep": ["docker", "/srv"],
        "host_key": "ssh-ed25519 AAAA",
        "health": [
            HealthCheck(name="up", subject="true", seconds=5),
            HealthCheck(
                kind="http", name="web", subject="http://{address}/", expected="204", vantage="operator", seconds=7
            ),
        ],
        "allow_degraded": True,
        "timeout": 90,
        "rollback_after": 60,
        "drain": "drain it",
        "restore": "bring it back",
        "os_update": "refuse",
        "take_over": True,
        "pull": PullSettings(
            wait="report", report="https://reports/web", signers=("ssh-ed25519 BBBB", "ssh-ed25519 CCCC")
        ),
    }
    ssh = SshSettings(user="me", port=2200, private_key_file="key", jump_host="jump")
    text = request(ssh, settings, place={"bucket": "b", "region": "r"}, salt="salt0", oem="pointer", pause=5)
    assert text == EVERYTHING.replace("FOLDER", str(tmp_path)).replace("UNSALTED", salted_digest("bb22", "salt0"))


def test_a_power_on_is_told_where_the_platform_counts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MACHINES_DIR", str(tmp_path))
    text = request(SshSettings(), {}, power_on="2 2026-01-01T00:00:00Z")
    assert text == DEFAULTS.replace("FOLDER", str(tmp_path))[:-1] + ', "power_on": "2 2026-01-01T00:00:00Z"}'


def test_what_a_machines_settings_say_of_live_is_told_where_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MACHINES_DIR", str(tmp_path))
    text = request(SshSettings(), {"live": LiveSettings(restart={"/etc/a/*": "a.service"}, drift="refuse")})
    live = '{"restart": {"/etc/a/*": "a.service"}, "reload": {}, "drift": "refuse"}'
    assert text == DEFAULTS.replace("FOLDER", str(tmp_path))[:-1] + f', "live": {live}}}'
