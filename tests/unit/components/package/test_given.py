"""What programs in other languages give, as settings: numbers from the wire, names, and what is refused."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.commands.reprovision.request import HealthCheck
from components.package.given import section_of, settings_of, ssh_of
from components.package.stores import given_store
from components.settings.lifecycle import Lifecycle
from components.stores.elsewhere import Elsewhere
from components.stores.local_folder import LocalFolder

CONFIG = "variant: flatcar\nversion: 1.1.0\n"


def test_settings_are_those_of_a_stack() -> None:
    settings = settings_of(
        "web",
        {
            "config": CONFIG, "config_name": "web.yaml", "snippets": [CONFIG], "lifecycle": "reformat",
            "generation": 2.0, "timeout": 90.0, "rollback": False, "allow": ["wipe:/dev/vdb"], "os_update": "refuse",
            "health": {"http": [{"url": "http://{address}/", "vantage": "operator", "status": 204.0}],
                       "tcp": [{"port": "22", "seconds": 7.0}]},
            "ssh": {}, "strict": True, "store": {},
        },
        beside=("store",),
    )  # fmt: skip
    assert str(settings.config) == CONFIG
    assert getattr(settings.config, "filename", "") == "web.yaml"
    assert [getattr(snippet, "filename", "") for snippet in settings.snippets] == ["<snippet 1>"]
    assert (settings.lifecycle, settings.generation, settings.timeout) == (Lifecycle.REFORMAT, 2, 90)
    assert isinstance(settings.generation, int)
    assert (settings.rollback_after, settings.os_update) == (0, "refuse")
    http, tcp = settings.health
    assert http == HealthCheck(
        kind="http", name="http://{address}/", subject="http://{address}/", expected="204", vantage="operator",
        seconds=30,
    )  # fmt: skip
    assert (tcp.subject, tcp.seconds) == ("22", 7)


def test_all_that_is_wrong_is_told_at_once() -> None:
    given = {"config": CONFIG, "lifecycle": "resat", "generation": 1.5, "helth": {}}
    with pytest.raises(pulumi.RunError) as refused:
        settings_of("web", given)
    assert str(refused.value).splitlines() == [
        "'web' can't be used:",
        "  lifecycle: has to be one of " + ", ".join(Lifecycle) + ", not 'resat'; did you mean 'reset'?",
        "  generation: has to be a whole number, not a number",
        "  helth: is not a known key; did you mean 'health'?",
    ]


def test_a_login() -> None:
    ssh = ssh_of({"ssh": {"user": "ops", "port": 2222.0, "private_key_file": "/k", "jump_host": "h"}})
    assert (ssh.user, ssh.port, ssh.private_key_file, ssh.public_key, ssh.jump_host) == ("ops", 2222, "/k", "", "h")
    assert (ssh_of({}).user, ssh_of({}).port, ssh_of({}).private_key_file) == ("core", None, "")


def test_a_section_is_left_alone_while_it_is_read() -> None:
    with (
        pytest.raises(pulumi.RunError, match="port: has to be 1 to 9"),
        section_of("a.host", {"port": 10.0}) as section,
    ):
        assert section.integer("port", 5, minimum=1, maximum=9) == 5


@pytest.mark.parametrize(
    ("store", "problem"),
    [
        ({"kind": "s4"}, "kind: has to be one of s3, spaces, folder, elsewhere, not 's4'"),
        ({"kind": "elsewhere"}, "url: is missing"),
        ({"kind": "elsewhere", "url": "s3://a/b"}, "url: 's3://a/b' is no http or https address"),
        ({"kind": "s3", "bucket": "configs"}, "region: is missing"),
        ({"kind": "spaces", "region": "fra1"}, "bucket: is missing"),
        ({"kind": "folder", "bucket": "a"}, "bucket: is not a known key"),
    ],
)
def test_a_store_that_is_none_is_refused(store: dict[str, Any], problem: str) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        given_store("web", store)
    assert problem in str(refused.value)


def test_stores() -> None:
    elsewhere = given_store("web", {"kind": "elsewhere", "url": "https://h/web.ign", "allow_secrets": ["token"]})
    assert elsewhere == Elsewhere(url="https://h/web.ign", allow_secrets=("token",))
    assert elsewhere.secrets_problem(["token"]) is None
    assert "password" in (elsewhere.secrets_problem(["token", "password"]) or "")
    assert isinstance(given_store("web", {"kind": "folder"}), LocalFolder)
    private = given_store("web", {"kind": "s3", "bucket": "configs", "region": "eu-central-1"})
    public = given_store("web", {"kind": "s3", "bucket": "configs", "region": "eu-central-1", "public": True})
    assert private.secrets_problem(["token"]) is None
    assert "token" in (public.secrets_problem(["token"]) or "")
