"""What opens DigitalOcean is looked for in the stack's config and in the environment, and only named in messages."""

from __future__ import annotations

from collections.abc import Iterator

import pulumi
import pytest
from pulumi.runtime import config as runtime_config

from components.platforms.access import said, tell_example
from components.platforms.digitalocean import TOKEN, check_token
from components.stores.registry import SPACES_KEY, check_spaces_key

NAMES = [name for credential in (TOKEN, *SPACES_KEY) for name in credential.variables]


@pytest.fixture(autouse=True)
def nothing_given(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    before = dict(runtime_config.CONFIG.get() or {})
    yield
    runtime_config.set_all_config(before)


def test_what_is_missing_is_named_with_the_way_to_give_it() -> None:
    with pytest.raises(pulumi.RunError, match=r"export DIGITALOCEAN_TOKEN=.*config set --secret digitalocean:token"):
        check_token()
    with pytest.raises(pulumi.RunError, match="SPACES_ACCESS_KEY_ID and SPACES_SECRET_ACCESS_KEY"):
        check_spaces_key()


def test_half_a_spaces_key_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPACES_ACCESS_KEY_ID", "sesame")
    with pytest.raises(pulumi.RunError, match="environment: SPACES_SECRET_ACCESS_KEY") as caught:
        check_spaces_key()
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("name", TOKEN.variables)
def test_the_environment_opens(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "secret")
    check_token()


def test_the_config_of_the_stack_opens() -> None:
    runtime_config.set_all_config({credential.key: "secret" for credential in (TOKEN, *SPACES_KEY)})
    check_token()
    check_spaces_key()


@pytest.mark.parametrize(
    "text",
    [
        "invoke of a failed: invocation of a returned an error: invoking a: 1 error occurred:\n\t* login failed: 401\n",
        "invoke of aws:ec2/getAmiIds:getAmiIds failed: login failed: 401",
        "login failed: 401",
    ],
)
def test_a_clouds_answer_is_told_alone(text: str) -> None:
    assert said(Exception(text)) == "login failed: 401"


def test_who_may_log_in_is_not_left_at_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(pulumi.log, "warn", told.append)
    tell_example("flatcar:aws.ssh_from", ["203.0.113.0/24", "2001:db8::1/128", "198.51.101.0/24", "10.0.0.0/8", "::/0"])
    assert [text.split(" is ")[0] for text in told] == [
        "flatcar:aws.ssh_from: 203.0.113.0/24",
        "flatcar:aws.ssh_from: 2001:db8::1/128",
    ]
