"""Rules of single values, of both specs. Each returns what is wrong with a value, or None: no paths, no positions."""

from __future__ import annotations

import re
from posixpath import normpath

from cl.transpiler.gourl import query_values
from cl.transpiler.ignition import checks

UNIT_SUFFIXES = (
    "service", "socket", "device", "mount", "automount", "swap", "target", "path", "timer", "snapshot", "slice",
    "scope",
)  # fmt: skip
LABEL_LIMITS = {"ext4": 16, "btrfs": 256, "xfs": 12, "swap": 15, "vfat": 11}
"""The longest label of a file system, in bytes."""

GUID = re.compile(r"(?:[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})?")
RAID_LEVELS = frozenset(("raid1", "1", "mirror", "raid4", "4", "raid5", "5", "raid6", "6", "raid10", "10"))
STRIPED_RAID_LEVELS = frozenset(("linear", "raid0", "0", "stripe"))
"""Arrays that have no spares."""


def size(text: str) -> int:
    """Bytes that the text takes in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))


def path_problem(path: str) -> str | None:
    """A path is absolute and in its shortest form."""
    if not path:
        return "a path is required"
    if not path.startswith("/"):
        return "the path is not absolute"
    return None if clean(path) == path else f"the path is not in its shortest form, {clean(path)}"


def clean(path: str) -> str:
    """Go's path.Clean: no `//`, `.` or `..`, no / at the end."""
    return normpath("/" + path.lstrip("/") if path.startswith("//") else path)


def mode_problem(mode: int | None) -> str | None:
    """Permission bits, with setuid, setgid and sticky."""
    return None if mode is None or 0 <= mode <= 0o7777 else "a mode lies between 0 and 07777"


def owner_problem(number: int | None, name: str | None) -> str | None:
    """An owner has one identity."""
    return "an owner is given by id or by name, not by both" if number is not None and name else None


def compression_problem(compression: str | None) -> str | None:
    """What Ignition can decompress."""
    return None if compression in (None, "", "gzip") else 'the compression is gzip or ""'


def hash_problem(text: str, functions: dict[str, int]) -> str | None:
    """A hash is `FUNCTION-SUM`; `functions` gives the length of the sum."""
    try:
        checks.check_hash(text, functions)
    except checks.CheckError as error:
        return str(error)
    return None


def source_problem(source: str, schemes: frozenset[str]) -> str | None:
    """A source is a URL with one of these schemes; "arn" stands for ARNs of S3 objects."""
    try:
        checks.check_source(source, schemes)
    except checks.CheckError as error:
        return str(error)
    return _arn_problem(source) if source[:4].lower() == "arn:" else None


def _arn_problem(source: str) -> str | None:
    """An ARN is the whole of what stands before a ? or #."""
    text, _, query = source.partition("#")[0].partition("?")
    sections = text.split(":", 5)
    resource = sections[-1]
    if len(sections) < 6 or sections[2] != "s3" or text.startswith("/", 4):
        return "the ARN of an S3 object is arn:PARTITION:s3:REGION:ACCOUNT:BUCKET/KEY"
    if text.count("/") < (2 if resource.startswith("accesspoint/") else 1):
        return "the ARN of an S3 object ends in /KEY"
    return "the versionId of an S3 ARN is empty" if query_values(query, "versionId")[:1] == [""] else None


def unit_problem(text: str) -> str | None:
    """The text of a unit or drop-in can be read by systemd."""
    try:
        checks.unit_sections(text)
    except checks.CheckError as error:
        return f"the unit can't be read: {error}"
    return None


def has_install_section(text: str) -> bool:
    """True also when the text is no unit at all: that is reported on its own."""
    try:
        return "Install" in checks.unit_sections(text)
    except checks.CheckError:
        return True


def suffix_problem(name: str, suffixes: tuple[str, ...], what: str) -> str | None:
    """A name ends in one of these suffixes, given without their dot."""
    _, dot, suffix = name.rpartition("/")[2].rpartition(".")
    return None if dot and suffix in suffixes else f"the name of a {what} ends in .{', .'.join(suffixes)}"


def guid_problem(guid: str | None) -> str | None:
    """Empty, or hex digits in groups of 8-4-4-4-12."""
    good = guid is None or GUID.fullmatch(guid)
    return None if good else "a GUID has the form 01234567-89AB-CDEF-EDCB-A98765432101"


def label_problem(file_system: str, label: str) -> str | None:
    """The file system's own limit."""
    limit = LABEL_LIMITS.get(file_system)
    return None if limit is None or size(label) <= limit else f"a label of {file_system} has at most {limit} bytes"


def partition_label_problem(label: str) -> str | None:
    """GPT's limit, and sgdisk's delimiter."""
    if size(label) > 36:
        return "a partition label has at most 36 bytes"
    return "a partition label holds no colon" if ":" in label else None


def raid_level_problem(level: str, spares: int | None) -> str | None:
    """mdadm's levels; the striped ones have no spares."""
    if level in STRIPED_RAID_LEVELS:
        return f"a RAID of level {level} has no spares" if spares else None
    return None if level in RAID_LEVELS else f"{level!r} is no RAID level"
