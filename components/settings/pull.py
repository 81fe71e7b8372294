"""`pull` of a machine, where an agent asks the object for changes: read from a stack's config, and what is wrong."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cl.transpiler.gourl import without_secrets
from components.commands.reprovision.pulling import STORE
from components.config.section import bounds_problem, choice_problem
from components.settings.ssh import PUBLIC_KEY, without_comment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from components.config.section import Section

WAITS = ("no", "ssh", "report")
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
DAY_MINUTES = 24 * 60
WEEK_MINUTES = 7 * DAY_MINUTES

_GROUP = re.compile(r"[a-zA-Z0-9.-]+")  # the protocol's own rule
_DAY = "(?:" + "|".join(DAYS) + ")"
_TIME = r"([01]\d|2[0-3]):([0-5]\d)"
_WINDOW = re.compile(rf"(?:({_DAY}(?:-{_DAY})?(?:,{_DAY}(?:-{_DAY})?)*) )?{_TIME}-(?:{_TIME}|(24):(00))")


@dataclass(frozen=True, slots=True, kw_only=True)
class PullSettings:
    """How a machine pulls.

    It asks at least every `interval` seconds. It takes a new config inside one of `windows` (minutes of the week since
    Monday 00:00 UTC, first and end; none: always), after up to `jitter` seconds at random, and holding the FleetLock at
    `lock` in `lock_group` ("" for none). It puts its reports to the address `report` ("" for none), or into the store
    (`STORE`). `wait` says what `pulumi up` waits for: "no", "ssh" or "report".
    `signers` are public keys (`TYPE BASE64`); a machine whose running config names some takes a config only if one of
    them signed it. `signed_by` is the one that signs; "" for the first of them whose private half is found.
    """

    interval: int = 300
    windows: tuple[tuple[int, int], ...] = ()
    jitter: int = 600
    lock: str = ""
    lock_group: str = "default"
    report: str = ""
    wait: str = "no"
    signers: tuple[str, ...] = ()
    signed_by: str = ""

    @property
    def signing_keys(self) -> tuple[str, ...]:
        """The keys of which one signs the object; () for one that is not signed."""
        return (self.signed_by,) if self.signed_by else self.signers

    @property
    def sensitive(self) -> tuple[str, ...]:
        """The settings whose address others should not read, as it has a login or a signature in it."""
        addresses = {"pull.lock": self.lock, "pull.report": self.report}
        return tuple(name for name, address in addresses.items() if address != without_secrets(address))

    def shown(self) -> dict[str, object]:
        """For previews: without what an address may hold beside its host and path."""
        return {
            "interval": self.interval,
            "jitter": self.jitter,
            "windows": [f"{_moment(first)} - {_moment(end)}" for first, end in self.windows],
            "lock": f"{without_secrets(self.lock)} ({self.lock_group})" if self.lock else "",
            "report": without_secrets(self.report),
            "wait": self.wait,
            **({"signers": list(self.signers)} if self.signers else {}),
            **({"signedBy": self.signed_by} if self.signed_by else {}),
        }


def pull_settings(section: Section, name: str) -> PullSettings:
    """Read `pull` of the machine `name`; problems go to the section's list."""
    defaults = PullSettings()
    lock = section.section("lock")
    settings = PullSettings(
        interval=section.whole_number("interval", defaults.interval),
        windows=_windows(section),
        jitter=section.whole_number("jitter", defaults.jitter),
        lock=lock.text("url", required=bool(lock.names())),
        lock_group=lock.text("group", defaults.lock_group),
        report=section.text("report").replace("{machine}", name),
        wait=section.text("wait", defaults.wait),
        signers=tuple(map(without_comment, section.texts("signers"))),
        signed_by=without_comment(section.text("signed_by")),
    )
    lock.finish()
    section.finish()
    return settings


def pull_problems(pull: PullSettings) -> Iterator[tuple[str, str]]:
    """What is wrong with how a machine pulls, by the keys of a stack's config."""
    bounds = {"interval": bounds_problem(pull.interval, 10, 86400), "jitter": bounds_problem(pull.jitter, 0, 86400)}
    for name, problem in (*bounds.items(), ("wait", choice_problem(pull.wait, WAITS))):
        if problem is not None:
            yield f"pull.{name}", problem
    for first, end in pull.windows:
        if not 0 <= first < end <= WEEK_MINUTES:
            yield "pull.window", f"'{_moment(first)} - {_moment(end)}' is empty; the whole day is 00:00-24:00"
            break
    for name, address, other in (("lock.url", pull.lock, ""), ("report", pull.report, STORE)):
        if address and address != other and not _is_address(address):
            way = f"; or {other!r}, for the bucket that has its object" if other else ""
            yield f"pull.{name}", f"has to be an http or https address, not {without_secrets(address)!r}{way}"
    if not _GROUP.fullmatch(pull.lock_group):
        yield "pull.lock.group", f"{pull.lock_group!r} is not a FleetLock group: letters, digits, '.' and '-'"
    if pull.lock_group != PullSettings().lock_group and not pull.lock:
        yield "pull.lock.url", "is missing"
    if pull.wait == "report" and not pull.report:
        yield "pull.wait", "'report' needs an address to read reports from: set report, or wait for ssh"
    for name, key in (*(("signers", key) for key in pull.signers), ("signed_by", pull.signed_by)):
        if key and not PUBLIC_KEY.fullmatch(key):
            yield (
                f"pull.{name}",
                f"{key!r} is not an SSH public key of one line (ssh-ed25519 AAAA…), as in id_ed25519.pub",
            )
    if pull.signers and pull.signed_by not in ("", *pull.signers):
        yield "pull.signed_by", "is none of signers: the machine could not prove a config that it then refuses"


def _is_address(text: str) -> bool:
    try:
        address = urlsplit(text)
        valid = address.port is None or address.port > 0
    except ValueError:
        return False
    is_one_word = text.isprintable() and " " not in text
    return valid and address.scheme in ("http", "https") and bool(address.hostname) and is_one_word


def _moment(minute: int) -> str:
    """`Mon 02:00`; the week's last end is `Sun 24:00`."""
    day, rest = divmod(minute, DAY_MINUTES)
    return f"{DAYS[day]} {rest // 60:02}:{rest % 60:02}" if day < len(DAYS) else "Sun 24:00"


def _windows(section: Section) -> tuple[tuple[int, int], ...]:
    windows: list[tuple[int, int]] = []
    text = section.text("window")
    for part in filter(None, (part.strip() for part in text.split(";"))):
        match = _WINDOW.fullmatch(part)
        if match is None:
            section.problem(
                "window", f"{part!r} is not a window such as 'Mon-Fri 02:00-04:00' (UTC; without days: every day)"
            )
            continue
        hours = [int(group) for group in match.groups()[1:] if group is not None]
        first, end = hours[0] * 60 + hours[1], hours[2] * 60 + hours[3]
        length = end - first if end >= first else end - first + DAY_MINUTES
        for day in _days(match[1] or "Mon-Sun"):
            windows += _pieces(day * DAY_MINUTES + first, length)
    return tuple(sorted(windows))


def _days(text: str) -> list[int]:
    days = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        start = DAYS.index(first)
        days += [(start + step) % 7 for step in range((DAYS.index(last or first) - start) % 7 + 1)]
    return days


def _pieces(first: int, length: int) -> list[tuple[int, int]]:
    """A window that goes over the end of the week goes on at its start."""
    end = first + length
    return [(first, end)] if end <= WEEK_MINUTES else [(first, WEEK_MINUTES), (0, end - WEEK_MINUTES)]
