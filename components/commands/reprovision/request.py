"""What the program asks of one run of `commands.reprovision`, and what that run answers. Standard library only."""

from __future__ import annotations

import json
import re
import sys
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.commands.objects.content import Content
from components.commands.objects.content_file import path_of, sha512_of
from components.commands.objects.folder import FolderWriter, NoAccessError
from components.commands.objects.packing import unpacked
from components.commands.reprovision.followed import Followed
from components.commands.reprovision.live_plan import LiveSettings
from components.commands.reprovision.log import Log
from components.commands.reprovision.manifest import Manifest
from components.commands.ssh_session import SshTarget
from components.commands.untrusted import printable, shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from components.commands.objects.folder import ObjectWriter


PRIVATE = ("health", "drain", "restore", "report", "salt")
"""Fields of a request that may hold secrets. They don't change with a config, so that Pulumi encrypts them once."""
PRIVATE_VARIABLE = "PULUMI_FLATCAR_PRIVATE"
"""Where a Command finds them: its stdin is plain in the state. Of Pulumi's names, which no child is given."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """Something that has to hold within `seconds`, asked again and again.

    | kind    | subject                                   | holds when                                               |
    |---------|-------------------------------------------|----------------------------------------------------------|
    | command | shell text, run as the login user         | its exit code is 0                                       |
    | http    | a URL; `{address}` is the machine's       | the status is `expected`                                 |
    | tcp     | a port, or host:port                      | the connection is accepted                               |
    | unit    | a systemd unit                            | `systemctl is-active` says so                            |
    `vantage`: "machine" asks on the machine itself, "operator" (http and tcp) from this computer.
    """

    name: str
    subject: str
    seconds: int
    kind: str = "command"
    expected: str = "200"
    vantage: str = "machine"


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What stdin holds, in the order of its keys: another order is another text, which runs each Command once.

    `content` is the object (`object_sha512` and `object_bytes` on stdin), `manifest` what it declares, packed
    (`packing`). `version` tells its writes apart (`stores.StoredObject`), `place` is where it is kept as far as this
    computer can write there. `timeout` is in seconds, for the first answer and again for the way through the reboot.
    `rollback_after` (seconds after a boot; 0: never) is when a machine rolls back to its last good config by itself.
    `pause` is waited before a machine is taken down, `drain` runs on this computer before that, `restore`
    after the proof.
    `oem` is what a host without user data has in /oem/config.ign: "config" itself, or the "pointer" (`user_data`); ""
    where user data leads to the object.
    `pull` is "" for a machine that is pushed to; for one that pulls, what to wait for: "no", "ssh" or "report", which
    lies at the address `report`.
    `signers` are public keys of which one has signed the object (`sign`); none where it is not signed.
    `os_update` ("allow" or "refuse") is for an update of the OS that waits for the reboot. `owner` is whom the machine
    is to belong to (`ORGANIZATION/PROJECT/STACK/MACHINE`); `take_over`: even if it belongs to another one.
    `host_key` is the SSH host key where the stack's config knows it, as `TYPE BASE64`.
    `salt` is mixed into a config with secrets; `unsalted` is `salted_digest` of the id that it had without that.
    `live` is what the machine's settings say of the lifecycle `live`.
    `power_on` names the machine's power-on where the platform counts them: after another one it has to be proven anew.
    """

    machine: str
    config_id: str
    source: str
    content: Content
    manifest: str = ""
    version: str = ""
    place: ObjectWriter | None
    lifecycle: str
    keep: tuple[str, ...]
    target: SshTarget
    host_key: str = ""
    health: tuple[HealthCheck, ...] = ()
    allow_degraded: bool
    timeout: float
    rollback_after: float
    pause: float
    drain: str = ""
    restore: str = ""
    console_log: str
    console_hint: str
    oem: str = ""
    user_data: str = ""
    pull: str = ""
    report: str = ""
    signers: tuple[str, ...] = ()
    os_update: str = "allow"
    owner: str = ""
    take_over: bool = False
    unsalted: str = ""
    salt: str = ""
    power_on: str = ""
    live: LiveSettings = field(default_factory=LiveSettings)

    @property
    def text(self) -> str:
        """The object's text. Raises `NotProvenError` where it can't be read from here."""
        try:
            return self.content.text
        except (OSError, NoAccessError) as error:
            raise NotProvenError(
                f"the object of {self.machine} can't be read: {error}",
                "nothing was staged; run 'pulumi up', which writes it again",
                rolls_back=False,
            ) from None

    @property
    def oem_config(self) -> str:
        """What /oem/config.ign has to hold; "" where there must be none. Raises as `text`."""
        return self.user_data if self.oem == "pointer" else self.text if self.oem == "config" else ""

    @property
    def oem_config_sha512(self) -> str:
        """SHA-512 (hex) of `oem_config`, "" for none; without a look at the object."""
        return {"pointer": sha512_of(self.user_data), "config": self.object_sha512}.get(self.oem, "")

    @property
    def fetched_from(self) -> str:
        """Where Ignition fetches the object; "" where /oem/config.ign holds it."""
        return "" if self.oem == "config" else self.source

    @property
    def staged_lifecycle(self) -> str:
        """What a re-run of Ignition on the machine does: where a change is not live, it is a reset."""
        return "reset" if self.lifecycle == "live" else self.lifecycle

    @property
    def object_sha512(self) -> str:
        """SHA-512 (hex) of the object's bytes: what a machine checks before it lets itself be wiped."""
        return self.content.sha512

    @property
    def declared(self) -> tuple[str, ...]:
        """What the wanted config declares, as `scripts/preview.sh` has it: `p PATH` and `n NAME` (units, drop-ins).

        Raises as `text`.
        """
        found = re.findall(r'"(path|name)": ?"([^"]+)"', self.text)
        return tuple(dict.fromkeys(f"{kind[0]} {name}" for kind, name in found))

    def read_manifest(self) -> Manifest:
        """What the object declares. Raises KeyError, TypeError or ValueError, or as `text`, where it can't be read."""
        if not self.manifest:  # an earlier version's state has the object itself
            return Manifest.of(json.loads(self.text))
        return Manifest.from_json({**json.loads(unpacked(self.manifest)), "salt": self.salt})

    @classmethod
    def from_json(cls, document: Mapping[str, Any], private: str = "") -> Request:
        """The request in a decoded JSON document; `private` has the fields `PRIVATE` as JSON, "" for none.

        One of an earlier version has all fields in the document, the content itself, packed (`packing`), and the
        `unsalted_id`.
        Raises KeyError, TypeError or ValueError when it is not one.
        """
        fields = {**document, **(json.loads(private) if private else {})}
        if unsalted_id := fields.pop("unsalted_id", ""):
            fields["unsalted"] = salted_digest(unsalted_id, fields.get("salt", ""))
        fields["target"] = SshTarget(**fields["target"])
        fields["live"] = LiveSettings(**fields.get("live", {}))
        fields["place"] = _place(fields["place"])
        fields["content"] = _content(fields)
        fields["keep"] = tuple(fields["keep"])
        fields["health"] = tuple(HealthCheck(**check) for check in fields.get("health", ()))
        fields["signers"] = tuple(fields.get("signers", ()))
        return cls(**fields)


def salted_digest(config_id: str, salt: str) -> str:
    """What may be told of a config id that is a plain hash of secrets: SHA-512 (hex), with the machine's salt in it."""
    return sha512_of(f"{salt} {config_id}")


def _content(fields: dict[str, Any]) -> Content:
    if "content" in fields:
        return Content.of(unpacked(fields["content"]))
    sha512, size, place = str(fields.pop("object_sha512")), int(fields.pop("object_bytes")), fields["place"]
    machines = Path(fields["target"].known_hosts).parent.parent
    path = path_of(machines, fields["machine"], sha512)
    return Content(sha512, size, path=path, fetch=place.get if place is not None else None)


def _place(fields: Mapping[str, str] | None) -> ObjectWriter | None:
    if fields is None:
        return None
    if "bucket" not in fields:
        return FolderWriter(**fields)
    # the largest import of a Command, which one without a bucket does not need
    from components.commands.objects.bucket import BucketWriter

    return BucketWriter(**fields)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What stdout holds at the end. `downtime_seconds` is 0 when the machine did not have to reboot.

    `lost` are the preview's lines about what was deleted and no config declares, shortened; `ended_at` is when the run
    ended (seconds since 1970, 0: not known), which tells one run's from what the state has of an earlier one.
    """

    config_id: str
    boot_id: str
    os_version: str
    host_key: str
    downtime_seconds: float
    failed_units: tuple[str, ...]
    lost: tuple[str, ...] = ()
    ended_at: float = 0.0


NEVER_ANSWERED = 3
"""The exit code of a run that found no machine to do anything to."""


class NotProvenError(Exception):
    """The machine is not proven to run the wanted config: what is wrong, and what to do about it.

    `rolls_back` is False where the machine did not leave its old config: there is nothing to roll back from.
    `back_advice` is what to do instead once the machine has rolled back, "" for the same. `has_booted`: the boot went
    well, so that its messages explain nothing. `is_unreachable`: it never answered, and nothing was done to it.
    """

    def __init__(
        self,
        message: str,
        advice: str,
        *,
        rolls_back: bool = True,
        back_advice: str = "",
        has_booted: bool = False,
        is_unreachable: bool = False,
    ) -> None:
        super().__init__(message)
        self.advice = advice
        self.rolls_back = rolls_back
        self.back_advice = back_advice or advice
        self.has_booted = has_booted
        self.is_unreachable = is_unreachable


MOST_TOLD = 40_960
"""Bytes of progress in one run. Pulumi keeps them and hands them to the next run in its environment, where Linux
lets a variable be 128 KiB long: with what others say besides (`pass_on`), they stay below 100 KiB."""
LONGEST_TOLD = 1_000
MOST_LAST, LONGEST_LAST = 5, 200
"""Lines, and characters of each, that are shown of the end where something was left out."""


class Progress:
    """What a run says while it goes on: one line for each change of state, none for standing still.

    To the program that follows it, if one does (`Followed`): events alone, and what belongs together in one. Else all
    of it to stderr, with seconds since the start. When more was said than `MOST_TOLD`, the rest is in the log alone.
    """

    def __init__(self, machine: str, log: Log | None = None, owner: str = "") -> None:
        self._machine = machine
        self._log = log or Log()
        self._followed = Followed(owner)
        self._start = time.monotonic()
        self._last = ""
        self._left = MOST_TOLD
        self._block: list[str] = []
        self._details: list[str] = []

    def say(self, text: str) -> None:
        """An event, unless it is empty or was the last thing said; its first words are all that a terminal shows."""
        self._say(text, is_event=True)

    def note(self, text: str) -> None:
        """A detail: for the log, and for whoever runs this by hand."""
        self._say(text, is_event=False)

    def pass_on(self, lines: Iterable[str], most: int) -> None:
        """What others said: the first `most` bytes of it, and its last lines; all of it into the log.

        Who follows gets it when the run fails, after the cause.
        """
        has_more = is_told = False
        last: deque[str] = deque(maxlen=MOST_LAST)
        for line in map(printable, lines):
            self._log.add(line)
            shown = shortened(line, LONGEST_TOLD)
            has_more = has_more or shown != line or len(last) == MOST_LAST
            most -= len(shown.encode()) + 1
            if most >= 0:
                self._show(shown)
                continue
            if has_more and not is_told:  # now: what the lines come from may stay open
                self._show(self._log.left_out)
                is_told = True
            last.append(shortened(line, LONGEST_LAST))
        if has_more and not is_told:
            self._show(self._log.left_out)
        for line in last:
            self._show(line)

    @property
    def details(self) -> int:
        """How many lines wait for a failure."""
        return len(self._details)

    def forget(self, details: int) -> None:
        """What was passed on since there were so many is no detail of a failure that comes later."""
        del self._details[details:]

    def end(self) -> None:
        """Say what was put together until now."""
        if self._block:
            self._followed.add("\n".join(self._block))
            self._block.clear()

    def fail(self, *texts: str) -> None:
        """Why the run failed, and what to do about it; then the details that stderr has not got yet."""
        self.end()
        for text in texts:
            line = shortened(f"{self._machine}: {printable(text)}")
            self._log.add(line)
            _print(line)
        for line in self._details:
            _print(line)
        if self._followed and self._log.path:
            _print(f"all that was said: {self._log.path}")

    def _show(self, line: str) -> None:
        if self._followed:
            self._details.append(line)
        else:
            _print(line)

    def _say(self, text: str, *, is_event: bool) -> None:
        text = printable(text)
        if not text.strip() or text == self._last:
            return
        self._last = text
        line = f"{self._machine} {time.monotonic() - self._start:6.1f}s  {text}"
        self._log.add(line)
        if self._left < 0:
            return
        line, text = shortened(line, LONGEST_TOLD), shortened(text, LONGEST_TOLD)
        self._left -= len(line.encode()) + 1
        if not self._followed:
            _print(line if self._left >= 0 else self._log.left_out)
        elif is_event and text.startswith(("will be ", " ")):
            self._block.append(text)  # a list: its first line is the event
        elif is_event:
            self.end()
            self._followed.add(text if self._left >= 0 else self._log.left_out)


def _print(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
