"""What Commands do, shown while they do it: each line at the machine's own resource, whose row has room for words.

A Command's row begins with what of its inputs has changed, which fills a narrow terminal; and what a Command prints
itself is repeated in its error (see `commands.reprovision.followed`).
"""

from __future__ import annotations

import asyncio
import functools

import pulumi
from pulumi.runtime.proto import engine_pb2
from pulumi.runtime.settings import get_engine

from components.commands.reprovision.followed import Follower

POLL_SECONDS = 0.2


def follow(machine: str, resource: pulumi.Resource) -> None:
    """Show at `resource` what the Command of `machine` does. Nothing where it can't be heard."""
    if not pulumi.runtime.is_dry_run() and (shown := _shown(asyncio.get_running_loop())):
        shown.resources[machine] = resource


async def catch_up() -> None:
    """Show what has been told until now."""
    if not pulumi.runtime.is_dry_run() and (shown := _shown(asyncio.get_running_loop())):
        await shown.show()


def show(text: str, urn: str, *, is_error: bool = False) -> None:
    """Show it at the resource `urn`: for the moment, or for good where it is an error."""
    engine = get_engine()
    if engine is not None:
        severity = engine_pb2.ERROR if is_error else engine_pb2.INFO
        engine.Log(engine_pb2.LogRequest(severity=severity, message=text, urn=urn, ephemeral=not is_error))


def heard() -> set[str]:
    """The machines whose Commands have said something."""
    shown = _shown(asyncio.get_running_loop())
    return shown.heard if shown else set()


@functools.lru_cache(maxsize=1)
def _shown(_: asyncio.AbstractEventLoop) -> _Shown | None:
    try:
        follower = Follower(f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}")
    except OSError:
        return None
    return _Shown(follower)


class _Shown:
    """The lines of one program's Commands."""

    def __init__(self, follower: Follower) -> None:
        self.resources: dict[str, pulumi.Resource] = {}
        self.heard: set[str] = set()
        self._follower = follower
        self._task = asyncio.ensure_future(self._go_on())

    async def _go_on(self) -> None:
        while True:
            await self.show()
            await asyncio.sleep(POLL_SECONDS)

    async def show(self) -> None:
        for machine, text in self._follower.lines():
            self.heard.add(machine)
            if machine in self.resources:
                show(text, await self.resources[machine].urn.future() or "")
