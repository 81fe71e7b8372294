"""The stack config of the object store as frozen, typed settings; no cloud's SDK is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from components.config.section import Section
from components.config.values import aws_region_problem, bucket_problem, checked, do_region_problem

KINDS = ("folder", "spaces", "s3")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """`flatcar:store`: where the objects of a stack lie.

    `public` is for S3 with machines outside of AWS, which have no role to read with: the objects are then readable
    by whoever knows their unguessable address, as always on Spaces. `allow_secrets` names what may lie there anyway.
    Old versions of an object go after `keep_days` days.
    """

    kind: str
    bucket: str = ""
    region: str = ""
    public: bool = False
    allow_secrets: tuple[str, ...] = ()
    keep_days: int = 30
    protect: bool = False


def store_settings(section: Section, platform: str, aws_region: str = "") -> StoreSettings:
    """Read `flatcar:store`; problems go to the section's list. Each platform has its natural store as the default.

    `aws_region` is `aws:region`, "" when the stack's config doesn't set it.
    """
    default = {"digitalocean": "spaces", "aws": "s3"}.get(platform, "folder")
    kind = section.choice("kind", KINDS, default)
    allowed = {"qemu": ("folder",), "digitalocean": ("spaces", "s3"), "aws": ("s3",)}.get(platform, KINDS)
    if kind not in allowed:
        section.problem("kind", f"machines on {platform} can't read from {kind!r}; use {' or '.join(allowed)}")
    if kind == "folder":
        section.finish()
        return StoreSettings(kind=kind)
    public = section.flag("public", False) if kind == "s3" else True
    settings = StoreSettings(
        kind=kind,
        bucket=checked(section, "bucket", "", bucket_problem, required=True),
        region=checked(
            section, "region", "", do_region_problem if kind == "spaces" else aws_region_problem, required=public
        ),
        public=public,
        allow_secrets=section.texts("allow_secrets"),
        keep_days=section.integer("keep_days", 30, minimum=1, maximum=3650),
        protect=section.flag("protect", False),
    )
    if kind == "s3" and settings.region and aws_region and settings.region != aws_region:
        section.problem("region", f"is {settings.region}, but aws:region, where the bucket is made, is {aws_region}")
    if kind == "s3" and platform != "aws" and not public:
        section.problem(
            "public",
            f"has to be true: a machine on {platform} has no AWS role, so it can only read what is readable by anyone "
            "who knows the object's unguessable address; configs with secret values are refused there",
        )
    section.finish()
    return settings
