"""The two halves of a machine that somebody else makes: its config with the pointer to it, and its way to a config."""

import base64
import json
from dataclasses import dataclass
from typing import Any

import pulumi

from components import ignition_object, reprovision
from components.flatcar_machine import checked_config, owner
from components.package.given import machine_args, settings_of
from components.package.inputs import IgnitionObjectArgs, ReprovisionArgs
from components.package.stores import given_store
from components.platforms import PlatformMachine
from components.sdk import json_text
from components.settings.lifecycle import Lifecycle
from components.stores.elsewhere import Elsewhere


@dataclass(frozen=True, slots=True, kw_only=True)
class _Elsewhere:
    """The platform of a machine that somebody else makes (`components.platforms.Platform`)."""

    ignition_platform: str
    login_user: str | None

    def create(
        self, name: str, *, user_data: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> PlatformMachine:
        """Never: that is what makes this platform."""
        raise NotImplementedError


class IgnitionObject(pulumi.ComponentResource):
    """A machine's config as an object, and the pointer to it: the user data of a machine that something else makes."""

    user_data: pulumi.Output[str]
    """The machine's user data, which never changes while the machine lives."""
    user_data_base64: pulumi.Output[str]
    """The same in base64, for clouds that take it so."""
    source_url: pulumi.Output[str]
    """Where the pointer leads."""
    config_id: pulumi.Output[str]
    """What tells one config from another."""
    content: pulumi.Output[str]
    """The object, for a store that is `elsewhere`: what to put to its address, byte for byte. Secret; "" for others."""
    wanted: pulumi.Output[str]
    """What `Reprovision` has to know. Secret."""

    def __init__(self, name: str, args: IgnitionObjectArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        settings = settings_of(name, args, beside=("store", "platform", "platform_user"))
        if settings.lifecycle is Lifecycle.REPLACE:
            raise pulumi.RunError(
                f"the machine {name!r} can't be used:\n"
                "  lifecycle: 'replace' is for machines that this package makes; replace yours by its own resource"
            )
        platform = _Elsewhere(ignition_platform=args["platform"], login_user=args.get("platform_user"))
        machine = machine_args(args, settings, platform, given_store(name, args["store"]))
        super().__init__("flatcar:index:IgnitionObject", name, {}, opts)
        inside = pulumi.ResourceOptions(parent=self)
        config = checked_config(name, machine, inside)
        shown = {"configId": config.config_id, "lifecycle": settings.lifecycle.value, **config.digests}
        pulumi.ComponentResource("flatcar:index:Config", name, shown, inside).register_outputs({})
        stored = ignition_object.IgnitionObject.put(
            name,
            text=config.text,
            store=machine.store,
            config_id=config.config_id,
            opts=inside,
        )
        unknown = PlatformMachine(
            resource=stored.resource, ssh_host="", ssh_port=22, console_log="", console_hint="its cloud's console"
        )
        request = reprovision.request_document(
            name,
            reprovision.ReprovisionArgs(
                settings=settings,
                config=config,
                ignition_object=stored,
                machine=unknown,
                ssh=machine.ssh,
                owner=owner(name),
            ),
        )
        request["target"]["host_key_alias"] = name
        self.user_data = stored.user_data
        self.user_data_base64 = stored.user_data.apply(lambda text: base64.b64encode(text.encode()).decode())
        self.source_url = stored.source_url
        self.config_id = pulumi.Output.from_input(config.config_id)
        # an output lies in the state: no more than has to
        is_elsewhere = isinstance(machine.store, Elsewhere)
        self.content = stored.text if is_elsewhere else pulumi.Output.from_input("")
        self.wanted = pulumi.Output.secret(json_text(request))
        self.register_outputs({field: getattr(self, field) for field in IgnitionObject.__annotations__})


class Reprovision(pulumi.ComponentResource):
    """Brings a machine that somebody else makes to its config in place, and proves that it runs it.

    Depends on the machine: by its address, or by `dependsOn`.
    """

    config_id: pulumi.Output[str]
    """The config id that the machine has proven to run."""
    os_version: pulumi.Output[str]
    """The version of the OS that it was proven on."""
    host_key: pulumi.Output[str]
    """The machine's ed25519 public host key."""
    downtime_seconds: pulumi.Output[float]
    """How long the last re-provisioning took the machine away; 0 when it did not reboot."""

    def __init__(self, name: str, args: ReprovisionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("flatcar:index:Reprovision", name, {}, opts)
        given = pulumi.Output.all(
            args["wanted"], args["address"], args.get("machine_id"), args.get("object_version")
        ).apply(lambda known: _request(name, *known, console_hint=args.get("console_hint", "")))
        command = reprovision.Reprovision(
            name,
            pulumi.Output.secret(given.apply(json.dumps)),
            pulumi.ResourceOptions(parent=self),
        )
        self.config_id = command.proof("config_id", "")
        self.os_version = command.proof("os_version", "")
        self.host_key = command.proof("host_key", "")
        self.downtime_seconds = command.proof("downtime_seconds", 0.0)
        self.register_outputs({field: getattr(self, field) for field in Reprovision.__annotations__})


def _request(
    name: str, wanted: str, address: str, machine_id: str | None, version: str | None, *, console_hint: str
) -> dict[str, Any]:
    """The request that an `IgnitionObject` has prepared, with what is known of the machine."""
    request: dict[str, Any] = json.loads(wanted)
    if request["machine"] != name:
        raise pulumi.RunError(
            f"{name!r} can't be re-provisioned: `wanted` is of {request['machine']!r}; give both components one name"
        )
    host, _, port = address.rpartition(":") if address.count(":") == 1 else (address, "", "")
    request["target"] |= {"host": host, "port": int(port) if port else request["target"]["port"]}
    if machine_id:
        request["target"]["host_key_alias"] = f"{name}-{machine_id}"
    if version:
        request["version"] = version
    if console_hint:
        request["console_hint"] = console_hint
    return request
