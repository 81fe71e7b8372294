"""From a config to the object and its pointer: what the config id counts, and what the user data depends on."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pulumi
import pytest

from cl.transpiler import Snippet, transpile
from cl.transpiler.butane import Butane, File, Resource, Storage
from cl.transpiler.ignition.checks import decode_data_url
from components.payload.machine_config import (
    GENERATION,
    SALT,
    STAMP,
    MachineConfig,
    NotYetKnownError,
    pointer,
)
from components.settings.lifecycle import Lifecycle
from tests.support.machine_configs import made_config

CONFIG = """\
variant: flatcar
version: 1.0.0
storage:
  files:
    - path: /etc/a
      contents: {inline: "${text}"}
"""


ARGUMENTS: dict[str, Any] = {"shared": {"unused": "1"}, "own": {"text": "x"}}


def made(tmp_path: Path, text: str = "x", config: str = CONFIG, **changes: Any) -> MachineConfig:
    path = tmp_path / "a.yaml"
    path.write_text(config)
    return made_config(path, **{**ARGUMENTS, "files_dir": tmp_path, "own": {"text": text}, **changes})


def files(config: MachineConfig) -> dict[str, str]:
    found = json.loads(config.text)["storage"]["files"]
    return {file["path"]: decode_data_url(file["contents"]["source"]).decode() for file in found}


def test_the_pointer_depends_on_the_address_alone() -> None:
    address = "tftp://10.0.2.2/config.ign"
    assert pointer(address) == (
        '{"ignition":{"config":{"replace":{"source":"tftp://10.0.2.2/config.ign"}},"version":"3.3.0"}}'
    )


def test_the_same_input_gives_the_same_bytes_and_another_text_another_id(tmp_path: Path) -> None:
    assert made(tmp_path) == made(tmp_path)
    assert made(tmp_path).config_id != made(tmp_path, "y").config_id


def test_the_stamp_holds_the_id_and_the_id_is_of_the_config_without_it(tmp_path: Path) -> None:
    config = made(tmp_path)
    assert files(config)[STAMP] == config.config_id + "\n"
    transpiled = transpile(CONFIG, variables={"text": "x"}, spec="3").unwrap()
    assert hashlib.sha512(transpiled.encode()).hexdigest() == config.config_id


def test_a_generation_changes_the_id_and_a_lifecycle_does_not(tmp_path: Path) -> None:
    plain = made(tmp_path)
    raised = made(tmp_path, generation=2)
    assert raised.config_id != plain.config_id
    assert files(raised)[GENERATION] == "2\n"
    reformat = made(tmp_path, lifecycle=Lifecycle.REFORMAT)
    assert reformat.config_id == plain.config_id
    assert reformat.text != plain.text


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (CONFIG.replace("path:", "pth:"), "a.yaml:5:7"),
        (CONFIG + "unknown: 1\n", "a.yaml is not a usable config (flatcar:strict: a warning is an error)"),
        (CONFIG.replace("/etc/a", STAMP), "is written by the program itself"),
        (CONFIG.replace("/etc/a", "/var/log/a\n      overwrite: false"), "survives the next run"),
        (CONFIG.replace("${text}", "${text}${nobody}"), "nobody"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, config: str, message: str) -> None:
    with pytest.raises(pulumi.RunError) as told:
        made(tmp_path, config=config, keep=("/var/log",))
    assert message in str(told.value)


RESERVED = (
    "/etc/flatcar/config-id", "/etc/flatcar/generation", "/etc/flatcar/config-salt", "/etc/flatcar/rollback.sh",
    "/etc/flatcar/pull", "/etc/flatcar/pull/settings", "/etc/flatcar/pull/signers", "/etc/flatcar/pull/a/b",
)  # fmt: skip


@pytest.mark.parametrize("kind", ["files", "directories", "links"])
@pytest.mark.parametrize("path", RESERVED)
def test_what_the_program_writes_itself_is_refused(tmp_path: Path, path: str, kind: str) -> None:
    target = ", target: /a" if kind == "links" else ""
    config = f"variant: flatcar\nversion: 1.0.0\nstorage: {{{kind}: [{{path: {path}{target}}}]}}\n"
    named = "/etc/flatcar/pull" if path.startswith("/etc/flatcar/pull/") else path
    with pytest.raises(pulumi.RunError) as refused:
        made(tmp_path, config=config, own={})
    assert str(refused.value) == (
        f"{tmp_path}/a.yaml: {named} is written by the program itself; take it out of the config"
    )


@pytest.mark.parametrize("path", ["/etc/flatcar/pull-mine", "/etc/flatcar/config", "/etc/flatcar/update.conf"])
def test_paths_beside_those_are_the_users(tmp_path: Path, path: str) -> None:
    assert files(made(tmp_path, config=CONFIG.replace("/etc/a", path)))[path] == "x"


def test_contents_that_are_not_compressed_as_the_config_says_are_refused(tmp_path: Path) -> None:
    config = CONFIG.replace('inline: "${text}"', 'source: "data:,${text}", compression: gzip')
    with pytest.raises(pulumi.RunError) as refused:
        made(tmp_path, config=config, secrets={"text": "hunter2"})
    assert str(refused.value) == "/etc/a: the contents are not compressed with gzip, as the config says"


def test_a_secret_is_masked_in_a_report(tmp_path: Path) -> None:
    config = CONFIG.replace("path: /etc/a", "path: relative-${token}")
    with pytest.raises(pulumi.RunError) as told:
        made(tmp_path, config=config, secrets={"token": "hunter2"})
    assert "hunter2" not in str(told.value)


def test_a_salt_makes_another_id_that_nobody_can_try_out(tmp_path: Path) -> None:
    plain = made(tmp_path, secrets={"text": "1234"})
    assert plain.uses_secrets and plain.unsalted_id == plain.config_id
    salted, other = (made(tmp_path, secrets={"text": "1234"}, salt=salt * 64) for salt in "ab")
    assert salted.unsalted_id == plain.config_id
    assert len({plain.config_id, salted.config_id, other.config_id}) == 3
    assert files(salted)[SALT] == "a" * 64 + "\n"
    assert files(salted)[STAMP] == salted.config_id + "\n"
    (node,) = (node for node in salted.ignition["storage"]["files"] if node["path"] == SALT)
    assert node["mode"] == 0o600
    assert SALT not in json.dumps(salted.masked)
    assert made(tmp_path, unknown=["text"]).uses_secrets
    assert not made(tmp_path).uses_secrets


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(pulumi.RunError, match="can't be read"):
        made(tmp_path, snippets=[tmp_path / "none.yaml"])


def test_a_config_and_snippets_may_be_texts(tmp_path: Path) -> None:
    snippet = CONFIG.replace("/etc/a", "/etc/b")
    found = files(made(tmp_path, snippets=[snippet]))
    assert (found["/etc/a"], found["/etc/b"]) == ("x", "x")
    wrong = {**ARGUMENTS, "files_dir": tmp_path, "own": {"text": "x"}}
    for config, snippets, place in (
        (CONFIG.replace("/etc/a", "a"), [], "<config>:"),
        (CONFIG, [CONFIG.replace("/etc/a", "a")], "<snippet 1>:"),
        (CONFIG, [Snippet(CONFIG.replace("/etc/a", "a"), "users.yaml")], "users.yaml:"),
        ("cl/web.yaml", [], "Path('cl/web.yaml')"),
    ):
        with pytest.raises(pulumi.RunError) as told:
            made_config(config, snippets=snippets, **wrong)
        assert place in str(told.value)


def test_what_is_wrong_with_a_stand_in_for_a_value_is_left_out(tmp_path: Path) -> None:
    relative = CONFIG.replace("/etc/a", "${text}")
    with pytest.raises(NotYetKnownError):
        made(tmp_path, "stand-in", relative, unknown=["text"])
    with pytest.raises(pulumi.RunError) as raised:
        made(tmp_path, "stand-in", relative + "    - path: also-relative\n", unknown=["text"])
    assert re.findall(r"a\.yaml:(\d+:\d+)", str(raised.value)) == ["7:13"]
    assert "stand-in" in files(made(tmp_path, "stand-in", unknown=["text"]))["/etc/a"]


def test_a_config_in_python_and_files_mix(tmp_path: Path) -> None:
    (tmp_path / "users.yaml").write_text(CONFIG)
    in_python = Butane(version="1.1.0", storage=Storage(files=[File(path="/etc/b", contents=Resource(inline="b"))]))
    arguments = {**ARGUMENTS, "files_dir": tmp_path}
    for config, snippet in ((in_python, tmp_path / "users.yaml"), (tmp_path / "users.yaml", in_python)):
        found = files(made_config(config, snippets=[snippet], **arguments))
        assert (found["/etc/a"], found["/etc/b"]) == ("x", "b")
    wrong = Butane(storage=Storage(files=[File(path="etc")]))
    with pytest.raises(pulumi.RunError, match=r"the config in Python is not a usable(?s:.*)storage\.files\[0\]\.path"):
        made_config(wrong, **{**arguments, "own": {}})


OURS = (
    "flatcar-rollback.timer", "flatcar-rollback.service", "flatcar-pull.timer", "flatcar-pull.service",
    "flatcar-pull-proof.service", "flatcar-restore-host-keys.service",
)  # fmt: skip


@pytest.mark.parametrize("setting", ["mask: true", "enabled: false", "contents: '[Unit]'"])
@pytest.mark.parametrize("unit", OURS)
def test_the_programs_own_units_are_not_switched_off(tmp_path: Path, unit: str, setting: str) -> None:
    config = f"variant: flatcar\nversion: 1.0.0\nsystemd: {{units: [{{name: {unit}, {setting}}}]}}\n"
    with pytest.raises(pulumi.RunError) as refused:
        made(tmp_path, config=config, own={})
    assert str(refused.value) == (f"{tmp_path}/a.yaml: the unit {unit} is the program's; write a drop-in at the most")


def test_a_drop_in_for_one_of_them_is_the_users(tmp_path: Path) -> None:
    drop_in = "{name: flatcar-pull.service, dropins: [{name: proxy.conf, contents: '[Service]'}]}"
    config = f"variant: flatcar\nversion: 1.0.0\nsystemd: {{units: [{drop_in}]}}\n"
    assert "proxy.conf" in made(tmp_path, config=config, own={}).text
