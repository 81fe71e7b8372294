"""Platforms: where machines run. One folder per platform and one line in `registry`; they never import each other.

This file holds what the others need from any platform, and imports none of them. For `FlatcarMachine` a class with
`ignition_platform`, `login_user` and `create` is enough (the `Platform` protocol); what the config of a stack can name
has a `Descriptor` as well, in the folder's `__init__`, which is cheap to import: a cloud's SDK is imported when a stack
needs it, not before. What set-up has to bring for it is in the folder's `needs.json` (`toolchain/needs.py`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import pulumi

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from components.config.section import Section
    from components.stores import Store
    from components.stores.settings import StoreSettings

Shared = TypeVar("Shared")
"""Settings that the machines of a stack share on a platform."""
Own = TypeVar("Own")
"""Settings of one machine on a platform."""

PlatformOf = Callable[[Own], tuple["Platform", "Store"]]
"""Gives a machine, by what is its own, its platform and its store."""

VOLUME_STAYS = (
    "'replace' starts the new machine before the old one goes, and a volume is at one machine at a time; "
    "'reset' and 'reformat' keep the volume's data"
)
"""What is wrong with replacing a machine that has a volume, in any cloud."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformMachine:
    """A machine that exists and is switched on, as the other components see it.

    Everything that talks to the machine takes `depends_on=[machine.resource]`: the addresses below can be known
    before the machine runs (a recorded port, a reserved address), so they don't order anything by themselves.
    """

    resource: pulumi.Resource
    """What has to exist before the machine can be reached; replaced only when the machine itself is."""

    ssh_host: pulumi.Input[str]
    """Name or address for the operator's `ssh`. Kept over reboots, re-provisioning and power cuts."""

    ssh_port: pulumi.Input[int]
    """TCP port of sshd at `ssh_host`; 22 on clouds, a forwarded loopback port in QEMU. Kept as well."""

    console_log: pulumi.Input[str]
    """Path of a file on the operator's computer that the serial console is appended to; "" where there is none.

    Whoever reports that a machine didn't come back shows its last lines.
    """

    console_hint: pulumi.Input[str]
    """Where to look when the machine doesn't answer: half a sentence that follows "its console: "."""

    oem: str = ""
    """For hosts without user data: what lies in /oem/config.ign instead, "pointer" or "config"."""

    power_on: str = ""
    """Names the power-on that the machine is in, or comes into now, where the platform counts them: after another one
    the machine is waited for and proven again. "" elsewhere."""

    is_off: bool = False
    """Whether it exists and is off now: for previews, which say that it will be started."""


class Platform(Protocol):
    """What makes a machine from a name and a constant pointer.

    One that has a `Descriptor` also has the property `described`: the descriptor, and the machine's own settings, by
    which `FlatcarMachine` refuses what a stack's config refuses. One whose new machines start with a pinned OS version
    has that as `image_version`.
    """

    @property
    def ignition_platform(self) -> str:
        """Ignition's own name of the platform ("qemu", "aws", "digitalocean", "metal").

        It is `transpile(platform=…)`, which fills Container Linux Config's dynamic data such as {PRIVATE_IPV4}.
        """
        ...

    @property
    def login_user(self) -> str | None:
        """Whose SSH keys the platform itself brings to each boot, from its metadata; None: a config has to."""
        ...

    def create(
        self, name: str, *, user_data: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> PlatformMachine:
        """Declare the machine `name` and return how to reach it.

        `user_data` is the pointer: Ignition JSON that never changes while the machine lives. The store's object is
        written before the machine is first switched on: the caller puts it into `opts.depends_on`. Platforms whose
        machines can write into a store (`Descriptor.private_stores`) also get the address `report` of a machine that
        puts its reports there. `opts` are
        passed on to the machine's resource (parent, depends_on, protect, custom_timeouts …).
        Raises `pulumi.RunError` for settings that can't work, so that they fail at preview.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class IgnitionPlatform:
    """What follows for an object from where Ignition runs it. The defaults are right for any platform."""

    name: str
    """Ignition's own name (`Platform.ignition_platform`)."""

    ct_platform: str = ""
    """Container Linux Config's name for the source of dynamic data such as {PRIVATE_IPV4}; such a config is refused
    where it has none ("")."""

    limit: int = 64 << 20
    """The longest object, in bytes. By default what the engine takes: old and new content cross it in one message, of
    400 MiB at most, as JSON (pulumi/pulumi, sdk/go/common/util/rpcutil), and both lie in the machine's memory while it
    boots."""

    limit_of: str = "Pulumi's engine"
    """What sets the limit."""

    oem_pointer: bool = False
    """Whether the pointer lies in /oem/config.ign, since there is no user data: an agent keeps it there."""


class Login(Protocol):
    """Of `flatcar:ssh`, what a platform asks."""

    @property
    def public_key(self) -> str: ...
    @property
    def port(self) -> int | None: ...


class Descriptor(ABC, Generic[Shared, Own]):
    """A platform as the config of a stack names it: all that the others ask about it without a machine at hand."""

    name: str
    """The value of `flatcar:platform`."""

    ignition: IgnitionPlatform

    stores: Sequence[str]
    """Kinds of store that its machines can read from, the default first."""

    private_stores: Sequence[str] = ()
    """Those that its machines have credentials for, by what the platform gives them: their objects can be private."""

    on_this_computer: bool = False
    """Whether its machines are nowhere but on the computer that made them: a login key may be, too."""

    stack_key: str = ""
    """The setting `flatcar:KEY` that `read_shared` reads, "" for none; refused on other platforms."""

    machine_key: str
    """The section `flatcar:machines.NAME.KEY` that `read_own` reads; refused on other platforms."""

    @abstractmethod
    def read_shared(self, section: Section, login: Login) -> Shared:
        """What the machines of a stack share, from the whole `flatcar:`; problems go to the section's list."""

    @abstractmethod
    def read_own(self, section: Section, shared: Shared, store: StoreSettings) -> Own:
        """What is one machine's own, from its section `machine_key`; problems go to the section's list."""

    def replace_problems(self, own: Own) -> Iterator[tuple[str, str]]:
        """A machine's setting and what is wrong with it, where a change is to make a new machine."""
        yield from ()

    def pull_problems(self, own: Own) -> Iterator[tuple[str, str]]:
        """The same for a machine that pulls."""
        yield from ()

    def unreachable(self, port: int, shared: Shared | None) -> str | None:
        """Why the operator's computer reaches nothing at a TCP port of a machine, whoever listens; None if it may.

        `shared` is None in a program of one's own.
        """
        return None

    @abstractmethod
    def declare(
        self,
        shared: Shared,
        open_store: Callable[[], Store],
        *,
        retain: bool,
        opts: pulumi.ResourceOptions | None = None,
    ) -> PlatformOf[Own]:
        """Declare what the machines of a stack share; a function that gives each machine its platform and its store.

        The store is declared when it is asked for. `retain`: a machine stays when Pulumi forgets it, so what guards it
        has to stay as well. With a parent in `opts` all has its name too, as a stack may have several. Raises
        `pulumi.RunError` when what they need is not there.
        """
