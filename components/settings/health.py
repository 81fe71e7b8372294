"""`health` of a machine: read from a stack's config, and what is wrong with checks wherever they come from."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from components.commands.reprovision.request import HealthCheck
from components.config.section import bounds_problem, choice_problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from components.config.section import Section

VANTAGES = ("machine", "operator")
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]+\.(service|socket|target|timer|mount|path|device|swap|slice|scope)")
_ENDPOINT = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.-]*:)?([0-9]{1,5})")
_DEFAULT_SECONDS = 30
_THE_MACHINE = "address"
_WEB_PORTS = {"http": 80, "https": 443}


def health_checks(section: Section) -> tuple[HealthCheck, ...]:
    """All checks of a `health` section: its commands, then http, tcp, units. What is no text goes to its problems."""
    return (
        *(_command(check) for check in section.sections("commands")),
        *(_http(check) for check in section.sections("http")),
        *(_tcp(check) for check in section.sections("tcp")),
        *(
            HealthCheck(kind="unit", name=name, subject=name, seconds=_DEFAULT_SECONDS)
            for name in section.texts("units")
        ),
    )


def _command(section: Section) -> HealthCheck:
    command = section.text("command")
    return _finished(
        section, HealthCheck(name=section.text("name", command), subject=command, seconds=_seconds(section))
    )


def _http(section: Section) -> HealthCheck:
    url = section.text("url")
    check = HealthCheck(
        kind="http",
        name=section.text("name", url),
        subject=url,
        expected=str(section.whole_number("status", 200)),
        vantage=section.text("from", VANTAGES[0]),
        seconds=_seconds(section),
    )
    return _finished(section, check)


def _tcp(section: Section) -> HealthCheck:
    endpoint = section.text_or_integer("port", "")
    check = HealthCheck(
        kind="tcp",
        name=section.text("name", f"port {endpoint}"),
        subject=endpoint,
        vantage=section.text("from", VANTAGES[0]),
        seconds=_seconds(section),
    )
    return _finished(section, check)


def _seconds(section: Section) -> int:
    return section.whole_number("seconds", _DEFAULT_SECONDS)


def _finished(section: Section, check: HealthCheck) -> HealthCheck:
    section.finish()
    return check


def health_problems(
    checks: Sequence[HealthCheck], unreachable: Callable[[int], str | None] = lambda _port: None
) -> Iterator[tuple[str, str]]:
    """What is wrong with checks, by the keys of a stack's config: `health.http[0].url` is the first http check's.

    `unreachable` tells of a machine's TCP port why the operator's computer can't reach it, or None.
    """
    numbers = Counter[str]()
    for check in checks:
        if (wrong := choice_problem(check.kind, tuple(_KINDS))) is not None:
            yield "health", f"the kind of the check {check.name!r} {wrong}"
            continue
        kind = _KINDS[check.kind]
        item = f"health.{kind.key}" + (f"[{numbers[check.kind]}]." if kind.subject else "")
        numbers[check.kind] += 1
        of_check = {
            kind.subject: kind.problem(check.subject),
            "status": _status_problem(check.expected) if check.kind == "http" else None,
            "from": choice_problem(check.vantage, kind.vantages),
            "seconds": bounds_problem(check.seconds, 1, 3600),
        }
        if not any(of_check.values()) and (port := _port_asked_from_here(check)) and (why := unreachable(port)):
            of_check["from"] = f"'operator' asks port {port} from this computer, and {why}; or ask from: machine"
        for name, problem in of_check.items():
            if problem is not None:
                yield (f"{item}{name}", problem) if kind.subject else (item, problem)


def _port_asked_from_here(check: HealthCheck) -> int | None:
    """The machine's TCP port that a check asks from the operator's computer; None for one that asks something else."""
    if check.vantage == "machine":
        return None
    if check.kind == "tcp":
        return int(check.subject) if ":" not in check.subject else None
    address = urlsplit(check.subject.replace("{address}", _THE_MACHINE))
    return (address.port or _WEB_PORTS[address.scheme]) if address.hostname == _THE_MACHINE else None


def _command_problem(command: str) -> str | None:
    return None if command else "is missing"


def _url_problem(url: str) -> str | None:
    try:
        address = urlsplit(url.replace("{address}", _THE_MACHINE))
        valid = address.scheme in ("http", "https") and bool(address.hostname)
    except ValueError:
        valid = False
    return None if valid else f"has to be an http or https address, not {url!r}" if url else "is missing"


def _status_problem(status: str) -> str | None:
    return None if re.fullmatch(r"[1-5][0-9][0-9]", status) else "has to be 100 to 599"


def _endpoint_problem(endpoint: str) -> str | None:
    match = _ENDPOINT.fullmatch(endpoint)
    if match is not None and 1 <= int(match[1]) <= 65535:
        return None
    return f"has to be a port, or host:port, not {endpoint!r}"


def _unit_problem(name: str) -> str | None:
    return None if _UNIT.fullmatch(name) else f"{name!r} is not a unit's full name, such as web.service"


class _Kind(NamedTuple):
    """A kind of check: its list in a stack's config, the key in an entry that says what is asked ("": the entry)."""

    key: str
    subject: str
    problem: Callable[[str], str | None]
    vantages: tuple[str, ...] = VANTAGES[:1]


_KINDS = {
    "command": _Kind("commands", "command", _command_problem),
    "http": _Kind("http", "url", _url_problem, VANTAGES),
    "tcp": _Kind("tcp", "port", _endpoint_problem, VANTAGES),
    "unit": _Kind("units", "", _unit_problem),
}
