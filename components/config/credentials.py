"""Whether what opens a cloud is there at all, told at preview: its provider notices in the middle of an update.

Nothing of it is read further than that, or goes into a message. AWS's own provider looks for its credentials when it
starts, in more places than can be looked at here, and says what is wrong.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import pulumi


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """Something secret: its key in a stack's config, and the variables of the environment that can hold it instead."""

    key: str
    variables: tuple[str, ...]

    def is_given(self) -> bool:
        """Whether either holds it."""
        namespace, _, name = self.key.partition(":")
        given = pulumi.Config(namespace).get_secret(name)  # `get` of a secret warns
        return given is not None or any(os.environ.get(variable) for variable in self.variables)
