"""What is mixed into the config of a machine that uses secrets, so that its config id gives none of them away.

A config id is a hash: whoever sees it could try out short secrets. With 256 random bits in the config there is nothing
to try. They are made once for a machine, lie encrypted in Pulumi's state, and in a file of the machine that root reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.sdk import KeptOutput

if TYPE_CHECKING:
    import pulumi

MAKE = "python3 -c 'import secrets; print(secrets.token_hex(32))'"


def salt(name: str, opts: pulumi.ResourceOptions | None = None) -> pulumi.Output[str]:
    """Random text for the machine `name`. Whatever changes, it stays: another would be another config."""
    return KeptOutput(f"{name}-salt", MAKE, opts, secret=True).text
