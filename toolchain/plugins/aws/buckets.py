"""S3: a bucket, what guards it, and objects (terraform-provider-aws 6, `internal/service/s3`)."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pulumi
from botocore.exceptions import ClientError
from pulumi_aws import s3

from toolchain.plugins import objects
from toolchain.plugins.aws.clients import Clients, OnAws, all_tags
from toolchain.plugins.base import Call, Properties, ProviderError
from toolchain.plugins.bridge import Bridged, listed, whole
from toolchain.plugins.objects import asked, is_gone


def bucket_types(clients: Clients) -> list[Bridged]:
    """All types of this file."""
    kinds: list[type[OnAws]] = [
        Bucket, PublicAccessBlock, Versioning, Encryption, BucketPolicy, LifecycleConfiguration, BucketObject,
    ]  # fmt: skip
    return [kind(clients) for kind in kinds]


class Bucket(OnAws):
    """A bucket."""

    sdk = s3.Bucket
    automatic_name = "bucket"
    replace_on = frozenset({"bucket", "bucketPrefix", "objectLockEnabled", "region"})
    filled_in = frozenset(
        {
            "region", "acl", "grants", "policy", "requestPayer", "serverSideEncryptionConfiguration", "versioning",
            "lifecycleRules", "logging", "corsRules", "website", "replicationConfiguration", "accelerationStatus",
            "objectLockConfiguration", "objectLockEnabled", "bucketNamespace",
        }
    )  # fmt: skip

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        name, region = str(inputs["bucket"]), self.clients.region
        place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        asked(lambda: self.clients.s3.create_bucket(Bucket=name, **place))
        return name, {**self._seen(name), **all_tags(inputs)}

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        return {**self._seen(id_), **all_tags(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        asked(lambda: self.clients.s3.delete_bucket(Bucket=id_))

    def read(self, id_: str, state: Properties) -> Properties | None:
        if not objects.bucket_is_there(self.clients.s3, id_):
            return None
        return {**state, "bucket": id_, **self._seen(id_)}

    def _seen(self, name: str) -> Properties:
        region = self.clients.region
        return {
            "arn": f"arn:aws:s3:::{name}",
            "bucketDomainName": f"{name}.s3.amazonaws.com",
            "bucketRegionalDomainName": f"{name}.s3.{region}.amazonaws.com",
            "region": region,
        }


class _OfBucket(OnAws):
    """A part of a bucket's settings: one call to set it, one to look, one to take it away."""

    replace_on = frozenset({"bucket", "expectedBucketOwner"})
    looks: ClassVar[str]
    takes_away: ClassVar[str | None]

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        self.put(str(inputs["bucket"]), inputs)
        return str(inputs["bucket"]), {}

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        self.put(id_, inputs)
        return {}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        if self.takes_away is None:
            return
        try:
            getattr(self.clients.s3, self.takes_away)(Bucket=id_)
        except ClientError as error:
            if not is_gone(error):
                raise ProviderError(str(error)) from error

    def read(self, id_: str, state: Properties) -> Properties | None:
        try:
            found = getattr(self.clients.s3, self.looks)(Bucket=id_)
        except ClientError as error:
            if is_gone(error) or "NotFound" in str(error):
                return None
            raise ProviderError(str(error)) from error
        return {**state, **self.seen(found, state)}

    def put(self, bucket: str, inputs: Properties) -> None:
        """Set it as the inputs say."""
        raise NotImplementedError

    def seen(self, found: dict[str, Any], state: Properties) -> Properties:
        """What drifted, as properties."""
        return {}


class PublicAccessBlock(_OfBucket):
    """Four switches against public reads."""

    sdk = s3.BucketPublicAccessBlock
    looks, takes_away = "get_public_access_block", "delete_public_access_block"
    NAMES: ClassVar = ("blockPublicAcls", "ignorePublicAcls", "blockPublicPolicy", "restrictPublicBuckets")

    def put(self, bucket: str, inputs: Properties) -> None:
        settings = {name[0].upper() + name[1:]: bool(inputs.get(name, False)) for name in self.NAMES}
        asked(lambda: self.clients.s3.put_public_access_block(Bucket=bucket, PublicAccessBlockConfiguration=settings))

    def seen(self, found: dict[str, Any], state: Properties) -> Properties:
        settings = found["PublicAccessBlockConfiguration"]
        return {name: settings.get(name[0].upper() + name[1:], False) for name in self.NAMES}


class Versioning(_OfBucket):
    """Whether old versions are kept; taking it away suspends it."""

    sdk = s3.BucketVersioning
    looks, takes_away = "get_bucket_versioning", None

    def put(self, bucket: str, inputs: Properties) -> None:
        wanted = inputs["versioningConfiguration"]
        status = wanted["status"] if isinstance(wanted, dict) else ""
        asked(lambda: self.clients.s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": status}))

    def seen(self, found: dict[str, Any], state: Properties) -> Properties:
        return {"versioningConfiguration": {"status": found.get("Status", "Disabled")}}


class Encryption(_OfBucket):
    """How objects are encrypted."""

    sdk = s3.BucketServerSideEncryptionConfiguration
    looks, takes_away = "get_bucket_encryption", "delete_bucket_encryption"

    def put(self, bucket: str, inputs: Properties) -> None:
        rules = [
            {
                "ApplyServerSideEncryptionByDefault": {
                    "SSEAlgorithm": rule["applyServerSideEncryptionByDefault"]["sseAlgorithm"]
                }
            }
            for rule in listed(inputs.get("rules"))
        ]
        asked(
            lambda: self.clients.s3.put_bucket_encryption(
                Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": rules}
            )
        )

    def seen(self, found: dict[str, Any], state: Properties) -> Properties:
        rules: list[Any] = [
            {
                "applyServerSideEncryptionByDefault": {
                    "sseAlgorithm": rule["ApplyServerSideEncryptionByDefault"]["SSEAlgorithm"]
                }
            }
            for rule in found["ServerSideEncryptionConfiguration"]["Rules"]
        ]
        return {"rules": rules}


class BucketPolicy(_OfBucket):
    """Who may do what with a bucket."""

    sdk = s3.BucketPolicy
    looks, takes_away = "get_bucket_policy", "delete_bucket_policy"

    def put(self, bucket: str, inputs: Properties) -> None:
        asked(lambda: self.clients.s3.put_bucket_policy(Bucket=bucket, Policy=str(inputs["policy"])))

    def seen(self, found: dict[str, Any], state: Properties) -> Properties:
        same = json.loads(str(state.get("policy", "{}"))) == json.loads(found["Policy"])
        return {} if same else {"policy": found["Policy"]}


class LifecycleConfiguration(_OfBucket):
    """When old versions go."""

    sdk = s3.BucketLifecycleConfiguration
    looks, takes_away = "get_bucket_lifecycle_configuration", "delete_bucket_lifecycle"

    def put(self, bucket: str, inputs: Properties) -> None:
        rules = []
        for rule in listed(inputs.get("rules")):
            made = {
                "ID": rule["id"],
                "Status": rule["status"],
                "Filter": {"Prefix": rule.get("filter", {}).get("prefix", "")},
            }
            if old := rule.get("noncurrentVersionExpiration"):
                made["NoncurrentVersionExpiration"] = {"NoncurrentDays": whole(old["noncurrentDays"])}
            if parts := rule.get("abortIncompleteMultipartUpload"):
                made["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": whole(parts["daysAfterInitiation"])}
            rules.append(made)
        asked(
            lambda: self.clients.s3.put_bucket_lifecycle_configuration(
                Bucket=bucket, LifecycleConfiguration={"Rules": rules}
            )
        )


class BucketObject(OnAws):
    """An object; a new content is written in place, as a new version."""

    sdk: type[pulumi.CustomResource] = s3.BucketObjectv2
    replace_on = frozenset({"bucket", "key"})
    filled_in = frozenset(
        {"region", "etag", "contentType", "serverSideEncryption", "storageClass", "bucketKeyEnabled", "kmsKeyId", "acl"}
    )

    def create(self, call: Call, inputs: Properties) -> tuple[str, Properties]:
        return str(inputs["key"]), self._put(inputs)

    def update(self, call: Call, id_: str, state: Properties, inputs: Properties) -> Properties:
        return self._put(inputs)

    def _put(self, inputs: Properties) -> Properties:
        written = objects.put_object(self.clients.s3, inputs)
        arn = f"arn:aws:s3:::{inputs['bucket']}/{inputs['key']}"
        return {"etag": written["etag"], "versionId": written["versionId"], "arn": arn, **all_tags(inputs)}

    def delete(self, call: Call, id_: str, state: Properties) -> None:
        objects.delete_object(self.clients.s3, state)

    def read(self, id_: str, state: Properties) -> Properties | None:
        seen = objects.head_object(self.clients.s3, state)
        return None if seen is None else {**state, **seen}

    def recomputed(self, changed: frozenset[str]) -> frozenset[str]:
        if not changed & objects.CHANGES_CONTENT:
            return frozenset()
        return frozenset({"versionId"} if "etag" in changed else {"versionId", "etag"})
