"""What is said when a machine fails: the cause first, then how far the rollout has come.

Pulumi's own error of a Command begins with an exit code, and names none of the machines that were left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from typing import TYPE_CHECKING

import pulumi

from components import progress
from components.commands.reprovision.request import NEVER_ANSWERED
from components.sdk import all_of, has_error_hooks
from components.settings.part import takes_part

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping, Sequence

    from pulumi_command import local

MOST_NAMED = 12
_UNREACHABLE = re.compile(rf"\Aexit status {NEVER_ANSWERED}:")
_RAN = re.compile(r'\A.*?running "[^"]*":\n', re.DOTALL)
"""What pulumi-command says in front of a Command's own words."""
_STATES = ("proven", "failed", "unreachable", "under way", "not tried")


def options(machine: str) -> pulumi.ResourceOptions | None:
    """For the Command of `machine`, which takes part from now on; None in a preview, in a run that is about others, or
    where the engine is too old."""
    if pulumi.runtime.is_dry_run() or not has_error_hooks() or not takes_part(machine):
        return None
    rollout = _rollout(asyncio.get_running_loop())
    rollout.states[machine] = "not tried"
    return rollout.options


def ended(machine: str, *, proven: bool) -> None:
    """The Command of `machine` has ended well: `proven` by this run, or unchanged since an earlier one."""
    if not pulumi.runtime.is_dry_run() and has_error_hooks() and takes_part(machine):
        _rollout(asyncio.get_running_loop()).states[machine] = "proven" if proven else "unchanged"


def after(
    commands: Mapping[str, local.Command], max_failures: int, *, skips_unreachable: bool
) -> pulumi.Input[Sequence[pulumi.Input[pulumi.Resource]]]:
    """A `depends_on` for who is to follow these Commands, by machine: `sdk.all_of`, but some may fail.

    The engine goes on after a failure with `--continue-on-error` alone, and leaves out what has an edge to a failed
    Command: so there is one to a failed or left-out Command where this rollout is to end, and none else.
    """
    is_strict = not max_failures and not skips_unreachable
    if is_strict or pulumi.runtime.is_dry_run() or not has_error_hooks():
        return all_of(list(commands.values()))
    return asyncio.ensure_future(_followed(commands, max_failures, skips_unreachable=skips_unreachable))


async def _followed(
    commands: Mapping[str, local.Command], max_failures: int, *, skips_unreachable: bool
) -> Sequence[pulumi.Input[pulumi.Resource]]:
    states = _rollout(asyncio.get_running_loop()).states
    proven, unproven = list[pulumi.Resource](), dict[str, pulumi.Resource]()
    for machine, command in commands.items():
        await command.urn.future()
        if await command.stdout.is_known():
            proven.append(command)
        else:
            unproven[machine] = command
    failed = sum(state == "failed" or (state == "unreachable" and not skips_unreachable) for state in states.values())
    is_over = failed > max_failures
    ending = [
        command
        for machine, command in unproven.items()
        if is_over or states.get(machine) not in ("failed", "unreachable")
    ]
    return ending[-1:] or proven[-1:]


async def told(done: Awaitable[None], ended: Sequence[pulumi.Output[None]]) -> None:
    """Wait for the program's machines, then tell once more how far the rollout came, where some were not proven.

    `ended` are the Outputs behind which each Command has called `ended`.
    """
    await done
    if not pulumi.runtime.is_dry_run() and has_error_hooks():
        states = _rollout(asyncio.get_running_loop()).states
        if {"failed", "unreachable"} & set(states.values()):
            await asyncio.gather(*(output.future() for output in ended), return_exceptions=True)
            pulumi.log.warn(f"rollout: {in_words(states)}; the next `pulumi up` tries what isn't proven")


@functools.lru_cache(maxsize=1)
def _rollout(_: asyncio.AbstractEventLoop) -> _Rollout:
    return _Rollout()


class _Rollout:
    """The machines of the program that runs in one loop, each with where it is."""

    def __init__(self) -> None:
        self.states: dict[str, str] = {}
        hook = pulumi.ErrorHook("flatcar-rollout", self._failed)
        self.options = pulumi.ResourceOptions(hooks=pulumi.ResourceHookBinding(on_error=[hook]))

    async def _failed(self, args: pulumi.ErrorHookArgs) -> bool:
        with contextlib.suppress(Exception):  # it would stand in the place of the error itself
            await self._tell(args.name.removesuffix("-reprovision"), args.urn, "".join(args.errors[:1]))
        return False  # it is not tried again at once

    async def _tell(self, failed: str, urn: str, error: str) -> None:
        self.states[failed] = "unreachable" if _UNREACHABLE.match(error) else "failed"
        await progress.catch_up()
        lines = [cause(failed, error)]
        if len(self.states) > 1:
            heard = progress.heard()
            states = {
                machine: "under way" if state == "not tried" and machine in heard else state
                for machine, state in self.states.items()
            }
            lines.append("rollout: " + in_words(states))
        progress.show("\n".join(lines), urn, is_error=True)  # above Pulumi's own


def cause(machine: str, error: str) -> str:
    """The first line of a Command's own words, in pulumi-command's error; of one that was ended, what ended it."""
    said = _RAN.sub("", error).strip()
    return said.splitlines()[0] if said else f"{machine}: the run was ended ({error.partition(': running ')[0]})"


def in_words(states: dict[str, str]) -> str:
    """Such as `proven: db; failed: web; not tried: worker`; machines without a change are left out."""
    named = [(state, [machine for machine, its in states.items() if its == state]) for state in _STATES]
    return "; ".join(f"{state}: {listed(machines)}" for state, machines in named if machines)


def listed(names: Sequence[str]) -> str:
    """Some names; many are counted."""
    left = len(names) - MOST_NAMED
    return ", ".join(names[:MOST_NAMED]) + (f" and {left} more" if left > 0 else "")
