"""What the components of the package take. The names are those of a stack's config, in camelCase there."""

from typing import NotRequired, TypedDict

import pulumi


class CommandCheck(TypedDict):
    """A shell command on the machine, which has to end with exit code 0."""

    command: str
    """Run as the login user."""
    name: NotRequired[str]
    """What reports call it; the command by default."""
    seconds: NotRequired[int]
    """Within which it has to hold, asked again and again; 30 by default."""


class HttpCheck(TypedDict):
    """An address that has to answer with a status."""

    url: str
    """http or https; `{address}` in it is the machine's."""
    status: NotRequired[int]
    """The status to answer with; 200 by default."""
    vantage: NotRequired[str]
    """Who asks: `machine` (the default), or `operator`, the computer that Pulumi runs on."""
    name: NotRequired[str]
    """What reports call it; the address by default."""
    seconds: NotRequired[int]
    """Within which it has to hold, asked again and again; 30 by default."""


class TcpCheck(TypedDict):
    """A port that has to accept connections."""

    port: str
    """A port of the machine, or HOST:PORT."""
    vantage: NotRequired[str]
    """Who asks: `machine` (the default), or `operator`, the computer that Pulumi runs on."""
    name: NotRequired[str]
    """What reports call it; the port by default."""
    seconds: NotRequired[int]
    """Within which it has to hold, asked again and again; 30 by default."""


class Health(TypedDict, total=False):
    """What has to hold before a changed machine counts as proven."""

    degraded: str
    """`fail` (the default): a unit that has failed is a reason to roll back; or `allow`."""
    commands: list[CommandCheck]
    """Shell commands on the machine."""
    http: list[HttpCheck]
    """Addresses that have to answer."""
    tcp: list[TcpCheck]
    """Ports that have to accept connections."""
    units: list[str]
    """systemd units that have to be active."""


class Ssh(TypedDict, total=False):
    """The login. A change of it touches no machine."""

    user: str
    """Who logs in; `core` by default. Has to be root by sudo without a password."""
    port: int
    """The port of sshd; the machine's own by default."""
    private_key_file: str
    """A file on the computer that Pulumi runs on; by default ssh-agent and your own SSH configuration choose."""
    public_key: str
    """What configs get as `${ssh_public_key}`, in the format of authorized_keys."""
    jump_host: str
    """`[user@]host[:port]`, which your own SSH configuration opens without a question."""


class Store(TypedDict):
    """Where a config lies: an object at an address that never changes."""

    kind: str
    """`s3` or `spaces`: in a bucket that is there. `folder`: on this computer, for QEMU. `elsewhere`: another resource
    of your program puts the output `content` to `url`."""
    bucket: NotRequired[str]
    """The bucket's name."""
    region: NotRequired[str]
    """The bucket's region."""
    public: NotRequired[bool]
    """s3: whether the machine reads without credentials, by an address that nobody can guess."""
    url: NotRequired[str]
    """elsewhere: http or https, as the machine sees it; the same for the machine's whole life."""
    allow_secrets: NotRequired[list[str]]
    """Names of secrets that may lie where whoever knows the address can read them."""


class Qemu(TypedDict, total=False):
    """A machine in QEMU on the computer that Pulumi runs on."""

    image: str
    """The image of new machines: `flatcar_production_qemu_image.img`; by default the one that set-up prepared."""
    memory_mib: int
    """Memory in MiB."""
    cpus: int
    """Virtual processors; 2 by default."""
    disk_gib: int
    """Size of a new disk in GiB; the image's own by default."""


class Host(TypedDict):
    """A machine that runs Flatcar already and has no user data, such as bare metal."""

    address: str
    """Its name or IP address."""
    port: NotRequired[int]
    """The port of sshd; 22 by default."""


class Common(TypedDict, total=False):
    """What can be set for any machine."""

    lifecycle: str
    """What a changed config does to the machine: `reset` (the default), `reformat`, `flag` or `ignore`."""
    keep: list[str]
    """What a reset keeps: presets (`logs`, `docker`, …) and expressions over whole paths. By default the logs."""
    allow: list[str]
    """Rules for configs that run again that are taken back: `RULE`, or `RULE:DEVICE`."""
    generation: int
    """Raising it re-provisions without another change."""
    host_key: str
    """The SSH host key, `TYPE BASE64`, where it is known beforehand."""
    health: Health
    """What has to hold before a changed machine counts as proven."""
    timeout: int
    """Seconds that a boot may take; 600 by default."""
    rollback: bool
    """Whether the machine rolls back to its last good config by itself; true by default."""
    rollback_after: int
    """Seconds after a boot when it does so; 300 and the time of the health checks by default."""
    drain: str
    """A shell command for the computer that Pulumi runs on, before the machine is taken down."""
    restore: str
    """The same after the proof."""
    os_update: str
    """Where an update of the OS waits for the same reboot: `allow` (the default) or `refuse`."""
    take_over: bool
    """Whether a machine that belongs to another stack is changed, too."""


class Config(Common):
    """A machine's config, and what can be set for it."""

    config: str
    """A Butane config or a Container Linux Config, as text."""
    config_name: NotRequired[str]
    """What reports call the config: the name of its file, say."""
    snippets: NotRequired[list[str]]
    """Configs, as texts, that are merged over it, in order."""
    files_dir: NotRequired[str]
    """The folder where `local` paths in configs start."""
    variables: NotRequired[dict[str, pulumi.Input[str]]]
    """Values for `${name}` in the configs; each has to be used. What is secret is masked wherever it would be shown."""
    secrets: NotRequired[dict[str, pulumi.Input[str]]]
    """Values for `${name}` that are masked wherever they would be shown, and may be left unused."""
    strict: NotRequired[bool]
    """Whether a warning about a config is an error; true by default."""
    ssh: NotRequired[Ssh]
    """The login."""


class MachineArgs(Config):
    """A machine, on one of the platforms."""

    qemu: NotRequired[Qemu]
    """In QEMU on the computer that Pulumi runs on."""
    host: NotRequired[Host]
    """A machine that runs Flatcar already."""
    protect: NotRequired[bool]
    """Whether Pulumi refuses to delete the machine."""
    retain_on_delete: NotRequired[bool]
    """Whether Pulumi only forgets the machine."""


class IgnitionObjectArgs(Config):
    """A machine's config as an object in a store."""

    store: Store
    """Where the object lies."""
    platform: str
    """Ignition's name of where the machine runs: `aws`, `azure`, `digitalocean`, `gcp`, `hetzner`, `metal`,
    `openstack`, `qemu`, `vmware` …"""
    platform_user: NotRequired[str]
    """Who gets SSH keys from the platform's metadata at each boot; by default nobody, so that the config has to."""


class ReprovisionArgs(TypedDict):
    """A machine that somebody else makes, known by address."""

    wanted: pulumi.Input[str]
    """The output `wanted` of the machine's `IgnitionObject`."""
    address: pulumi.Input[str]
    """Its name or IP address, as this computer reaches it."""
    machine_id: NotRequired[pulumi.Input[str]]
    """Another one when the machine is made anew, such as its resource's id: the SSH host key is pinned for it."""
    object_version: NotRequired[pulumi.Input[str]]
    """For a store that is `elsewhere`: something new after each write of the object, such as its version or ETag."""
    console_hint: NotRequired[str]
    """Where to look when the machine doesn't answer, in a few words."""
