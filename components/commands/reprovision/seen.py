"""What a machine has: `scripts/audit.sh`'s answer as typed values. Pure."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.commands.reprovision.proof import provisioning_boot_id

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.commands.reprovision.manifest import Manifest
    from components.commands.ssh_session import Finished

_KINDS = {"regular file": "file", "regular empty file": "file", "directory": "directory", "symbolic link": "link"}


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenPath:
    """A declared path as it is. `kind` "missing", "file", "directory", "link", or stat's word for something else."""

    kind: str
    mode: int = 0
    user: str = ""
    uid: str = ""
    group: str = ""
    gid: str = ""
    inode: str = ""
    sha512: str = ""
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A line of /etc/passwd."""

    uid: int
    gid: int
    home: str
    shell: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One look at a machine.

    `paths` and `units` are in the order they were asked for. `etc` has (type, path, link target) of everything but
    directories in ROOT's own /etc; type is find's letter, "c" being a file of the image that was deleted. `unit_files`
    has (state, preset) by name. `passwords` has SHA-512 sums of the hashes that open an account, "" for an empty one.
    `keys` has the lines of each user's authorized keys, by user, then by file. `pull_source_sha512` is of the address
    that the agent of a machine that pulls asks, `pull_report` its last report as JSON; "" without one. `config_urls`
    has (file, parameter); `is_unwiped`: Ignition ran without the reset that was staged with it.
    """

    boot_id: str
    up_seconds: int
    stamp: str
    os_version: str
    provisioning_boot_id: str
    oem_config: str
    oem_config_sha512: str
    config_urls: tuple[tuple[str, str], ...]
    staged: tuple[str, ...]
    is_unwiped: bool
    rolled_back_from: str
    pull_source_sha512: str
    pull_report: str
    history: tuple[str, ...]
    paths: tuple[SeenPath, ...]
    etc: tuple[tuple[str, str, str], ...]
    units: tuple[Mapping[str, str], ...]
    unit_files: Mapping[str, tuple[str, str]]
    failed_units: tuple[str, ...]
    accounts: Mapping[str, Account]
    groups: Mapping[str, tuple[int, tuple[str, ...]]]
    passwords: Mapping[str, str]
    keys: Mapping[str, Mapping[str, tuple[str, ...]]]


def asked(manifest: Manifest) -> dict[str, Sequence[str]]:
    """What `scripts/audit.sh` is asked for."""
    return {
        "PATHS": [path.path for path in manifest.paths],
        "TAILS": ["" if path.tail is None else str(path.tail) for path in manifest.paths],
        "UNITS": [unit.name for unit in manifest.units],
    }


def history_line(line: str) -> str:
    """A line of the history with a short config id, and nothing in it that a terminal would act on."""
    words = "".join(character for character in line if character.isprintable()).split()
    return "  ".join(word[:20] if index != 2 else word[:12] for index, word in enumerate(words[:4]))


def read_seen(finished: Finished) -> Seen | None:
    """What `audit.sh` printed; None when it did not get to its end."""
    if not finished.value("complete"):
        return None
    etc = [entry.split("\t", 2) for entry in _decoded(finished.value("etc")).split("\0") if entry]
    passwords: dict[str, str] = {}
    for line in finished.values("password"):
        name, kind, *digest = line.split("|")
        if kind in ("", "sum"):
            passwords[name] = digest[0] if digest else ""
    keys: dict[str, dict[str, tuple[str, ...]]] = {}
    for line in finished.values("keys"):
        name, file, text = line.split("|", 2)
        lines = (key.strip() for key in _decoded(text).splitlines())
        keys.setdefault(name, {})[_decoded(file)] = tuple(key for key in lines if key and not key.startswith("#"))
    return Seen(
        boot_id=finished.value("boot_id"),
        up_seconds=int(finished.value("up_seconds") or 0),
        stamp=finished.value("stamp").strip(),
        os_version=finished.value("os_version"),
        provisioning_boot_id=provisioning_boot_id(finished.value("ignition_result")),
        oem_config=finished.value("oem_config"),
        oem_config_sha512=finished.value("oem_config_sha512"),
        config_urls=tuple((file, name) for file, _, name in (v.partition("|") for v in finished.values("config_url"))),
        staged=finished.values("staged"),
        is_unwiped=bool(finished.value("unwiped")),
        rolled_back_from=finished.value("rolled_back_from"),
        pull_source_sha512=finished.value("pull_source_sha512"),
        pull_report=finished.value("pull_report"),
        history=finished.values("history"),
        paths=tuple(map(_path, finished.values("path"))),
        etc=tuple((kind, path, target) for kind, target, path in etc),
        units=tuple(
            dict(part.partition("=")[::2] for part in line.split("|")[1:] if part) for line in finished.values("unit")
        ),
        unit_files={
            name: (state, preset) for name, state, preset in (line.split("|") for line in finished.values("unit_file"))
        },
        failed_units=finished.values("failed_unit"),
        accounts=_accounts(_decoded(finished.value("passwd"))),
        groups=_groups(_decoded(finished.value("group"))),
        passwords=passwords,
        keys=keys,
    )


def _path(line: str) -> SeenPath:
    _, kind, *rest = line.split("|")
    if not rest:
        return SeenPath(kind=kind)
    mode, user, uid, group, gid, inode, sha512, target = rest
    return SeenPath(
        kind=_KINDS.get(kind, kind),
        mode=int(mode, 8),
        user=user,
        uid=uid,
        group=group,
        gid=gid,
        inode=inode,
        sha512=sha512,
        target=_decoded(target),
    )


def _accounts(passwd: str) -> dict[str, Account]:
    fields = [line.split(":") for line in passwd.splitlines()]
    return {
        line[0]: Account(uid=int(line[2]), gid=int(line[3]), home=line[5], shell=line[6])
        for line in fields
        if len(line) == 7 and line[2].isdecimal() and line[3].isdecimal()
    }


def _groups(group: str) -> dict[str, tuple[int, tuple[str, ...]]]:
    fields: Sequence[list[str]] = [line.split(":") for line in group.splitlines()]
    return {
        line[0]: (int(line[2]), tuple(filter(None, line[3].split(","))))
        for line in fields
        if len(line) == 4 and line[2].isdecimal()
    }


def _decoded(text: str) -> str:
    return base64.b64decode(text).decode("utf-8", errors="surrogateescape")
