"""All stores that the config of a stack can name, and the reading of what it says; no cloud's SDK is imported here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pulumi

from components.config.credentials import Credential
from components.config.local_files import machines_dir, objects_dir
from components.config.values import checked
from components.stores.settings import StoreSettings
from components.stores.values import aws_region_problem, bucket_problem, do_region_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from components.config.section import Section
    from components.stores import Store

SPACES_KEY = (
    Credential(key="digitalocean:spacesAccessId", variables=("SPACES_ACCESS_KEY_ID",)),
    Credential(key="digitalocean:spacesSecretKey", variables=("SPACES_SECRET_ACCESS_KEY",)),
)


class Reader(Protocol):
    """Of a platform, what decides which stores its machines can read from; see `platforms.Descriptor`."""

    @property
    def name(self) -> str: ...
    @property
    def stores(self) -> Sequence[str]: ...
    @property
    def private_stores(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreKind:
    """A store as the config of a stack names it."""

    name: str
    """The value of `flatcar:store` `kind`."""

    open: Callable[[StoreSettings, pulumi.ResourceOptions | None], Store]
    """Declare what the objects of a stack share. Raises `pulumi.RunError` when what opens it is not there."""

    region_problem: Callable[[str], str | None] | None = None
    """What is wrong with the name of a region; None for a store without buckets, on this computer."""

    can_be_private: bool = False
    """Whether a machine with credentials can read objects that nobody else can."""

    namespace: str = ""
    """Of the cloud's own settings in the config: its `region` is where the bucket is made, "" if `store.region` is."""


def _folder(_: StoreSettings, __: pulumi.ResourceOptions | None) -> Store:
    from components.stores.local_folder import LocalFolder

    return LocalFolder(directory=objects_dir(), machines=machines_dir())


def _spaces(settings: StoreSettings, opts: pulumi.ResourceOptions | None) -> Store:
    from components.stores.spaces import Spaces

    check_spaces_key()
    return Spaces(settings, opts)


def _s3(settings: StoreSettings, opts: pulumi.ResourceOptions | None) -> Store:
    from components.stores.s3 import S3

    return S3(settings, opts)


STORES = (
    StoreKind(name="folder", open=_folder),
    StoreKind(name="spaces", open=_spaces, region_problem=do_region_problem),
    StoreKind(name="s3", open=_s3, region_problem=aws_region_problem, can_be_private=True, namespace="aws"),
)


def open_store(settings: StoreSettings, opts: pulumi.ResourceOptions | None = None) -> Store:
    """Declare the store of a stack; see `StoreKind.open`."""
    return _kind(settings.kind).open(settings, opts)


def check_spaces_key() -> None:
    """Raises `pulumi.RunError` when there is no key for Spaces, which the API token is not."""
    missing = [name for credential in SPACES_KEY if not credential.is_given() for name in credential.variables]
    if missing:
        raise pulumi.RunError(
            f"not in the environment: {' and '.join(missing)}. Spaces has a key of its own, which the API token is "
            "not (cloud.digitalocean.com/spaces/access_keys); export both, or pulumi config set --secret "
            "digitalocean:spacesAccessId and digitalocean:spacesSecretKey"
        )


def store_settings(section: Section, platform: Reader, namespace: Callable[[str], Section]) -> StoreSettings:
    """Read `flatcar:store`; problems go to the section's list. Each platform has its natural store as the default.

    `namespace` gives the settings of another namespace, such as `aws:region`.
    """
    kind = _kind(section.choice("kind", [kind.name for kind in STORES], platform.stores[0]))
    if kind.name not in platform.stores:
        usable = " or ".join(platform.stores)
        section.problem("kind", f"machines on {platform.name} can't read from {kind.name!r}; use {usable}")
    if kind.region_problem is None:
        section.finish()
        return StoreSettings(kind=kind.name, is_local=True)
    public = section.flag("public", False) if kind.can_be_private else True
    settings = StoreSettings(
        kind=kind.name,
        bucket=checked(section, "bucket", "", bucket_problem, required=True),
        region=checked(section, "region", "", kind.region_problem, required=public),
        public=public,
        allow_secrets=section.texts("allow_secrets"),
        keep_days=section.integer("keep_days", 30, minimum=1, maximum=3650),
        protect=section.flag("protect", False),
    )
    if kind.namespace:
        cloud = namespace(kind.namespace)
        region = cloud.text("region")
        if "region" in cloud.names() and (wrong := kind.region_problem(region)) is not None:
            cloud.problem("region", wrong)
        if settings.region and region and settings.region != region:
            section.problem(
                "region", f"is {settings.region}, but {cloud.key}:region, where the bucket is made, is {region}"
            )
    if not public and kind.name not in platform.private_stores:
        section.problem(
            "public",
            f"has to be true: a machine on {platform.name} has no credentials there, so it can only read what is "
            "readable by anyone who knows the object's unguessable address; configs with secret values are refused "
            "there",
        )
    section.finish()
    return settings


def _kind(name: str) -> StoreKind:
    return next(kind for kind in STORES if kind.name == name)
