"""Plans for the lifecycle `live` in the object of a machine that pulls: `scripts/pull-live.sh` reads them. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from components.commands.live_plans import Printed
from components.commands.reprovision.live import path_values, script_values
from components.commands.reprovision.live_plan import AGENT_FILES, STAMP, Live, Reset
from components.commands.reprovision.manifest import Manifest
from components.commands.reprovision.os_made import OS_MADE
from components.commands.reprovision.seen import asked
from components.payload.agent import NO_PLANS, compressed, shell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.commands.reprovision.live import Values
    from components.commands.reprovision.manifest import Unit
    from components.settings.machine import MachineSettings

CONTENTS = ("CONTENTS", "SUMS")
ACCOUNTS = ("GROUP_COMMANDS", "USERS", "USER_COMMANDS", "USER_PASSWORDS", "USER_KEYS", "NEW_HOMES")
MOST_BYTES = 1_048_576
"""Of all plans to an object, before they are compressed: a config that changes more than that is run by a reset."""


def shape(text: str) -> str:
    """By which configs are told apart, also those with the same id: of an object without what its agent is told."""
    config = json.loads(text)
    files = [file for file in config["storage"]["files"] if file["path"] not in AGENT_FILES]
    counted = {**config, "storage": {**config["storage"], "files": files}}
    return hashlib.sha512(json.dumps(counted, sort_keys=True).encode()).hexdigest()[:32]


def with_plans(text: str, printed: str, settings: MachineSettings) -> str:
    """The object `text` with the plans that `components.commands.live_plans` printed; as it is, if it takes none."""
    place = json.dumps({"source": NO_PLANS}, separators=(",", ":"))[1:-1]
    if place not in text:
        return text
    said = {"source": compressed(plan_file(text, Printed.of(printed), settings)), "compression": "gzip"}
    return text.replace(place, json.dumps(said, separators=(",", ":"))[1:-1])


def plan_file(text: str, printed: Printed, settings: MachineSettings) -> str:
    """What `LIVE` holds on a machine that runs the object `text`: the plans to it and back, by the others' shapes."""
    config = json.loads(text)
    manifest = Manifest.of(config)
    declared = replace(manifest, paths=tuple(path for path in manifest.paths if path.path != STAMP))
    head = shell(
        {
            "LIVE_SHAPE": shape(text),
            "LIVE_DRIFT": settings.live.drift if settings.live is not None else "reset",
            "LIVE_OS_MADE": "|".join(OS_MADE),
            **{f"LIVE_{name}": values for name, values in asked(declared).items()},
            "LIVE_STATES": [_state(unit) for unit in declared.units],
            "SECONDS_LEFT": str(int(settings.rollback_after)),
            "MOST_SECONDS": str(max(1, int(min(settings.rollback_after, settings.timeout) * 0.8))),
        }
    )
    there = {shape: _there(plan, config) for shape, plan in printed.plans.items()}
    back = {shape: _back(plan, Manifest.from_json(printed.known[shape])) for shape, plan in printed.back.items()}
    return head + _function("live_from", there) + _function("live_back", back)


def _there(plan: Live | Reset, config: Mapping[str, Any]) -> Values:
    return {"WHY": str(plan)} if isinstance(plan, Reset) else script_values(_of_others(plan), config)


def _back(plan: Live | Reset, manifest: Manifest) -> Values:
    """Without contents, which the machine itself has; what it knows of accounts is not enough to make them again."""
    if isinstance(plan, Reset):
        return {"WHY": str(plan)}
    if plan.users or plan.new_groups:
        return {"WHY": "users change"}
    return {**dict.fromkeys((*CONTENTS, *ACCOUNTS), ()), **path_values(_of_others(plan), manifest)}


def _of_others(plan: Live) -> Live:
    """Without the agent's own files."""
    return replace(plan, writes=tuple(path for path in plan.writes if path not in AGENT_FILES))


def _function(name: str, cases: Mapping[str, Values]) -> str:
    """A function of a shell that sets the values of one case; 1 for a reason, and for none of them."""
    text, left = "", MOST_BYTES
    for shape, values in cases.items():
        case = f"{shape})\n{shell(values)}{'return 1' if 'WHY' in values else ''}\n;;\n"
        left -= len(case)
        text += case if left >= 0 else ""
    return f"{name}() {{\ncase $1 in\n{text}*) return 1 ;;\nesac\n}}\n"


def _state(unit: Unit) -> str:
    if unit.masked:
        return "masked"
    return "" if unit.enabled is None else "enabled" if unit.enabled else "disabled"
