"""The shapes of what DigitalOcean accepts, as in `config.values`; its SDK is not imported here."""

from __future__ import annotations

import re

from components.config.values import public_key_problem

_SIZE = re.compile(r"[a-z][a-z0-9_]*(-[a-z0-9_]+)+")
_TAG = re.compile(r"[A-Za-z0-9:_-]{1,255}")
_FINGERPRINT = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){15}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def size_problem(text: str) -> str | None:
    """A droplet size's slug."""
    return None if _SIZE.fullmatch(text) else f"{text!r} is not a droplet size such as s-1vcpu-1gb or c-2"


def tag_problem(text: str) -> str | None:
    """A DigitalOcean tag."""
    return None if _TAG.fullmatch(text) else f"{text!r} is no tag: letters, digits, ':', '-' and '_', up to 255"


def ssh_key_problem(text: str) -> str | None:
    """The id or MD5 fingerprint of a key that is registered with DigitalOcean, or a public key to register."""
    if text.isascii() and (text.isdecimal() or _FINGERPRINT.fullmatch(text)):
        return None
    if " " in text:
        return public_key_problem(text)
    return f"{text!r} is not a public key, and not the id or MD5 fingerprint (aa:bb:…) of one registered there"


def vpc_problem(text: str) -> str | None:
    """The id of a VPC of DigitalOcean."""
    return None if _UUID.fullmatch(text) else f"{text!r} is not a VPC's id, a UUID (doctl vpcs list)"
