"""Where a machine differs from the record of its last proof, and from what was declared. Pure."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from components.commands.reprovision.drift import Finding, differences
from components.commands.reprovision.os_made import OS_MADE
from components.commands.reprovision.proof import bare
from components.commands.reprovision.pulling import read_report
from components.payload.agent import FOLDER, LIVE
from components.settings.keep import is_kept

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from components.audit.records import Record
    from components.commands.reprovision.manifest import Manifest
    from components.commands.reprovision.seen import Seen

_AGENT_FILES = (f"{FOLDER}/settings", f"{FOLDER}/object", LIVE)
ROLLED_BACK = "the machine rolled back by itself"


def compare(record: Record, manifest: Manifest, seen: Seen, ignored: Sequence[str] = ()) -> list[Finding]:
    """All findings on one machine. `ignored` are expressions over whole paths under /etc that may be undeclared."""
    allowed = [*OS_MADE, *record.request.keep, *ignored]
    return [
        *_identity(record, seen),
        *_pointer(record, seen),
        *differences(manifest, seen, lambda path: is_kept(path, allowed), _AGENT_FILES if record.request.pull else ()),
    ]


def _identity(record: Record, seen: Seen) -> Iterator[Finding]:
    wanted = record.request.config_id
    if seen.stamp != wanted:
        runs = f"runs {seen.stamp[:12]}" if seen.stamp else "has no stamp"
        why = " (lifecycle 'ignore' leaves it there)" if record.request.lifecycle == "ignore" else ""
        if report := read_report(seen.pull_report) if record.request.pull else {}:
            why += f" (its agent: {report['state']}{': ' if report['why'] else ''}{report['why']})"
        yield Finding(kind="stamp", subject="config id", problem=f"{runs}, declared is {wanted[:12]}{why}")
    if seen.rolled_back_from:
        yield Finding(
            kind="stamp",
            subject="config id",
            problem=f"{ROLLED_BACK} from {seen.rolled_back_from[:12]}",
        )
    if record.proven_boot_id and seen.boot_id != record.proven_boot_id:
        if bare(seen.provisioning_boot_id) == bare(seen.boot_id):
            yield Finding(kind="boot", subject="boot id", problem="Ignition ran in this boot, and not by `pulumi up`")
        else:
            yield Finding(kind="boot", subject="boot id", problem="has restarted since it was proven", is_drift=False)
    if seen.is_unwiped:
        problem = "Ignition ran without the reset that was staged with it: old files may be left"
        yield Finding(kind="boot", subject="reset", problem=problem)
    if record.proven_os_version and seen.os_version != record.proven_os_version:
        yield Finding(
            kind="os",
            subject="version",
            problem=f"is {seen.os_version}, was {record.proven_os_version} when it was proven",
            is_drift=False,
        )


def _pointer(record: Record, seen: Seen) -> Iterator[Finding]:
    own = record.request.oem_config_sha512
    if own:
        if seen.oem_config_sha512 != own:
            yield Finding(kind="pointer", subject="/oem/config.ign", problem="is not what this program wrote there")
    elif seen.oem_config == "last-good":
        yield Finding(
            kind="pointer", subject="/oem/config.ign", problem="is the last good config, which shadows the pointer"
        )
    elif seen.oem_config:
        yield Finding(kind="pointer", subject="/oem/config.ign", problem="shadows the pointer in the user data")
    if record.request.pull and seen.pull_source_sha512 not in ("", _sha512(record.request.source)):
        yield Finding(kind="pointer", subject=f"{FOLDER}/object", problem="leads the agent to another object")
    for file, parameter in seen.config_urls:
        yield Finding(kind="pointer", subject=file, problem=f"{parameter} shadows the pointer in the user data")
    for file in seen.staged:
        yield Finding(kind="staged", subject=file, problem="a re-run of Ignition is staged for the next boot")


def _sha512(text: str) -> str:
    return hashlib.sha512(text.encode()).hexdigest()
