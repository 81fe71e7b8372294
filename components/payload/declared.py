"""What Pulumi's state has of a config, so that an audit can hold a machine against it: a manifest, without contents.

With the machine's salt nobody can try out what its digests were made of. A config without a salt that uses secrets, as
of a machine that pulls, has none of what holds one.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pulumi

from components.commands.objects.packing import packed
from components.commands.reprovision.manifest import Manifest
from components.payload.agent import FOLDER

if TYPE_CHECKING:
    from collections.abc import Sequence

OBJECT = f"{FOLDER}/object"
"""Its address, checksum and signature: filled in last, and no secrets."""


def packed_manifest(
    text: pulumi.Input[str], salt: pulumi.Input[str] | None, masked: pulumi.Input[str | None]
) -> pulumi.Output[str]:
    """The manifest of the object `text` as a request has it, without the salt.

    `masked` is the same Ignition config without the values of its secrets, as JSON; None where it has none, or a salt.
    """

    def made(known: Sequence[str | None]) -> str:
        text, salt, masked = known
        manifest = Manifest.of(json.loads(text or "{}"), salt or "")
        if masked is not None:
            manifest = without_secrets(manifest, Manifest.of(json.loads(masked)))
        return packed(json.dumps({name: part for name, part in manifest.to_json().items() if name != "salt"}))

    return pulumi.Output.unsecret(pulumi.Output.all(text, salt, masked).apply(made))


def without_secrets(manifest: Manifest, masked: Manifest) -> Manifest:
    """`manifest` without the digests that are others in that of the masked config."""
    same = {*masked.paths}
    paths = (
        path if path in same or path.path == OBJECT else replace(path, digest=None, source=None, tail=None)
        for path in manifest.paths
    )
    rest = {name: digest for name, digest in manifest.rest.items() if masked.rest.get(name) == digest}
    return replace(manifest, paths=tuple(paths), rest=rest)
