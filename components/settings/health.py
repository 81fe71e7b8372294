"""`health` of a machine in the stack config, as the checks that `commands/health.py` runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from components.commands.reprovision.request import HealthCheck

if TYPE_CHECKING:
    from collections.abc import Sequence

    from components.config.section import Section

VANTAGES = ("machine", "operator")
_UNIT = re.compile(r"[A-Za-z0-9:_.@\\-]+\.(service|socket|target|timer|mount|path|device|swap|slice|scope)")
_ENDPOINT = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.-]*:)?([0-9]{1,5})")
_DEFAULT_SECONDS = 30


def health_checks(section: Section) -> tuple[HealthCheck, ...]:
    """All checks of a `health` section: its commands, then http, tcp, units. Problems go to the section's list."""
    return (
        *(_command(check) for check in section.sections("commands")),
        *(_http(check) for check in section.sections("http")),
        *(_tcp(check) for check in section.sections("tcp")),
        *_units(section, section.texts("units")),
    )


def _command(section: Section) -> HealthCheck:
    command = section.text("command", required=True)
    return _finished(
        section, HealthCheck(name=section.text("name", command), subject=command, seconds=_seconds(section))
    )


def _http(section: Section) -> HealthCheck:
    url = section.text("url", required=True)
    address = urlsplit(url.replace("{address}", "address"))
    if url and (address.scheme not in ("http", "https") or not address.hostname):
        section.problem("url", f"has to be an http or https address, not {url!r}")
    check = HealthCheck(
        kind="http",
        name=section.text("name", url),
        subject=url,
        expected=str(section.integer("status", 200, minimum=100, maximum=599)),
        vantage=section.choice("from", VANTAGES, VANTAGES[0]),
        seconds=_seconds(section),
    )
    return _finished(section, check)


def _tcp(section: Section) -> HealthCheck:
    endpoint = section.text_or_integer("port", "")
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None or not 1 <= int(match[1]) <= 65535:
        section.problem("port", f"has to be a port, or host:port, not {endpoint!r}")
    check = HealthCheck(
        kind="tcp",
        name=section.text("name", f"port {endpoint}"),
        subject=endpoint,
        vantage=section.choice("from", VANTAGES, VANTAGES[0]),
        seconds=_seconds(section),
    )
    return _finished(section, check)


def _units(section: Section, names: Sequence[str]) -> list[HealthCheck]:
    for name in names:
        if not _UNIT.fullmatch(name):
            section.problem("units", f"{name!r} is not a unit's full name, such as web.service")
    return [HealthCheck(kind="unit", name=name, subject=name, seconds=_DEFAULT_SECONDS) for name in names]


def _seconds(section: Section) -> int:
    return section.integer("seconds", _DEFAULT_SECONDS, minimum=1, maximum=3600)


def _finished(section: Section, check: HealthCheck) -> HealthCheck:
    section.finish()
    return check
