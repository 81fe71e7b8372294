"""What the state has of a config that uses secrets: digests with a salt, or none of what holds one."""

from __future__ import annotations

import json
from typing import Any

import pulumi

from components.commands.objects.packing import unpacked
from components.commands.reprovision.manifest import Manifest
from components.payload.declared import OBJECT, packed_manifest


def config(secret: str) -> dict[str, Any]:
    return {
        "storage": {
            "files": [
                {"path": "/etc/token", "mode": 384, "contents": {"source": f"data:,{secret}"}},
                {"path": "/etc/motd", "contents": {"source": "data:,hello"}},
                {"path": OBJECT, "contents": {"source": f"data:,{secret}"}},
            ],
            "luks": [{"name": "data", "keyFile": {"source": f"data:,{secret}"}}],
            "disks": [{"device": "/dev/vda"}],
        }
    }


def read(salt: str | None, masked: str | None) -> Manifest:
    texts: list[str] = []

    @pulumi.runtime.test  # type: ignore[untyped-decorator]
    def program() -> pulumi.Output[None]:
        text = pulumi.Output.secret(json.dumps(config("hunter2")))
        return packed_manifest(text, salt, masked).apply(texts.append)

    program()
    return Manifest.from_json({**json.loads(unpacked(texts[0])), "salt": salt or ""})


def test_with_a_salt_all_digests_are_there_and_the_salt_is_not() -> None:
    assert read("s" * 64, None) == Manifest.of(config("hunter2"), "s" * 64)
    assert read("s" * 64, None).paths[0].digest != Manifest.of(config("hunter2")).paths[0].digest


def test_without_secrets_all_digests_are_there() -> None:
    assert read(None, None) == Manifest.of(config("hunter2"))


def test_without_a_salt_what_holds_a_secret_has_no_digest_but_the_rest_of_it_is_compared() -> None:
    whole, bare = Manifest.of(config("hunter2")), read(None, json.dumps(config("stand-in")))
    assert [path.digest is None for path in bare.paths] == [True, False, False]
    assert (bare.paths[0].path, bare.paths[0].mode) == ("/etc/token", 384)
    assert bare.paths[1:] == whole.paths[1:], "nor is what is filled in last a secret"
    assert bare.rest == {name: digest for name, digest in whole.rest.items() if name != "storage.luks"}
