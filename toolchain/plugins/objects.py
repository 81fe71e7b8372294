"""Objects in buckets for the stand-ins: what S3 and Spaces have in common, by boto3."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from toolchain.plugins.base import Properties, ProviderError, Value
from toolchain.plugins.bridge import asset_file

CHANGES_CONTENT = frozenset({"content", "contentBase64", "contentType", "etag", "metadata", "source"})


def put_object(client: Any, inputs: Properties, *, acl: str | None = None) -> Properties:
    """Write an object; its etag and version id."""
    body = str(inputs.get("content", "")).encode()
    if "contentBase64" in inputs:
        body = base64.b64decode(str(inputs["contentBase64"]))
    if "source" in inputs:
        body = _read(inputs["source"])
    extra = {"ContentType": str(inputs["contentType"])} if "contentType" in inputs else {}
    if acl:
        extra["ACL"] = acl
    answer = asked(lambda: client.put_object(Bucket=str(inputs["bucket"]), Key=str(inputs["key"]), Body=body, **extra))
    return {
        "etag": answer["ETag"].strip('"'),
        "versionId": answer.get("VersionId", ""),
        "contentMd5": hashlib.md5(body).hexdigest(),  # noqa: S324
    }


def _read(source: Value) -> bytes:
    """What lies at a path, or in an asset that is a file. Raises ProviderError."""
    try:
        path = asset_file(source) if isinstance(source, dict) else Path(str(source)).expanduser()
        return path.read_bytes()
    except OSError as error:
        raise ProviderError(f"opening object source ({error.filename}): {error.strerror}") from error


def head_object(client: Any, state: Properties) -> Properties | None:
    """An object's etag, version id and type; None when it is gone."""
    try:
        answer = client.head_object(Bucket=str(state["bucket"]), Key=str(state["key"]))
    except ClientError as error:
        if is_gone(error):
            return None
        raise ProviderError(str(error)) from error
    return {
        "etag": answer["ETag"].strip('"'),
        "versionId": answer.get("VersionId", ""),
        "contentType": answer.get("ContentType", ""),
    }


def delete_object(client: Any, state: Properties) -> None:
    """Delete an object with all its versions."""
    bucket, key = str(state["bucket"]), str(state["key"])
    listed = asked(lambda: client.list_object_versions(Bucket=bucket, Prefix=key))
    for version in [*listed.get("Versions", []), *listed.get("DeleteMarkers", [])]:
        if version["Key"] == key:
            number = version["VersionId"]
            asked(lambda number=number: client.delete_object(Bucket=bucket, Key=key, VersionId=number))


def bucket_is_there(client: Any, name: str) -> bool:
    """Whether a bucket exists."""
    try:
        client.head_bucket(Bucket=name)
    except ClientError as error:
        if is_gone(error):
            return False
        raise ProviderError(str(error)) from error
    return True


def asked(question: Any) -> Any:
    """The answer of a boto3 call. Raises ProviderError with the cloud's own words."""
    try:
        return question()
    except (BotoCoreError, ClientError) as error:
        raise ProviderError(str(error)) from error


def is_gone(error: ClientError) -> bool:
    """Whether an error says that the thing doesn't exist."""
    code = str(error.response.get("Error", {}).get("Code", ""))
    return code == "404" or "NotFound" in code or code.startswith("NoSuch")
