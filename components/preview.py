"""What a preview says in an operator's words: a line for each machine that something happens to, and one for the stack.

The engine hands the old and the new properties of what changes to a hook of the program: nothing has to be asked for,
and a machine without a change costs nothing.
"""

from __future__ import annotations

import asyncio
import functools
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pulumi

from components.commands.objects.packing import unpacked
from components.commands.reprovision.live_plan import Live, LiveSettings, Reset, live_plan
from components.commands.reprovision.manifest import Manifest
from components.payload.changes import changes
from components.payload.edits import edits
from components.payload.masking import MASK
from components.payload.wanted_config import known_summary
from components.rollout import listed
from components.sdk import has_failed, has_hooks, is_program
from components.settings.lifecycle import Lifecycle
from components.settings.part import part, takes_part

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


_COMMAND, _REPROVISION, _LIVE = "command:local:Command", "-reprovision", "-live"
MOST_GROUPS = 12
"""Different edits that are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is known of a machine without the state; `summary` is its config's.

    `kept` is how many paths a reset keeps, `wave` such as "1 of 3" ("": no rollout). `unsalted_id` is None where it is
    not known yet. `is_off`: it will be switched on. `is_there`: it runs already when it is declared for the first time.
    `text` is the object's, for the lifecycle `live`, and `live` what the machine's settings say of that; `salt` is that
    of the manifest in the state, None for one without. `hides_names`: it has secrets, which may be in names, too.
    """

    lifecycle: Lifecycle
    kept: int
    pulls: bool
    wave: str
    unsalted_id: str | None
    is_off: bool
    is_there: bool
    text: pulumi.Input[str] = ""
    live: LiveSettings | None = None
    salt: pulumi.Input[str] | None = None
    hides_names: bool = False
    summary: Mapping[str, pulumi.Input[Any]] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class Seen:
    """A machine as the hook was told of it: what changes (None: nothing) from `old`, and its Command's config ids.

    `runs` is None for a machine without a proof, `wanted` where it is not known yet. `request` is the one that was
    proven last, if that is what runs. `planned` is what the plans of a machine that pulls were made for.
    """

    is_new: bool = False
    changed: str | None = None
    old: Mapping[str, Any] = field(default_factory=dict)
    is_tried: bool = False
    runs: str | None = None
    wanted: str | None = None
    request: Mapping[str, Any] = field(default_factory=dict)
    planned: Mapping[str, Any] = field(default_factory=dict)


def options() -> pulumi.ResourceOptions | None:
    """For each resource of a machine that the preview looks at; None in an update, or where the engine is too old."""
    return _preview(asyncio.get_running_loop()).options if pulumi.runtime.is_dry_run() and has_hooks() else None


def add(
    name: str, plan: Plan, resources: Sequence[pulumi.Resource], component: pulumi.Resource | None
) -> pulumi.Output[str] | None:
    """Tell of the machine `name` as well, once its `resources` with `options` are registered; an Output of all that.

    In a program once for all machines. A plugin doesn't know when that would be: it tells at each `component` that it
    makes what happens to its machines, and has to wait for the Output before it hands the component out.
    """
    if not (pulumi.runtime.is_dry_run() and has_hooks() and takes_part(name)):
        return None
    return _preview(asyncio.get_running_loop()).add(name, plan, resources, None if is_program() else component)


@functools.lru_cache(maxsize=1)
def _preview(_: asyncio.AbstractEventLoop) -> _Preview:
    return _Preview()


class _Preview:
    """The machines of the program or plugin that runs in one loop, by name."""

    def __init__(self) -> None:
        self._seen: dict[str, Seen] = {}
        self._told: dict[pulumi.Resource | None, _Told] = {}
        once = pulumi.ResourceHookOptions(on_dry_run=True, ignore_errors=True)
        hook = pulumi.ResourceHook("flatcar-preview", self._notice, once)
        self.options = pulumi.ResourceOptions(
            hooks=pulumi.ResourceHookBinding(before_create=[hook], before_update=[hook])
        )

    def add(
        self, name: str, plan: Plan, resources: Sequence[pulumi.Resource], at: pulumi.Resource | None
    ) -> pulumi.Output[str]:
        told = self._told.setdefault(at, _Told(self._seen, at))
        told.plans[name] = plan
        told.resources += resources
        return told.text

    def _notice(self, args: pulumi.ResourceHookArgs) -> None:
        old, new = args.old_inputs, args.new_inputs or {}
        if args.type == _COMMAND and not args.name.endswith(_REPROVISION):
            self._seen.setdefault(args.name.removesuffix(_LIVE), Seen()).planned = _request((old or {}).get("stdin"))
            return
        seen = self._seen.setdefault(args.name.removesuffix(_REPROVISION), Seen())
        if args.type == _COMMAND:
            seen.is_tried = True
            seen.runs = _proven(args.old_outputs or {})
            request = _request((old or {}).get("stdin"))
            seen.request = request if request.get("config_id") == seen.runs else {}
            seen.wanted = _wanted(new.get("stdin"))
        elif old is None:
            seen.is_new = True
        else:
            seen.changed, seen.old = changes(old, new), old


class _Told:
    """What is told at once: of all machines of a program, or of those of the component `at`."""

    def __init__(self, seen: Mapping[str, Seen], at: pulumi.Resource | None) -> None:
        self.plans: dict[str, Plan] = {}
        self.resources: list[pulumi.Resource] = []
        self._seen, self._at = seen, at
        self.text: pulumi.Output[str] = pulumi.Output.from_input(self._tell())  # an Output: the program waits for it

    async def _tell(self) -> str:
        """Wait for all machines, then say it all at once, in the order of the rollout."""
        waited = 0
        while waited < len(self.resources):
            futures = [resource.urn.future() for resource in self.resources[waited:]]
            waited = len(self.resources)
            if any(isinstance(done, BaseException) for done in await asyncio.gather(*futures, return_exceptions=True)):
                return ""  # it fails, and why is told elsewhere
        if has_failed() or not self.plans:
            return ""
        told, away = [], 0
        for name, plan in self.plans.items():
            seen = self._seen.get(name, Seen())
            line, goes = in_words(plan, seen, await _change(plan, seen), await _shown(plan, seen))
            told += [f"{name}: {line}"] if line else []
            away += goes
        if self._at is None and part() is None:
            told += [f"{name}: taken away" for name in await _in_state() if name not in self.plans]
        if self._at is None or len(self.plans) > 1:
            machines = "1 machine" if len(self.plans) == 1 else f"{len(self.plans)} machines"
            told.append(f"{away} of {machines} reboot{'s' if away == 1 else ''}" if away else "nothing reboots")
        if text := in_groups(await self._edits()):
            pulumi.log.info(text, self._at)
        text = "\n".join(told)
        if text:
            pulumi.log.info(text, self._at)
        return text

    async def _edits(self) -> dict[str, list[str]]:
        """What was edited in the configs of the machines that change, as text."""
        found = {}
        for name, plan in self.plans.items():
            if (seen := self._seen.get(name, Seen())).changed:
                found[name] = edits(name, seen.old, await known_summary(plan.summary).future() or {})
        return found


def in_groups(edited: Mapping[str, Sequence[str]]) -> str:
    """The edits of machines, `web, db:` and indented lines: those that are the same for several are told once."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, lines in edited.items():
        groups.setdefault(tuple(lines), []).append(name)
    groups.pop((), None)
    told = [
        "\n".join([f"{listed(names)}:", *(f"  {line}".rstrip() for line in lines)])
        for lines, names in list(groups.items())[:MOST_GROUPS]
    ]
    left = len(groups) - MOST_GROUPS
    return "\n".join([*told, *([f"and {left} other edits"] if left > 0 else [])])


async def _in_state() -> list[str]:
    """The machines that the stack's outputs have, as this repository's program exports them. One look at the state."""
    stack = f"{pulumi.get_organization()}/{pulumi.get_project()}/{pulumi.get_stack()}"
    try:
        found = await pulumi.runtime.invoke_async("pulumi:pulumi:readStackOutputs", {"name": stack})
    except Exception:  # noqa: BLE001 - whatever a backend says: there is one line less
        return []
    outputs = found.get("outputs") or {}
    return [name for name, output in outputs.items() if isinstance(output, dict) and "configId" in output]


async def _change(plan: Plan, seen: Seen) -> Live | Reset | None:
    """How the change of a machine with the lifecycle `live` is applied; None where that is not known."""
    known = seen.planned if plan.pulls else seen.request
    is_salted = plan.salt is not None
    if plan.lifecycle is not Lifecycle.LIVE or (is_salted and not plan.pulls) != ("unsalted" in known):
        return None
    text, salt = await pulumi.Output.all(plan.text, plan.salt or "").future() or (None, None)
    if not isinstance(text, str) or not isinstance(salt, str):
        return None
    try:
        before = Manifest.from_json({**json.loads(unpacked(known["manifest"])), "salt": salt})
    except (ValueError, LookupError, TypeError):
        return None
    return live_plan(before, Manifest.of(json.loads(text), salt), plan.live)


async def _shown(plan: Plan, seen: Seen) -> Collection[str] | None:
    """The units whose names may be told of a config with secrets; None for one without."""
    if not plan.hides_names:
        return None
    summary = await known_summary(plan.summary).future() or {}
    return {*(summary.get("units") or {}), *(seen.old.get("units") or {})}


def in_words(
    plan: Plan, seen: Seen, change: Live | Reset | None = None, shown: Collection[str] | None = None
) -> tuple[str, bool]:
    """What happens to a machine, "" for nothing, and whether it reboots. `change` is for the lifecycle `live`; of one
    with secrets the units alone are told, those in `shown` by their names."""
    parts = ["is off, will be started"] if plan.is_off else []
    known = {seen.wanted, plan.unsalted_id} - {None}
    is_another = seen.is_tried and seen.runs is not None and seen.runs not in known
    if seen.is_new:
        parts.append("new")
        is_another = plan.is_there
    elif seen.changed:
        parts.append(seen.changed)
    elif is_another:
        parts.append("a masked value changes" if seen.changed is not None else "its last change is tried again")
    goes = False
    if is_another and plan.pulls:
        if isinstance(change, Live):
            parts = parts[: plan.is_off] if shown is None else parts
            parts.append(f"live: {change if shown is None else change.units_in_words(shown, MASK)}")
        elif isinstance(change, Reset):
            parts.append(f"reset, since {change if shown is None else 'not all of it can be live'}")
        parts.append("it takes its config by itself")
    elif is_another:
        goes = plan.lifecycle.is_in_place and not isinstance(change, Live)
        what = _WHAT[plan.lifecycle]
        if isinstance(change, Live) and shown is not None:
            what = f"live: {change.units_in_words(shown, MASK)}"
        elif isinstance(change, Live):
            parts, what = parts[: plan.is_off], f"live: {change}"
        elif isinstance(change, Reset):
            why = change if shown is None else "not all of it can be live"
            what = _WHAT[Lifecycle.RESET].replace("reset:", f"reset, since {why}:")
        parts.append(what.replace("{kept}", "1 kept path" if plan.kept == 1 else f"{plan.kept} kept paths"))
        parts += [f"wave {plan.wave}"] if plan.lifecycle.is_in_place and plan.wave else []
    return "; ".join(parts), goes


_WHAT = {
    Lifecycle.RESET: "reset: reboots, ROOT is wiped but for {kept}",
    Lifecycle.LIVE: "live if all of it can be, else reset: reboots, ROOT is wiped but for {kept}",
    Lifecycle.REFORMAT: "reformat: reboots, ROOT is made anew",
    Lifecycle.FLAG: "flag: reboots, old files stay",
    Lifecycle.REPLACE: "replace: a new machine takes its place",
    Lifecycle.IGNORE: "ignore: it stays as it is, the change waits",
}


def _wanted(request: object) -> str | None:
    """The config id in a request; None where that is not known yet."""
    return str(json.loads(request)["config_id"]) if isinstance(request, str) else None


def _request(text: object) -> dict[str, Any]:
    """A request in a Command's inputs; an earlier version's may be none that can be read here."""
    try:
        return dict(json.loads(text)) if isinstance(text, str) else {}
    except (ValueError, TypeError):
        return {}


def _proven(outputs: Mapping[str, Any]) -> str | None:
    """The config id in the outputs of a machine's last good run."""
    try:
        return str(json.loads(str(outputs.get("stdout", "")).strip().splitlines()[-1])["config_id"])
    except (ValueError, LookupError, TypeError):
        return None
