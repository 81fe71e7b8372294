"""What may be shown of a config, also where a part of it is known late."""

from __future__ import annotations

import asyncio
from typing import Any

import pulumi
import pytest

from components.payload.wanted_config import known_summary

FILES = {"/etc/a": {"contents": "text", "mode": "0644"}}


@pytest.mark.parametrize(
    ("late", "whole"), [({}, {"files": FILES}), ({"units": {"a": 1}}, {"files": FILES, "units": {"a": 1}})]
)
def test_a_summary_is_known_once_its_late_parts_are(late: dict[str, Any], whole: dict[str, Any]) -> None:
    async def known() -> Any:
        parts = {name: pulumi.Output.from_input(section) for name, section in late.items()}
        return await known_summary({"files": FILES, **parts}).future()

    assert asyncio.get_event_loop().run_until_complete(known()) == whole


def test_nothing_plain_becomes_an_output(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    from_input = pulumi.Output.from_input

    def noted(value: Any) -> Any:
        made.append(value)
        return from_input(value)

    monkeypatch.setattr(pulumi.Output, "from_input", noted)

    async def known() -> Any:
        return await known_summary({"files": FILES}).future()

    assert asyncio.get_event_loop().run_until_complete(known()) == {"files": FILES}
    assert "text" not in made and FILES not in made
