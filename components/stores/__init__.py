"""Stores: where a machine's Ignition config lies, at an address that never changes. A file and an entry in `registry`.

This file holds what `IgnitionObject` and `FlatcarMachine` need from any store, and imports none of them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import pulumi

from components.commands.objects.bucket import CONTENT_TYPE
from components.commands.objects.content import Content
from components.commands.objects.content_file import path_of
from components.config.local_files import machines_dir
from components.sdk import KeptOutput

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    Text = Callable[[pulumi.Output[str]], pulumi.Input[str]]
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
    """What keeps one object per machine.

    One that a stack's config can name has its `StoreSettings` as `described`, too.
    """

    def secrets_problem(self, secrets: Sequence[str]) -> str | None:
        """Why a config that holds these secrets can't lie here, None when it can.

        `secrets` are names: of secret variables that a config uses, of files with a private key. Asked before anything
        is made, so that a refused config fails the preview.
        """
        ...

    def put(self, name: str, text: Text, opts: pulumi.ResourceOptions | None = None) -> StoredObject:
        """Declare the object of the machine `name`, holding exactly the UTF-8 bytes of `text` (an Ignition config).

        `name` is the very name that `Platform.create` gets: a local folder is served to each machine by that name.
        Stores call their resources NAME-object, NAME-bucket …; the platform's is called NAME.

        A new content updates the object in place, atomically where the store can: a machine that reads at that
        moment gets the old or the new one, whole. No inputs of a resource hold the text, plain or secret: it would lie
        in the state. What they need is its hash, and a file that holds it (`local_content`).

        With `opts.replacement_trigger`, a config id, the machine is replaced for another config: then the new machine's
        object lies at another address, and the old one at its own until the old machine is gone.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredReport:
    """Where a machine puts its reports: once `resource` exists, at an `address` as its platform needs it."""

    address: str
    resource: pulumi.Resource


@runtime_checkable
class TakesReports(Protocol):
    """A store into which machines that have credentials for it may put reports of their own."""

    def report(self, name: str, opts: pulumi.ResourceOptions | None = None) -> StoredReport:
        """Declare the place for the reports of the machine `name`, which goes with all that the machine put there."""
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


def local_content(name: str, text: pulumi.Input[str]) -> pulumi.Output[Content]:
    """The text of the object of the machine `name` by its hash, which is no secret even where the text is.

    In an update it lies in `content_path` as well, until the machine is proven (`forget_content`).
    """

    def made(text: str) -> Content:
        content = Content.of(text)
        if not pulumi.runtime.is_dry_run():
            keep(name, content)
        return content

    return pulumi.Output.unsecret(pulumi.Output.from_input(text).apply(made))


def content_path(name: str, sha512: str) -> Path:
    """The file of this computer that has the text of the object of the machine `name`, while it is needed."""
    return path_of(machines_dir(), name, sha512)


def keep(name: str, content: Content) -> str:
    """Write the file; its name. Raises `pulumi.RunError` when it can't be written."""
    path = content_path(name, content.sha512)
    try:
        content.keep(path)
    except OSError as error:
        raise pulumi.RunError(
            f"the object of {name!r} can't be written on this computer: {path}: {error.strerror or error}\n"
            "  make the folder writable, or set MACHINES_DIR to one that is"
        ) from None
    return str(path)


def body(content: pulumi.Output[Content]) -> dict[str, Any]:
    """What an object in a bucket holds, as inputs of the resources of S3 and Spaces, but for the file with its text.

    `etag` is what they give to an object that holds this text (without KMS), MD5 in hex: with it `refresh` notices a
    second writer, and the next `up` mends what it wrote.
    """
    etag = content.apply(lambda held: hashlib.md5(held.text.encode(), usedforsecurity=False).hexdigest())
    return {"content_type": CONTENT_TYPE, "etag": etag}
