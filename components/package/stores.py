"""The stores that the package's components know: buckets that are there, and what is elsewhere."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from components.config.local_files import objects_dir
from components.config.values import checked
from components.package.given import section_of
from components.stores.elsewhere import Elsewhere
from components.stores.local_folder import LocalFolder
from components.stores.settings import StoreSettings
from components.stores.values import aws_region_problem, bucket_problem, do_region_problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.stores import Store

KINDS = ("s3", "spaces", "folder", "elsewhere")
_REGIONS = {"s3": aws_region_problem, "spaces": do_region_problem}


def given_store(name: str, given: Mapping[str, Any]) -> Store:
    """The store of one machine. Raises `pulumi.RunError` for settings that make none."""
    settings, url = StoreSettings(kind=""), ""
    with section_of(f"{name}.store", given) as section:
        kind = section.choice("kind", KINDS, "")
        if kind == "elsewhere":
            url = section.text("url", required=True)
            if url and not url.startswith(("http://", "https://")):
                section.problem("url", f"{url!r} is no http or https address")
        elif kind in _REGIONS:
            settings = StoreSettings(
                kind=kind,
                bucket=checked(section, "bucket", "", bucket_problem, required=True),
                region=checked(section, "region", "", _REGIONS[kind], required=True),
                public=section.flag("public", False) if kind == "s3" else True,
            )
        allowed = section.texts("allow_secrets") if kind != "folder" else ()
        section.finish()
    settings = replace(settings, allow_secrets=allowed)
    if kind == "folder":
        return LocalFolder(directory=objects_dir())
    if kind == "elsewhere":
        return Elsewhere(url=url, allow_secrets=allowed)
    if kind == "s3":  # a cloud's SDK is imported by who uses that cloud
        from components.stores.s3 import S3Objects

        return S3Objects(settings, settings.bucket, settings.region)
    from components.stores.spaces import SpacesObjects

    return SpacesObjects(settings, settings.bucket)
