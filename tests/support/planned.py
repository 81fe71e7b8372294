"""Objects of machines that pull, with the plans that a program would put into them one after the other."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

from components.commands.live_plans import Printed, printed
from components.commands.objects.packing import packed
from components.commands.reprovision.live_plan import LiveSettings
from components.commands.reprovision.manifest import Manifest
from components.payload.plans import shape, with_plans

if TYPE_CHECKING:
    from components.payload.machine_config import MachineConfig
    from components.settings.machine import MachineSettings

SALT = "ab" * 32


class Planned:
    """What `components.live_plans` makes of the objects of one machine."""

    def __init__(self) -> None:
        self.printed = Printed()

    def text(self, config: MachineConfig, settings: MachineSettings) -> str:
        """The object's text, without address and signature, with plans from the ones before."""
        manifest = Manifest.of(json.loads(config.text), SALT).to_json()
        del manifest["salt"]
        live = asdict(settings.live or LiveSettings())
        document = {"shape": shape(config.text), "manifest": packed(json.dumps(manifest)), "live": live}
        told = printed(document, SALT, self.printed).text()
        self.printed = Printed.of(told)
        return with_plans(config.text, told, settings)
