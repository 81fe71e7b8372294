"""A machine's object in its store, and the pointer to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pulumi
from pulumi_command import local

from components.commands.sign import digest
from components.launcher import interpreter
from components.payload.agent import addressed, text_at
from components.payload.machine_config import pointer
from components.sdk import json_text
from components.stores import local_content

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.commands.objects.content import Content
    from components.stores import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnitionObject:
    """A machine's object in its store: its address, the pointer to it, and what tells one write from the next.

    `content` is what Pulumi's state may know of the object: its hash. `text` is secret, and no input of a resource.
    """

    source_url: pulumi.Output[str]
    content: pulumi.Output[Content]
    text: pulumi.Output[str]
    user_data: pulumi.Output[str]
    version: pulumi.Output[str]
    place: pulumi.Output[dict[str, str]] | None
    resource: pulumi.Resource

    @classmethod
    def put(
        cls,
        name: str,
        *,
        text: pulumi.Input[str],
        store: Store,
        pulls: bool = False,
        config_id: pulumi.Input[str] = "",
        signing_keys: Sequence[str] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> IgnitionObject:
        """Declare the object of the machine `name`, which holds `text`; see `MachineConfig` for `pulls`.

        With `signing_keys` one of them signs it (`commands.sign`) before it is written.
        """
        secret = pulumi.Output.secret(text)
        signatures: list[pulumi.Output[str]] = []

        def whole(source_url: pulumi.Output[str]) -> pulumi.Output[str]:
            if not pulls:
                return secret
            if signing_keys and not signatures:  # a store asks for the text, and `put` once more
                signatures.append(_signature(name, secret, source_url, config_id, signing_keys, opts))
            return pulumi.Output.all(secret, source_url, *signatures).apply(lambda parts: text_at(*parts))

        stored = store.put(name, whole, opts)
        known = whole(stored.source_url)
        return cls(
            source_url=stored.source_url,
            content=local_content(name, known),
            text=known,
            user_data=stored.source_url.apply(pointer),
            version=stored.version,
            place=stored.place,
            resource=stored.resource,
        )


def _signature(
    name: str,
    text: pulumi.Output[str],
    source_url: pulumi.Output[str],
    config_id: pulumi.Input[str],
    keys: Sequence[str],
    opts: pulumi.ResourceOptions | None,
) -> pulumi.Output[str]:
    """The object's signature: made anew when what is signed changes, and kept in the state until then."""
    request = {
        "machine": name,
        "address": source_url,
        "config_id": config_id,
        "sha512": pulumi.Output.all(text, source_url).apply(lambda both: digest(addressed(*both))),
        "keys": list(keys),
    }
    signature = local.Command(
        f"{name}-signature",
        create="sign",
        interpreter=interpreter(),
        stdin=json_text(request),
        logging=local.Logging.NONE,
        # whoever has a signature can try out what was signed: a short secret in the object is guessed by that
        opts=pulumi.ResourceOptions.merge(pulumi.ResourceOptions(additional_secret_outputs=["stdout"]), opts),
    )
    return signature.stdout.apply(str.strip)
