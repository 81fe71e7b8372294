"""The shapes of buckets' names and of regions, as in `config.values`; no cloud's SDK is imported here."""

from __future__ import annotations

import re

_BUCKET = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")
_DO_REGION = re.compile(r"[a-z]{3}[1-9]")
_AWS_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+)+-\d")


def bucket_problem(name: str) -> str | None:
    """S3's rules for bucket names; without dots, as a name with dots has no valid TLS certificate as a host."""
    if "." in name:
        return f"{name!r} has a dot, and then https to the bucket's own host name fails; use '-'"
    if not _BUCKET.fullmatch(name):
        return f"{name!r} is no bucket's name: 3 to 63 of a-z, 0-9 and '-', neither first nor last a '-'"
    if name.startswith("xn--") or name.endswith(("-s3alias", "--ol-s3")):
        return f"{name!r} is a name that S3 keeps for itself"
    return None


def do_region_problem(text: str) -> str | None:
    """A DigitalOcean region's slug."""
    return None if _DO_REGION.fullmatch(text) else f"{text!r} is not a region of DigitalOcean such as fra1 or nyc3"


def aws_region_problem(text: str) -> str | None:
    """An AWS region's name."""
    return None if _AWS_REGION.fullmatch(text) else f"{text!r} is not a region of AWS such as eu-central-1"
