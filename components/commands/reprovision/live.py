"""A change without a reboot: the lifecycle `live`. Standard library only.

1. Nothing is touched before it is sure: the machine's last good config, which is the one that it runs, was proven from
   here; by both configs' manifests all of the change can be live (`live_plan`); and the machine is as its config says.
2. The reset to the wanted config is staged, as always, and not booted into. What stops the rest half way ends in it.
3. `scripts/live.sh` takes the stamp away, and applies the change. From then on the machine rolls back by itself, unless
   it is confirmed in time.
4. The machine is held against the wanted config. Then it gets the stamp (`scripts/live-done.sh`), and is proven as one
   that has booted: `run.reprovision` goes on from there. Confirming it unstages the reset.
Wherever that can't go on, `run.reprovision` stages the reset once more, and boots into it.

One that is not proven is taken back in the same way, with the reset to the last good config staged;
`rollback.roll_back` proves and confirms that, or boots into that reset.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from components.commands.reprovision import rollback
from components.commands.reprovision.drift import HAS_FAILED, differences
from components.commands.reprovision.live_plan import STAMP, Live, Reset, live_plan
from components.commands.reprovision.manifest import PRESETS, UNIT_FOLDER, Manifest, Path, decoded, fingerprint
from components.commands.reprovision.os_made import is_os_made
from components.commands.reprovision.request import NotProvenError
from components.commands.reprovision.seen import asked, read_seen
from components.commands.ssh_session import CUT_SECONDS, MOST_BYTES, accepted_keys, run_again_and_again, run_script
from components.commands.untrusted import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from components.commands.reprovision.request import Progress, Request
    from components.commands.reprovision.rollback import LastGood

Values = dict[str, "str | Sequence[str]"]
SESSION_SECONDS = 60
MOST_SEEN = 4_194_304
"""Bytes that a machine may tell of itself."""
MOST_TOLD = 3
_FLAGS = {"noUserGroup": "no-user-group", "system": "system", "noLogInit": "no-log-init"}
_OPTIONS = {"homeDir": "home-dir", "uid": "uid", "gecos": "comment", "primaryGroup": "gid", "shell": "shell"}
"""A new user's fields, and useradd's options for them."""


class NotLiveError(Exception):
    """Why a change needs a reset. `is_drift`: as the machine is not what its config says."""

    def __init__(self, reason: str, *, is_drift: bool = False) -> None:
        super().__init__(reason)
        self.is_drift = is_drift


def planned(request: Request, progress: Progress, runs: str, proven: Collection[str]) -> Change | None:
    """What can be changed live on the machine, which runs the config id `runs`; None, and told why, for nothing.

    Raises `NotProvenError` where it has drifted, and is to be left alone then.
    """
    try:
        change = _planned(request, runs, proven)
    except NotLiveError as why:
        if why.is_drift and request.live.drift == "refuse":
            raise NotProvenError(
                f"{why}, and live.drift is 'refuse'",
                "nothing was staged; undo it on the machine, or set live.drift: reset for one 'pulumi up'",
                rolls_back=False,
            ) from None
        progress.say(f"not live: {why}")
        return None
    progress.say(f"live: {change.plan}")
    return change


class Change:
    """A change that can be live: `good` is what the machine runs before, and can be rolled back to."""

    def __init__(self, plan: Live, running: Mapping[str, Any], wanted: Mapping[str, Any], good: LastGood) -> None:
        self.plan, self.good = plan, good
        self._running, self._wanted = running, wanted

    def apply(self, request: Request, progress: Progress) -> bool:
        """Apply it to the machine, where the reset is staged, and give that its stamp; False, and told why, if not."""
        progress.note("applying the change to the running machine")
        try:
            self._make(request, progress, self.plan, self.good.config_id, request.config_id, self._wanted)
        except NotLiveError as why:
            progress.say(f"not live: {why}")
            return False
        return True

    def take_back(self, request: Request, progress: Progress) -> None:
        """Make the machine, which was not proven, what it was before, without a reboot; told why where that can't be.

        `rollback.roll_back` sees which it is.
        """
        try:
            plan = live_plan(Manifest.of(self._wanted), Manifest.of(self._running), request.live)
            if isinstance(plan, Reset):
                raise NotLiveError(plan.reason)
            _check_login(request, self._wanted, self._running)
            progress.say(f"going back live: {plan}")
            self._make(request, progress, plan, request.config_id, self.good.config_id, self._running)
        except NotLiveError as why:
            progress.say(f"going back by a reset: {why}")

    def _make(
        self, request: Request, progress: Progress, plan: Live, old_id: str, new_id: str, config: Mapping[str, Any]
    ) -> None:
        """Make a machine that runs `old_id` run `config`, whose reset is staged. Raises `NotLiveError`."""
        finished = run_script(
            request.target,
            ("staging.sh", "keep.sh", "live.sh"),
            {
                "OLD_ID": old_id,
                "CONFIG_ID": new_id,
                "GOOD_ID": self.good.config_id,
                "SECONDS_LEFT": str(int(request.rollback_after)),
                # before the machine rolls back, and before this program gives up
                "MOST_SECONDS": str(max(1, int(min(request.rollback_after, request.timeout) * 0.8))),
                "LIFECYCLE": request.staged_lifecycle,
                "KEEP": request.keep,
                **script_values(plan, config),
            },
            timeout=request.timeout,
            on_error_line=progress.note,
        )
        if finished.value("applied") != new_id:
            raise NotLiveError(_last_words(finished.stderr) or f"it could not be applied (exit code {finished.code})")
        # units that have failed are the proof's to find, as after a boot
        if told := _told(request, config, but=HAS_FAILED):
            raise NotLiveError(f"after the change: {told}")
        finished = run_again_and_again(
            request.target,
            ("staging.sh", "live-done.sh"),
            {"CONFIG_ID": new_id},
            timeout=SESSION_SECONDS,
            patience=CUT_SECONDS,
            on_error_line=progress.say,
            on_break=lambda: progress.say("the connection broke, trying again"),
        )
        if finished.value("stamped") != new_id:
            raise NotLiveError("it was too late: the machine is rolling back")


def _planned(request: Request, runs: str, proven: Collection[str]) -> Change:
    if not request.rollback_after:
        raise NotLiveError("the machine could not roll back by itself (rollback: false)")
    finished = run_script(
        request.target,
        ("staging.sh", "live-look.sh"),
        {"PROVEN": tuple(proven), "MOST_CONTENT": str(rollback.MOST_CONTENT)},
        timeout=SESSION_SECONDS,
        most=rollback.MOST_CONTENT // 3 * 4 + MOST_BYTES,
    )
    good = rollback.last_good(finished, proven)
    if good is None or good.config_id != runs:
        raise NotLiveError("what the machine runs is not its last good config")
    if not good.content:
        raise NotLiveError(f"what the machine runs is not known here: {good.unknown}")
    try:
        running, wanted = json.loads(good.content), json.loads(request.text)
        plan = live_plan(Manifest.of(running), Manifest.of(wanted), request.live)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NotLiveError(f"its config can't be read ({type(error).__name__})") from None
    if isinstance(plan, Reset):
        raise NotLiveError(plan.reason)
    _check_login(request, running, wanted)
    if told := _told(request, running):
        raise NotLiveError(f"it has drifted: {told}", is_drift=True)
    return Change(plan, running, wanted, good)


def _check_login(request: Request, running: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises `NotLiveError` where the change takes away the key that this program logs in with, or may do so."""
    before, after = (
        {
            fingerprint(key)
            for user in config.get("passwd", {}).get("users", [])
            if user["name"] == request.target.user
            for key in user.get("sshAuthorizedKeys", [])
        }
        for config in (running, wanted)
    )
    if before - after:
        accepted = accepted_keys(request.target)
        if not accepted or accepted & (before - after):
            raise NotLiveError("an SSH key goes that it is changed with, for all that is known")


def _told(request: Request, config: Mapping[str, Any], but: str = "") -> str:
    """How the machine differs from a config, but for the stamp, and for kept paths under /etc that nobody declared.

    The problem `but` is none. Raises `NotLiveError` where that can't be told.
    """
    manifest = Manifest.of(config)
    manifest = replace(manifest, paths=tuple(path for path in manifest.paths if path.path != STAMP))
    finished = run_script(request.target, ("staging.sh", "audit.sh"), asked(manifest), timeout=120, most=MOST_SEEN)
    try:
        seen = read_seen(finished)
    except (ValueError, KeyError) as error:
        raise NotLiveError(f"what the machine says of itself can't be read ({type(error).__name__})") from None
    if seen is None:
        raise NotLiveError(f"the machine could not be looked at (exit code {finished.code})")
    findings = differences(manifest, seen, is_os_made)
    found = [finding for finding in findings if finding.is_drift and finding.problem != but]
    told = [f"{finding.subject} {finding.problem}" for finding in found if not finding.is_undeclared]
    undeclared = tuple(finding.subject for finding in found if finding.is_undeclared and finding.subject != STAMP)
    if undeclared:
        values = {"KEEP": request.keep, "UNDECLARED": undeclared}
        finished = run_script(
            request.target, ("staging.sh", "keep.sh", "live-kept.sh"), values, timeout=SESSION_SECONDS
        )
        if finished.code != 0:
            raise NotLiveError(f"the machine could not be looked at (exit code {finished.code})")
        told += [f"nobody declared {path}" for path in finished.values("not_kept")]
    more = f" and {len(told) - MOST_TOLD} more" if len(told) > MOST_TOLD else ""
    return "; ".join(shortened(printable(text), 200) for text in told[:MOST_TOLD]) + more


def script_values(plan: Live, config: Mapping[str, Any]) -> Values:
    """What `scripts/live.sh` is given of a plan, and of the wanted config, which brings the contents."""
    manifest, contents = Manifest.of(config), _contents(config)
    data = [contents[node.path] if node.kind == "file" else b"" for node in _nodes(plan, manifest)]
    passwd = config.get("passwd", {})
    users = [user for name in plan.users for user in passwd["users"] if user["name"] == name]
    groups = [group for name in plan.new_groups for group in passwd["groups"] if group["name"] == name]
    return {
        "GROUP_COMMANDS": ["\n".join(_group_command(group)) for group in groups],
        "USERS": plan.users,
        "USER_COMMANDS": ["\n".join(_user_command(user, plan)) for user in users],
        "USER_PASSWORDS": [user.get("passwordHash") or "" for user in users],
        "USER_KEYS": ["\n".join(user.get("sshAuthorizedKeys", [])) for user in users],
        "NEW_HOMES": [_new_home(user) if user["name"] in plan.new_users else "" for user in users],
        "CONTENTS": [base64.b64encode(part).decode() for part in data],
        "SUMS": [hashlib.sha512(part).hexdigest() for part in data],
        **path_values(plan, manifest),
    }


def path_values(plan: Live, manifest: Manifest) -> Values:
    """What of that no contents are needed for, and no accounts."""
    nodes = _nodes(plan, manifest)
    links = [path for path in manifest.paths if path.kind == "link" and path.path.startswith(UNIT_FOLDER + "/")]
    return {
        "PATHS": [node.path for node in nodes],
        "KINDS": [node.kind for node in nodes],
        "MODES": [_mode(node) for node in nodes],
        "OWNERS": [f"{node.user or '0'}:{node.group or '0'}" for node in nodes],
        "TARGETS": [node.target for node in nodes],
        "DELETES": plan.deletes,
        "DIRECTORIES": [path.path for path in manifest.paths if path.kind == "directory"],
        "LINKS": [path.path for path in links],
        "LINK_TARGETS": [path.target for path in links],
        "STOPS": plan.stops,
        "MASKS": plan.masks,
        "DISABLES": plan.disables,
        "PRESETS": plan.presets,
        "RESTARTS": plan.restarts,
        "RELOADS": plan.reloads,
    }


def _nodes(plan: Live, manifest: Manifest) -> list[Path]:
    """What the plan writes: folders first, as they'd be made for what lies in them."""
    by_path = {path.path: path for path in (Path(path=PRESETS, kind="file"), *manifest.paths)}
    nodes = [by_path[path] for path in plan.writes if path != STAMP]
    return sorted(nodes, key=lambda node: (node.kind != "directory", node.path))


def _group_command(group: Mapping[str, Any]) -> list[str]:
    """The words that make a group as Ignition does: without a password nobody comes in by one."""
    words = ["groupadd", "--gid", str(group["gid"]), "--password", group.get("passwordHash") or "*"]
    return [*words, *(["--system"] if group.get("system") else []), group["name"]]


def _user_command(user: Mapping[str, Any], plan: Live) -> list[str]:
    """The words that make or change a user as Ignition does (internal/exec/util/passwd.go), but for a password; none
    for one that only gets keys or a password."""
    groups = ["--groups", ",".join(user["groups"])] if user.get("groups") else []
    name = user["name"]
    if name not in plan.new_users:
        return ["usermod", *groups, name] if name in plan.regrouped else []
    words = ["useradd", "--no-create-home" if user.get("noCreateHome") else "--create-home", "--password", "*", *groups]
    words += [f"--{flag}" for field, flag in _FLAGS.items() if user.get(field)]
    for field, option in _OPTIONS.items():
        if (value := user.get(field)) not in (None, ""):
            words += [f"--{option}", str(value)]
    return [*words, name]


def _new_home(user: Mapping[str, Any]) -> str:
    return "" if user.get("noCreateHome") else user.get("homeDir") or f"/home/{user['name']}"


def _mode(node: Path) -> str:
    """As Ignition makes what has none declared."""
    default = 0o755 if node.kind == "directory" else 0o644
    return f"{default if node.mode is None else node.mode:04o}"


def _contents(config: Mapping[str, Any]) -> dict[str, bytes]:
    """The content of each file that a config writes, units' and presets' too, by path."""
    found = {}
    for node in config.get("storage", {}).get("files", []):
        parts = [decoded(part) for part in [node.get("contents") or {}, *node.get("append", [])]]
        if None not in parts:
            found[node["path"]] = b"".join(part for part in parts if part is not None)
    units = config.get("systemd", {}).get("units", [])
    for unit in units:
        path = f"{UNIT_FOLDER}/{unit['name']}"
        found |= {f"{path}.d/{part['name']}": part.get("contents", "").encode() for part in unit.get("dropins", [])}
        found[path] = (unit.get("contents") or "").encode()
    found[PRESETS] = _presets(units).encode()
    return found


def _presets(units: Sequence[Mapping[str, Any]]) -> str:
    """As Ignition writes them (internal/exec/stages/files/units.go): sorted, the instances of a template in one line.

    One that is to be disabled is noted where it would be enabled otherwise, which `scripts/live.sh` has to see; an
    instance never is.
    """
    lines: dict[str, str] = {}
    for unit in units:
        if unit.get("enabled") is None:
            continue
        verb = "enable" if unit["enabled"] else "disable"
        template, at, rest = unit["name"].partition("@")
        instance, _, kind = rest.rpartition(".")
        name = f"{template}@.{kind}" if at else unit["name"]
        key = f"{name}-{verb}d"
        if not at:
            lines[key] = f"{verb} {name}"
        elif unit["enabled"]:
            lines[key] = f"{lines.get(key, f'{verb} {name}')} {instance}"
    return "".join(f"{lines[key]}\n" for key in sorted(lines))


def _last_words(stderr: str) -> str:
    lines = [line for line in stderr.splitlines() if line.strip()]
    return shortened(printable(lines[-1]), 300) if lines else ""
