"""What all unit tests have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def event_loop() -> Iterator[None]:
    """The event loop that Pulumi's SDK asks for: from Python 3.12 on asyncio makes none by itself, but warns."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()
