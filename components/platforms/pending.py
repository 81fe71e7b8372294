"""What is wanted of a cloud machine and waits, because it would replace the machine: told, never done by surprise."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pulumi

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


def tell_pending(
    machine: pulumi.Resource,
    name: str,
    values: Mapping[str, tuple[pulumi.Input[object], pulumi.Input[object]]],
    *,
    way: str = "",
) -> None:
    """Warn of each wanted value that differs from the machine's own, the second: `ignore_changes` holds it back.

    `way` says how to apply them, by replacing the machine unless given. Values that aren't known yet, or that the cloud
    does not tell (None), are passed over.
    """
    way = way or f"To replace this one: {by_name(machine, name)}"
    for what, (wanted, actual) in values.items():
        pulumi.Output.all(wanted, actual).apply(_teller(machine, name, what, way))


def checked_address(
    machine: pulumi.Resource,
    name: str,
    address: pulumi.Output[str],
    *,
    user_data: pulumi.Input[str],
    actual: pulumi.Output[str] | pulumi.Output[str | None],
) -> pulumi.Output[str]:
    """`address`, if the machine's own user data is the wanted pointer; else `pulumi.RunError`, at preview.

    A machine whose pointer leads elsewhere would be wiped for a config that it then doesn't fetch. User data can't
    change while a machine lives, so this happens when the store moved, or when an adopted machine has no pointer.
    DigitalOcean's provider keeps only the SHA-1 of the user data (`StateFunc` in its resource_droplet.go), and nothing
    for an imported droplet: what can't be known passes. At preview it is an unknown value, which the address must not
    become by it: every preview would show a change.
    """

    def check(values: list[str]) -> None:
        wanted, known = values  # None where the cloud doesn't tell it
        if known and known not in (wanted, hashlib.sha1(wanted.encode(), usedforsecurity=False).hexdigest()):
            raise pulumi.RunError(
                f"{name}: the machine's user data is not the pointer to its object, so it can't be re-provisioned in "
                f"place: it would fetch another config than the wanted one.\n  wanted: {wanted}\n  it has: {known}\n"
                "Has the store's bucket, region or key changed? Put it back, or replace the machine: "
                + by_name(machine, name)
            )

    checked = pulumi.Output.all(user_data, actual).apply(check)
    if pulumi.runtime.is_dry_run():
        return address
    return pulumi.Output.all(address, checked).apply(lambda both: str(both[0]))


def in_one_place(
    value: pulumi.Output[str], problem: str, here: pulumi.Output[str], there: pulumi.Output[str]
) -> pulumi.Output[str]:
    """`value`; `pulumi.RunError`, at preview, when a machine would be in another place than what it uses.

    Places that are not known yet pass; `value` need not be known. `problem` is the message, with a `{}` for each place.
    """

    def check(places: list[str]) -> None:
        machine, other = places
        if machine and other and machine != other:
            raise pulumi.RunError(problem.format(machine, other))

    checked = pulumi.Output.all(here, there).apply(check)
    return pulumi.Output.all(value, checked).apply(lambda both: str(both[0]))


def kept_as(opts: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    """Beside the machine, protected and retained as it is: what belongs to it must not go when it stays.

    An attempt to destroy a protected machine would take its address and its volume away first.
    """
    if opts is None:
        return pulumi.ResourceOptions()
    return pulumi.ResourceOptions(parent=opts.parent, protect=opts.protect, retain_on_delete=opts.retain_on_delete)


def by_name(machine: pulumi.Resource, name: str) -> str:
    """The command that replaces this machine, and nothing else that has its name."""
    return f"pulumi up --replace '**:{type(machine).__name__}::{name}'"


def _teller(machine: pulumi.Resource, name: str, what: str, way: str) -> Callable[[Sequence[object]], None]:
    def tell(values: Sequence[object]) -> None:
        wanted, present = values
        if wanted not in (None, "") and present not in (None, "") and _plain(wanted) != _plain(present):
            pulumi.log.warn(
                f"{name}: pending: {what} is {_text(present)} and would be {_text(wanted)}; a machine keeps its "
                f"{what}, new ones get the new one. {way}",
                machine,
            )

    return tell


def _plain(value: object) -> object:
    return sorted(map(str, value)) if isinstance(value, list) else str(value)


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
