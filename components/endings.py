"""How a Pulumi program ends: soon when all is done, and without noise when something is wrong."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from typing import TYPE_CHECKING

import pulumi

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALL_SAID = 32
"""Exit code on which the language host adds no message of its own (pulumi, sdk/python/cmd/pulumi-language-python)."""


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """A `pulumi.RunError` within is shown and ends the program; without this an "unhandled error" would stand below."""
    try:
        yield
    except pulumi.RunError as error:
        pulumi.log.error(str(error))
        sys.exit(ALL_SAID)


async def settled(resources: Sequence[pulumi.Resource]) -> None:
    """Wait until every resource is registered or has failed; failures are reported elsewhere.

    For `pulumi.run`, at a program's end. The SDK's own wait for what a program has left open looks at every unfinished
    Output each time one finishes: of the time of a thousand machines that was the largest part.

    When a resource has failed, or the user gives up, the engine sends SIGINT to a program that still waits for others:
    it ends without a word then, where Python would print a traceback.
    """
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, os._exit, ALL_SAID)
    await asyncio.gather(*(resource.urn.future() for resource in resources), return_exceptions=True)
