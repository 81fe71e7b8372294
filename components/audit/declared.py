"""What an Ignition config of spec 3 says that a machine has: paths, units, users, groups. Pure; no content is kept.

Defaults are Ignition's (coreos/ignition, internal/exec/stages/files): a file that the config writes is root's with mode
0644. Where Ignition leaves what it finds (a directory without a mode, a file that is only appended to), nothing is
declared, and nothing is compared.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cl.transpiler.ignition.checks import decode_data_url

if TYPE_CHECKING:
    from collections.abc import Mapping

UNIT_FOLDER = "/etc/systemd/system"
PRESETS = "/etc/systemd/system-preset/20-ignition.preset"


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A file, directory or link. None: not declared. `user` and `group` are names or numbers, as declared.

    `sha512` is of the whole content, or of its last `tail` bytes where those alone were declared.
    `target` is a link's; with `hard` it is the other name of the same file.
    """

    path: str
    kind: str
    mode: int | None = None
    user: str | None = None
    group: str | None = None
    sha512: str | None = None
    tail: int | None = None
    target: str = ""
    hard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A systemd unit. `enabled` None: not declared."""

    name: str
    enabled: bool | None
    masked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user. None or empty: not declared. `password_sha512` is the SHA-512 of the declared password hash."""

    name: str
    uid: int | None
    shell: str | None
    home: str | None
    groups: tuple[str, ...]
    password_sha512: str | None
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """All of it. `presets` says whether Ignition writes its preset file."""

    paths: tuple[Path, ...]
    units: tuple[Unit, ...]
    users: tuple[User, ...]
    groups: Mapping[str, int | None]

    @property
    def count(self) -> int:
        """How many things are compared."""
        return len(self.paths) + len(self.units) + len(self.users) + len(self.groups)


def read_declared(config: Mapping[str, Any]) -> Declared:
    """What `config` declares. Raises KeyError or ValueError for what the transpiler would not have let pass."""
    storage, passwd = config.get("storage", {}), config.get("passwd", {})
    units = config.get("systemd", {}).get("units", [])
    paths = [
        *map(_file, storage.get("files", [])),
        *(_node(node, "directory", node.get("mode")) for node in storage.get("directories", [])),
        *map(_link, storage.get("links", [])),
        *(path for unit in units for path in _unit_paths(unit)),
    ]
    if any(unit.get("enabled") is not None for unit in units):
        paths.append(Path(path=PRESETS, kind="file"))
    return Declared(
        # the last one with a path wins in Ignition, too
        paths=tuple({path.path: path for path in paths}.values()),
        units=tuple(
            Unit(name=unit["name"], enabled=unit.get("enabled"), masked=bool(unit.get("mask"))) for unit in units
        ),
        users=tuple(_user(user) for user in passwd.get("users", []) if user.get("shouldExist") is not False),
        groups={
            group["name"]: group.get("gid")
            for group in passwd.get("groups", [])
            if group.get("shouldExist") is not False
        },
    )


def _file(node: Mapping[str, Any]) -> Path:
    contents, appended = node.get("contents") or {}, node.get("append", [])
    written = bool(contents.get("source") is not None or node.get("overwrite")) or not appended
    parts = [_bytes(part) for part in ([contents] if contents else []) + appended]
    known = [part for part in parts if part is not None]
    digest: str | None = None
    if len(known) == len(parts) and parts:
        digest = sha512(b"".join(known))
    elif len(parts) == 1 and contents:
        digest = _verified(contents)
    path = _node(node, "file", node.get("mode", 0o644 if written else None), owner="0" if written else None)
    tail = sum(map(len, known)) if digest is not None and not contents else None
    return _with(path, sha512=digest, tail=tail)


def _bytes(resource: Mapping[str, Any]) -> bytes | None:
    source = resource.get("source") or "data:,"
    return decode_data_url(source, resource.get("compression")) if source.startswith("data:") else None


def _verified(resource: Mapping[str, Any]) -> str | None:
    """The declared hash of remote contents; Ignition takes it of what lies on the disk, after decompression."""
    kind, _, digest = ((resource.get("verification") or {}).get("hash") or "").partition("-")
    return digest if kind == "sha512" else None


def _node(node: Mapping[str, Any], kind: str, mode: int | None, owner: str | None = None) -> Path:
    return Path(
        path=node["path"], kind=kind, mode=mode, user=_owner(node, "user", owner), group=_owner(node, "group", owner)
    )


def _owner(node: Mapping[str, Any], name: str, default: str | None) -> str | None:
    owner = node.get(name) or {}
    value = owner.get("name") or owner.get("id")
    return default if value is None else str(value)


def _link(node: Mapping[str, Any]) -> Path:
    return Path(path=node["path"], kind="link", target=node.get("target", ""), hard=bool(node.get("hard")))


def _unit_paths(unit: Mapping[str, Any]) -> list[Path]:
    """The files that Ignition writes for a unit, mode 0644; a masked one is a link to /dev/null."""
    path = f"{UNIT_FOLDER}/{unit['name']}"
    found = [
        _text_file(f"{path}.d/{part['name']}", part["contents"])
        for part in unit.get("dropins", [])
        if part.get("contents")
    ]
    if unit.get("mask"):
        found.append(Path(path=path, kind="link", target="/dev/null"))
    elif unit.get("contents"):
        found.append(_text_file(path, unit["contents"]))
    return found


def _text_file(path: str, text: str) -> Path:
    return Path(path=path, kind="file", mode=0o644, user="0", group="0", sha512=sha512(text.encode()))


def _user(user: Mapping[str, Any]) -> User:
    password = user.get("passwordHash")
    return User(
        name=user["name"],
        uid=user.get("uid"),
        shell=user.get("shell"),
        home=user.get("homeDir"),
        groups=tuple(user.get("groups", [])),
        password_sha512=sha512(password.encode()) if password else None,
        keys=tuple(key.strip() for key in user.get("sshAuthorizedKeys", [])),
    )


def _with(path: Path, *, sha512: str | None, tail: int | None) -> Path:
    return Path(
        path=path.path, kind=path.kind, mode=path.mode, user=path.user, group=path.group, sha512=sha512, tail=tail
    )


def sha512(data: bytes) -> str:
    """SHA-512 (hex), as the machine tells it of what it has."""
    return hashlib.sha512(data).hexdigest()
