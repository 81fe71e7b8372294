"""Spaces, which speaks S3: buckets and their objects (terraform-provider-digitalocean, `spaces/`)."""

from __future__ import annotations

import os
from typing import Any

import boto3
import pulumi_digitalocean as digitalocean
from botocore.config import Config

from toolchain.plugins import objects
from toolchain.plugins.base import Call, Properties
from toolchain.plugins.bridge import Bridged, listed, whole


def spaces_types(endpoint: str) -> list[Bridged]:
    """All types of this file, on the S3 API at `endpoint`."""
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id=os.environ.get("SPACES_ACCESS_KEY_ID", ""),
        aws_secret_access_key=os.environ.get("SPACES_SECRET_ACCESS_KEY", ""),
        config=Config(s3={"addressing_style": "path"}, retries={"max_attempts": 2}),
    )
    return [SpacesBucket(client), SpacesBucketObject(client)]


class _OnS3(Bridged):
    def __init__(self, client: Any) -> None:
        super().__init__()
        self.client = client


class SpacesBucket(_OnS3):
    """A bucket with its versioning and its rules for old versions."""

    sdk = digitalocean.SpacesBucket
    automatic_name = "name"
    replace_on = frozenset({"region"})  # not the name: the real provider takes another one and makes no bucket

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        name = str(inputs["name"])
        objects.asked(lambda: self.client.create_bucket(Bucket=name, ACL=str(inputs.get("acl", "private"))))
        return name, self.update(call, name, {}, inputs)

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        versioning = inputs.get("versioning")
        if isinstance(versioning, dict):
            status = "Enabled" if versioning.get("enabled") else "Suspended"
            objects.asked(
                lambda: self.client.put_bucket_versioning(Bucket=id_, VersioningConfiguration={"Status": status})
            )
        rules = [rule for rule in listed(inputs.get("lifecycleRules")) if isinstance(rule, dict)]
        if rules:
            objects.asked(
                lambda: self.client.put_bucket_lifecycle_configuration(
                    Bucket=id_, LifecycleConfiguration={"Rules": [_rule(rule) for rule in rules]}
                )
            )
        domain = f"{id_}.{inputs['region']}.digitaloceanspaces.com"
        return {"bucketDomainName": domain, "endpoint": domain.partition(".")[2], "bucketUrn": f"do:space:{id_}"}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        objects.asked(lambda: self.client.delete_bucket(Bucket=id_))

    def read(self, id_: str, state: Properties) -> Properties | None:
        if not objects.bucket_is_there(self.client, id_):
            return None
        return {**state, "name": id_}


class SpacesBucketObject(_OnS3):
    """An object; a new content is written in place."""

    sdk = digitalocean.SpacesBucketObject
    replace_on = frozenset({"bucket", "key", "region"})
    filled_in = frozenset({"etag", "contentType"})

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        return str(inputs["key"]), self._put(inputs)

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        return self._put(inputs)

    def _put(self, inputs: Properties) -> Properties:
        acl = str(inputs.get("acl", "private"))
        written = objects.put_object(self.client, inputs, acl=acl)
        return {name: written[name] for name in ("etag", "versionId")}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        objects.delete_object(self.client, state)

    def read(self, id_: str, state: Properties) -> Properties | None:
        seen = objects.head_object(self.client, state)
        return None if seen is None else {**state, **seen}

    def recomputed(self, changed: frozenset[str]) -> frozenset[str]:
        return frozenset({"versionId"}) if "etag" in changed else frozenset()


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "ID": rule.get("id", "rule"),
        "Status": "Enabled" if rule.get("enabled") else "Disabled",
        "Filter": {"Prefix": rule.get("prefix", "")},
    }
    if old := rule.get("noncurrentVersionExpiration"):
        made["NoncurrentVersionExpiration"] = {"NoncurrentDays": whole(old["days"])}
    if "abortIncompleteMultipartUploadDays" in rule:
        days = whole(rule["abortIncompleteMultipartUploadDays"])
        made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": days}
    return made
