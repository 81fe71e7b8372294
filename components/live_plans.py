"""The resource that plans how a machine that pulls becomes what its next object says, without a reboot."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import pulumi
from pulumi_command import local

from components.commands.live_plans import SALT_VARIABLE
from components.commands.reprovision.live_plan import LiveSettings
from components.launcher import interpreter
from components.payload.declared import packed_manifest
from components.payload.plans import shape, with_plans
from components.payload.salt import MAKE
from components.sdk import KeptOutput, json_text

if TYPE_CHECKING:
    from components.settings.machine import MachineSettings


class LivePlans(local.Command):
    """Runs `components.commands.live_plans` for each other object of a machine; what it printed stays until then.

    The state knows the object by its manifest, whose digests have a salt: nothing in it can be tried out.
    """

    text: pulumi.Output[str]
    """The object, with the plans in it; a secret."""

    def __init__(
        self,
        name: str,
        text: pulumi.Input[str],
        settings: MachineSettings,
        opts: pulumi.ResourceOptions | None = None,
        looked_at: pulumi.ResourceOptions | None = None,
    ) -> None:
        """For the object `text` of the machine `name`, without address and plans; `looked_at` is a preview's."""
        self.salt: pulumi.Output[str] = KeptOutput(f"{name}-live-salt", MAKE, opts, secret=True).text
        request = {
            "shape": pulumi.Output.from_input(text).apply(shape),
            "manifest": packed_manifest(text, self.salt, None),
            "live": asdict(settings.live or LiveSettings()),
        }
        super().__init__(
            f"{name}-live",
            create="live_plans",
            interpreter=interpreter(),
            stdin=pulumi.Output.unsecret(json_text(request)),
            environment={SALT_VARIABLE: self.salt},
            logging=local.Logging.NONE,
            opts=pulumi.ResourceOptions.merge(opts, looked_at),
        )
        printed = pulumi.Output.unsecret(self.stdout)
        self.text = pulumi.Output.secret(
            pulumi.Output.all(text, printed).apply(lambda both: with_plans(both[0], both[1], settings))
        )
