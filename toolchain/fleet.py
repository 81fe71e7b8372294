"""`make up`, `preview` and `destroy` of several stacks that share one file of settings, by Pulumi's Automation API.

One stack is changed at a time. The first that fails ends it: those after it are not begun. The next run begins with
the first stack again, and where there is nothing to change goes on with the next one.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pulumi import automation
from pulumi.automation.errors import create_command_error

from toolchain import checkpoints
from toolchain.places import ROOT
from toolchain.steps import SetupError, say

Environments = Mapping[str, Mapping[str, str]]
"""Of each stack by its name, in the stacks' order."""
INTERRUPTED = 130
"""The exit code after a signal, as shells have it for Ctrl-C."""
_ROLLOUT = re.compile(r"rollout: [^<\n]+")
"""What a program says of its rollout at its end (components/rollout.py), without the engine's marks for colors."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Pulumi(automation.PulumiCommand):
    """The `pulumi` of the Automation API, which gets the signals of this program once, and ends what it does in order.

    It is in a process group of its own: else Ctrl-C at a terminal would reach it by the kernel and by us, and the
    second one has it drop everything.
    """

    interrupted = False

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: automation.OnOutput | None = None,
        on_error: automation.OnOutput | None = None,
    ) -> automation.CommandResult:
        """As the class above has it. Raises `automation.CommandError`."""
        pipe = subprocess.PIPE
        with (
            subprocess.Popen(
                [self.command, "--non-interactive", *args],
                stdin=subprocess.DEVNULL,
                stdout=pipe,
                stderr=pipe,
                cwd=cwd,
                env={**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"},
                encoding="utf-8",
                process_group=0,
            ) as process,
            self._signals_go_to(process),
            ThreadPoolExecutor(2) as readers,
        ):
            said = [readers.submit(_lines, process.stdout, on_output), readers.submit(_lines, process.stderr, on_error)]
            stdout, stderr = (one.result() for one in said)
        result = automation.CommandResult(stdout, stderr, process.returncode)
        if result.code:
            raise create_command_error(result)
        return result

    @contextlib.contextmanager
    def _signals_go_to(self, process: subprocess.Popen[str]) -> Iterator[None]:
        def handed_on(number: int, _: object) -> None:
            self.interrupted = True
            process.send_signal(number)

        before = {number: signal.signal(number, handed_on) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _lines(stream: Any, say_it: Callable[[str], Any] | None) -> str:
    lines = []
    for line in stream:
        lines.append(line.rstrip())
        if say_it is not None:
            say_it(lines[-1])
    return "\n".join(lines)


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one stack came to; `words` are of its rollout. `code` is 0 or 1, None for one that was not begun."""

    code: int | None = None
    seconds: float = 0
    changes: Mapping[str, int] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)

    def see(self, event: automation.EngineEvent) -> None:
        """Note what the engine tells."""
        if event.resource_pre_event is not None:
            metadata = event.resource_pre_event.metadata
            new = {"inputs": metadata.new.inputs} if metadata.new is not None else None
            self.steps.append({"op": str(metadata.op.value), "urn": metadata.urn, "newState": new})
        if event.diagnostic_event is not None and (told := _ROLLOUT.search(event.diagnostic_event.message)):
            self.words.append(told[0])
        if event.res_outputs_event is not None:
            op = str(event.res_outputs_event.metadata.op.value)
            self.changes = {**self.changes, op: self.changes.get(op, 0) + 1}
        if event.summary_event is not None:
            self.changes = {str(op.value): count for op, count in event.summary_event.resource_changes.items() if count}

    def __str__(self) -> str:
        if self.code is None:
            return "not begun"
        changes = ", ".join(f"{count} {_DONE.get(op, op)}" for op, count in self.changes.items())
        return f"{'failed' if self.code else 'done'} in {self.seconds:.0f} s" + f": {changes}" * bool(changes)


_DONE = {"create": "created", "update": "updated", "delete": "deleted", "same": "unchanged", "replace": "replaced"}


def run(verb: str, name: str, stacks: Environments, arguments: Sequence[str], *, agreed: bool) -> int:
    """`pulumi VERB` of these stacks, which are there and share the file of the stack `name`; the exit code.

    Previews all, asks once unless that is `agreed`, and changes one after the other; destroys begin with the last.
    Raises SetupError for arguments that are for one stack alone.
    """
    options = _options(verb, stacks, arguments)
    previews = not options.pop("skip_preview")
    if verb == "destroy":
        stacks = {one: stacks[one] for one in reversed(tuple(stacks))}
    os.environ.update(next(iter(stacks.values())))  # the way to `pulumi`
    pulumi, plans = Pulumi(), dict[str, Path]()
    if previews or verb == "preview":
        do = "preview_destroy" if verb == "destroy" else "preview"
        if verb == "up":
            plans = {one: plan for one in stacks if (plan := checkpoints.plan_of(one)) is not None}
        seen = each(pulumi, do, stacks, options, plans, to_the_end=True)
        if verb == "preview" or any(outcome.code != 0 for outcome in seen.values()):
            return _told("preview", name, pulumi, seen)
        if not agreed and input(f"{verb} these {len(stacks)} stacks, one after the other? (yes/no) ").strip() != "yes":
            say("nothing was changed")
            return 1
        plans = {one: plan for one, plan in plans.items() if checkpoints.decided(seen[one].steps, plan)}
        stacks = {one: {**env, **checkpoints.SKIPPED} if one in plans else env for one, env in stacks.items()}
    return _told(verb, name, pulumi, each(pulumi, verb, stacks, options, plans))


def _options(verb: str, stacks: Environments, arguments: Sequence[str]) -> dict[str, Any]:
    parser = argparse.ArgumentParser(prog=f"make {verb}", add_help=False, allow_abbrev=False)
    parser.add_argument("--skip-preview", "-f", action="store_true")
    for flag in ("--diff", "--refresh", "--suppress-outputs", "--continue-on-error", "--expect-no-changes"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--yes", "-y", action="store_true")
    parser.add_argument("--message", "-m")
    parser.add_argument("--parallel", "-p", type=int)
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        raise SetupError(
            f"{' '.join(unknown)} can't be given to several stacks at once",
            f"name one of them: make {verb} STACK={next(iter(stacks))}",
        )
    given = vars(options)
    del given["yes"]
    return given


def each(
    pulumi: Pulumi,
    do: str,
    stacks: Environments,
    options: Mapping[str, Any],
    plans: Mapping[str, Path],
    *,
    to_the_end: bool = False,
) -> dict[str, Outcome]:
    """Do it to one stack after the other, until one fails, or to the end; what each came to.

    `plans` has where a preview saves its plan, or what a run is kept to.
    """
    is_terminal = sys.stdout.isatty()
    shown = {"color": "always" if is_terminal and "NO_COLOR" not in os.environ else "never"}
    outcomes = {stack: Outcome() for stack in stacks}
    for number, (name, outcome) in enumerate(outcomes.items(), 1):
        if pulumi.interrupted:
            break
        print(f"\n{name} ({number} of {len(stacks)}): {do.replace('_', ' of a ')}", flush=True)
        took = {option: value for option, value in options.items() if value and (option, do) not in _UNKNOWN}
        took |= {"plan": str(plans[name])} if name in plans else {}
        begun, outcome.code = time.monotonic(), 1
        workspace = automation.LocalWorkspace(work_dir=str(ROOT), env_vars=stacks[name], pulumi_command=pulumi)
        try:
            stack = automation.Stack.select(name, workspace)
        except automation.CommandError as error:
            _err(str(error))
            break
        with contextlib.suppress(automation.CommandError):  # it has said why
            getattr(stack, do)(
                **took, **shown, suppress_progress=not is_terminal, on_event=outcome.see, on_output=_out, on_error=_err
            )
            outcome.code = 0
        outcome.seconds = time.monotonic() - begun
        if outcome.code and not to_the_end:
            break
    return outcomes


_UNKNOWN = {
    ("continue_on_error", "preview"),
    ("expect_no_changes", "preview_destroy"),
    ("expect_no_changes", "destroy"),
}
"""Options that what is done to a stack doesn't have."""


def _told(verb: str, name: str, pulumi: Pulumi, outcomes: Mapping[str, Outcome]) -> int:
    """Print what the stacks came to; the exit code."""
    width = max(map(len, outcomes))
    print()
    for stack, outcome in outcomes.items():
        print(f"{stack:<{width}}  {outcome}")
        for words in outcome.words:
            print(f"{'':<{width}}  {words}")
    stopped = next((stack for stack, outcome in outcomes.items() if outcome.code != 0), "")
    if stopped:
        print("nothing was changed" if verb == "preview" else f"`make {verb} STACK={name}` goes on with {stopped}")
    sys.stdout.flush()
    return INTERRUPTED if pulumi.interrupted else int(bool(stopped))


def _out(line: str) -> None:
    print(line, flush=True)


def _err(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
