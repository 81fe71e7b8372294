"""The machines of a stack: settings → Ignition config → FlatcarMachine → outputs."""

import pulumi

from components.flatcar_machine import FlatcarMachine, FlatcarMachineArgs
from components.placement import placement
from components.settings import stack_settings

settings = stack_settings()
place = placement(settings)

for machine in settings.machines:
    platform, store = place(machine)
    made = FlatcarMachine(
        machine.name,
        FlatcarMachineArgs(
            config=machine.config,
            snippets=machine.snippets,
            files_dir=settings.files_dir,
            strict=settings.strict,
            variables=machine.variables,
            shared_variables=settings.variables,
            secrets=settings.secrets,
            platform=platform,
            store=store,
            ssh=settings.ssh,
            lifecycle=machine.lifecycle,
            keep=machine.keep,
            generation=machine.generation,
            health=machine.health,
            allow_degraded=machine.allow_degraded,
            timeout=machine.timeout,
            protect=machine.protect,
            retain_on_delete=machine.retain_on_delete,
        ),
    )
    pulumi.export(
        machine.name,
        {
            "ssh": made.ssh_command,
            "address": made.address,
            "configId": made.config_id,
            "osVersion": made.os_version,
            "downtimeSeconds": made.downtime_seconds,
        },
    )
