"""Signed requests to S3 and to what speaks its language: AWS Signature Version 4, header form. Standard library only.

docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

_ALGORITHM = "AWS4-HMAC-SHA256"


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """A key and its secret; `token` belongs to keys that end with a session, else ""."""

    key: str
    secret: str = field(repr=False)
    token: str = field(default="", repr=False)


def signed_headers(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes,
    *,
    credentials: Credentials,
    region: str,
    now: datetime,
) -> dict[str, str]:
    """`headers` and those that sign the request, all but Host, which the sender adds from `url`.

    `url` has its path and query quoted already, the query's parameters in order; `now` is UTC.
    """
    parts = urlsplit(url)
    moment = now.strftime("%Y%m%dT%H%M%SZ")
    sent = {**headers, "x-amz-date": moment, "x-amz-content-sha256": hashlib.sha256(body).hexdigest()}
    if credentials.token:
        sent["x-amz-security-token"] = credentials.token
    canonical = {name.lower(): " ".join(value.split()) for name, value in {**sent, "host": parts.netloc}.items()}
    names = ";".join(sorted(canonical))
    request = "\n".join(
        [
            method,
            quote(parts.path, safe="/-_.~%"),
            parts.query,
            *(f"{name}:{canonical[name]}" for name in sorted(canonical)),
            "",
            names,
            sent["x-amz-content-sha256"],
        ]
    )
    scope = f"{moment[:8]}/{region}/s3/aws4_request"
    text = "\n".join([_ALGORITHM, moment, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{credentials.secret}".encode()
    for part in scope.split("/"):
        key = _hmac(key, part)
    signature = _hmac(key, text).hex()
    sent["Authorization"] = (
        f"{_ALGORITHM} Credential={credentials.key}/{scope}, SignedHeaders={names}, Signature={signature}"
    )
    return sent


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()
