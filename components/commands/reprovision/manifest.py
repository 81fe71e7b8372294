"""What an Ignition config of spec 3 declares, without its contents: a config's manifest. Pure; standard library only.

It says of each path, unit, user and group what a machine has to have, and of the rest whether it is still the same: by
digests. With a salt nobody can try out what they were made of.

Defaults are Ignition's (coreos/ignition, internal/exec/stages/files): a file that the config writes is root's with mode
0644. Where Ignition leaves what it finds (a directory without a mode, a file that is only appended to), nothing is
declared, and nothing is compared.
"""

from __future__ import annotations

import base64
import functools
import gzip
import hashlib
import json
import posixpath
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UNIT_FOLDER = "/etc/systemd/system"
PRESETS = "/etc/systemd/system-preset/20-ignition.preset"
_DIGEST = 32
"""Hex digits of a digest: enough that nobody makes another content for it, and few, as there is one for each file."""
_DATA_URL = re.compile(r'data:(?P<type>(?:[^,"]|"(?:[^"\\]|\\.)*")*),(?P<data>.*)', re.DOTALL)
_NAMED_PATH = re.compile(r"""(?:(?<![\w./])|(?<=[^\w-]-\w))/[^\s"';:,=()`|&<>\\]+""")
_PATTERN = re.compile(r"[%$*?\[{]")
_SPECIFIERS = {"%E": "/etc", "%S": "/var/lib", "%C": "/var/cache", "%L": "/var/log", "%t": "/run", "%h": "/root"}
"""Folders of a system's units (systemd.unit(5))."""
_OWN_FOLDERS = re.compile(r"^\s*(State|Cache|Logs|Configuration)Directory\s*=(.*)$", re.MULTILINE)
_BELOW = {"State": "/var/lib", "Cache": "/var/cache", "Logs": "/var/log", "Configuration": "/etc"}
_MOST_LINKS = 8
"""That are followed from one to the next: they may lead in a circle."""
_KEY = re.compile(r"((?:ssh|ecdsa|sk)-\S+ [A-Za-z0-9+/=]+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A file, directory or link. None: not declared. `user` and `group` are names or numbers, as declared.

    `digest` is of the whole content, or of its last `tail` bytes where those alone were declared. Where the content is
    not known, `source` is the digest of what says where to get it. `target` is a link's; with `hard` it is the other
    name of the same file.
    """

    path: str
    kind: str
    mode: int | None = None
    user: str | None = None
    group: str | None = None
    digest: str | None = None
    tail: int | None = None
    source: str | None = None
    target: str = ""
    hard: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """A systemd unit; its texts are paths. `enabled` None: not declared. `names` are the digests of the paths that its
    texts name, also of what these are behind links of the config. They make no difference: the texts do."""

    name: str
    enabled: bool | None = None
    masked: bool = False
    names: tuple[str, ...] = field(default=(), compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user. None or empty: not declared. `password` is the digest of the password hash, `keys` are those of the SSH
    keys without their comments, `whole` is that of all that is said of the user, `rest` that of what is no key,
    password or group; an earlier version's manifest has no `rest`."""

    name: str
    uid: int | None = None
    shell: str | None = None
    home: str | None = None
    groups: tuple[str, ...] = ()
    password: str | None = None
    keys: tuple[str, ...] = ()
    system: bool = False
    whole: str
    rest: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """A group. None: not declared. `whole` is the digest of all that is said of it."""

    name: str
    gid: int | None = None
    whole: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All of it. `salt` is what the digests were made with.

    `mounts` are the paths where file systems of the config are mounted. `rest` has the digest of each other part, by
    its name in the config, such as `storage.disks` or `kernelArguments`.
    """

    salt: str = ""
    paths: tuple[Path, ...] = ()
    units: tuple[Unit, ...] = ()
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    mounts: tuple[str, ...] = ()
    rest: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, config: Mapping[str, Any], salt: str = "") -> Self:
        """That of a decoded `config`. Raises KeyError or ValueError for what the transpiler would not have let pass."""
        rest = {key: part for key, part in config.items() if key not in ("storage", "systemd", "passwd")}
        storage, passwd = dict(config.get("storage", {})), dict(config.get("passwd", {}))
        systemd = dict(config.get("systemd", {}))
        units = systemd.pop("units", [])
        paths = [
            *(_file(node, salt) for node in storage.pop("files", [])),
            *(_node(node, "directory", node.get("mode")) for node in storage.pop("directories", [])),
            *map(_link, storage.pop("links", [])),
            *(path for unit in units for path in _unit_paths(unit, salt)),
        ]
        if any(unit.get("enabled") for unit in units):  # one that is to be disabled may need no line in there
            paths.append(Path(path=PRESETS, kind="file"))
        targets = _targets(paths)
        users, groups = passwd.pop("users", []), passwd.pop("groups", [])
        for kind, entries in (("users", users), ("groups", groups)):
            if gone := [entry for entry in entries if entry.get("shouldExist") is False]:
                rest[f"passwd.{kind}"] = gone
        for section, parts in (("storage", storage), ("systemd", systemd), ("passwd", passwd)):
            rest |= {f"{section}.{key}": part for key, part in parts.items()}
        return cls(
            salt=salt,
            # the last one with a path wins in Ignition, too
            paths=tuple({path.path: path for path in paths}.values()),
            units=tuple(_unit(unit, targets, salt) for unit in units),
            users=tuple(_user(user, salt) for user in users if user.get("shouldExist") is not False),
            groups=tuple(
                Group(name=group["name"], gid=group.get("gid"), whole=_digest_of(group, salt))
                for group in groups
                if group.get("shouldExist") is not False
            ),
            mounts=tuple(entry["path"] for entry in storage.get("filesystems", []) if entry.get("path")),
            rest={key: _digest_of(part, salt) for key, part in rest.items() if part},
        )

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """What `to_json` made. Raises KeyError, TypeError or ValueError when it is not one."""
        parts = dict(document)
        for key, kind in (("paths", Path), ("units", Unit), ("users", User), ("groups", Group)):
            parts[key] = tuple(kind(**_tuples(entry)) for entry in parts.get(key, ()))
        return cls(**_tuples(parts))

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON has it, without what is not declared."""
        document = _told(self)
        for key in ("paths", "units", "users", "groups"):
            if key in document:
                document[key] = [_told(entry) for entry in document[key]]
        return document

    @property
    def count(self) -> int:
        """How many things are compared with a machine."""
        return len(self.paths) + len(self.units) + len(self.users) + len(self.groups)

    def digest(self, sha512: str) -> str:
        """The digest of what has this SHA-512 (hex), as the manifest has it."""
        return _digest(sha512, self.salt)

    def path_digest(self, path: str) -> str:
        """The digest of a path, as `Unit.names` has it."""
        return _digest(_sha512(path.encode()), self.salt)

    def is_plain(self, group: Group) -> bool:
        """Whether nothing is said of a group but its name and its id."""
        return group.whole == _digest_of({"name": group.name, "gid": group.gid}, self.salt)

    def key_digest(self, line: str) -> str:
        """The digest of a line of authorized_keys: of its options, type and key, without its comment."""
        return _digest(_sha512(bare_key(line).encode()), self.salt)


def bare_key(line: str) -> str:
    """A line of authorized_keys without its comment."""
    match = _KEY.search(line)
    return line[: match.end()] if match else line


def fingerprint(line: str) -> str:
    """That of the key in a line of authorized_keys, as OpenSSH writes it (`SHA256:…`); "" without one."""
    match = _KEY.search(line)
    try:
        data = base64.b64decode(match[1].split()[1]) if match else b""
    except ValueError:
        data = b""
    if not data:
        return ""
    return "SHA256:" + base64.b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")


def decoded(resource: Mapping[str, Any]) -> bytes | None:
    """The bytes of an Ignition resource that brings them itself; None where they lie elsewhere.

    The transpiler has checked it. Raises ValueError for what is no data URL all the same, and for a wrong compression.
    """
    source = resource.get("source") or "data:,"
    if not source.startswith("data:"):
        return None
    url = _DATA_URL.fullmatch(source)
    if url is None:
        raise ValueError("a data URL without data")
    if url["type"].endswith(";base64"):
        data = base64.b64decode(url["data"].replace("\n", ""), validate=True)
    else:
        data = _unquoted(url["data"])
    try:
        return gzip.decompress(data) if resource.get("compression") == "gzip" else data
    except (OSError, EOFError) as error:
        raise ValueError(f"the data can't be decompressed: {error}") from None


_unquoted = functools.lru_cache(maxsize=64)(unquote_to_bytes)  # a fleet's machines share scripts


def _file(node: Mapping[str, Any], salt: str) -> Path:
    contents, appended = node.get("contents") or {}, node.get("append", [])
    written = bool(contents.get("source") is not None or node.get("overwrite")) or not appended
    parts = [decoded(part) for part in ([contents] if contents else []) + appended]
    known = [part for part in parts if part is not None]
    digest = source = tail = None
    if len(known) == len(parts) and parts:
        digest = _digest(_sha512(b"".join(known)), salt)
        tail = sum(map(len, known)) if not contents else None
    elif len(parts) == 1 and contents and (verified := _verified(contents)):
        digest = _digest(verified, salt)
    elif parts:
        source = _digest_of([contents, appended], salt)
    owner = "0" if written else None
    return Path(
        path=node["path"],
        kind="file",
        mode=node.get("mode", 0o644 if written else None),
        user=_owner(node, "user", owner),
        group=_owner(node, "group", owner),
        digest=digest,
        tail=tail,
        source=source,
    )


def _verified(resource: Mapping[str, Any]) -> str | None:
    """The declared hash of remote contents; Ignition takes it of what lies on the disk, after decompression."""
    kind, _, digest = ((resource.get("verification") or {}).get("hash") or "").partition("-")
    return digest if kind == "sha512" else None


def _node(node: Mapping[str, Any], kind: str, mode: int | None) -> Path:
    user, group = _owner(node, "user"), _owner(node, "group")
    return Path(path=node["path"], kind=kind, mode=mode, user=user, group=group)


def _owner(node: Mapping[str, Any], name: str, default: str | None = None) -> str | None:
    owner = node.get(name) or {}
    value = owner.get("name") or owner.get("id")
    return default if value is None else str(value)


def _link(node: Mapping[str, Any]) -> Path:
    return Path(
        path=node["path"],
        kind="link",
        user=_owner(node, "user"),
        group=_owner(node, "group"),
        target=node.get("target", ""),
        hard=bool(node.get("hard")),
    )


def _targets(paths: Sequence[Path]) -> dict[str, str]:
    """The whole path that each link leads to."""
    links = (path for path in paths if path.kind == "link" and not path.hard)
    return {link.path: posixpath.normpath(posixpath.join(posixpath.dirname(link.path), link.target)) for link in links}


def _unit(unit: Mapping[str, Any], targets: Mapping[str, str], salt: str) -> Unit:
    texts = [unit.get("contents") or "", *(part.get("contents") or "" for part in unit.get("dropins", []))]
    names = dict.fromkeys(step for path in named_paths("\n".join(texts)) for step in _followed(path, targets))
    return Unit(
        name=unit["name"],
        enabled=unit.get("enabled"),
        masked=bool(unit.get("mask")),
        names=tuple(_digest(_sha512(path.encode()), salt) for path in names),
    )


def _followed(path: str, targets: Mapping[str, str]) -> Iterator[str]:
    """The path, and what it is behind each link on its way."""
    yield path
    for _ in range(_MOST_LINKS):
        link = next((step for step in lineage(path) if step in targets), None)
        if link is None:
            return
        path = targets[link] + path.removeprefix(link)
        yield path


def lineage(path: str) -> Iterator[str]:
    """The path and the folders that it is in, but for those that everything is in."""
    while path.count("/") > 1:
        yield path
        path = path.rpartition("/")[0]


def named_paths(text: str) -> tuple[str, ...]:
    """The absolute paths that a unit's text names; of one with a pattern or a specifier the folder before that."""
    text = re.sub("%.", lambda match: _SPECIFIERS.get(match[0], match[0]), text)
    found = []
    for path in _NAMED_PATH.findall(text):
        literal = _PATTERN.split(path, maxsplit=1)[0]
        found.append(path if literal == path else literal.rpartition("/")[0])
    for kind, folders in _OWN_FOLDERS.findall(text):
        found += [f"{_BELOW[kind]}/{folder.partition(':')[0]}" for folder in folders.split()]
    whole = (posixpath.normpath(re.sub("/+", "/", path)) for path in found if path)
    return tuple(dict.fromkeys(path for path in whole if path != "/"))


def _unit_paths(unit: Mapping[str, Any], salt: str) -> list[Path]:
    """The files that Ignition writes for a unit, mode 0644; a masked one is a link to /dev/null."""
    path = f"{UNIT_FOLDER}/{unit['name']}"
    found = [
        _text_file(f"{path}.d/{part['name']}", part["contents"], salt)
        for part in unit.get("dropins", [])
        if part.get("contents")
    ]
    if unit.get("mask"):
        found.append(Path(path=path, kind="link", target="/dev/null"))
    elif unit.get("contents"):
        found.append(_text_file(path, unit["contents"], salt))
    return found


def _text_file(path: str, text: str, salt: str) -> Path:
    digest = _digest(_sha512(text.encode()), salt)
    return Path(path=path, kind="file", mode=0o644, user="0", group="0", digest=digest)


def _user(user: Mapping[str, Any], salt: str) -> User:
    password = user.get("passwordHash")
    keys = (bare_key(key.strip()) for key in user.get("sshAuthorizedKeys", []))
    rest = {name: part for name, part in user.items() if name not in ("sshAuthorizedKeys", "groups")}
    if password:
        del rest["passwordHash"]
    return User(
        name=user["name"],
        uid=user.get("uid"),
        shell=user.get("shell"),
        home=user.get("homeDir"),
        groups=tuple(user.get("groups", [])),
        password=_digest(_sha512(password.encode()), salt) if password else None,
        keys=tuple(_digest(_sha512(key.encode()), salt) for key in keys),
        system=user.get("system") is True,
        whole=_digest_of(user, salt),
        rest=_digest_of(rest, salt),
    )


def _digest_of(part: object, salt: str) -> str:
    """That of a part of a config: the same for another order of its keys."""
    return _digest(_sha512(json.dumps(part, sort_keys=True).encode()), salt)


def _digest(sha512: str, salt: str) -> str:
    return _sha512(f"{salt} {sha512}".encode())[:_DIGEST]


def _sha512(data: bytes) -> str:
    return hashlib.sha512(data).hexdigest()


def _told(entry: Any) -> dict[str, Any]:
    """The fields of a dataclass that say something: a number 0 and a False that is no default do."""
    values = ((part.default, part.name, getattr(entry, part.name)) for part in fields(entry))
    return {name: value for default, name, value in values if value is not default and value not in ("", (), {})}


def _tuples(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in entry.items()}
