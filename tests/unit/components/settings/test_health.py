"""How health checks are read, and what is wrong with them."""

from __future__ import annotations

from typing import Any

import pytest

from components.config.section import Section
from components.settings.health import health_checks, health_problems


def test_health_checks_of_all_kinds_are_read() -> None:
    problems: list[str] = []
    section = Section(
        "flatcar:machines.web.health",
        {
            "commands": [{"command": "true"}],
            "http": [{"url": "http://{address}:8080/", "status": 204, "from": "operator", "seconds": 5}],
            "tcp": [{"port": 22}, {"port": "10.0.0.1:53", "name": "dns"}],
            "units": ["web.service"],
        },
        problems,
    )
    checks = health_checks(section)
    section.finish()
    assert problems == []
    assert [(check.kind, check.name, check.subject, check.vantage) for check in checks] == [
        ("command", "true", "true", "machine"),
        ("http", "http://{address}:8080/", "http://{address}:8080/", "operator"),
        ("tcp", "port 22", "22", "machine"),
        ("tcp", "dns", "10.0.0.1:53", "machine"),
        ("unit", "web.service", "web.service", "machine"),
    ]
    assert (checks[1].expected, checks[1].seconds) == ("204", 5)


@pytest.mark.parametrize(
    ("health", "key"),
    [
        ({"http": [{"url": "ftp://x/"}]}, "http[0].url"),
        ({"http": [{"url": "http://x/", "from": "moon"}]}, "http[0].from"),
        ({"tcp": [{"port": 70000}]}, "tcp[0].port"),
        ({"tcp": [{"port": "x;reboot:22"}]}, "tcp[0].port"),
        ({"units": ["web service; reboot"]}, "units"),
        ({"commands": [{"name": "x"}]}, "commands[0].command"),
    ],
)
def test_wrong_health_checks_are_told_by_their_keys(health: dict[str, Any], key: str) -> None:
    problems: list[str] = []
    machine = Section("flatcar:machines.web", {"health": health}, problems)
    machine.value_problems(health_problems(health_checks(machine.section("health"))))
    assert len(problems) == 1
    assert f"health.{key}" in problems[0]
