"""What a machine can go back to: objects that were proven on it, which its store or the machine itself still has.

The stack's state knows the objects that were proven by their SHA-512 alone. What a store or a machine hands out counts
only where it agrees with one of those.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.commands.objects.folder import NoAccessError
from components.commands.reprovision.request import NotProvenError
from components.commands.reprovision.rollback import MOST_CONTENT, last_good
from components.commands.ssh_session import MOST_BYTES, run_script
from components.operate.session import SESSION_SECONDS, target_of
from components.payload.pinned_config import SECRET, ProvenObject

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from components.audit.records import Record

FEWEST_DIGITS = 6
"""Of a config id, as a version's name."""
NONE = "none"
"""The name of no version: the machine follows its config."""


class NoVersionError(Exception):
    """There is nothing to go back to, or not by that name: why, and what there is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenVersion:
    """An object that can be gone back to: where it was found, and what it is called there ("" where it has no name)."""

    proven: ProvenObject
    place: str
    name: str = ""
    written: str = ""

    def __str__(self) -> str:
        """As a line of a list."""
        found = " ".join(filter(None, [self.written, self.place, self.name]))
        return f"{self.proven.config_id[:12]}  {found}"


def versions_of(record: Record, note: Callable[[str], None]) -> list[ProvenVersion]:
    """What a machine was proven to run and can be had, the last one proven first; one of each config.

    The machine itself is asked for the last one alone, where its store has that no more. What can't be asked is noted.
    """
    order = {sum_: number for number, sum_ in enumerate(record.proven_objects)}
    if not order:
        note("there is no record yet of what was proven: the next `pulumi up` makes it")
    found: dict[int, ProvenVersion] = {}

    def take(content: bytes, place: str, name: str = "", written: str = "") -> None:
        number = order.get(hashlib.sha512(content).hexdigest())
        if number is not None and number not in found:
            with contextlib.suppress(ValueError):  # it was proven, and is no object of this version's
                proven = ProvenObject.of(content)
                found[number] = ProvenVersion(proven=proven, place=place, name=name, written=written)

    if order and record.request.place is not None:
        try:
            for version in record.request.place.versions():
                take(version.content, "in its store", version.name, version.written)
        except (OSError, NoAccessError) as error:
            note(f"its store can't be asked: {error}")
    if order and 0 not in found:
        try:
            take(_of_machine(record, note), "the machine's last good config")
        except NotProvenError as error:
            note(f"the machine can't be asked: {error}")
    by_config: dict[str, ProvenVersion] = {}
    for number in sorted(found):
        by_config.setdefault(found[number].proven.config_id, found[number])
    return [*by_config.values()]


def _of_machine(record: Record, note: Callable[[str], None]) -> bytes:
    finished = run_script(
        target_of(record, note),
        ("staging.sh", "last-good.sh"),
        {"PROVEN": record.proven_objects, "MOST_CONTENT": str(MOST_CONTENT)},
        timeout=SESSION_SECONDS,
        most=MOST_CONTENT // 3 * 4 + MOST_BYTES,
    )
    if finished.code:
        said = finished.stderr.strip().splitlines() if not finished.began else []
        raise NotProvenError(said[-1] if said else f"exit code {finished.code}", "")
    good = last_good(finished, record.proven_objects)
    return good.content.encode() if good is not None else b""


def former(record: Record, versions: Sequence[ProvenVersion], *, is_pinned: bool) -> ProvenVersion:
    """What a machine goes back to when no version is named. Raises `NoVersionError`.

    After a change that failed that is the config that was proven last; after one that was proven, the one before.
    """
    has_failed = record.declared_id != record.proven_config_id[: len(record.declared_id)]
    if is_pinned and not has_failed:
        raise NoVersionError(
            f"{record.name} has gone back already; name another version by TO=, or TO={NONE} to follow its config "
            f"again{_listed(versions)}"
        )
    runs = record.proven_config_id
    for version in versions:
        if (version.proven.config_id == runs) == has_failed:
            return version
    what = f"its last good config {runs[:12]}" if has_failed else "a config that was proven before"
    raise NoVersionError(f"neither the store nor the machine {record.name} has {what}{_listed(versions)}")


def named(record: Record, versions: Sequence[ProvenVersion], name: str) -> ProvenVersion:
    """The version that begins with this config id, or that the store calls so. Raises `NoVersionError`."""
    found = [
        version
        for version in versions
        if name == version.name or (len(name) >= FEWEST_DIGITS and version.proven.config_id.startswith(name))
    ]
    if len(found) != 1:
        raise NoVersionError(f"{record.name} has no proven version {name}{_listed(versions)}")
    return found[0]


def _listed(versions: Sequence[ProvenVersion]) -> str:
    return "; there are:" + "".join(f"\n  {version}" for version in versions) if versions else "; there is none"


def write_pinned(folder: Path, machine: str, version: ProvenVersion) -> Path:
    """Write a version's object for the setting `pinned`, for its owner alone. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    ignored = folder / ".gitignore"
    if not ignored.exists():
        ignored.write_text(f"# They hold secrets in the clear.\n*{SECRET}.ign\n", encoding="utf-8")
    file = folder / version.proven.file_name(machine)
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as new:
        new.write(version.proven.text.encode())
    return file
