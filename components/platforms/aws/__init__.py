"""AWS: EC2 instances."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.config.values import closed_port
from components.platforms import VOLUME_STAYS, Descriptor, IgnitionPlatform
from components.platforms.aws.settings import AwsSettings, InstanceSettings, aws_settings, instance_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pulumi

    from components.config.section import Section
    from components.platforms import Login, PlatformOf
    from components.stores import Store
    from components.stores.settings import StoreSettings


class AwsPlatform(Descriptor[AwsSettings, InstanceSettings]):
    """EC2 instances, which have a role to read a private bucket with."""

    name = "aws"
    ignition = IgnitionPlatform(name="aws", ct_platform="ec2")
    stores = private_stores = ("s3",)
    stack_key = "aws"
    machine_key = "ec2"

    def read_shared(self, section: Section, login: Login) -> AwsSettings:
        return aws_settings(section.section(self.stack_key))

    def read_own(self, section: Section, shared: AwsSettings, store: StoreSettings) -> InstanceSettings:
        return instance_settings(section, shared)

    def replace_problems(self, own: InstanceSettings) -> Iterator[tuple[str, str]]:
        if own.termination_protection:
            yield (
                "ec2.termination_protection",
                "'replace' could not end the old machine; choose an in-place lifecycle, or switch it off",
            )
        if own.volume:
            yield "lifecycle", VOLUME_STAYS

    def unreachable(self, port: int, shared: AwsSettings | None) -> str | None:
        return closed_port(port, shared.open_ports, f"flatcar:{self.stack_key}.open_ports") if shared else None

    def declare(
        self,
        shared: AwsSettings,
        open_store: Callable[[], Store],
        *,
        retain: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> PlatformOf[InstanceSettings]:
        from components.platforms.aws.machine import Aws, Ec2

        group = Aws(shared, opts, retain=retain)
        store = open_store()
        return lambda machine: (Ec2(group, machine), store)


PLATFORM = AwsPlatform()
