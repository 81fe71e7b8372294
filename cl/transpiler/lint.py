"""What goes wrong with a valid Ignition config when it is run again on a machine that lives.

Ignition and Butane check a config for a first boot. A config that re-provisions meets the disks and files of the
run before; the rules in here are about that. An error is about lost data or a machine that can't be reached any
more, a warning about the rest; `allow` takes a rule back where it is meant so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from cl.transpiler.detect import compose_source, is_ignition
from cl.transpiler.gourl import without_secrets
from cl.transpiler.ignition.checks import CheckError, decode_data_url
from cl.transpiler.report import Diagnostic, Findings, Report, Severity
from cl.transpiler.variables import Variables
from cl.transpiler.yamlnode import Mapping as MappingNode
from cl.transpiler.yamlnode import Node
from cl.transpiler.yamlnode import Sequence as SequenceNode

ROOT_DEVICES = ("/dev/disk/by-partlabel/ROOT", "/dev/disk/by-label/ROOT")
"""The file system that re-provisioning replaces, or deletes most of."""

_INSTANCE_STORAGE = (
    "/dev/disk/by-id/nvme-Amazon_EC2_NVMe_Instance_Storage_",
    "/dev/disk/by-id/google-local-",
    "/dev/disk/azure/resource",
    "/dev/disk/azure/local/",
)
"""How disks are called that a cloud gives empty and takes back: EC2, Google Compute Engine, Azure (udev rules)."""
_NEWEST_READ = "3.5.0"
"""The newest Ignition config that the stable Flatcar reads."""
_PUBLIC_KEY = re.compile(r"\b((?:ssh|ecdsa|sk)-[\w@.-]+ [A-Za-z0-9+/]+=*)")
_OTHER_LOGIN = re.compile(r"(?im)^\s*(TrustedUserCAKeys|AuthorizedKeysCommand|AuthorizedKeysFile)\s")
_UPDATE_CONF = ("/etc/flatcar/update.conf", "/etc/coreos/update.conf")
_ENABLED_EXTENSIONS = "/etc/flatcar/enabled-sysext.conf"
_EXTENSIONS = "/etc/flatcar/sysext"
"""Where Flatcar keeps the images of its own extensions, which are made for one version of the OS each."""
_STRATEGY = re.compile(r"^\s*REBOOT_STRATEGY\s*=", re.MULTILINE)


class Rule(StrEnum):
    """The rules by name, for `allow`."""

    KEPT = "kept"
    WIPE = "wipe"
    DISKS = "disks"
    REMOTE = "remote"
    REPLACE = "replace"
    LOGIN = "login"
    REBOOT = "reboot"
    SIZE = "size"
    SPEC = "spec"
    SECRET = "secret"  # noqa: S105 - a rule's name


@dataclass(frozen=True, slots=True)
class OneDevice:
    """A rule for one device alone, for `allow`: `wipe:/dev/vdb`. The device is called as the finding calls it."""

    rule: Rule
    device: str


Allowed = Rule | OneDevice
"""What `allow` holds: a rule, or a rule for one device. One that nothing is found by does nothing."""

OF_DEVICES = (Rule.WIPE, Rule.DISKS)
"""The rules that can be taken back for one device."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What the rules have to know about the machine.

    `is_kept` tells of a whole path whether it survives the wipe. `ssh_user` is who logs in; None when the
    platform itself brings that user's keys. `ssh_key` is the public key that logs in, as `TYPE BASE64`, "" where it is
    not known; `other_ssh_keys`: others may be offered too, by an agent. `secrets` has the names of the secrets that
    parts of the config hold (`storage.files.0`, `systemd.units.1`) which every user may read. `managed_rollouts`:
    reboots are this program's business. `limit` is the largest config, in bytes, that `limit_of` (a store, a platform)
    takes. `root_is_kept`: something on ROOT has to survive the next run. `reads` tells whether the OS version `image`,
    which new machines start with, can read an Ignition spec; None where that is not known.
    """

    is_kept: Callable[[str], bool] = lambda _path: False
    root_is_kept: bool = False
    ssh_user: str | None = None
    ssh_key: str = ""
    other_ssh_keys: bool = False
    secrets: Mapping[str, str] = field(default_factory=dict)
    managed_rollouts: bool = False
    limit: int | None = None
    limit_of: str = "the store"
    image: str = ""
    reads: Callable[[str], bool | None] = lambda _spec: None


def lint(
    config: dict[str, Any],
    situation: Situation,
    *,
    size: int = 0,
    allow: Collection[Allowed] = (),
    sources: Sequence[tuple[str, str]] = (),
    variables: Mapping[str, str] | None = None,
) -> Report:
    """Findings about a decoded Ignition 3 config that is `size` bytes long as it is stored.

    Each has a hint with the way out, and says what would allow it. `allow` leaves rules out. Paths are those of the
    Ignition config. `sources` are the valid configs that it was made from, as (file name, text), later ones over
    earlier ones, with their `variables`: a finding about something that one of them names gets its line there. What
    sugar has made stands in the first source, without a line.
    """
    roots: list[tuple[str, Node | None]] | None = None
    out = []
    for finding in _findings(config, situation, size):
        allowed = OneDevice(finding.rule, finding.device) if finding.device else finding.rule
        if finding.rule in allow or allowed in allow:
            continue
        if roots is None:
            roots = [(name, _root(text, variables)) for name, text in reversed(sources)]
        name, node = next(
            ((name, node) for name, root in roots if (node := _named(root, finding.subject))), (None, None)
        )
        out.append(
            Diagnostic(
                severity=finding.severity,
                path=f"$.{finding.path}" if finding.path else "$",
                message=finding.message,
                line=node.line if node else None,
                column=node.column if node else None,
                hint=f"{finding.hint}; if it is meant so: allow: [{finding.allow}]",
                filename=name or (sources[0][0] if sources else "<config>"),
            )
        )
    return Report(tuple(out), sources=tuple(sources))


Subject = tuple[str, str, str]
"""What a finding is about, as its source names it: section, keys, value; ("storage", "path", "/etc/motd"). The
section may be one of another: "storage.disks"."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule has found at `path` of the Ignition config."""

    rule: Rule
    severity: Severity
    path: str
    message: str
    hint: str
    subject: Subject | None = None
    device: str = ""
    """What it can be taken back for alone."""

    @property
    def allow(self) -> str:
        """What takes it back, as settings write it."""
        return f'"{self.rule}:{self.device}"' if self.device else self.rule


def _root(text: str, variables: Mapping[str, str] | None) -> Node | None:
    fill = Variables(variables).filler(Findings()) if variables is not None else None
    return compose_source(text, fill, is_json=is_ignition(text))


def _named(root: Node | None, subject: Subject | None) -> Node | None:
    """The value's node in the first mapping under the section that has it under one of the keys."""
    if subject is None or not isinstance(root, MappingNode):
        return None
    section, keys, value = subject
    waiting: list[Node] = [root]
    for name in section.split("."):
        pair = waiting[0].child(name) if waiting and isinstance(waiting[0], MappingNode) else None
        waiting = [pair[1]] if pair is not None else []
    while waiting:
        node = waiting.pop()
        if isinstance(node, MappingNode):
            for key in keys.split():
                pair = node.child(key)
                if pair is not None and pair[1].value == value:
                    return pair[1]
            waiting += [inner for _, inner in reversed(node.pairs)]
        elif isinstance(node, SequenceNode):
            waiting += reversed(node.items)
    return None


def _findings(config: dict[str, Any], situation: Situation, size: int) -> Iterator[Finding]:
    storage = config.get("storage", {})
    yield from _spec(config, situation)
    yield from _kept(storage, situation.is_kept)
    yield from _wipes(storage, situation.root_is_kept)
    yield from _disks(storage)
    yield from _remote(storage, config.get("ignition", {}))
    yield from _extensions(storage, situation.is_kept)
    if situation.ssh_user is not None:
        yield from _login(config, situation.ssh_user, situation)
    yield from _readable_secrets(config, situation.secrets)
    if situation.managed_rollouts:
        yield from _reboots(config)
    if situation.limit is not None and size > situation.limit:
        message = f"the config has {size} bytes, {situation.limit_of} takes {situation.limit}"
        hint = "move large contents to a place that the machine fetches them from"
        yield Finding(Rule.SIZE, "error", "", message, hint)


def _spec(config: dict[str, Any], situation: Situation) -> Iterator[Finding]:
    """What the Ignition of released Flatcars reads: 2.24 in 4593, up to 3.5.0 (flatcar/scripts, August 2026)."""
    version = config.get("ignition", {}).get("version", "")
    if version.endswith("-experimental"):
        message = f"no released Flatcar reads Ignition {version}: the machine would stop in its initrd"
        hint = "take a stable version: flatcar 1.1.0 for Butane"
        yield Finding(Rule.SPEC, "error", "ignition.version", message, hint, ("ignition", "version", version))
    elif (reads := situation.reads(version)) is False:
        message = (
            f"Flatcar {situation.image}, the image of new machines, can't read Ignition {version}: they would stop in "
        )
        message += "their initrd"
        hint = "pin a newer image, or take an older version of the config's language"
        yield Finding(Rule.SPEC, "warning", "ignition.version", message, hint, ("ignition", "version", version))
    elif not reads and version > _NEWEST_READ:
        message = f"Ignition {version} is read by Flatcars newer than 4593 alone: an older one stops in its initrd"
        hint = f"write what {_NEWEST_READ} can say, or see that the machine's OS is new enough"
        yield Finding(Rule.SPEC, "warning", "ignition.version", message, hint, ("ignition", "version", version))


def _kept(storage: dict[str, Any], is_kept: Callable[[str], bool]) -> Iterator[Finding]:
    """Ignition refuses to write contents over a file that is there and may not be overwritten, and does so after the
    wipe (coreos/ignition, internal/exec/stages/files/filesystemEntries.go). What is appended goes behind what is there.

    Where a config doesn't say whether a file may be overwritten, this program does, so that a run can be repeated.
    """
    mounted = _mounted(storage)
    for kind in ("files", "links"):
        for index, node in enumerate(storage.get(kind, [])):
            path = node["path"]
            if not (is_kept(path) or path.startswith(mounted)):
                continue
            writes = kind == "links" or "source" in node.get("contents", {})
            where, subject = f"storage.{kind}.{index}", ("storage", "path", path)
            if writes and node.get("overwrite") is False:
                message = f"{path} survives the next run, which may not overwrite it: Ignition fails, after the wipe"
                yield Finding(Rule.KEPT, "error", where, message, "leave out overwrite: false, or keep less", subject)
            elif not writes and node.get("append"):
                message = f"{path} survives the next run, and each run appends to it once more"
                hint = "write it whole, with contents and overwrite: true, or keep less"
                yield Finding(Rule.KEPT, "warning", where, message, hint, subject)


def _mounted(storage: dict[str, Any]) -> tuple[str, ...]:
    """The folders of file systems that no wipe reaches: OEM, and those of the config that it doesn't erase."""
    folders = ["/oem/", "/usr/share/oem/"]
    for filesystem in storage.get("filesystems", []):
        path = filesystem.get("path") or "/"
        if path != "/" and not filesystem.get("wipeFilesystem"):
            folders.append(path + "/")
    return tuple(folders)


def _wipes(storage: dict[str, Any], root_is_kept: bool) -> Iterator[Finding]:
    """What Ignition erases, whether or not something is on it. Swap has nothing to lose."""
    ephemeral = _ephemeral(storage)
    for index, filesystem in enumerate(storage.get("filesystems", [])):
        device, label = filesystem["device"], filesystem.get("label")
        if not filesystem.get("wipeFilesystem") or filesystem.get("format") == "swap" or ephemeral(device):
            continue
        is_root = label == "ROOT" or device in ROOT_DEVICES
        where, subject = f"storage.filesystems.{index}", ("storage.filesystems", "device", device)
        if not is_root:
            message = f"the file system on {device} is erased each time the config runs again"
            hint = "without wipe_filesystem, one that fits (format, label, UUID) is used as it is"
            yield Finding(Rule.WIPE, "error", where, message, hint, subject, device)
        elif root_is_kept and label in (None, "ROOT"):  # under another name it is where the root was once
            message = "ROOT is erased each time the config runs again, with all that was to be kept on it"
            hint = "leave wipe_filesystem to the lifecycle that formats ROOT"
            yield Finding(Rule.WIPE, "error", where, message, hint, subject, device)
    for index, disk in enumerate(storage.get("disks", [])):
        device = disk["device"]
        if disk.get("wipeTable") and not ephemeral(device):
            message = f"the partition table of {device} is erased each time the config runs again"
            hint = "without wipe_table, partitions that have a number and fit are used as they are"
            subject = ("storage.disks", "device", device)
            yield Finding(Rule.WIPE, "error", f"storage.disks.{index}", message, hint, subject, device)
    for index, luks in enumerate(storage.get("luks", [])):
        if luks.get("wipeVolume") and not ephemeral(luks["device"]):
            message = f"the encrypted volume {luks['name']} is erased each time the config runs again"
            hint = "without wipe_volume, one that its key_file opens is used as it is (not so with clevis)"
            subject = ("storage.luks", "name", luks["name"])
            yield Finding(Rule.WIPE, "error", f"storage.luks.{index}", message, hint, subject, luks["device"])


def _ephemeral(storage: dict[str, Any]) -> Callable[[str], bool]:
    """Whether a device is one of a cloud's that comes empty, or made of such ones by this config."""
    made: set[str] = set()

    def is_ephemeral(device: str) -> bool:
        return device.startswith(_INSTANCE_STORAGE) or device in made

    for disk in filter(lambda disk: is_ephemeral(disk["device"]), storage.get("disks", [])):
        labels = filter(None, (partition.get("label") for partition in disk.get("partitions", [])))
        made.update(f"/dev/disk/by-partlabel/{label}" for label in labels)
    for array in storage.get("raid", []):
        if all(map(is_ephemeral, array["devices"])):
            made.add(_array(array))
    for luks in storage.get("luks", []):
        if is_ephemeral(luks["device"]):
            made.update((f"/dev/mapper/{luks['name']}", f"/dev/disk/by-id/dm-name-{luks['name']}"))
    return is_ephemeral


def _array(array: dict[str, Any]) -> str:
    """Where an array appears (raid.go)."""
    name: str = array["name"]
    return name if name.startswith("/dev") else f"/dev/md/{name}"


def _disks(storage: dict[str, Any]) -> Iterator[Finding]:
    """What Ignition's disks stage, which comes before the wipe, makes once more or refuses when it is there already
    (coreos/ignition 2.24, internal/exec/stages/disks; `tests/vm/test_disks.py` runs each case twice).

    The last good config stops at the same place: a machine doesn't go back from there by itself.
    """
    for index, disk in enumerate(storage.get("disks", [])):
        device, partitions = disk["device"], disk.get("partitions", [])
        taken = {partition.get("number", 0) for partition in partitions}
        free = (number for number in range(1, 1 << 16) if number not in taken)
        for part, partition in enumerate(partitions):
            if partition.get("number") or disk.get("wipeTable"):
                continue
            label = partition["label"]  # Ignition's validation asks for a number or a label
            message = (
                f"partition {label!r} of {device} has no number: each run makes another one, and fails once none fits"
            )
            hint = f"set its number, {next(free)} if `lsblk` on the machine shows no other"
            subject = ("storage.disks", "label", label)
            where = f"storage.disks.{index}.partitions.{part}"
            yield Finding(Rule.DISKS, "error", where, message, hint, subject, device)
    for index, array in enumerate(storage.get("raid", [])):
        message = f"the array {array['name']} is created anew by each run: that fails, or takes old data for new ones"
        hint = (
            "mdadm finds it busy where it is assembled, and else copies the first member, be it the one that failed; "
            f"make it once, by a unit: `blkid -p {array['devices'][0]} || mdadm --create {_array(array)} …`"
        )
        subject = ("storage.raid", "name", array["name"])
        yield Finding(Rule.DISKS, "error", f"storage.raid.{index}", message, hint, subject, _array(array))
    for index, luks in enumerate(storage.get("luks", [])):
        problem = None if luks.get("wipeVolume") else _refused_volume(luks)
        if problem is not None:
            message, hint = problem
            subject = ("storage.luks", "name", luks["name"])
            text = f"the encrypted volume {luks['name']} {message}"
            yield Finding(Rule.DISKS, "error", f"storage.luks.{index}", text, hint, subject, luks["device"])
    for index, filesystem in enumerate(storage.get("filesystems", [])):
        device = filesystem["device"]
        if filesystem.get("format") == "none" and not filesystem.get("wipeFilesystem"):
            message = f"{device} has the format none: once a file system is on it, the next run fails"
            hint = "leave this entry out: Ignition makes nothing on a device that it isn't told of"
            subject = ("storage.filesystems", "device", device)
            yield Finding(Rule.DISKS, "error", f"storage.filesystems.{index}", message, hint, subject, device)


def _refused_volume(luks: dict[str, Any]) -> tuple[str, str] | None:
    """Why `reuseLuksDevice` refuses a volume that an earlier run made, and what to do."""
    clevis = luks.get("clevis", {})
    if clevis.get("tang") or clevis.get("tpm2") or clevis.get("custom", {}).get("pin"):
        return (
            "is bound by clevis: Ignition refuses such a volume when it is there already",
            "give it a key_file instead, and bind it by a unit (`clevis luks bind`)",
        )
    if not luks.get("keyFile", {}).get("source"):
        return (
            "has no key_file: each run makes a new key, and Ignition refuses the volume that the last one made",
            "give it a key_file",
        )
    if (luks.get("uuid") or "") != (luks.get("uuid") or "").lower():
        return (
            "has a UUID in capitals: cryptsetup gives it in small letters, and Ignition refuses the volume as another",
            "write the UUID in small letters",
        )
    return None


def _remote(storage: dict[str, Any], ignition: dict[str, Any]) -> Iterator[Finding]:
    """What is fetched while Ignition runs is fetched after the wipe: if that fails, the machine waits in its initrd."""
    section = ignition.get("config", {})
    if section.get("replace", {}).get("source") is not None:
        message = "the config replaces itself by another one: what is checked here never runs, nor is it proven to run"
        hint = "point the machine at that config itself"
        subject: Subject = ("ignition", "source", section["replace"]["source"])
        yield Finding(Rule.REPLACE, "error", "ignition.config.replace", message, hint, subject)
    resources = [(f"ignition.config.merge.{i}", resource) for i, resource in enumerate(section.get("merge", []))]
    for index, file in enumerate(storage.get("files", [])):
        resources.append((f"storage.files.{index}.contents", file.get("contents", {})))
        resources += [
            (f"storage.files.{index}.append.{i}", resource) for i, resource in enumerate(file.get("append", []))
        ]
    for index, luks in enumerate(storage.get("luks", [])):
        resources.append((f"storage.luks.{index}.keyFile", luks.get("keyFile", {})))
    for path, resource in resources:
        source = resource.get("source") or ""
        if source and not source.lower().startswith("data:"):
            shown = without_secrets(source).partition("?")[0]
            message = f"{shown} is fetched after the wipe: if it can't be, the machine stays down"
            if resource.get("verification", {}).get("hash"):
                hint = "put it where the machine's object is, which has to be there anyway"
            else:
                hint = "put short contents into the config (local:, inline:), long ones where the machine's object is, "
                hint += "with a verification.hash"
            subject = (path.partition(".")[0], "source url", source)
            yield Finding(Rule.REMOTE, "warning", path, message, hint, subject)


def _extensions(storage: dict[str, Any], is_kept: Callable[[str], bool]) -> Iterator[Finding]:
    """Flatcar's own extensions that the initramfs downloads where their images are gone, and else fails the boot
    (flatcar/bootengine, initrd-setup-root-after-ignition)."""
    for index, file in enumerate(storage.get("files", [])):
        if file["path"] != _ENABLED_EXTENSIONS:
            continue
        names = [line for line in map(str.strip, _text(file).splitlines()) if line and not line.startswith(("#", "-"))]
        gone = [name for name in names if not is_kept(f"{_EXTENSIONS}/flatcar-{name}-0.raw")]
        if gone:
            message = f"Flatcar's extension {', '.join(gone)} is downloaded after the wipe: if it can't be, the "
            message += "machine stays down"
            subject = ("storage", "path", _ENABLED_EXTENSIONS)
            hint = "keep its image, which belongs to the OS: keep: [flatcar-extensions]"
            yield Finding(Rule.REMOTE, "warning", f"storage.files.{index}", message, hint, subject)


def _login(config: dict[str, Any], user: str, situation: Situation) -> Iterator[Finding]:
    """Whether the key that logs in is there, where that is known; where it isn't, what is taken for granted."""
    users = config.get("passwd", {}).get("users", [])
    files = config.get("storage", {}).get("files", [])
    given = [key for entry in users if entry["name"] == user for key in entry.get("sshAuthorizedKeys", [])]
    given += [_text(file) for file in files if file["path"].startswith(f"/home/{user}/.ssh/")]
    keys = {key for text in given for key in _PUBLIC_KEY.findall(text)}
    others = _other_logins(given, files)
    subject = ("passwd", "name", user)
    hint = f"give {user} ssh_authorized_keys"
    if not given and not others:
        message = f"{user} has no SSH key in the config: after the wipe nobody can log in"
        yield Finding(Rule.LOGIN, "error", "passwd.users", message, hint, subject)
        return
    is_judged = bool(situation.ssh_key) and all(map(_PUBLIC_KEY.search, given))  # else a key's text is not known yet
    if given and (not is_judged or situation.ssh_key in keys):
        return
    if others or situation.other_ssh_keys:
        others = others or "ssh-agent or the SSH configuration of who logs in offers one of them"
        message = (
            f"{user} has other SSH keys in the config than the one that is known to log in"
            if given
            else (f"{user} has no SSH key in the config")
        )
        hint += ": ${ssh_public_key} is the one that is known"
        yield Finding(Rule.LOGIN, "warning", "passwd.users", f"{message}; assumed is that {others}", hint, subject)
        return
    kind, text = situation.ssh_key.split()
    message = f"{user} has other SSH keys in the config than the one that logs in, {kind} …{text[-12:]}"
    hint += ' with that key too ("${ssh_public_key}"), or log in with a key that is there'
    yield Finding(Rule.LOGIN, "error", "passwd.users", f"{message}: the machine would not let it in", hint, subject)


def _other_logins(given: Sequence[str], files: Sequence[dict[str, Any]]) -> str:
    """What else may let somebody in: half a sentence, "" where the config holds nothing of the kind."""
    if any("cert-authority" in text for text in given):
        return "a certificate of the cert-authority there is offered"
    for file in files:
        found = _OTHER_LOGIN.search(_text(file)) if file["path"].startswith("/etc/ssh/") else None
        if found is not None:
            return f"{found[1]} in {file['path']} lets the login in"
    return ""


def _readable_secrets(config: dict[str, Any], secrets: Mapping[str, str]) -> Iterator[Finding]:
    for index, file in enumerate(config.get("storage", {}).get("files", [])):
        if name := secrets.get(where := f"storage.files.{index}"):
            message = f"{file['path']} holds the secret {name!r}, and every user of the machine may read it"
            hint = "give it mode: 0600, and an owner who needs it"
            yield Finding(Rule.SECRET, "warning", where, message, hint, ("storage", "path", file["path"]))
    for index, unit in enumerate(config.get("systemd", {}).get("units", [])):
        if name := secrets.get(where := f"systemd.units.{index}"):
            message = f"the unit {unit['name']} holds the secret {name!r}, and every user of the machine may read it"
            hint = "put it into a file of mode 0600, for EnvironmentFile= or LoadCredential="
            yield Finding(Rule.SECRET, "warning", where, message, hint, ("systemd", "name", unit["name"]))


def _reboots(config: dict[str, Any]) -> Iterator[Finding]:
    """Flatcar reboots after an update, by itself, unless it is told otherwise."""
    units = config.get("systemd", {}).get("units", [])
    masked = {unit["name"] for unit in units if unit.get("mask")}
    files = config.get("storage", {}).get("files", [])
    if masked & {"locksmithd.service", "update-engine.service"}:
        return
    if any(file["path"] in _UPDATE_CONF and _STRATEGY.search(_text(file)) for file in files):
        return
    message = "nothing says when the machine reboots after an update: it may do so in the middle of a rollout"
    hint = f"write REBOOT_STRATEGY=off into {_UPDATE_CONF[0]}"
    yield Finding(Rule.REBOOT, "warning", "storage.files", message, hint, ("storage", "path", _UPDATE_CONF[0]))


def _text(file: dict[str, Any]) -> str:
    """The contents of a text file of the config; "" when they are elsewhere."""
    contents = file.get("contents", {})
    try:
        return decode_data_url(contents.get("source") or "", contents.get("compression")).decode("utf-8", "replace")
    except CheckError:
        return ""
