"""What a store is told by the config of a stack, as frozen, typed settings; no cloud's SDK is imported here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """`flatcar:store`: where the objects of a stack lie.

    `is_local` is the folder on this computer. `public` is for S3 with machines outside of AWS, which have no role to
    read with: the objects are then readable by whoever knows their unguessable address, as always on Spaces.
    `allow_secrets` names what may lie there anyway. Old versions of an object go after `keep_days` days.
    """

    kind: str
    is_local: bool = False
    bucket: str = ""
    region: str = ""
    public: bool = False
    allow_secrets: tuple[str, ...] = ()
    keep_days: int = 30
    protect: bool = False
