"""The store on DigitalOcean Spaces: one object per machine, readable by whoever knows its unguessable address.

Ignition has no credentials for Spaces, and a signed address ends after 7 days at most while the user data of a droplet
can never change. So the object is public at an address with 160 random bits in it, listing is not allowed, and configs
with secret values are refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi
import pulumi_digitalocean as digitalocean

from components.sdk import named
from components.stores import UNGUESSABLE, StoredObject, body, keep, kept_address, local_content, public_store_problem
from components.stores.settings import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.stores import Text

ACL = "public-read"


class SpacesObjects:
    """Objects in a bucket that is there. The pointer is https, to the bucket's own host, not to its CDN, which would
    serve old configs."""

    def __init__(self, settings: StoreSettings, bucket: pulumi.Input[str]) -> None:
        self._settings, self._bucket = settings, bucket

    def secrets_problem(self, secrets: Sequence[str]) -> str | None:
        """Objects here are public: names that `allow_secrets` doesn't list are refused."""
        return public_store_problem("Spaces", secrets, self._settings.allow_secrets)

    def put(self, name: str, text: Text, opts: pulumi.ResourceOptions | None = None) -> StoredObject:
        """The object at `NAME-RANDOM.ign`."""
        key = kept_address(name, UNGUESSABLE, opts).apply(lambda random: f"{name}-{random}.ign")
        bucket, region = self._settings.bucket, self._settings.region
        source_url = key.apply(lambda path: f"https://{bucket}.{region}.digitaloceanspaces.com/{path}")
        content = local_content(name, text(source_url))
        stored = digitalocean.SpacesBucketObject(
            f"{name}-object",
            bucket=self._bucket,
            region=self._settings.region,
            key=key,
            source=content.apply(lambda held: keep(name, held)),
            **body(content),
            acl=ACL,
            opts=opts,
        )
        place = key.apply(lambda path: {"kind": "spaces", "bucket": bucket, "key": path, "region": region, "acl": ACL})
        return StoredObject(source_url=source_url, version=stored.version_id, resource=stored, place=place)


class Spaces(SpacesObjects):
    """A private, versioned bucket with public objects."""

    def __init__(self, settings: StoreSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        self.bucket = digitalocean.SpacesBucket(
            named("configs", opts),
            name=settings.bucket,
            region=settings.region,
            acl="private",
            versioning={"enabled": True},
            lifecycle_rules=[
                {
                    "id": "old-configs",
                    "enabled": True,
                    "noncurrent_version_expiration": {"days": settings.keep_days},
                    "abort_incomplete_multipart_upload_days": 1,
                }
            ],
            # The provider would take another name for a change in place, which makes no bucket.
            opts=pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(protect=settings.protect, replace_on_changes=["name"]), opts
            ),
        )
        super().__init__(settings, self.bucket.name)
