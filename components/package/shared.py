"""What the machines of a stack share on a cloud: declared once, and given to each `Machine`.

A machine gets it as a reference to a resource. It is found again here, as Pulumi runs one process of this plugin.
"""

from dataclasses import replace
from functools import partial
from typing import Any

import pulumi
from pulumi.runtime.rpc import ResourceModule

from components.config.section import Section
from components.package.given import protection, section_of
from components.package.inputs import AwsSharedArgs, DigitalOceanSharedArgs
from components.platforms import Descriptor, aws, digitalocean
from components.settings.ssh import SshSettings
from components.stores.registry import open_store, store_settings

_declared: dict[str, "Shared"] = {}
"""All of this process, by URN."""


class Shared(pulumi.ComponentResource):
    """What machines share on a platform: its settings, and what gives each machine its platform and its store."""

    def _declare(
        self, platform: Descriptor[Any, Any], name: str, args: dict[str, Any], opts: pulumi.ResourceOptions | None
    ) -> None:
        """Raises `pulumi.RunError` that tells all that is wrong, before anything is made."""
        key = platform.stack_key
        problems: list[str] = []
        own = {name: value for name, value in args.items() if name not in ("store", "retain_on_delete")}
        with section_of(name, {key: own, "store": args["store"]}, problems) as section:
            self.settings = platform.read_shared(section, SshSettings())
            store = store_settings(section.section("store"), platform, partial(_cloud, opts, problems))
            problems[:] = [problem.replace(f"{name}:{key}.", f"{name}:", 1) for problem in problems]
        is_protected, opts = protection(opts)
        self.store = replace(store, protect=store.protect or is_protected)  # the configs; the others have to change
        super().__init__(f"flatcar:index:{type(self).__name__}", name, {}, opts)
        inside = pulumi.ResourceOptions(parent=self)
        self.platform_of = platform.declare(
            self.settings,
            partial(open_store, self.store, inside),
            retain=bool(args.get("retain_on_delete")),
            opts=inside,
        )
        self.urn.apply(lambda urn: _declared.__setitem__(urn, self))
        self.bucket = pulumi.Output.from_input(self.store.bucket)
        self.register_outputs({"bucket": self.bucket})


class AwsShared(Shared):
    """What EC2 instances share: the image, the security group, and the bucket that their configs lie in."""

    bucket: pulumi.Output[str]
    """The bucket's name."""

    def __init__(self, name: str, args: AwsSharedArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        self._declare(aws.PLATFORM, name, dict(args), opts)


class DigitalOceanShared(Shared):
    """What droplets share: image, SSH keys, tag and firewall, and the bucket that their configs lie in."""

    bucket: pulumi.Output[str]
    """The bucket's name."""

    def __init__(self, name: str, args: DigitalOceanSharedArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        self._declare(digitalocean.PLATFORM, name, dict(args), opts)


SHARED: dict[str, type[Shared]] = {
    aws.PLATFORM.stack_key: AwsShared,
    digitalocean.PLATFORM.stack_key: DigitalOceanShared,
}
"""By the input of a `Machine` that takes it."""


def _cloud(opts: pulumi.ResourceOptions | None, problems: list[str], name: str) -> Section:
    """Of a cloud's own settings, the region: unless the component has a provider of its own, which may be elsewhere."""
    region = None if opts is not None and opts.providers else pulumi.Config(name).get("region")
    return Section(name, {"region": region} if region else {}, problems)


class References(ResourceModule):
    """How the SDK turns references to resources of this package into resources."""

    def version(self) -> None:
        """Of any."""

    def construct(self, name: str, typ: str, urn: str) -> pulumi.Resource:
        """The component itself; of another process there is none."""
        return _declared.get(urn) or pulumi.resource.DependencyResource(urn)
