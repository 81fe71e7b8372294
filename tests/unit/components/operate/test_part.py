"""What the engine is told of a part: every resource of its machines, and none of another's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from components.operate.part import OWN, PartError, part_of, targets
from components.settings.part import Part
from loopback.exports import exported, machine, proof

COMPONENTS = Path(__file__).parents[4] / "components"


def matches(patterns: list[str], urn: str) -> bool:
    """As the engine has it (pulumi/pulumi, resource/deploy/target.go)."""
    for pattern in patterns:
        parts = re.escape(pattern).replace(r"\*\*", ".*").replace(r"\*", "[^:]*")
        if re.fullmatch(parts, urn):
            return True
    return False


MACHINE = "urn:pulumi:dev::flatcar::flatcar:index:Machine"


@pytest.mark.parametrize(
    ("urn", "belongs"),
    [
        (f"{MACHINE}::web", True),
        (f"{MACHINE}$command:local:Command::web", True),
        (f"{MACHINE}$command:local:Command::web-reprovision", True),
        (f"{MACHINE}$aws:s3/bucketObjectv2:BucketObjectv2::web-object", True),
        (f"{MACHINE}$command:local:Command::web-signature", True),
        (f"{MACHINE}$aws:s3/bucketObjectv2:BucketObjectv2::web-report", True),
        ("urn:pulumi:dev::flatcar::command:local:Command::web-salt", True),
        ("urn:pulumi:dev::flatcar::aws:ec2/securityGroup:SecurityGroup::machines", True),
        ("urn:pulumi:dev::flatcar::digitalocean:index/firewall:Firewall::machines", True),
        (f"{MACHINE}::web-1", False),
        (f"{MACHINE}$command:local:Command::web-1-reprovision", False),
        (f"{MACHINE}$command:local:Command::web-1", False),
        ("urn:pulumi:dev::flatcar::command:local:Command::web-1-salt", False),
        (f"{MACHINE}$aws:ec2/instance:Instance::db", False),
        ("urn:pulumi:other::flatcar::aws:ec2/securityGroup:SecurityGroup::machines", False),
        ("urn:pulumi:dev::flatcar::some:index:Thing::web", False),
    ],
)
def test_what_belongs_to_a_machine(urn: str, belongs: bool) -> None:
    part = Part(machines=frozenset({"web"}), others=())
    for known in (["web"], ["web", "web-1"]):
        if known == ["web"] and "web-1" in urn:
            continue
        assert matches(list(targets(part, known, project="flatcar", stack="org/flatcar/dev")), urn) is belongs


def test_every_name_that_a_machines_resources_get_is_known() -> None:
    ends = set[str]()
    for file in COMPONENTS.rglob("*.py"):
        ends |= set(re.findall(r'[(\s]f"\{name\}-([a-z-]+)"[,)]', file.read_text()))
    assert ends == {*OWN, "salt"}


def test_others_are_in_the_order_of_their_commands_in_the_state() -> None:
    resources = [machine(name) for name in ("a", "b", "c", "gone", "unproven", "web")]
    state = exported(*resources, *[proof(name) for name in ("c", "gone", "web", "a", "b")])
    part = part_of(["web"], {"a", "b", "c", "web", "new", "unproven"}, state)
    assert part == Part(machines=frozenset({"web"}), others=("c", "a", "b", "unproven"))


def test_too_many_machines_for_a_part() -> None:
    names = [f"machine-{number:090}" for number in range(2000)]
    with pytest.raises(PartError, match="too large for a part"):
        part_of(["web"], set(names), exported(*map(machine, names)))
