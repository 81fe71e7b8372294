"""A store that is somebody else's: another resource of the program puts the object where its address says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi

from components.stores import StoredObject, local_content, public_store_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.stores import Text


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """One object at `url`, http or https. Who can read it is not known here, so it counts as public."""

    url: str
    allow_secrets: tuple[str, ...] = ()

    def secrets_problem(self, secrets: Sequence[str]) -> str | None:
        """Names that `allow_secrets` doesn't list are refused."""
        return public_store_problem("a store elsewhere", secrets, self.allow_secrets)

    def put(self, name: str, text: Text, opts: pulumi.ResourceOptions | None = None) -> StoredObject:
        """Nothing is made. The version is a hash of the content, which tells no return to an older one."""
        source_url = pulumi.Output.from_input(self.url)
        there = pulumi.ComponentResource("flatcar:index:ObjectElsewhere", f"{name}-object", {"url": self.url}, opts)
        there.register_outputs({})
        version = local_content(name, text(source_url)).apply(lambda content: content.sha512)
        return StoredObject(source_url=source_url, version=version, resource=there)
