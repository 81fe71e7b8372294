"""A part of an object's address that nobody can guess, made once and kept in Pulumi's state for the machine's life."""

from __future__ import annotations

import pulumi
from pulumi_command import local

MAKE = "python3 -c 'import secrets; print(secrets.token_hex(20))'"
KEEP = 'printf %s "$PULUMI_COMMAND_STDOUT"'


class Unguessable(local.Command):
    """160 random bits in hex, the output `stdout`. Not derived from anything, so there is no key to lose or to leak.

    Whatever changes here, `update` prints the old value again: another address would cut a machine off from its object.
    It is not printed on the screen (`logging` none), but lies in the state and in the machine's user data in plain
    text: it keeps strangers out, not those who may read either.
    """

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(name, create=MAKE, update=KEEP, logging=local.Logging.NONE, opts=opts)
