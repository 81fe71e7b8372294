"""Where a stack's state lies: with the operator's own login, the same for all computers."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml  # type: ignore[import-untyped]

from loopback.machine import LoopbackMachine, wait_until
from tests.engine.checkouts import Checkout, checkout
from tests.fakes.aws import CREDENTIALS, REGION, Aws, running_moto

if TYPE_CHECKING:
    from collections.abc import Iterator

CONFIG = """\
variant: flatcar
version: 1.0.0
storage:
  files:
    - path: /etc/page
      contents: {inline: "first ${token}"}
"""
STACK = "fleet"
STATE = {
    "version": 3,
    "deployment": {
        "manifest": {"time": "2025-01-31T12:00:00Z", "magic": "", "version": ""},
        "resources": [
            {
                "urn": f"urn:pulumi:{STACK}::flatcar::pulumi:pulumi:Stack::flatcar-{STACK}",
                "custom": False,
                "type": "pulumi:pulumi:Stack",
            }
        ],
    },
}


@pytest.fixture
def host(tmp_path: Path) -> Iterator[LoopbackMachine]:
    (tmp_path / "host").mkdir()
    machine = LoopbackMachine(tmp_path / "host", "http://127.0.0.1:9/none", seconds_down=6)
    machine.path("/oem/config.ign").write_text('{"storage": {}}')
    with machine:
        wait_until(machine.path("/etc/ssh/ssh_host_ed25519_key").exists)
        yield machine


def settings(host: LoopbackMachine) -> dict[str, Any]:
    """A stack's file, with a host that exists already."""
    machine = {
        "config": "cl/rack.yaml",
        "host": {"address": "127.0.0.1", "port": host.port},
        "rollback": False,
        "allow": ["login", "reboot"],  # the stand-in's Ignition writes files alone, no users
        "timeout": 60,
    }
    key = Path(f"{host.key_file}.pub").read_text().strip()
    return {
        "config": {
            "flatcar:platform": "host",
            "flatcar:ssh": {"user": host.user, "private_key_file": str(host.key_file), "public_key": key},
            "flatcar:machines": {"rack": machine},
        }
    }


def write(clone: Checkout, host: LoopbackMachine) -> Path:
    """Put the stack and its config into a clone; the stack's file."""
    file = clone.folder / f"stacks/Pulumi.{STACK}.yaml"
    file.write_text(yaml.safe_dump(settings(host)))
    (clone.folder / "cl/rack.yaml").write_text(CONFIG)
    return file


def test_two_computers_share_a_state_in_s3(tmp_path: Path, host: LoopbackMachine) -> None:
    with running_moto() as endpoint:
        Aws(endpoint).s3.create_bucket(Bucket="states", CreateBucketConfiguration={"LocationConstraint": REGION})
        address = endpoint.removeprefix("http://")
        url = f"s3://states?endpoint={address}&disableSSL=true&s3ForcePathStyle=true&region={REGION}"
        here, there = (checkout(tmp_path / name, **CREDENTIALS) for name in ("here", "there"))
        file = write(here, host)
        for clone in (here, there):
            clone.in_make_env(STACK, f"pulumi login '{url}'")
            assert (clone.home / ".pulumi/credentials.json").exists()

        new = here.toolchain("preview", "--stack", STACK, code=1)
        assert f"stack {STACK} is new, s3://states" in new and "it is made there, empty" in new
        assert "token" in new, "the config wants a secret, which can be set now"
        here.in_make_env(
            STACK, f"printf hush | pulumi config set --secret --path flatcar:secrets.token --stack {STACK}"
        )
        first = here.toolchain("up", "--stack", STACK, YES="1")
        assert "is new" not in first and host.text("/etc/page") == "first hush"
        boots = host.boots

        (there.folder / "cl/rack.yaml").write_text(CONFIG)
        (there.folder / file.relative_to(here.folder)).write_text(file.read_text())  # with its salt, by way of git
        there.toolchain("preview", "--stack", STACK, "--", "--expect-no-changes")
        (there.folder / "cl/rack.yaml").write_text(CONFIG.replace("first", "second"))
        with there.running("up", "--stack", STACK, YES="1") as second:
            wait_until(lambda: len(host.went_down) > 1, seconds=60)
            refused = here.toolchain("up", "--stack", STACK, code=1, YES="1")
            said, _ = second.communicate()
        assert "currently locked by 1 lock" in refused and "pulumi cancel" in refused
        assert re.search(rf"created by {host.user}@\S+ \(pid \d+\) at ", refused)
        assert second.returncode == 0, said
        assert (host.text("/etc/page"), host.boots) == ("second hush", boots + 1)
        key = " ".join(host.path("/etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2])
        assert key in (there.folder / f".machines/{STACK}/known_hosts/rack").read_text()
        assert "first contact" not in said

        (here.folder / "cl/rack.yaml").write_text(CONFIG.replace("first", "second"))
        here.toolchain("preview", "--stack", STACK, "--", "--expect-no-changes")
        here.toolchain("destroy", "--stack", STACK, YES="1")
        for clone in (here, there):
            assert not (clone.folder / ".toolchain/state").exists()


def test_a_stack_that_is_none_creates_nothing(tmp_path: Path) -> None:
    clone, backend = checkout(tmp_path), tmp_path / "backend"
    backend.mkdir()
    unknown = clone.toolchain("preview", "--stack", "productoin", code=1, PULUMI_BACKEND_URL=backend.as_uri())
    assert "there is no stack productoin: no file stacks/Pulumi.productoin.yaml" in unknown
    assert f"{backend.as_uri()} doesn't have it" in unknown
    assert "did you mean production? stacks/ has files for: dev, local, production" in unknown
    assert list(backend.rglob("*.json")) == [] and not (clone.folder / ".machines").exists()
    assert [file.name for file in (clone.folder / "stacks").glob("*productoin*")] == []
    nothing = clone.toolchain("destroy", "--stack", "dev", code=1, YES="1", PULUMI_BACKEND_URL=backend.as_uri())
    assert f"there is nothing of stack dev: {backend.as_uri()} doesn't have it" in nothing


def test_without_a_login_the_ways_are_told(tmp_path: Path) -> None:
    clone = checkout(tmp_path)
    for local in ("", 'eval "$(.venv/bin/python -m toolchain env)"; '):  # a shell of the stack `local` has no login
        told = clone.run("sh", "-c", f"{local}.venv/bin/python -m toolchain preview --stack dev", code=1)
        assert "error: stack dev needs a place for its state, and no backend is logged in to" in told
        assert "`pulumi login s3://BUCKET` or `pulumi login --local`" in told and "docs/state.md" in told
        assert not (clone.folder / ".toolchain/state").exists()


def test_a_state_of_an_earlier_version_is_left_or_moved(tmp_path: Path, host: LoopbackMachine) -> None:
    clone, backend = checkout(tmp_path / "here"), tmp_path / "backend"
    write(clone, host)
    (clone.folder / "cl/rack.yaml").write_text(CONFIG.replace("${token}", ""))
    backend.mkdir()
    old = (clone.folder / ".toolchain/state").as_uri()
    (clone.folder / ".toolchain/state").mkdir()
    (clone.folder / "old.json").write_text(json.dumps(STATE))
    made = f"pulumi stack init {STACK} && pulumi stack import --stack {STACK} --file old.json"
    clone.in_make_env(STACK, made, PULUMI_BACKEND_URL=old)

    preview = ("preview", "--stack", STACK)
    told = clone.toolchain(*preview, code=1)
    assert f"stack {STACK} has its state where earlier versions kept it, and no backend is logged in to" in told
    clone.in_make_env(STACK, f"pulumi login {backend.as_uri()}")
    told = clone.toolchain(*preview, code=1)
    assert f"earlier versions kept it, and {backend.as_uri()} doesn't have it" in told
    assert list(backend.rglob("*.json")) == []
    assert "flatcar-fleet" in clone.toolchain(*preview, PULUMI_BACKEND_URL=old)

    ways = [line.strip() for line in told.splitlines() if "pulumi stack" in line]
    assert len(ways) == 4
    clone.in_make_env(STACK, "\n".join(ways))
    assert "earlier versions" not in clone.toolchain(*preview)
    moved = json.loads(clone.in_make_env(STACK, f"pulumi stack export --stack {STACK}"))
    assert [resource["urn"] for resource in moved["deployment"]["resources"]] == [
        STATE["deployment"]["resources"][0]["urn"]  # type: ignore[index]
    ]
