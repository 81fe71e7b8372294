"""The machines of a stack: settings → Ignition config → FlatcarMachine → outputs."""

import gc

import pulumi

from components.flatcar_machine import FlatcarMachine, FlatcarMachineArgs
from components.placement import placement
from components.sdk import mute_sdk, plain_errors, settled
from components.settings.stack import stack_settings

# All that a run makes lives until its end: looking for garbage in it took a fifth of the time of a thousand machines.
gc.disable()
mute_sdk()
made: dict[str, FlatcarMachine] = {}
with plain_errors():
    settings = stack_settings()
    place = placement(settings)

    for machine, turn in settings.places():
        platform, store = place(machine)
        made[machine.name] = FlatcarMachine(
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
                allow=machine.allow,
                generation=machine.generation,
                host_key=machine.host_key,
                health=machine.health,
                allow_degraded=machine.allow_degraded,
                timeout=machine.timeout,
                protect=machine.protect,
                retain_on_delete=machine.retain_on_delete,
                rollback_after=machine.rollback_after,
                drain=machine.drain,
                restore=machine.restore,
                after=[made[name] for name in turn.after],
                pause=turn.pause,
                pull=machine.pull,
                os_update=machine.os_update,
                take_over=machine.take_over,
            ),
        )
        pulumi.export(
            machine.name,
            {
                "ssh": made[machine.name].ssh_command,
                "address": made[machine.name].address,
                "configId": made[machine.name].config_id,
                "osVersion": made[machine.name].os_version,
                "hostKey": made[machine.name].host_key,
                "downtimeSeconds": made[machine.name].downtime_seconds,
            },
        )

pulumi.run(lambda: settled([machine.reprovision for machine in made.values()]))
