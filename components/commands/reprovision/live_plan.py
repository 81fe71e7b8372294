"""What of a change can be applied to a machine as it runs, and what restarts then: by two manifests. Pure.

Only what is certain is live. A file is certain when a unit of the wanted config names it, or a folder that it lies in:
who reads it restarts. What the system reads when it boots, and all that is no file, link, directory or unit, needs a
reset. `scripts/live.sh` looks at what only the machine knows, and refuses where that leaves a doubt.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from components.commands.reprovision.manifest import PRESETS, UNIT_FOLDER, lineage
from components.commands.reprovision.os_made import SYSTEM_LOGINS

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from components.commands.reprovision.manifest import Manifest, Path, Unit, User

STAMP = "/etc/flatcar/config-id"
AGENT_FILES = tuple(f"/etc/flatcar/pull/{name}" for name in ("settings", "object", "live"))
"""What the agent of a machine that pulls is told; it writes them itself."""
OWN_FILES = (STAMP, "/etc/flatcar/config-salt", *AGENT_FILES)
"""These, the stamp and the salt: they differ in any two configs, and nothing but this program reads them."""
DRIFTS = ("reset", "refuse")
"""What may become of a machine that has drifted."""
_GENERATION = "/etc/flatcar/generation"
_MOST_NAMED = 3
_PARTS = {
    "ignition": "settings of Ignition",
    "kernelArguments": "kernel arguments",
    "storage.disks": "disks",
    "storage.raid": "RAID arrays",
    "storage.luks": "encrypted disks",
    "storage.filesystems": "file systems",
    "passwd.users": "users that must not exist",
    "passwd.groups": "groups that must not exist",
}
_LIVE_UNIT = re.compile(
    r"(?!sshd|ssh-|systemd-|dbus|ignition|coreos-|flatcar-|oem-|getty)[\w.:\\-]+\.(service|timer|socket|path)"
)
"""Units that may restart: the user's, and what starts them. Not those that the machine or its SSH stands on."""
_READ_BY_SERVICE = re.compile(r"/etc/(ssl|logrotate|chrony|ntp|docker|containerd|cni)[^/]*(/.*)?")
"""The system's, but of services that may restart, where somebody says which (`LiveSettings`)."""
_READ_BY_USERADD = re.compile(r"/etc/(skel(/.*)?|login\.defs|default/useradd)")
"""Ignition makes users before files, so with what the image has there."""
_READ_AT_BOOT = re.compile(
    r"/(usr|boot|oem|proc|sys|dev|run|tmp|bin|sbin|lib\w*|root|home)(/.*)?"
    r"|/etc/(systemd|ssh|sysctl|modules-load|modprobe|udev|tmpfiles|sysusers|binfmt|extensions|confexts|sysupdate|flatcar"
    r"|coreos|pam|security|selinux|audit|ld\.so|profile|environment|iscsi|nvme|lvm|mdadm|NetworkManager|sudoers"
    r"|sssd|polkit-1|dbus-1|kernel|initramfs)[^/]*(/.*)?"
    r"|/etc/(fstab|crypttab|hostname|hosts|passwd-?|group-?|g?shadow-?|sub[ug]id-?|machine-id|localtime|adjtime"
    r"|resolv\.conf|nsswitch\.conf|locale\.conf|vconsole\.conf|os-release|shells|exports|timezone)"
)
"""What more than one program reads, or one that no config names: its new content counts from the next boot on."""


_Words = tuple["Sequence[str]", str, str]
"""Names, and what is said of one and of more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """What a machine's settings say of the lifecycle `live`.

    `restart` and `reload` have the units, parted by blanks, that do so when a file changes, by patterns for its path:
    `*` stands for any characters, `/` too. `drift` is what becomes of a machine that has drifted.
    """

    restart: Mapping[str, str] = field(default_factory=dict)
    reload: Mapping[str, str] = field(default_factory=dict)
    drift: str = "reset"

    def restarted(self, path: str) -> list[str]:
        """The units that restart for a path."""
        return _named(self.restart, path)

    def reloaded(self, path: str) -> list[str]:
        """The units that reload for a path."""
        return _named(self.reload, path)


def may_restart(names: str) -> bool:
    """Whether these are units, parted by blanks, that may restart on a running machine."""
    return bool(names.split()) and all(map(_LIVE_UNIT.fullmatch, names.split()))


def _named(units: Mapping[str, str], path: str) -> list[str]:
    return [name for pattern, names in units.items() if fnmatchcase(path, pattern) for name in names.split()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """A change that can be applied live: users and groups, paths to write and to delete, and units.

    `users` are made or changed: `new_users` of them are made, `regrouped` get other groups. `stops` go away, `masks`
    are masked; `presets` are enabled or disabled as their presets say; `restarts` are started anew where they run or
    where something that runs wants them, `disables`, which are not enabled any more, only there; `reloads` reload, or
    restart if they can't.
    """

    new_groups: tuple[str, ...] = ()
    users: tuple[str, ...] = ()
    new_users: tuple[str, ...] = ()
    regrouped: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    stops: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    disables: tuple[str, ...] = ()
    presets: tuple[str, ...] = ()
    restarts: tuple[str, ...] = ()
    reloads: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Such as `/etc/web.conf changes, web.service restarts`."""
        accounts = [*(f"group {name}" for name in self.new_groups), *(f"user {name}" for name in self.users)]
        paths = [
            (accounts, "changes", "change"),
            ([path for path in self.writes if path not in (*OWN_FILES, PRESETS)], "changes", "change"),
            ([path for path in self.deletes if path not in (*OWN_FILES, PRESETS)], "goes", "go"),
        ]
        return _told(*paths, *self._units()) or "nothing but its config id changes"

    def units_in_words(self, shown: Collection[str], mask: str) -> str:
        """The same of the units alone, with the names of those in `shown`, and `mask` for others."""
        units = [([name if name in shown else mask for name in names], one, more) for names, one, more in self._units()]
        return _told(*units) or "no unit restarts"

    def _units(self) -> list[_Words]:
        return [
            (self.restarts, "restarts", "restart"),
            (self.reloads, "reloads", "reload"),
            (self.stops, "stops", "stop"),
            (self.masks, "is masked", "are masked"),
            (self.disables, "is not enabled any more", "are not enabled any more"),
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reset:
    """A change that needs a reset, and why."""

    reason: str

    def __str__(self) -> str:
        return self.reason


class _NeedsResetError(Exception):
    """Why a change can't be live."""


def live_plan(old: Manifest, new: Manifest, settings: LiveSettings | None = None) -> Live | Reset:
    """How a machine that is as `old` says becomes as `new` says; both have to have the same salt."""
    try:
        return _plan(old, new, settings or LiveSettings())
    except _NeedsResetError as reason:
        return Reset(reason=str(reason))


def _plan(old: Manifest, new: Manifest, settings: LiveSettings) -> Live:
    for part in sorted(old.rest.keys() | new.rest.keys()):
        if old.rest.get(part) != new.rest.get(part):
            raise _NeedsResetError(f"{_PARTS.get(part, part)} change")
    new_groups, users = _new_groups(old, new), _changed_users(old, new)
    accounts = {user.name: user for user in old.users}
    before, after = ({path.path: path for path in manifest.paths} for manifest in (old, new))
    changed = [path for path in (before | after) if before.get(path) != after.get(path) and path != PRESETS]
    units = _changed_units(old, new, changed)
    for path in changed:
        for node in filter(None, (before.get(path), after.get(path))):
            _check_path(node, old, new, settings)
        is_unit = _unit_of(path, (*old.units, *new.units)) is not None
        _check_change(path, before.get(path), after.get(path), is_unit=is_unit)
    for path in OWN_FILES:
        if path in changed and (readers := _readers(path, new)):
            raise _NeedsResetError(f"{readers[0]} names {path}, which is there when all has started")
    contents = [path for path in changed if path not in OWN_FILES and not _unit_of(path, (*old.units, *new.units))]
    was, will = ({unit.name: unit for unit in manifest.units} for manifest in (old, new))
    stops = tuple(name for name in units if name not in will and not was[name].masked)
    masked = [name for name in will if will[name].masked]
    masks = tuple(name for name in units if name in masked and not (name in was and was[name].masked))
    enabled = [name for name in units if _enabled(name, was) != _enabled(name, will)]
    disables = tuple(name for name in enabled if name in will and name not in masked and not will[name].enabled)
    # for a unit of the image a drop-in alone changes no links
    installed = [name for name in units if name in enabled or f"{UNIT_FOLDER}/{name}" in before | after]
    restarts, reloads = dict.fromkeys(units), dict[str, None]()
    for path in contents:
        reloading = settings.reloaded(path)
        names = [*(name for name in _readers(path, new) if name not in reloading), *settings.restarted(path)]
        goes = path not in after and (before_it := _readers(path, old)) and set(before_it) <= {*stops, *masks}
        if not names and not reloading and not goes:
            raise _NeedsResetError(f"no unit names {path}, so what reads it is not known")
        restarts |= dict.fromkeys(names)
        reloads |= dict.fromkeys(reloading)
    for name in restarts | reloads:
        if not _LIVE_UNIT.fullmatch(name):
            raise _NeedsResetError(f"{name} would have to restart")
    rules = [path for path in after if path.startswith("/etc/tmpfiles.d/")]
    if rules and any(path in after for path in contents):
        raise _NeedsResetError(f"{rules[0]} may say more of what is new, and counts when the system boots")
    has_presets = any(unit.enabled is not None for unit in new.units)
    writes = [path for path in after if before.get(path) != after[path] and path != PRESETS]
    has_new_presets = bool(units) and has_presets
    return Live(
        new_groups=new_groups,
        users=tuple(user.name for user in users),
        new_users=tuple(user.name for user in users if user.name not in accounts),
        regrouped=tuple(user.name for user in users if user.groups != accounts.get(user.name, user).groups),
        writes=(*writes, *([PRESETS] if has_new_presets else [])),
        deletes=tuple(path for path in before if path not in after and not (path == PRESETS and has_new_presets)),
        stops=stops,
        masks=masks,
        disables=disables,
        presets=tuple(name for name in installed if name not in (*stops, *masked)),
        restarts=tuple(name for name in restarts if name not in (*stops, *masked, *disables)),
        reloads=tuple(name for name in reloads if name not in (*restarts, *masked)),
    )


def _new_groups(old: Manifest, new: Manifest) -> tuple[str, ...]:
    """The groups that come. They come last: the id of one without a declared one depends on those before it."""
    if new.groups[: len(old.groups)] != old.groups:
        raise _NeedsResetError("a group goes, or changes")
    added = new.groups[len(old.groups) :]
    own = [user.name for user in old.users if user.name not in SYSTEM_LOGINS]
    for group in added:
        if group.gid is None or not new.is_plain(group):
            raise _NeedsResetError(f"group {group.name} is new, and not declared by its name and an id alone")
        if own:  # a reset makes it before the users, with whom useradd makes a group each
            names = _listed(own)
            raise _NeedsResetError(f"group {group.name} is new, on which the ids of the groups of {names} depend")
    return tuple(group.name for group in added)


def _changed_users(old: Manifest, new: Manifest) -> tuple[User, ...]:
    """The users that come, which is last as with groups, or have other keys, another password, or other groups."""
    if [user.name for user in new.users[: len(old.users)]] != [user.name for user in old.users]:
        raise _NeedsResetError("a user goes, or they have another order, on which their ids depend")
    pairs = [pair for pair in zip(old.users, new.users, strict=False) if pair[0].whole != pair[1].whole]
    for before, after in pairs:
        name = after.name
        if before.rest != after.rest:
            raise _NeedsResetError(f"of user {name} more changes than keys, password and groups")
        for what, one, other in (
            ("SSH keys", before.keys, after.keys),
            ("password", before.password, after.password),
            ("groups", before.groups, after.groups),
        ):
            if one and not other:
                raise _NeedsResetError(f"user {name} has no {what} any more")
    added = new.users[len(old.users) :]
    read = [path.path for path in (*old.paths, *new.paths) if _READ_BY_USERADD.fullmatch(path.path)]
    for user in added:
        if user.system and user.uid is None:
            raise _NeedsResetError(f"user {user.name} is new, and one of the system without an id")
        if read:
            raise _NeedsResetError(f"user {user.name} is new, and made by the image's own {read[0]}")
        _check_mounts(user.home or f"/home/{user.name}", old, new)
    return (*(after for _, after in pairs), *added)


def _changed_units(old: Manifest, new: Manifest, changed: Sequence[str]) -> tuple[str, ...]:
    """The units that come, go, or have other texts."""
    before, after = ({unit.name: unit for unit in manifest.units} for manifest in (old, new))
    with_text = {path.path for manifest in (old, new) for path in manifest.paths}
    found = {name: None for name in before | after if before.get(name) != after.get(name)}
    found |= dict.fromkeys(unit for path in changed if (unit := _unit_of(path, (*old.units, *new.units))))
    for name in found:
        if not _LIVE_UNIT.fullmatch(name):
            raise _NeedsResetError(f"{name} changes")
        if name not in after and f"{UNIT_FOLDER}/{name}" not in with_text:
            raise _NeedsResetError(f"{name} goes back to what the image has")
    return tuple(found)


def _enabled(name: str, units: Mapping[str, Unit]) -> bool | None:
    return units[name].enabled if name in units else None


def _check_path(node: Path, old: Manifest, new: Manifest, settings: LiveSettings) -> None:
    path = node.path
    _check_mounts(path, old, new)
    if node.source is not None:
        raise _NeedsResetError(f"what {path} holds is fetched from elsewhere")
    if node.kind == "file" and node.digest is None:
        raise _NeedsResetError(f"what {path} holds is not declared")
    if node.tail is not None:
        raise _NeedsResetError(f"something is appended to {path}")
    if node.hard:
        raise _NeedsResetError(f"{path} is a hard link")
    if node.mode is not None and node.mode & ~0o777:
        raise _NeedsResetError(f"{path} has a special mode")
    is_unit = _unit_of(path, (*old.units, *new.units)) is not None
    if path == _GENERATION:
        raise _NeedsResetError("its generation is another one")
    is_named = settings.restarted(path) or settings.reloaded(path)
    is_systems = _READ_AT_BOOT.fullmatch(path) or (_READ_BY_SERVICE.fullmatch(path) and not is_named)
    if path not in OWN_FILES and not is_unit and (is_systems or path.count("/") < 2):
        raise _NeedsResetError(f"{path} is the system's: what is in it counts from the next boot on")


def _check_mounts(path: str, old: Manifest, new: Manifest) -> None:
    if any(f"{path}/".startswith(f"{mount.rstrip('/')}/") for mount in (*old.mounts, *new.mounts)):
        raise _NeedsResetError(f"{path} lies on a file system of its own")


def _check_change(path: str, before: Path | None, after: Path | None, *, is_unit: bool) -> None:
    if before is None:
        return
    masks = any(node is not None and node.kind == "link" and node.target == "/dev/null" for node in (before, after))
    if after is not None and before.kind != after.kind and not (is_unit and masks):
        raise _NeedsResetError(f"{path} was a {before.kind}, and becomes a {after.kind}")
    if before.kind == "directory":
        raise _NeedsResetError(f"the directory {path} changes, or goes")


def _unit_of(path: str, units: Sequence[Unit]) -> str | None:
    """The unit whose text or drop-in lies at a path."""
    for unit in units:
        if path == f"{UNIT_FOLDER}/{unit.name}" or path.startswith(f"{UNIT_FOLDER}/{unit.name}.d/"):
            return unit.name
    return None


def _readers(path: str, manifest: Manifest) -> list[str]:
    """The units that name the path, or a folder that it is in, but for those that everything is in."""
    steps = {manifest.path_digest(step) for step in lineage(path)}
    return [unit.name for unit in manifest.units if steps & set(unit.names)]


def _told(*words: _Words) -> str:
    return ", ".join(f"{_listed(names)} {one if len(names) == 1 else more}" for names, one, more in words if names)


def _listed(names: Sequence[str]) -> str:
    shown = list(names if len(names) <= _MOST_NAMED else names[: _MOST_NAMED - 1])
    left = len(names) - len(shown)
    return ", ".join(shown) + (f" and {left} more" if left else "")
