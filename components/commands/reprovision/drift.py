"""Where a machine differs from a manifest. Pure; standard library only. No finding holds content or a hash."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.commands.reprovision.os_made import OS_LINKS, PLATFORM_KEYS, SYSTEM_LOGINS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from components.commands.reprovision.manifest import Manifest, Path, Unit, User
    from components.commands.reprovision.seen import Seen, SeenPath

_ENABLED = ("enabled", "enabled-runtime", "static", "indirect", "alias", "linked", "linked-runtime", "generated")
_NO_LOGIN = ("nologin", "false")
_LONG_RUNNING = ("simple", "exec", "forking", "notify", "notify-reload", "dbus", "idle")
_EXITED = "1"  # CLD_EXITED
OTHER_CONTENT = "has other content"
HAS_FAILED = "has failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One difference. A note (`is_drift` False) tells what happened, and is nothing that was declared otherwise."""

    kind: str
    subject: str
    problem: str
    is_drift: bool = True

    @property
    def is_undeclared(self) -> bool:
        """Whether it is a file or link in /etc that nobody declared."""
        return self.kind == "etc" and self.problem.endswith("that nobody declared")


def differences(
    manifest: Manifest, seen: Seen, is_allowed: Callable[[str], bool], renewed: Sequence[str] = ()
) -> list[Finding]:
    """All findings about what the manifest declares, and what nobody did. `is_allowed` says of a whole path under /etc
    whether it may be undeclared; `renewed` are files whose content may be of an earlier object with the same id."""
    return [
        *_paths(manifest, seen, renewed),
        *_etc(manifest, seen, is_allowed),
        *_units(manifest, seen),
        *_users(manifest, seen),
    ]


def _paths(manifest: Manifest, seen: Seen, renewed: Sequence[str]) -> Iterator[Finding]:
    by_path = {wanted.path: found for wanted, found in zip(manifest.paths, seen.paths, strict=True)}
    for wanted in manifest.paths:
        found = by_path[wanted.path]
        for problem in _path_problems(manifest, wanted, found, by_path.get(wanted.target)):
            if problem == OTHER_CONTENT and wanted.path in renewed:
                earlier = "is of an earlier object; the new one's settings are in force all the same"
                yield Finding(kind=wanted.kind, subject=wanted.path, problem=earlier, is_drift=False)
            else:
                yield Finding(kind=wanted.kind, subject=wanted.path, problem=problem)


def _path_problems(manifest: Manifest, wanted: Path, found: SeenPath, target: SeenPath | None) -> Iterator[str]:
    if found.kind == "missing":
        yield "is missing"
    elif wanted.kind == "link" and wanted.hard:
        if target is not None and target.inode != found.inode:
            yield f"is another file than {wanted.target}, declared as a hard link to it"
    elif wanted.kind != found.kind:
        yield f"is a {found.kind}, declared as a {wanted.kind}"
    elif wanted.kind == "link":
        if found.target != wanted.target:
            yield f"leads to {_printable(found.target)}, declared is {wanted.target}"
    else:
        if wanted.digest is not None and manifest.digest(found.sha512) != wanted.digest:
            yield OTHER_CONTENT if wanted.tail is None else "does not end in the content to append"
        if wanted.mode is not None:
            # Ignition leaves out special bits in the specs that this program writes
            mask = 0o777 if wanted.mode & 0o7000 else 0o7777
            if found.mode & mask != wanted.mode & mask:
                yield f"has mode {found.mode:04o}, declared is {wanted.mode:04o}"
        for what, owner, names in (
            ("user", wanted.user, (found.user, found.uid)),
            ("group", wanted.group, (found.group, found.gid)),
        ):
            if owner is not None and owner not in names:
                yield f"belongs to {what} {names[0]}, declared is {'root' if owner == '0' else owner}"


def _etc(manifest: Manifest, seen: Seen, is_allowed: Callable[[str], bool]) -> Iterator[Finding]:
    known = {path.path for path in manifest.paths}
    for kind, path, target in sorted(seen.etc, key=lambda entry: entry[1]):
        if path in known or is_allowed(path):
            continue
        if kind == "c":
            yield Finding(kind="etc", subject=_printable(path), problem="was deleted; the image ships it")
        elif kind == "l" and (OS_LINKS.fullmatch(f"{path} {target}") or _wanted_by_preset(path, target, seen)):
            continue
        else:
            what = f"a link to {_printable(target)}" if kind == "l" else "a file"
            yield Finding(kind="etc", subject=_printable(path), problem=f"is {what} that nobody declared")


def _wanted_by_preset(path: str, target: str, seen: Seen) -> bool:
    """Whether a link is what `systemctl preset` makes: to a unit that is enabled by the image or by the config."""
    if target == "/dev/null" or not path.startswith("/etc/systemd/"):
        return False
    names = {_template(name.rpartition("/")[2]) for name in (target, path)}
    return any(seen.unit_files.get(name, ("", ""))[1] == "enabled" for name in names)


def _template(unit: str) -> str:
    return re.sub(r"@[^.]*(?=\.)", "@", unit)


def _units(manifest: Manifest, seen: Seen) -> Iterator[Finding]:
    known: set[str] = set()
    for unit, shown in zip(manifest.units, seen.units, strict=True):
        known.update((unit.name, _template(unit.name)))
        state = seen.unit_files.get(_template(unit.name), (shown.get("UnitFileState", ""), ""))[0]
        for problem in _unit_problems(unit, state, shown):
            yield Finding(kind="unit", subject=unit.name, problem=problem)
    for name in seen.failed_units:
        yield Finding(kind="unit", subject=_printable(name), problem=HAS_FAILED)
    for name, (state, preset) in sorted(seen.unit_files.items()):
        if state == "disabled" and preset == "enabled" and name not in known:
            yield Finding(kind="unit", subject=name, problem="is disabled; the image enables it")


def _unit_problems(unit: Unit, state: str, shown: Mapping[str, str]) -> Iterator[str]:
    if unit.masked or state.startswith("masked"):
        if unit.masked != state.startswith("masked"):
            yield "is not masked, declared as masked" if unit.masked else "is masked by hand"
        return
    if unit.enabled and state not in _ENABLED:
        yield f"is {state or 'not there'}, declared as enabled"
    elif unit.enabled is False and state == "enabled":
        yield "is enabled, declared as disabled"
    if shown.get("NeedDaemonReload") == "yes":
        yield "was changed on disk since systemd read it"
    if unit.enabled and _is_stopped(unit.name, shown):
        yield "is stopped, declared as enabled"


def _is_stopped(name: str, shown: Mapping[str, str]) -> bool:
    """Whether a unit that would still be active by itself is not. A service that ran to its end is fine."""
    if shown.get("ActiveState") != "inactive" or shown.get("ConditionResult") == "no":
        return False
    if not name.endswith(".service"):
        return name.endswith((".socket", ".timer", ".path", ".mount"))
    ended = shown.get("ExecMainCode") == _EXITED and shown.get("ExecMainStatus") == "0"
    return shown.get("Type") in _LONG_RUNNING and not (ended and shown.get("Restart") == "no")


def _users(manifest: Manifest, seen: Seen) -> Iterator[Finding]:
    known = {user.name for user in manifest.users}
    for user in manifest.users:
        for problem in _user_problems(manifest, user, seen):
            yield Finding(kind="user", subject=user.name, problem=problem)
    for group in manifest.groups:
        found = seen.groups.get(group.name)
        if found is None:
            yield Finding(kind="group", subject=group.name, problem="is missing")
        elif group.gid is not None and found[0] != group.gid:
            yield Finding(kind="group", subject=group.name, problem=f"has id {found[0]}, declared is {group.gid}")
    for name, account in seen.accounts.items():
        if name in known:
            continue
        login = account.shell.rpartition("/")[2] not in _NO_LOGIN and name not in SYSTEM_LOGINS
        if (account.uid == 0 and name != "root") or login or 1000 <= account.uid < 65534:
            yield Finding(kind="user", subject=_printable(name), problem="is an account that nobody declared")
    passworded = {user.name for user in manifest.users if user.password}
    for name in seen.passwords:
        if name not in passworded:
            yield Finding(kind="user", subject=_printable(name), problem="has a password that nobody declared")
    for name, files in seen.keys.items():
        wanted = {key for user in manifest.users if user.name == name for key in user.keys}
        wanted |= {manifest.key_digest(key) for file in PLATFORM_KEYS for key in files.get(file, ())}
        present = {manifest.key_digest(key) for lines in files.values() for key in lines}
        if present - wanted:
            yield Finding(
                kind="user",
                subject=_printable(name),
                problem=f"can log in with {len(present - wanted)} SSH keys that nobody declared",
            )


def _user_problems(manifest: Manifest, user: User, seen: Seen) -> Iterator[str]:
    account = seen.accounts.get(user.name)
    if account is None:
        yield "is missing"
        return
    for what, wanted, found in (
        ("id", user.uid, account.uid),
        ("home directory", user.home, account.home),
        ("shell", user.shell, account.shell),
    ):
        if wanted is not None and wanted != found:
            yield f"has {what} {found}, declared is {wanted}"
    for group in user.groups:
        gid, members = seen.groups.get(group, (-1, ()))
        if user.name not in members and account.gid != gid:
            yield f"is not in group {group}"
    if user.password is not None and manifest.digest(seen.passwords.get(user.name, "")) != user.password:
        yield "has another password than the declared one"
    present = {manifest.key_digest(key) for lines in seen.keys.get(user.name, {}).values() for key in lines}
    missing = set(user.keys) - present
    if missing:
        yield f"lacks {len(missing)} of {len(user.keys)} declared SSH keys"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)
