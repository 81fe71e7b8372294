"""What this program asks of Pulumi's Python SDK beside resources: quick and quiet programs of a thousand machines.

Each trick has its reason beside it: few Outputs, edges and messages, an end as soon as all is done, and no noise when
something is wrong.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import functools
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import grpc
import pulumi
from pulumi.runtime import resource as sdk_resource
from pulumi.runtime.proto import resource_pb2, source_pb2
from pulumi.runtime.settings import get_root_resource, monitor_supports_feature
from pulumi.runtime.stack import Stack
from pulumi_command import local

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ALL_SAID = 32
"""Exit code on which the language host adds no message of its own (pulumi, sdk/python/cmd/pulumi-language-python)."""


_failed = False


def has_failed() -> bool:
    """Whether the program ends with an error of its own (`plain_errors`)."""
    return _failed


def is_program() -> bool:
    """Whether this is a program, and no plugin that makes components for one, which doesn't know its end."""
    return isinstance(get_root_resource(), Stack)


def has_hooks() -> bool:
    """Whether the engine calls hooks of this program or plugin; Pulumi 3.182 and newer does."""
    return bool(monitor_supports_feature(resource_pb2.RESOURCE_MONITOR_FEATURE_RESOURCE_HOOKS))


def has_error_hooks() -> bool:
    """Whether it calls one when a resource fails."""
    return bool(monitor_supports_feature(resource_pb2.RESOURCE_MONITOR_FEATURE_ERROR_HOOKS))


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """A `pulumi.RunError` within is shown and ends the program; without this an "unhandled error" would stand below."""
    global _failed
    try:
        yield
    except pulumi.RunError as error:
        _failed = True
        pulumi.log.error(str(error))
        sys.exit(ALL_SAID)


def hold_packages() -> None:
    """Keep set-up (`toolchain/bootstrap`) from changing this Python's packages while the program runs.

    The program has a shared lock on the folder of its virtual environment, which set-up has to have alone.
    """
    if sys.prefix != sys.base_prefix:
        fcntl.flock(os.open(sys.prefix, os.O_RDONLY), fcntl.LOCK_SH)


async def settled(resources: Sequence[pulumi.Resource]) -> None:
    """Wait until every resource is registered or has failed; failures are reported elsewhere.

    For `pulumi.run`, at a program's end. The SDK's own wait for what a program has left open looks at every unfinished
    Output each time one finishes: of the time of a thousand machines that was the largest part.

    When a resource has failed, or the user gives up, the engine sends SIGINT to a program that still waits for others:
    it ends without a word then, where Python would print a traceback.
    """
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, os._exit, ALL_SAID)
    await asyncio.gather(*(resource.urn.future() for resource in resources), return_exceptions=True)


SDK_DEBUG = "FLATCAR_SDK_DEBUG"


def mute_sdk() -> None:
    """Keep the SDK's debug messages, which `pulumi --debug` alone shows, from the engine; not with $FLATCAR_SDK_DEBUG.

    The program would send 23 of them for each machine, one after the other, and wait for the engine's answer each time.
    """
    if not os.environ.get(SDK_DEBUG):
        pulumi.log.debug = _say_nothing


def share_channels() -> None:
    """One connection for each address: the SDK (3.272) opens two more for each component that a plugin makes."""
    made: dict[str, grpc.Channel] = {}
    make = grpc.insecure_channel

    def channel(target: str, *arguments: Any, **options: Any) -> grpc.Channel:
        if target not in made:
            made[target] = make(target, *arguments, **options)
        return made[target]

    grpc.insecure_channel = channel


def _say_nothing(
    msg: str,
    resource: pulumi.Resource | None = None,
    stream_id: int | None = None,
    ephemeral: bool | None = None,
) -> None:
    """In the place of `pulumi.log.debug`."""


def named(name: str, opts: pulumi.ResourceOptions | None) -> str:
    """The name of what a stack shares: below a component, of which a stack may have several, that one's with it."""
    parent = opts.parent if opts is not None else None
    return name if parent is None else f"{parent.pulumi_resource_name}-{name}"


def leave_out_stack_traces() -> None:
    """Keep the SDK from noting for each resource which lines of Python made it; not with $FLATCAR_SDK_DEBUG.

    These were a quarter of the state, name this computer's folders, and nobody reads them.
    """
    if not os.environ.get(SDK_DEBUG) and hasattr(sdk_resource, "_get_stack_trace"):
        sdk_resource._get_stack_trace = source_pb2.StackTrace  # noqa: SLF001 - there is no option


def json_text(document: dict[str, Any]) -> pulumi.Output[str]:
    """A document with Outputs in it as JSON: `Output.json_dumps`, but constants stay constants.

    The SDK's own makes several Outputs out of every key and every value, and looks at all unfinished Outputs of a
    program each time when one finishes.
    """
    outputs: list[pulumi.Output[Any]] = []
    _collect(document, outputs)
    return pulumi.Output.all(*outputs).apply(lambda values: json.dumps(_filled(document, iter(values))))


def _collect(value: Any, outputs: list[pulumi.Output[Any]]) -> None:
    if isinstance(value, pulumi.Output):
        outputs.append(value)
    elif isinstance(value, dict):
        for inner in value.values():
            _collect(inner, outputs)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _collect(inner, outputs)


def _filled(value: Any, values: Any) -> Any:
    if isinstance(value, pulumi.Output):
        return next(values)
    if isinstance(value, dict):
        return {name: _filled(inner, values) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_filled(inner, values) for inner in value]
    return value


class KeptOutput(local.Command):
    """What the shell command `make` prints when the resource is made: `text`.

    Whatever changes here, `make` included, the old text stays; only another `replacement_trigger` in `opts` makes a new
    one. It is not printed on the screen (`logging` none), but lies in the state: in plain text unless `secret`.
    """

    text: pulumi.Output[str]

    def __init__(
        self,
        name: str,
        make: pulumi.Input[str],
        opts: pulumi.ResourceOptions | None = None,
        *,
        secret: bool = False,
    ) -> None:
        kept = pulumi.ResourceOptions(
            ignore_changes=["create"], additional_secret_outputs=["stdout"] if secret else None
        )
        super().__init__(
            name,
            create=make,
            update='printf %s "$PULUMI_COMMAND_STDOUT"',
            logging=local.Logging.NONE,
            opts=pulumi.ResourceOptions.merge(kept, opts),
        )
        text = self.stdout.apply(str.strip)
        self.text = pulumi.Output.secret(text) if secret else text


def all_of(resources: Sequence[local.Command]) -> pulumi.Input[Sequence[pulumi.Input[pulumi.Resource]]]:
    """A `depends_on` that waits until every one of `resources` is done, and records an edge to the last one alone.

    A wave of 250 machines after another has 250 edges so, not 62,500, which would be in the state as well. Order and
    failure are the same: a resource isn't registered before everything it waits for is, nor when some of that failed.
    With `--continue-on-error` it is registered, with an edge to one that failed: then the engine leaves it out.
    """
    return _registered(tuple(resources)) if len(resources) > 1 else list(resources)


@functools.lru_cache(maxsize=8)  # the machines of a wave ask one after the other
def _registered(resources: tuple[local.Command, ...]) -> asyncio.Future[Sequence[pulumi.Input[pulumi.Resource]]]:
    async def wait() -> Sequence[pulumi.Input[pulumi.Resource]]:
        of = resources[-1]
        for resource in resources:
            await resource.urn.future()
            # a preview doesn't know what a Command will print; an update does, unless it failed
            if not pulumi.runtime.is_dry_run() and not await resource.stdout.is_known():
                of = resource
        return [of]

    return asyncio.ensure_future(wait())
