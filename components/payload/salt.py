"""What is mixed into the config of a machine that uses secrets, so that its config id gives none of them away.

A config id is a hash: whoever sees it could try out short secrets. With 256 random bits in the config there is nothing
to try. They are made once for a machine, lie encrypted in Pulumi's state, and in a file of the machine that root reads.
"""

from __future__ import annotations

import pulumi
from pulumi_command import local

from components.stores.address import KEEP

MAKE = "python3 -c 'import secrets; print(secrets.token_hex(32))'"


class Salt(local.Command):
    """Random text for the machine `name`: `text`. Whatever changes here, it stays: another would be another config."""

    text: pulumi.Output[str]

    def __init__(self, name: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            f"{name}-salt",
            create=MAKE,
            update=KEEP,
            logging=local.Logging.NONE,
            opts=pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(ignore_changes=["create"], additional_secret_outputs=["stdout"]), opts
            ),
        )
        self.text = pulumi.Output.secret(self.stdout.apply(str.strip))
