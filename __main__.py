"""The machines of a stack: settings → Ignition config → FlatcarMachine → outputs."""

import gc

import pulumi

from components import rollout
from components.flatcar_machine import FlatcarMachine, FlatcarMachineArgs
from components.sdk import hold_packages, leave_out_stack_traces, mute_sdk, plain_errors, settled
from components.settings.stack import stack_settings

# All that a run makes lives until its end: looking for garbage in it took a fifth of the time of a thousand machines.
gc.disable()
mute_sdk()
leave_out_stack_traces()
hold_packages()
made: dict[str, FlatcarMachine] = {}
with plain_errors():
    settings = stack_settings()
    platform_of = settings.declare()

    for machine, step in settings.rollout_steps():
        platform, store = platform_of(machine)
        made[machine.name] = FlatcarMachine(
            machine.name,
            FlatcarMachineArgs(
                **machine.by_name(),
                platform=platform,
                store=store,
                ssh=settings.ssh,
                files_dir=settings.files_dir,
                shared_variables=settings.variables,
                secrets=settings.secrets,
                strict=settings.strict,
                after=[made[name] for name in step.after],
                pause=step.pause,
                wave=f"{step.wave + 1} of {step.waves}",
                max_failures=step.max_failures,
                skips_unreachable=step.skips_unreachable,
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

commands = [machine.reprovision for machine in made.values()]
pulumi.run(lambda: rollout.told(settled(commands), [command.ended for command in commands]))
