"""The part of an object's address that is made with the machine and kept in Pulumi's state for the machine's life."""

from __future__ import annotations

import pulumi
from pulumi_command import local

UNGUESSABLE = "python3 -c 'import secrets; print(secrets.token_hex(20))'"
"""160 random bits in hex. Not derived from anything, so there is no key to lose or to leak."""
KEEP = 'printf %s "$PULUMI_COMMAND_STDOUT"'


class Address(local.Command):
    """What the shell command `make` prints when the machine is made: `text`.

    Whatever changes here, `make` included, the old text stays: another address would cut a machine off from its object.
    Only another `replacement_trigger` in `opts` makes a new one, and that replaces the machine as well.
    It is not printed on the screen (`logging` none), but lies in the state and in the machine's user data in plain
    text: an unguessable one keeps strangers out, not those who may read either.
    """

    text: pulumi.Output[str]

    def __init__(self, name: str, make: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            f"{name}-address",
            create=make,
            update=KEEP,
            logging=local.Logging.NONE,
            opts=pulumi.ResourceOptions.merge(pulumi.ResourceOptions(ignore_changes=["create"]), opts),
        )
        self.text = self.stdout.apply(str.strip)
