"""The resource that brings a machine to its config in place: one Command per machine and change."""

from __future__ import annotations

import functools
import json
import time
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import pulumi
from pulumi_command import local

from components import progress, rollout
from components.commands.objects.content_file import forget
from components.commands.reprovision.request import PRIVATE, PRIVATE_VARIABLE, Request, salted_digest
from components.launcher import interpreter
from components.payload.declared import packed_manifest
from components.sdk import json_text
from components.settings.keep import kept_paths
from components.stores import content_path

if TYPE_CHECKING:
    from collections.abc import Mapping

    from components.ignition_object import IgnitionObject
    from components.payload.wanted_config import WantedConfig
    from components.platforms import PlatformMachine
    from components.settings.machine import MachineSettings
    from components.settings.ssh import SshSettings

T = TypeVar("T")
_ON_STDIN = {"content": ("object_sha512", "object_bytes", "manifest")}
"""Fields of a `Request` that are others in its JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReprovisionArgs:
    """What the Command needs: the wanted config, the way to the machine, and the machine's settings.

    `pause` is in seconds, `owner` whom the machine is to belong to (`Request`).
    """

    settings: MachineSettings
    config: WantedConfig
    ignition_object: IgnitionObject
    machine: PlatformMachine
    ssh: SshSettings
    owner: str
    pause: int = 0


class Reprovision(local.Command):
    """Runs `components.commands.reprovision` when anything in its request changes, as an update of the resource.

    The outputs of the last run are its record (`commands.reprovision.record`), which the next one gets. With that the
    machine is touched only when the config id, the lifecycle or the object's version is another one, or the machine
    itself: one that was made anew has to be proven too. Other health checks, and a power-on, are tried on the running
    machine, without a re-run. Every other change (addresses, keys, time-outs) leaves the machine alone and prints the
    record again. A failed run leaves the old record, so the next `pulumi up` tries anew.
    """

    def __init__(
        self,
        name: str,
        request: pulumi.Output[str],
        opts: pulumi.ResourceOptions | None = None,
        machine: pulumi.Resource | None = None,
    ) -> None:
        """`request` is a `Request` as JSON. Progress is shown at `machine`, or here where that is not known.

        What changes with a config is plain in the state, what may be secret is not and stays the same: each new secret
        would make the engine encrypt all of the stack again.
        """
        self.machine = name
        known = pulumi.Output.unsecret(request.apply(json.loads))
        private: pulumi.Output[str] = known.apply(_private)
        super().__init__(
            f"{name}-reprovision",
            create="reprovision",
            interpreter=interpreter(),
            stdin=known.apply(_public),
            logging=local.Logging.NONE,  # `progress` shows what it does
            environment={PRIVATE_VARIABLE: private},
            opts=_merged(
                pulumi.ResourceOptions(
                    ignore_changes=["triggers"],  # of older versions, where another one replaced the Command
                ),
                opts,
                rollout.options(name),
            ),
        )

        progress.follow(name, self if machine is None else machine)
        self._proof: pulumi.Output[dict[str, Any]] = pulumi.Output.unsecret(self.stdout.apply(_read))
        declared_at = time.time()
        self.ended: pulumi.Output[None] = pulumi.Output.all(self._proof, known).apply(
            lambda both: self._end(name, both[0], since=declared_at, object_sha512=both[1]["object_sha512"])
        )

    @classmethod
    def of(cls, name: str, args: ReprovisionArgs, opts: pulumi.ResourceOptions | None = None) -> Reprovision:
        """For a machine and its object, once both are there."""
        after = pulumi.ResourceOptions(depends_on=[args.machine.resource, args.ignition_object.resource])
        request = json_text(request_document(name, args))
        opts = pulumi.ResourceOptions.merge(after, opts)
        return cls(name, request, opts, args.machine.resource)

    def proof(self, field: str, default: T) -> pulumi.Output[T]:
        """One field of the Command's outputs (`commands.reprovision.request.Outputs`)."""
        return self._proof.apply(lambda outputs: outputs.get(field, default))

    def _end(self, name: str, outputs: Mapping[str, Any], *, since: float, object_sha512: str) -> None:
        """What this run did: for the rollout, and, of what it deleted and no config declares, as a diagnostic.

        Told by the run that did it alone; the outputs stay in the state. Nobody needs the object's text any more.
        """
        if not pulumi.runtime.is_dry_run():
            forget(content_path(name, object_sha512))
        is_of_now = outputs.get("ended_at", 0.0) >= since
        rollout.ended(name, proven=is_of_now)
        lost = outputs.get("lost", [])
        if lost and is_of_now:
            pulumi.log.warn("\n".join(lost).replace("will be deleted", "deleted", 1), self)


def request_document(name: str, args: ReprovisionArgs) -> dict[str, Any]:
    """The `Request` as JSON has it, with Outputs in it; its fields' order is the order of the keys.

    A setting of the machine that has a field of the same name is handed on as it is. Another text is another request,
    which runs the Command of each machine once: what is new is left out where it says nothing.
    """
    settings, ssh, machine, pull = args.settings, args.ssh, args.machine, args.settings.pull
    content = args.ignition_object.content
    values = settings.by_name() | {
        "machine": name,
        "config_id": args.config.config_id,
        "source": args.ignition_object.source_url,
        "object_sha512": content.apply(lambda known: known.sha512),
        "object_bytes": content.apply(lambda known: known.size),
        "manifest": packed_manifest(args.ignition_object.text, args.config.salt, args.config.masked),
        "version": args.ignition_object.version,
        "place": args.ignition_object.place,
        "keep": kept_paths(settings.keep),
        "target": {
            "host": machine.ssh_host,
            "port": ssh.port or machine.ssh_port,
            "user": ssh.user,
            "known_hosts": ssh.known_hosts(name),
            "host_key_alias": host_key_alias(name, machine),
            "identity_file": ssh.private_key_file,
            "jump_host": ssh.jump_host,
        },
        "health": [asdict(check) for check in settings.health],
        "pause": args.pause,
        "console_log": machine.console_log,
        "console_hint": machine.console_hint,
        "oem": machine.oem,
        "user_data": args.ignition_object.user_data,
        "pull": pull.wait if pull else "",
        "report": pull.report if pull else "",
        "owner": args.owner,
    }
    if pull and pull.signing_keys:
        values["signers"] = pull.signing_keys
    if args.config.salt is not None:
        known = pulumi.Output.all(args.config.unsalted_id, args.config.salt)
        unsalted = pulumi.Output.unsecret(known.apply(lambda both: salted_digest(*both)))
        values |= {"unsalted": unsalted, "salt": args.config.salt}
    if settings.live is not None:
        values["live"] = asdict(settings.live)
    else:
        del values["live"]
    if machine.power_on:
        values["power_on"] = machine.power_on
    order = [name for field in fields(Request) for name in _ON_STDIN.get(field.name, (field.name,))]
    return {name: values[name] for name in order if name in values}


def _public(fields: Mapping[str, Any]) -> str:
    return json.dumps({name: value for name, value in fields.items() if name not in PRIVATE})


def _private(fields: Mapping[str, Any]) -> pulumi.Input[str]:
    """What of a request may be secret, as a secret; "" where nothing is."""
    said = {name: fields[name] for name in PRIVATE if fields.get(name)}
    return pulumi.Output.secret(json.dumps(said)) if said else ""


def host_key_alias(name: str, machine: PlatformMachine) -> pulumi.Output[str]:
    """The name under which a machine's host key is pinned: another for a machine that replaces it, else the same."""
    if isinstance(machine.resource, pulumi.CustomResource):
        return machine.resource.id.apply(lambda identity: f"{name}-{identity}")
    return pulumi.Output.from_input(name)


def _merged(*options: pulumi.ResourceOptions | None) -> pulumi.ResourceOptions:
    return functools.reduce(pulumi.ResourceOptions.merge, options, pulumi.ResourceOptions())


async def _read(stdout: str) -> dict[str, Any]:
    await progress.catch_up()  # the program may end with this
    lines = stdout.strip().splitlines()
    outputs: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    return outputs
