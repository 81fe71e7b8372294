"""Stores: where a machine's Ignition config lies, at an address that never changes. A file and an entry in `registry`.

This file holds what `IgnitionObject` and `FlatcarMachine` need from any store, and imports none of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import pulumi

from components.commands.objects.bucket import CONTENT_TYPE
from components.sdk import KeptOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    Content = Callable[[pulumi.Output[str]], pulumi.Input[str]]
    """An object's text, given its own `source_url`: an agent in it asks there."""

UNGUESSABLE = "python3 -c 'import secrets; print(secrets.token_hex(20))'"
"""160 random bits in hex. Not derived from anything, so there is no key to lose or to leak."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object that exists once `resource` does."""

    source_url: pulumi.Output[str]
    """What the pointer's `ignition.config.replace.source` holds, as the *machine* sees it.

    No version id, no expiring signature: the same before and after any change of the content, for the machine's whole
    life. It is known at preview once the object is there.
    """

    version: pulumi.Output[str]
    """Something new after every write, also when an older content comes back (S3: the version id; a folder: a time).

    It triggers the re-provisioning together with the config id: after a failed change and a return to the old config,
    the config id is the one in Pulumi's state again, while the machine may run the failed one.
    """

    resource: pulumi.Resource
    """What must be done before the machine is switched on or told to re-provision."""

    place: pulumi.Output[dict[str, str]] | None = None
    """Fields of a `commands.objects.folder.ObjectWriter` where the deployer can write the object; else None."""


class Store(Protocol):
    """What keeps one object per machine."""

    def secrets_problem(self, secrets: Sequence[str]) -> str | None:
        """Why a config that holds these secrets can't lie here, None when it can.

        `secrets` are names: of secret variables that a config uses, of files with a private key. Asked before anything
        is made, so that a refused config fails the preview.
        """
        ...

    def put(self, name: str, content: Content, opts: pulumi.ResourceOptions | None = None) -> StoredObject:
        """Declare the object of the machine `name`, holding exactly the UTF-8 bytes of `content` (an Ignition config).

        `name` is the very name that `Platform.create` gets: a local folder is served to each machine by that name.
        Stores call their resources NAME-object, NAME-bucket …; the platform's is called NAME.

        A new content updates the object in place, atomically where the store can: a machine that reads at that
        moment gets the old or the new one, whole. Secret content stays secret in state, previews and logs.

        With `opts.replacement_trigger`, a config id, the machine is replaced for another config: then the new machine's
        object lies at another address, and the old one at its own until the old machine is gone.
        """
        ...


def public_store_problem(store: str, secrets: Sequence[str], allowed: Collection[str]) -> str | None:
    """`Store.secrets_problem` of a store whose objects anyone can read who knows the address."""
    refused = [name for name in secrets if name not in allowed]
    if not refused:
        return None
    names = ", ".join(refused)
    return (
        f"the config holds secrets ({names}), and an object on {store} can be read by anyone who knows its address: "
        "the machine has no credentials to read with. Keep them out of the config, use a store that is private, or "
        f"allow each by name: flatcar:store.allow_secrets: [{names}]"
    )


def kept_address(name: str, make: pulumi.Input[str], opts: pulumi.ResourceOptions | None) -> pulumi.Output[str]:
    """The part of an object's address that the shell command `make` prints when the machine `name` is made.

    Another address would cut a machine off from its object, so it is kept for the machine's life; with another
    `replacement_trigger` in `opts` the machine is replaced as well. It lies in the state and in the machine's user data
    in plain text: an unguessable one keeps strangers out, not those who may read either.
    """
    return KeptOutput(f"{name}-address", make, opts).text


def body(content: Content, source_url: pulumi.Output[str]) -> dict[str, Any]:
    """What an object in a bucket holds, as inputs of the resources of S3 and Spaces.

    `etag` is what they give to an object that holds this text (without KMS), MD5 in hex: with it `refresh` notices a
    second writer, and the next `up` mends what it wrote.
    """
    text = pulumi.Output.from_input(content(source_url))
    etag = text.apply(lambda text: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest())
    return {"content": text, "content_type": CONTENT_TYPE, "etag": etag}
