"""Secrets in every kind of field of a config: nothing that is shown of it holds a part of one."""

from __future__ import annotations

import base64
import json
import os
import random
import re
import traceback
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pulumi
import pytest
import yaml  # type: ignore[import-untyped]

from cl.transpiler.lint import Rule
from cl.transpiler.snippets import Snippet
from components.payload import rules
from components.payload.machine_config import MachineConfig, NotYetKnownError, VariableValues, machine_config
from components.payload.masking import MASK, StandIns, is_guessable, locators, with_shown
from components.payload.wanted_config import Variables, wanted_config
from components.settings.lifecycle import Lifecycle
from tests.support import clc_configs, ignition_values
from tests.support.butane_configs import butane_config
from tests.support.cases import FILES, case_paths, read_case
from tests.support.machine_configs import config_args, made_config

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIGS = int(os.environ.get("GENERATED") or 1500)
SEED = int(os.environ.get("SEED") or 20261127)
RARE = "QXZJVWK0123456789"


def shown(source: str, secret: str, capsys: pytest.CaptureFixture[str], **changes: Any) -> str:
    """All that a stack shows of a config with this secret: warnings, errors with their tracebacks, names, summary."""
    arguments = {"files_dir": FILES, "strict": False, "rollback_after": 60, "platform_user": None, **changes}
    args = config_args(Snippet(source, "web.yaml"), **arguments)
    rules._shown.clear()
    out = []

    def make(variables: VariableValues, salt: str) -> MachineConfig:
        config = machine_config(args, variables, salt)
        out.append(repr(config.secrets))
        return config

    try:
        wanted = wanted_config(make, Variables(secrets={"token": secret}))
        out += [json.dumps(wanted.summary, ensure_ascii=False), repr(wanted.summary)]
    except (pulumi.RunError, NotYetKnownError) as error:
        out += [str(error), repr(error), "".join(traceback.format_exception(error))]
    said = capsys.readouterr()
    return "\n".join([*out, said.out, said.err])


def windows(text: str, length: int) -> set[str]:
    return {text[at : at + length] for at in range(len(text) - length + 1)}


def parts(secret: str) -> set[str]:
    """What nobody may see: any 4 characters of it, any 8 of what encodings make of it."""
    found = windows(secret, 4)
    encoded = [quote(secret, safe=""), quote(secret), repr(secret)[1:-1], json.dumps(secret)[1:-1]]
    encoded += [base64.b64encode(b"x" * n + secret.encode()).decode()[4:] for n in range(3)]
    for text in encoded:
        found |= windows(text, 8)
    return found


def made_up(kind: int, rng: random.Random) -> str:
    def rare(length: int) -> str:
        return "".join(rng.choices(RARE, k=length))

    def odd(length: int) -> str:
        return "".join(rng.choices(RARE + "\"'\\%${}<>&#;:@/?=+ äß語\t", k=length))

    return [
        lambda: rare(24),
        lambda: odd(20),
        lambda: f"{odd(8)}\n{odd(12)}\n",
        lambda: f"[{rare(8)}]\n{rare(5)}={odd(6)}\\\n{rare(8)}",
        lambda: f"http://{rare(6)}:{odd(8)}@[{rare(4)}%zz/{odd(6)}",
        lambda: f"https://{rare(8)}/{quote(odd(6))}?{rare(8)}",
        lambda: f"/{rare(6)}//{odd(8)}/../{rare(4)}",
        lambda: str(rng.randrange(10**3, 10**4)),
        lambda: str(rng.randrange(10**30, 10**31)),
        lambda: f"sha512-{rare(40)}",
        lambda: f"data:;base64,{rare(12)}%{rare(3)}",
        lambda: f"{rare(6)}.service",
        lambda: f"-----BEGIN PRIVATE KEY-----\n{rare(30)}\n-----END PRIVATE KEY-----\n",
        lambda: rare(4),
    ][kind]()


KINDS = 14


@lru_cache(maxsize=1)
def sources() -> tuple[str, ...]:
    """Configs that set every key of each dialect, by the schema and by the golden cases; many are wrong already."""
    rng = random.Random(0)  # the same for each seed
    golden = [read_case(path).config for dialect in ("butane", "clc") for path in case_paths(dialect)]
    ignition = [text for minor in (0, 3, 4) for text in ignition_values.odd_configs(rng, 3, minor, 1)]
    butane = [butane_config(rng.randrange(10**9)) for _ in range(300)]
    clc = [clc_configs.generate(rng).text for _ in range(200)]
    return (*golden, *ignition, *butane, *clc)


def scalars(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    inner = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield from scalars(value, (*path, key))
    if not inner and path and isinstance(node, (str, int)):
        yield path


def with_secret(text: str, rng: random.Random) -> str | None:
    """The config with `${token}` in one or two of its values; None when it is no YAML to begin with."""
    try:
        config = yaml.safe_load(text)
        places = list(scalars(config))
    except (yaml.YAMLError, ValueError, TypeError, RecursionError):  # an anchor within itself
        return None
    places = [path for path in places if path[-1] not in ("variant", "version", "ignition") or rng.random() < 0.02]
    for path in rng.sample(places, min(len(places), rng.choice([1, 1, 2]))):
        parent = config
        for element in path[:-1]:
            parent = parent[element]
        value = str(parent[path[-1]])
        cut = rng.randrange(len(value) + 1)
        forms = ["${token}", "${token}", value + "${token}", f"{value[:cut]}${{token}}{value[cut:]}", "'${token}'"]
        parent[path[-1]] = rng.choice(forms)
    return json.dumps(config, indent=1, default=str) if rng.random() < 0.1 else yaml.safe_dump(config, width=10**6)


def test_nothing_that_is_shown_holds_a_part_of_a_secret(capsys: pytest.CaptureFixture[str]) -> None:
    tried = refused = 0
    for seed in range(SEED, SEED + CONFIGS):
        rng = random.Random(seed)
        source = with_secret(rng.choice(sources()), rng)
        if source is None or "${token}" not in source:
            continue
        kind, platform = rng.randrange(KINDS), rng.choice(["qemu", "digitalocean", "aws"])
        options: dict[str, Any] = {"platform": platform, "strict": rng.random() < 0.5, "keep": ("/etc",)}
        options["allow"] = rng.choice([(), (*Rule,), (*Rule,), (*Rule,)])
        secret, other = made_up(kind, rng), made_up(kind, rng)
        text = shown(source, secret, capsys, **options)
        without = source + shown(source, other, capsys, **options)
        leaked = sorted(part for part in parts(secret) if part in text and part not in without)
        assert not leaked, f"SEED={seed} GENERATED=1 {secret!r}: {leaked}\n{source}\n{text}"
        tried += 1
        refused += "not a usable config" in text or "would do harm" in text
    print(f"{tried} configs with a secret in them, {refused} of them refused: nothing of it was shown (SEED={SEED})")
    assert tried > CONFIGS // 2
    assert (
        CONFIGS < 100 or tried // 5 < refused < tried * 19 // 20
    )  # both what is wrong and what is shown was looked at


CONFIG = """\
variant: flatcar
version: 1.1.0
passwd: {users: [{name: core, ssh_authorized_keys: [key]}]}
storage:
  files:
    - path: /etc/a
      overwrite: true
      contents: {inline: "a"}
"""


@pytest.mark.parametrize(
    ("old", "new", "secret", "told"),
    [
        ("/etc/a", "relative-${token}", "hunter2", "error: the path is not absolute"),
        ("overwrite: true", "mode: ${token}", "hunter2/S3cr+t=%zz-QXZJVWKJ", "error: expected a number, found"),
        ("1.1.0", "${token}", 'a"b\\c', "error: "),
        ("contents:", "contents_local: ${token}\n      contents:", "hunter2", "warning: "),
    ],
)  # fmt: skip
def test_a_report_shows_the_value_as_it_is_written(
    old: str, new: str, secret: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(CONFIG.replace(old, new), secret, capsys)
    message = text.partition("\n\n")[2]
    assert told in message
    assert "web.yaml:" in text
    assert not [part for part in parts(secret) if part in text]


def test_what_only_the_value_makes_wrong_is_told_by_its_place_alone(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(CONFIG.replace('inline: "a"', 'source: "https://x/${token}"'), "%zz", capsys)
    assert "error: something is wrong here that can't be told without the value of ${token}\n  --> web.yaml:8:" in text
    assert "zz" not in text


def test_a_machine_that_would_be_harmed_is_told_without_the_secret(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(CONFIG.replace("/etc/a", "/var/log/${token}").replace("overwrite: true", "overwrite: false"),
                 "hunter2", capsys, keep=("/var/log",))  # fmt: skip
    assert "/var/log/${token} survives the next run" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("old", "new", "secret", "summary"),
    [
        ('"a"', '"pin=${token}"', "1234", f"pin={MASK}"),
        ('"a"', '"<${token}>"', "two\nlines\n", f"<{MASK}>"),
        ("/etc/a", "/etc/${token}", "hunter2", f"/etc/{MASK}"),
        ("/etc/a", "${token}", "/etc/hunter2", f'"{MASK}": {{'),
        ('inline: "a"', 'source: "${token}"', "https://u:p@host/hunter2?x", f"from {MASK}"),
        ('inline: "a"', 'source: "https://host/${token}"', "a%20b", f"from https://host/{MASK}"),
        ("overwrite: true", "user:\n        id: ${token}", "54321", f'"user": "{MASK}"'),
    ],
)  # fmt: skip
def test_a_summary_shows_a_mask_for_a_value(
    old: str, new: str, secret: str, summary: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = shown(CONFIG.replace(old, new), secret, capsys)
    assert summary in text
    assert not [part for part in parts(secret) if part in text and part not in CONFIG]


def test_a_hash_of_long_contents_does_not_let_a_secret_be_guessed(capsys: pytest.CaptureFixture[str]) -> None:
    config = CONFIG.replace('"a"', '"' + "x" * 70_000 + '${token}"')
    one, other = (shown(config, secret, capsys) for secret in ("1234", "5678"))
    assert "SHA-256" in one
    assert one == other


def test_a_config_that_is_none_without_its_secret_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(CONFIG.replace("overwrite: true", "mode: ${token}"), "0644", capsys)
    assert "without the values of its secrets this is no config, so none of it is shown" in text


def test_two_keys_that_become_one_stay_apart() -> None:
    stand_ins = StandIns.of({"a": "one", "b": "two"})
    config = {f"/{stand_ins.values[name]}": name for name in "ab"}
    shown_as = stand_ins.shown_as(dict.fromkeys("ab", MASK))
    assert with_shown(config, shown_as) == {f"/{MASK}": "a", f"/{MASK} (2)": "b"}


def test_names_of_what_is_sensitive_hold_no_secret() -> None:
    config = CONFIG.replace("/etc/a", "/etc/${token}").replace('"a"', '"-----BEGIN PRIVATE KEY-----"')
    made = made_config(config, secrets={"token": "hunter2"})
    assert made.secrets == ("token", f"/etc/{MASK}")


@pytest.mark.parametrize(
    ("secret", "guessable"),
    [("", True), ("1234", True), ("1" * 19, True), ("1" * 20, False), ("hunter2", True), ("Hunter2!", True),
     ("0123456789abcdef", False), ("correct horse battery", False)],
)  # fmt: skip
def test_a_secret_that_the_config_id_gives_away_is_told(
    secret: str, guessable: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    assert is_guessable(secret) == guessable
    text = shown(CONFIG.replace('"a"', '"${token}"'), secret, capsys, lifecycle=Lifecycle.REPLACE)
    assert ("the secret 'token' is so short that it can be found by trying" in text) == guessable
    assert secret not in text or not secret
    assert "found by trying" not in shown(CONFIG.replace('"a"', '"${token}"'), secret, capsys)  # as it is salted


@pytest.mark.parametrize(
    ("secret", "stand_in"),
    [
        ("hunter2", r"secret[0-9a-f]{12}"),
        ("https://u:p@host/x", r"https://secret[0-9a-f]{12}"),
        ("/etc/hunter2", r"/secret[0-9a-f]{12}"),
        ("two\nlines", r"#secret[0-9a-f]{12}\n#secret[0-9a-f]{12}"),
        ("two\nlines\n", r"#secret[0-9a-f]{12}\n#secret[0-9a-f]{12}\n"),
        ("1234", r"10[01]\d{7}"),  # no id or size that a config has, and one that fits into 32 bits
        ("0644", r"secret[0-9a-f]{12}"),
    ],
)
def test_what_stands_for_a_secret_has_its_shape(secret: str, stand_in: str) -> None:
    (word,) = StandIns.of({"token": secret}).values.values()
    assert re.fullmatch(stand_in, word)


@pytest.mark.parametrize(
    ("characters", "longest"),
    [("a", 13), ("A", 13), ("1", 19), ("-", 12), ("aA", 11), ("a1", 12), ("A1", 12), ("a-", 10), ("A-", 10), ("1-", 11),
     ("aA1", 10), ("aA-", 10), ("a1-", 10), ("A1-", 10), ("aA1-", 9)],
)  # fmt: skip
def test_what_can_be_tried_out_has_less_than_64_bits(characters: str, longest: int) -> None:
    def of(length: int) -> str:
        return (characters * length)[:length]

    assert is_guessable(of(longest)) and not is_guessable(of(longest + 1))


def test_a_secret_that_is_a_part_of_another_does_not_leave_the_rest() -> None:
    shown_as = StandIns({"a": "word", "b": "word-and-more"}).shown_as({"a": "<the first>", "b": "<second>"})
    assert with_shown(["word-and-more", "word"], shown_as) == ["<second>", "<the first>"]


def test_numbers_are_shown_as_what_they_stand_for_and_flags_as_they_are() -> None:
    assert with_shown({"id": 1000000007, "on": True, "off": 5}, {"1000000007": MASK, "True": MASK}) == {
        "id": MASK, "on": True, "off": 5,
    }  # fmt: skip


def test_the_values_that_use_a_variable_are_found() -> None:
    text = 'a: ${one}\nb: ["${two}${three}", none]\n'
    assert locators([("a.yaml", text), ("b.yaml", "none")], ["one", "two", "three"]) == {
        ("a.yaml", 1, 4): ("one",),
        ("a.yaml", 2, 5): ("two", "three"),
    }


def test_the_secrets_that_are_wrong_at_a_place_are_named_and_no_others() -> None:
    secrets = {"token": "%zz", "other": "x", "third": "hunter2"}
    wrong = CONFIG.replace('inline: "a"', 'source: "https://x/${token}${other}"').replace("/etc/a", "/etc/${third}")
    with pytest.raises(pulumi.RunError) as refused:
        made_config(Snippet(wrong, "web.yaml"), secrets=secrets)
    assert "can't be told without the value of ${token}, ${other}\n  --> web.yaml:8:" in str(refused.value)
    hint = "= hint: a secret's value is never shown: see what is said with a value there that is no secret"
    assert str(refused.value).endswith(hint)


def test_two_secrets_in_one_message_are_told_by_their_names() -> None:
    harmful = CONFIG.replace("/etc/a", "/var/log/${token}-${other}").replace("overwrite: true", "overwrite: false")
    with pytest.raises(pulumi.RunError, match=r"/var/log/\$\{token\}-\$\{other\} survives the next run"):
        made_config(Snippet(harmful, "web.yaml"), secrets={"token": "hunter2", "other": "hunter3"}, keep=("/var/log",))
