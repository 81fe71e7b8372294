"""The stacks in `examples/` can be used as they are."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml  # type: ignore[import-untyped]

from components.payload import rules
from components.settings.stack import Settings, read_settings
from tests.support.machine_configs import made_config

if TYPE_CHECKING:
    from components.payload.machine_config import MachineConfig
    from components.settings.machine import StackMachine

ROOT = Path(__file__).parents[2]
STACKS = sorted(ROOT.glob("examples/*/Pulumi.*.yaml"))
OWN = ({"extension_url": "https://h/x.raw", "extension_hash": f"sha256-{'0' * 64}"}, {"data_device": "/dev/vdb"})
"""Variables of snippets that a stack names in a comment alone."""


def settings_of(file: Path) -> Settings:
    config = yaml.safe_load(file.read_text())["config"]
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    settings, problems = read_settings(texts, secret_keys={"flatcar:secrets"}, root=ROOT)
    assert problems == []
    assert settings is not None
    return settings


def config_of(settings: Settings, machine: StackMachine, *snippets: Path, **own: str) -> MachineConfig:
    values = machine.by_name()
    return made_config(
        values.pop("config"),
        own={**values.pop("variables"), **own},
        shared={**settings.variables, "ssh_public_key": "ssh-ed25519 AAAA me", "machine_name": machine.name},
        secrets=settings.secrets,
        snippets=[*values.pop("snippets"), *snippets],
        platform=settings.platform.ignition.name,
        platform_user=None,
        **values,
    )


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    told: list[str] = []
    monkeypatch.setattr("pulumi.log.warn", told.append)
    monkeypatch.setattr(rules, "_shown", set())
    return told


@pytest.mark.parametrize("file", STACKS, ids=lambda file: file.parent.name)
def test_each_machine_can_be_made_and_run_again(file: Path, warnings: list[str]) -> None:
    settings = settings_of(file)
    assert len({config_of(settings, machine).config_id for machine in settings.machines}) == len(settings.machines)
    assert warnings == []


@pytest.mark.parametrize("snippet", ["extension.yaml", "data-disk.yaml"])
def test_the_snippets_of_the_workload_fit(snippet: str, warnings: list[str]) -> None:
    (stack,) = ROOT.glob("examples/workload/Pulumi.*.yaml")
    settings = settings_of(stack)
    (machine,) = settings.machines
    (own,) = (
        values for values in OWN if all(f"${{{name}}}" in (stack.parent / snippet).read_text() for name in values)
    )
    assert config_of(settings, machine, stack.parent / snippet, **own).config_id
    assert [text for text in warnings if "is fetched after the wipe" not in text] == []


@pytest.mark.parametrize(("folder", "waves"), [("load-balanced", 3), ("etcd", 3)])
def test_one_machine_goes_at_a_time(folder: str, waves: int) -> None:
    (stack,) = ROOT.glob(f"examples/{folder}/Pulumi.*.yaml")
    assert [step.wave for _, step in settings_of(stack).rollout_steps()] == [*range(waves)]


@pytest.mark.parametrize(
    ("path", "is_ready", "status"),
    [
        ("/", True, "200 OK"),
        ("/", False, "200 OK"),
        ("/ready", True, "200 OK"),
        ("/ready", False, "503 Service Unavailable"),
    ],
)
def test_a_web_server_that_is_drained_says_that_it_is_not_ready(
    path: str, is_ready: bool, status: str, tmp_path: Path
) -> None:
    source = yaml.safe_load((ROOT / "examples" / "load-balanced" / "web.yaml").read_text())
    script = source["storage"]["files"][0]["contents"]["inline"].replace("/run/not-ready", str(tmp_path / "not-ready"))
    if not is_ready:
        (tmp_path / "not-ready").touch()
    run = ["bash", "-c", script]
    answer = subprocess.run(
        run, input=f"GET {path} HTTP/1.1\r\n\r\n", capture_output=True, text=True, check=True
    ).stdout
    head, _, body = answer.partition("\n\n")
    assert head.splitlines()[0] == f"HTTP/1.1 {status}"
    assert f"Content-Length: {len(body)}" in head


def test_a_store_of_ones_own_answers_with_the_object_that_was_put_there(tmp_path: Path) -> None:
    machine = shutil.copy(ROOT / "examples" / "bring-your-own" / "machine", tmp_path)

    def run(*words: str, stdin: str = "") -> str:
        return subprocess.run([machine, *words], input=stdin.encode(), capture_output=True, check=True).stdout.decode()

    versions = {run("put", "web.ign", stdin=content) for content in ("{}", '{"a": "ä"}')}
    assert len(versions) == 2, "each object has its version"
    head, _, body = run("get", stdin="GET /web.ign HTTP/1.1\r\nHost: h\r\n\r\n").partition("\r\n\r\n")
    assert head.startswith("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n") and body == '{"a": "ä"}'
    run("remove", "web.ign")
    for path in ("/web.ign", "/../user-data"):
        assert run("get", stdin=f"GET {path} HTTP/1.1\r\n\r\n").startswith("HTTP/1.1 404 Not Found\r\n")
