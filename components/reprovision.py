"""The resource that brings a machine to its config in place: one Command per machine and change."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import pulumi
from pulumi_command import local

from components.commands.objects.packing import packed
from components.launcher import command
from components.sdk import json_text
from components.settings.keep import kept_paths
from components.settings.lifecycle import Lifecycle

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from components.commands.reprovision.request import HealthCheck
    from components.ignition_object import IgnitionObject
    from components.payload.wanted_config import WantedConfig
    from components.platforms import PlatformMachine
    from components.settings.pull import PullSettings
    from components.settings.ssh import SshSettings

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprovisionArgs:
    """What the Command needs: the wanted config, the way to the machine, and how to tell that all is well."""

    config: WantedConfig
    ignition_object: IgnitionObject
    machine: PlatformMachine
    ssh: SshSettings
    lifecycle: Lifecycle
    keep: Sequence[str] | None
    host_key: str
    health: Sequence[HealthCheck]
    allow_degraded: bool
    timeout: int
    rollback_after: int
    pause: int
    drain: str
    restore: str
    pull: PullSettings | None
    os_update: str
    owner: str
    take_over: bool


class Reprovision(local.Command):
    """Runs `components.commands.reprovision` when anything in its request changes, as an update of the resource.

    The outputs of the last run are its record (`commands.record`), which the next one gets. With that the machine is
    touched only when the config id, the lifecycle or the object's version is another one, or the machine itself: one
    that was made anew has to be proven too. Every other change (addresses, keys, time-outs) leaves the machine alone
    and prints the record again. A failed run leaves the old record, so the next `pulumi up` tries anew.
    """

    def __init__(self, name: str, args: ReprovisionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        machine, ssh = args.machine, args.ssh
        self.host_key_alias = host_key_alias(name, machine.resource)
        request = json_text(
            {
                "machine": name,
                "config_id": args.config.config_id,
                "source": args.ignition_object.source_url,
                "content": args.ignition_object.content.apply(packed),
                "version": args.ignition_object.version,
                "place": args.ignition_object.place,
                "lifecycle": args.lifecycle.value,
                "keep": list(kept_paths(args.keep)),
                "target": {
                    "host": machine.ssh_host,
                    "port": ssh.port or machine.ssh_port,
                    "user": ssh.user,
                    "known_hosts": ssh.known_hosts(name),
                    "host_key_alias": self.host_key_alias,
                    "identity_file": ssh.private_key_file,
                    "jump_host": ssh.jump_host,
                },
                "host_key": args.host_key,
                "health": [asdict(check) for check in args.health],
                "allow_degraded": args.allow_degraded,
                "timeout": args.timeout,
                "rollback_after": args.rollback_after,
                "pause": args.pause,
                "drain": args.drain,
                "restore": args.restore,
                "console_log": machine.console_log,
                "console_hint": machine.console_hint,
                "oem": machine.oem,
                "user_data": args.ignition_object.user_data,
                "pull": args.pull.wait if args.pull else "",
                "report": args.pull.report if args.pull else "",
                **({"signers": list(args.pull.signing_keys)} if args.pull and args.pull.signing_keys else {}),
                "os_update": args.os_update,
                "owner": args.owner,
                "take_over": args.take_over,
                **(
                    {"unsalted_id": args.config.unsalted_id, "salt": args.config.salt}
                    if args.config.salt is not None
                    else {}
                ),
            }
        )
        super().__init__(
            f"{name}-reprovision",
            create=command("reprovision"),
            stdin=request,
            logging=local.Logging.STDERR,
            environment={"CONFIG_ID": args.config.config_id},  # for previews: the request is secret
            opts=pulumi.ResourceOptions.merge(
                pulumi.ResourceOptions(
                    depends_on=[machine.resource, args.ignition_object.resource],
                    ignore_changes=["triggers"],  # of older versions, where another one replaced the Command
                ),
                opts,
            ),
        )

        # the request is secret as the config in it may be; the outputs never hold any of it
        self._proof = pulumi.Output.unsecret(self.stdout.apply(_read))
        declared_at = time.time()
        self._proof.apply(lambda outputs: self._tell_lost(outputs, since=declared_at))

    def proof(self, field: str, default: T) -> pulumi.Output[T]:
        """One field of the Command's outputs (`commands.reprovision.Outputs`)."""
        return self._proof.apply(lambda outputs: outputs.get(field, default))

    def _tell_lost(self, outputs: Mapping[str, Any], *, since: float) -> None:
        """What this run deleted and no config declares, as a diagnostic: a Command's own lines are gone at the end.

        Told by the run that did it alone; the outputs stay in the state.
        """
        lost = outputs.get("lost", [])
        if lost and outputs.get("ended_at", 0.0) >= since:
            pulumi.log.warn("\n".join(lost).replace("will be deleted", "deleted", 1), self)


def host_key_alias(name: str, resource: pulumi.Resource) -> pulumi.Output[str]:
    """The name under which a machine's host key is pinned: another for a machine that replaces it, else the same."""
    if isinstance(resource, pulumi.CustomResource):
        return resource.id.apply(lambda identity: f"{name}-{identity}")
    return pulumi.Output.from_input(name)


def _read(stdout: str) -> dict[str, Any]:
    lines = stdout.strip().splitlines()
    outputs: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return outputs
