"""Plans for the lifecycle `live` in the object of a machine that pulls: `scripts/pull-live.sh` reads them. Pure."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from components.commands.live_plans import Printed
from components.commands.reprovision.live import script_values
from components.commands.reprovision.live_plan import AGENT_FILES, STAMP, Live, Reset
from components.commands.reprovision.manifest import Manifest
from components.commands.reprovision.os_made import OS_MADE
from components.commands.reprovision.seen import asked
from components.payload.agent import NO_PLANS, compressed, shell

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.commands.reprovision.manifest import Unit
    from components.settings.machine import MachineSettings

MOST_BYTES = 1_048_576
"""Of all plans in an object, before they are compressed: a config that changes more than that is run by a reset."""


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
    plans = plan_file(text, Printed.of(printed).plans, settings)
    said = {"source": compressed(plans), "compression": "gzip"}
    return text.replace(place, json.dumps(said, separators=(",", ":"))[1:-1])


def plan_file(text: str, plans: Mapping[str, Live | Reset], settings: MachineSettings) -> str:
    """What `LIVE` holds on a machine that runs the object `text`: the plans to it, by the shapes that they begin at."""
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
    cases, left = [], MOST_BYTES
    for other, plan in plans.items():
        if isinstance(plan, Live):
            own = replace(plan, writes=tuple(path for path in plan.writes if path not in AGENT_FILES))
            case = shell(script_values(own, config))
            left -= len(case)
        else:
            case = shell({"WHY": str(plan)}) + "return 1\n"
        if left >= 0:
            cases.append(f"{other})\n{case};;\n")
    return f"{head}live_from() {{\ncase $1 in\n{''.join(cases)}*) return 1 ;;\nesac\n}}\n"


def _state(unit: Unit) -> str:
    if unit.masked:
        return "masked"
    return "" if unit.enabled is None else "enabled" if unit.enabled else "disabled"
