"""Machines that pull and take signed configs alone: real ssh-keygen on both sides, on a loopback machine.

Whoever may write to the store is the attacker here: every object is whole, with the right checksum and address.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from components.commands.sign import (
    KEY_VARIABLE,
    NO_SUM,
)
from components.payload.machine_config import pointer
from loopback.fleet import CONFIG, PROGRAM, PROJECT, running_fleet
from loopback.lab import Lab
from loopback.machine import ObjectServer, wait_until
from tests.conftest import Project
from tests.engine.pull_lab import Pulled, pulled_machine
from tests.engine.test_pull_faults import cut, is_untouched, takes
from tests.support.keys import new_key

pytestmark = pytest.mark.engine

STATE = "/oem/.flatcar-pull"
OWN = "/oem/config.ign"
EACH = 5
"""Of so many commands of the agent, one is tried as its last."""


@pytest.fixture
def signed(home: Path, tmp_path: Path) -> Iterator[Pulled]:
    with pulled_machine(tmp_path, signers=(new_key(home / ".ssh/ops"),)) as made:
        yield made


def summed(text: str) -> str:
    """An object that was changed, with the checksum that an attacker can give it."""
    digest = text.partition("flatcar-object-sha256-")[2][:64]
    bare = text.replace(f"flatcar-object-sha256-{digest}", NO_SUM)
    return bare.replace(NO_SUM, f"flatcar-object-sha256-{hashlib.sha256(bare.encode()).hexdigest()}")


def is_refused(signed: Pulled, why: str) -> float:
    """The next look refuses the object, and the machine stays as it is; the seconds that it took."""
    start = time.monotonic()
    signed.look()
    seconds = time.monotonic() - start
    assert signed.store.reports[-1]["state"] == "refused"
    assert why in signed.store.reports[-1]["why"]
    assert is_untouched(signed)
    assert not signed.machine.path(OWN).exists()
    assert signed.lock.log == []
    return seconds


def test_a_signed_config_is_taken_and_runs_without_being_fetched_again(signed: Pulled) -> None:
    assert signed.history() == [f"pull {signed.stamp()} proven"], "the first boot's object was signed too"
    wanted = signed.publish("b")
    asked = len(signed.store.answers)
    takes(signed, wanted)
    assert signed.machine.boots == 2
    assert len(signed.store.answers) - asked == 1, "what was checked is what ran"
    assert not signed.machine.path(OWN).exists(), "nothing shadows the pointer"
    assert not signed.machine.path(f"{STATE}/own").exists()
    takes(signed, signed.publish("c"))


def unsigned(text: str) -> str:
    start, _, rest = text.partition("flatcar-object-signature-")
    return f"{start}flatcar-object-signature-0-{rest[rest.index('%0A') :]}"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text.replace("/etc/only-b", "/etc/only-c"), "signature does not fit"),
        (unsigned, "the object is not signed"),
        (lambda text: text.replace("flatcar-object-signature-", "flatcar-object-signature-9"), "does not fit"),
        (lambda text: text.replace("%0A", "%0Aflatcar-object-signature-1-AAAA%0A", 1), "two signatures"),
    ],
    ids=["one word changed", "signature taken out", "a higher counter", "a second signature"],
)
def test_a_changed_object_is_refused(signed: Pulled, change: Callable[[str], str], why: str) -> None:
    wanted = signed.publish("b")
    whole = signed.store.content
    signed.store.put(summed(change(whole)))
    assert signed.store.content != whole
    seconds = is_refused(signed, why)
    print(f"{seconds:.2f} s to refuse a tampered object")
    signed.store.put(whole)
    takes(signed, wanted)


def test_an_object_that_somebody_else_signed_is_refused(signed: Pulled, home: Path) -> None:
    other = new_key(home / ".ssh/other")
    signed.publish("b", pull=replace(signed.settings, signed_by=other))
    is_refused(signed, "signature does not fit")
    signed.publish("b", pull=replace(signed.settings, signers=(other,)))
    is_refused(signed, "signature does not fit")
    takes(signed, signed.publish("b"))


def test_an_object_without_signers_needs_a_signature_to_be_taken(signed: Pulled) -> None:
    (key,) = signed.settings.signers
    without = replace(signed.settings, signers=())
    dropped = signed.publish("b", pull=without)
    is_refused(signed, "the object is not signed")
    assert signed.publish("b", pull=replace(without, signed_by=key)) == dropped
    takes(signed, dropped)
    takes(signed, signed.publish("c", pull=without))


def test_an_object_of_another_machine_is_refused_at_the_same_address_too(signed: Pulled) -> None:
    """Local stacks serve each machine its own object at one address."""
    settings = signed.machine.path("/etc/flatcar/pull/settings")
    settings.write_text(settings.read_text().replace("MACHINE=web", "MACHINE=db"))
    signed.publish("b")
    is_refused(signed, "signature does not fit")
    settings.write_text(settings.read_text().replace("MACHINE=db", "MACHINE=web"))
    signed.source, own = f"{signed.address}/db.ign", signed.source
    signed.publish("b")
    is_refused(signed, "made for another address")
    signed.store.put(summed(signed.store.content.replace("db.ign", "web.ign")))
    is_refused(signed, "signature does not fit")
    signed.source = own
    takes(signed, signed.publish("b"))


def test_an_older_object_is_refused_also_by_a_machine_that_never_ran_the_newer_one(signed: Pulled) -> None:
    first = signed.store.content
    takes(signed, signed.publish("b"))
    second = signed.store.content
    signed.store.put(first)
    signed.look()
    assert "it is an older one" in signed.store.reports[-1]["why"]
    never = replace(signed.settings, windows=((0, 0),))
    waiting = signed.publish("c", pull=never)
    signed.look()
    assert signed.reports("waiting", waiting)
    signed.store.put(second)
    signed.look()
    assert "it is an older one" in signed.store.reports[-1]["why"], "though it is the config that runs"
    assert signed.machine.boots == 2
    signed.machine.path(f"{STATE}/counter").unlink()
    signed.store.put(first)
    signed.look()
    assert "it is an older one" in signed.store.reports[-1]["why"], "the running config has its own counter"
    takes(signed, signed.publish("a"))


def test_signers_rotate_by_signed_configs(signed: Pulled, home: Path) -> None:
    (old,) = signed.settings.signers
    new = new_key(home / ".ssh/new")
    takes(signed, signed.publish("b", pull=replace(signed.settings, signers=(old, new))))
    for name in ("ops", "ops.pub"):
        (home / ".ssh" / name).unlink()
    takes(signed, signed.publish("b", pull=replace(signed.settings, signers=(old, new))))
    takes(signed, signed.publish("c", pull=replace(signed.settings, signers=(new,))))
    assert old not in signed.machine.text("/etc/flatcar/pull/signers")


def test_a_config_that_fails_its_proof_is_left_again(signed: Pulled) -> None:
    first = signed.stamp()
    sick = signed.publish("sick")
    signed.look()
    signed.wait_for("went-back", sick)
    assert signed.stamp() == first
    assert not signed.machine.path(OWN).exists()
    takes(signed, signed.publish("b"))


def test_a_config_of_ones_own_on_the_oem_partition_is_not_written_over(signed: Pulled) -> None:
    signed.machine.path(OWN).write_text("{}")
    wanted = signed.publish("b")
    signed.look()
    assert signed.reports("refused", wanted)
    assert "shadows the pointer" in signed.store.reports[-1]["why"]
    assert signed.machine.path(OWN).read_text() == "{}"
    signed.machine.path(OWN).unlink()
    takes(signed, wanted)


def test_a_host_has_its_pointer_again_after_the_proof(home: Path, tmp_path: Path) -> None:
    key = new_key(home / ".ssh/ops")
    with pulled_machine(tmp_path, signers=(key,), platform="metal", allow=["login"]) as signed:
        own = signed.machine.path(OWN)
        own.write_text(pointer(signed.source))
        takes(signed, signed.publish("b", platform="metal"))
        assert own.read_text() == pointer(signed.source)
        assert not signed.machine.path(f"{OWN}.previous").exists()


def test_killed_anywhere_after_the_check_the_next_look_goes_on(signed: Pulled) -> None:
    """Power is lost while the config that was checked is being written and staged, too."""
    program = signed.machine.path("/run/bin/systemd-run")
    whole = program.read_text()
    program.write_text("#!/bin/bash\nexit 1\n")  # no reboot comes of it
    wanted, command, left = signed.publish("b"), 60, 0
    while cut(signed, "look", command):
        assert signed.machine.boots == 1
        left += signed.machine.path(OWN).exists()
        command += EACH
    assert left > 1, "some were killed with the config on the OEM partition"
    program.write_text(whole)
    takes(signed, wanted)
    assert not signed.machine.path(OWN).exists()


# ---- the operator's keys


def test_a_key_in_the_agent_signs(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "elsewhere"
    key = new_key(file)
    told = subprocess.run(["ssh-agent", "-s"], capture_output=True, text=True, check=True).stdout
    words = dict(line.split(";")[0].split("=") for line in told.splitlines() if "=" in line)
    try:
        monkeypatch.setenv("SSH_AUTH_SOCK", words["SSH_AUTH_SOCK"])
        subprocess.run(["ssh-add", "-q", str(file)], check=True)
        file.unlink()
        with pulled_machine(tmp_path, signers=(key,)) as signed:
            takes(signed, signed.publish("b"))
    finally:
        os.kill(int(words["SSH_AGENT_PID"]), signal.SIGTERM)


def test_the_deployer_stages_what_was_signed_alone(home: Path, tmp_path: Path) -> None:
    key = new_key(home / ".ssh/ops")
    with pulled_machine(tmp_path, agent=False, signers=(key,)) as made:
        lab = Lab(made.machine, ObjectServer(tmp_path), 3600)
        wanted = made.publish("a")
        whole = made.store.content
        for content, why in (
            (summed(whole.replace("/etc/only-a", "/etc/only-b")), "its signature does not fit"),
            (summed(unsigned(whole)), "it has no signature"),
        ):
            made.store.put(content)
            code, _, progress = lab.run(wanted, content=content, place=None, pull="ssh", signers=[key])
            assert code == 1
            assert f"the object is none to stage: {why}" in progress
            assert is_untouched(made)
        made.store.put(whole)
        code, _, progress = lab.run(wanted, content=whole, place=None, pull="ssh", signers=[key])
        assert code == 0, progress
        assert made.stamp() == wanted


# ---- under the real engine

SIGNED_PROGRAM = PROGRAM.replace(
    "pause=step.pause,",
    "pause=step.pause, pull=PullSettings(jitter=0, signers=tuple(fleet['signers'])),",
).replace(
    "from components.settings.ssh import",
    "from components.settings.pull import PullSettings\nfrom components.settings.ssh import",
)
SIGNED_CONFIG = CONFIG + '    - path: /etc/passwd\n      contents: {inline: "root:x:0:0:root:/root:/bin/bash"}\n'


def test_pulumi_signs_what_changes_and_nothing_else(home: Path, tmp_path: Path, pulumi: Project) -> None:
    key_file = tmp_path / "elsewhere"
    with running_fleet(tmp_path / "fleet", ["web"]) as fleet:
        fleet.settings["signers"] = [new_key(key_file)]
        stack = pulumi(
            SIGNED_PROGRAM, env={**fleet.environment, "PYTHONPATH": str(PROJECT), KEY_VARIABLE: str(key_file)}
        )
        (stack.directory / "components").symlink_to(PROJECT / "components")

        def configure(file: str) -> None:
            fleet.write(stack.directory, file)
            (stack.directory / "config.yaml").write_text(SIGNED_CONFIG.replace("FILE", file))

        machine, place = fleet.machines["web"], tmp_path / "fleet/objects/web/config.ign"
        configure("/etc/one")
        stack.up()
        wait_until(lambda: machine.text("/oem/.flatcar-history").endswith("proven\n"), 60)

        # another computer, without the key
        hidden = key_file.rename(tmp_path / "away")
        written = place.read_text()
        assert set(stack.up().ops().values()) == {"same"}
        configure("/etc/two")
        assert stack.preview().ops()["web-object"] == "update"
        failed = stack.up(code=None)
        assert failed.code != 0
        assert "web: the object can't be signed: no private key of SHA256:" in failed.output
        assert place.read_text() == written, "nothing was written"

        hidden.rename(key_file)
        ops = stack.up().ops()
        assert (ops["web-signature"], ops["web-object"]) == ("update", "update")
        assert set(stack.up().ops().values()) == {"same"}
        machine.inside("flock /run/flatcar-pull/agent true; bash /etc/flatcar/pull/pull.sh look")
        wait_until(lambda: machine.path("/etc/two").exists(), 60)
        wait_until(lambda: machine.text("/oem/.flatcar-history").endswith("proven\n"), 60)
        assert "flatcar-object-signature-1" not in json.dumps(stack.export())
