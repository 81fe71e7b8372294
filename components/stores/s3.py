"""The store on S3: one object per machine in a private, versioned, encrypted bucket.

A machine on EC2 reads its own object, and nothing else, with its role (`platforms/aws`); the pointer is
`s3://BUCKET/KEY`. A machine outside of AWS has no role: for those the bucket can be `public`, with the rules of
`stores/spaces.py` (an unguessable address, no listing, no secrets) and an https pointer.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shlex
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pulumi
from pulumi_aws import s3

from components.commands.objects.bucket import report_key, s3_host
from components.sdk import named
from components.stores import (
    UNGUESSABLE,
    StoredObject,
    StoredReport,
    body,
    keep,
    kept_address,
    local_content,
    public_store_problem,
)
from components.stores.settings import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.commands.objects.content import Content
    from components.stores import Text

PRIVATE_FOLDER = "machines"
PUBLIC_FOLDER = "public"


class S3Objects:
    """Objects in a bucket that is there, and that its owner guards. `region` is known late where the bucket is new."""

    def __init__(
        self,
        settings: StoreSettings,
        bucket: pulumi.Input[str],
        region: pulumi.Input[str],
        guards: Sequence[pulumi.Resource] = (),
    ) -> None:
        self.described, self._bucket, self._region, self._guards = settings, bucket, region, guards

    def secrets_problem(self, secrets: Sequence[str]) -> str | None:
        """A private bucket takes every config, a public one only what `allow_secrets` lists."""
        if not self.described.public:
            return None
        return public_store_problem("a public S3 bucket", secrets, self.described.allow_secrets)

    def put(self, name: str, text: Text, opts: pulumi.ResourceOptions | None = None) -> StoredObject:
        """The object at `machines/NAME.ign`, or at `public/RANDOM/NAME.ign`, after all guards of the bucket are up.

        For a machine that is made for one config, as `opts.replacement_trigger` says: `machines/NAME/ID-RANDOM.ign`.
        """
        bucket = self.described.bucket
        if self.described.public:
            key = kept_address(name, UNGUESSABLE, opts).apply(lambda random: f"{PUBLIC_FOLDER}/{random}/{name}.ign")
            host = f"{bucket}.{s3_host(self.described.region)}"
            source_url = key.apply(lambda path: f"https://{host}/{path}")
        else:
            wanted = pulumi.Output.from_input(opts.replacement_trigger if opts else None)
            key = kept_address(name, wanted.apply(lambda config_id: _make_key(name, config_id)), opts)
            source_url = key.apply(lambda path: f"s3://{bucket}/{path}")
        content = local_content(name, text(source_url))
        stored = s3.BucketObjectv2(
            f"{name}-object",
            bucket=self._bucket,
            key=key,
            source=content.apply(lambda held: asset(name, held)),
            **body(content),
            opts=pulumi.ResourceOptions.merge(pulumi.ResourceOptions(depends_on=list(self._guards)), opts),
        )
        pulumi.Output.all(content, stored.urn).apply(lambda both: forget_copy(both[0]))
        profile = pulumi.Config("aws").get("profile") or ""
        place = pulumi.Output.all(key, self._region).apply(
            lambda known: {"kind": "s3", "bucket": bucket, "key": known[0], "region": known[1], "profile": profile}
        )
        return StoredObject(source_url=source_url, version=stored.version_id, resource=stored, place=place)

    def report(self, name: str, opts: pulumi.ResourceOptions | None = None) -> StoredReport:
        """An object that says nothing, for the machine to replace. Pulumi leaves alone what that wrote, and deletes it
        with all its versions, so that the bucket can go."""
        key = report_key(name)
        place = s3.BucketObjectv2(
            f"{name}-report",
            bucket=self._bucket,
            key=key,
            content="{}",
            content_type="application/json",
            opts=pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(
                    depends_on=list(self._guards), ignore_changes=["content", "contentType", "etag"]
                ),
                opts,
            ),
        )
        return StoredReport(address=f"s3://{self.described.bucket}/{key}", resource=place)


class S3(S3Objects):
    """The bucket and what guards it, declared once for a stack."""

    def __init__(self, settings: StoreSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        name = named("configs", opts)
        self.bucket = s3.Bucket(
            name,
            bucket=settings.bucket,
            opts=pulumi.ResourceOptions.merge(pulumi.ResourceOptions(protect=settings.protect), opts),
        )
        inside = pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(parent=self.bucket))
        public = settings.public
        access = s3.BucketPublicAccessBlock(
            name,
            bucket=self.bucket.bucket,
            block_public_acls=True,
            ignore_public_acls=True,
            block_public_policy=not public,
            restrict_public_buckets=not public,
            opts=inside,
        )
        guards: list[pulumi.Resource] = [
            access,
            s3.BucketVersioning(
                name,
                bucket=self.bucket.bucket,
                versioning_configuration={"status": "Enabled"},
                opts=inside,
            ),
            s3.BucketServerSideEncryptionConfiguration(
                name,
                bucket=self.bucket.bucket,
                rules=[{"apply_server_side_encryption_by_default": {"sse_algorithm": "AES256"}}],
                opts=inside,
            ),
            s3.BucketPolicy(
                name,
                bucket=self.bucket.bucket,
                policy=self.bucket.arn.apply(lambda arn: json.dumps(bucket_policy(arn, public=public))),
                opts=pulumi.ResourceOptions.merge(inside, pulumi.ResourceOptions(depends_on=[access])),
            ),
        ]
        s3.BucketLifecycleConfiguration(
            name,
            bucket=self.bucket.bucket,
            rules=[
                {
                    "id": "old-configs",
                    "status": "Enabled",
                    "filter": {"prefix": ""},
                    "noncurrent_version_expiration": {"noncurrent_days": settings.keep_days},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
                }
            ],
            opts=pulumi.ResourceOptions.merge(inside, pulumi.ResourceOptions(depends_on=[guards[1]])),
        )
        super().__init__(settings, self.bucket.bucket, self.bucket.region, guards)


def asset(name: str, content: Content) -> pulumi.FileAsset:
    """The object of the machine `name` as an input; `forget_copy` is to follow, once it is written or previewed."""
    _copies[_copy(content)] += 1
    return pulumi.FileAsset(keep(name, content))


def forget_copy(content: Content) -> None:
    """Remove the copy that Pulumi's Terraform bridge leaves of an asset, once no object with this text needs it.

    It lies in the clear in the temporary folder, mode 0600. The plugin runs beside this program, and makes it where it
    finds none (`translateToFile` in pulumi-terraform-bridge 3.135, `pkg/tfbridge/info/assets.go`).
    """
    copy = _copy(content)
    _copies[copy] -= 1
    if not _copies[copy]:
        with contextlib.suppress(OSError):  # it is not there, or another user's
            copy.unlink()


_copies: Counter[Path] = Counter()
"""How many objects are on their way with each: machines may have the same text."""


def _copy(content: Content) -> Path:
    folder = os.environ.get("TMPDIR") or "/tmp"  # noqa: S108 - as Go's os.TempDir
    return Path(folder, f"pulumi-asset-{hashlib.sha256(content.text.encode()).hexdigest()}")


def _make_key(name: str, config_id: str | None) -> str:
    """The shell command that prints a key. Random bits for one config's own: it may come back while the old one goes,
    which takes all versions of its key along."""
    if config_id is None:
        return f"printf %s {shlex.quote(f'{PRIVATE_FOLDER}/{name}.ign')}"
    return f'printf %s/%s/%s-%s.ign {PRIVATE_FOLDER} {shlex.quote(name)} {config_id[:12]} "$({UNGUESSABLE})"'


def bucket_policy(arn: str, *, public: bool) -> dict[str, object]:
    """Nothing without TLS, for nobody; a `public` bucket lets anyone read what is in its public folder, not list it."""
    everything = [arn, f"{arn}/*"]
    statements: list[dict[str, object]] = [
        {
            "Sid": "TlsOnly",
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": everything,
            "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        }
    ]
    if public:
        statements.append(
            {
                "Sid": "ReadByAddress",
                "Effect": "Allow",
                "Principal": "*",
                "Action": "s3:GetObject",
                "Resource": f"{arn}/{PUBLIC_FOLDER}/*",
            }
        )
    return {"Version": "2012-10-17", "Statement": statements}
