"""What the components of the package take. The names are those of a stack's config, in camelCase there."""

from typing import Any, NotRequired, TypedDict

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
    mode: NotRequired[str]
    """What lies in /oem/config.ign: `oem` (the default), the config itself; `bucket`, a pointer to it in `store`."""


class Ami(TypedDict, total=False):
    """The image of new instances: by its `id`, or Flatcar's own by its version."""

    id: str
    """An image that you name: then none of the others."""
    channel: str
    """Flatcar's channel: `stable` (the default), `beta`, `alpha` or `lts`."""
    version: str
    """Flatcar's version, exactly: another one is for new instances alone."""
    architecture: str
    """`x86_64` (the default) or `arm64`."""


class Ec2(TypedDict, total=False):
    """What is one instance's own on EC2."""

    instance_type: str
    """Its type, such as `t3.small`. A change stops and starts it; without it, it has the one of `aws`, and keeps it."""
    elastic_ip: bool
    """Whether it has an Elastic IP, which stays when the instance is replaced."""
    volume: int
    """GiB of a data volume, which is protected and outlives the instance; 0, the default, for none."""
    root_volume: int
    """GiB of a new instance's disk; the image's own by default."""
    termination_protection: bool
    """Whether AWS refuses to end it."""
    tags: dict[str, str]
    """Tags of its own."""
    import_id: str
    """The id of an instance that is there already, to be imported."""


class DropletImage(TypedDict, total=False):
    """What new droplets start from: an image that is there, or Flatcar's own, which is imported."""

    id: str
    """An image that is there, by number or slug: then none of the others."""
    channel: str
    """Flatcar's channel: `stable` (the default), `beta`, `alpha` or `lts`."""
    version: str
    """Flatcar's version, exactly: another one is for new droplets alone."""
    url: str
    """Where DigitalOcean fetches the image from; Flatcar's own release server by default."""


class Droplet(TypedDict, total=False):
    """What is one droplet's own."""

    size: str
    """Its size, such as `s-1vcpu-1gb`. A change powers it off and on; without it, it has the one of `digitalocean`, and
    keeps it."""
    reserved_ip: bool
    """Whether it has a reserved IP, which stays when the droplet is replaced."""
    volume: int
    """GiB of a data volume, which is protected and outlives the droplet; 0, the default, for none."""
    tags: list[str]
    """Tags of its own."""
    import_id: str
    """The id of a droplet that is there already, to be imported."""


class Bucket(TypedDict):
    """A bucket for the configs, which is made: private, versioned, encrypted where the cloud can."""

    kind: NotRequired[str]
    """`s3`, or for droplets `spaces`, which is their default."""
    bucket: str
    """The bucket's name."""
    region: NotRequired[str]
    """Its region: needed on Spaces, and on S3 where it is `public`; else where the provider of AWS is."""
    public: NotRequired[bool]
    """s3: whether machines read without credentials, by an address that nobody can guess, as they do on Spaces."""
    allow_secrets: NotRequired[list[str]]
    """Names of secrets that may lie where whoever knows the address can read them."""
    keep_days: NotRequired[int]
    """Days that old versions of a config stay; 30 by default."""
    protect: NotRequired[bool]
    """Whether Pulumi refuses to delete the bucket."""


class PullLock(TypedDict):
    """A server of the FleetLock protocol, such as airlock: as many machines reboot at a time as it has slots."""

    url: str
    """Its address, as the machine sees it."""
    group: NotRequired[str]
    """The group of the lock; `default` by default."""


class Pull(TypedDict, total=False):
    """How a machine takes a changed config by itself."""

    interval: int
    """Seconds between two looks at its object; 300 by default."""
    window: str
    """When it may reboot, in UTC, such as `Mon-Fri 02:00-04:00; Sun 00:00-24:00`; always by default."""
    jitter: int
    """It waits up to so many seconds, at random, before it reboots; 600 by default."""
    lock: PullLock
    """What it asks before it reboots."""
    report: str
    """Where it puts its reports: `{machine}` in the address is its name. `store`, on EC2: beside its object."""
    wait: str
    """What an update waits for: `no` (the default), `ssh` or `report`."""
    signers: list[str]
    """Public SSH keys: the machine takes only what one of them has signed."""
    signed_by: str
    """The key of `signers` that signs; the first by default."""


class Live(TypedDict, total=False):
    """What goes for the lifecycle `live`."""

    restart: dict[str, str]
    """The units, parted by blanks, that restart when a file changes, by patterns for its path, such as `/etc/app/*`."""
    reload: dict[str, str]
    """The same for those that reload; one that can't restarts."""
    drift: str
    """What becomes of a machine that has drifted: `reset` (the default), or `refuse`: it is left alone."""


class Common(TypedDict, total=False):
    """What can be set for any machine."""

    lifecycle: str
    """What a changed config does to the machine: `reset` (the default), `live`, `reformat`, `flag`, `ignore`, or
    `replace` for a `Machine` on a cloud."""
    keep: list[str]
    """What a reset keeps: presets (`logs`, `docker`, …) and expressions over whole paths. By default the logs."""
    allow: list[str]
    """Rules for configs that run again that are taken back: `RULE`, or `RULE:DEVICE`."""
    generation: int
    """Raising it re-provisions without another change."""
    pinned: str
    """A file with an object that was proven before: the machine goes back to that."""
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
    live: Live
    """What goes for the lifecycle `live`."""
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


class OnPlatform(Config):
    """A machine, and what is its own on its platform."""

    qemu: NotRequired[Qemu]
    """In QEMU on the computer that Pulumi runs on."""
    host: NotRequired[Host]
    """A machine that runs Flatcar already."""
    store: NotRequired[Store]
    """Where the config of a `host` in the mode `bucket` lies; on clouds that is known from what machines share."""
    ec2: NotRequired[Ec2]
    """With `aws`: what is the instance's own."""
    droplet: NotRequired[Droplet]
    """With `digitalocean`: what is the droplet's own."""
    pull: NotRequired[Pull]
    """The machine takes changed configs by itself."""
    protect: NotRequired[bool]
    """Whether Pulumi refuses to delete the machine."""
    retain_on_delete: NotRequired[bool]
    """Whether Pulumi only forgets the machine."""


class MachineArgs(OnPlatform):
    """A machine, on one of the platforms."""

    aws: NotRequired[Any]
    """An instance on EC2, which shares this with others."""
    digitalocean: NotRequired[Any]
    """A droplet, which shares this with others."""


class FleetMachine(OnPlatform):
    """One machine of a fleet."""

    group: NotRequired[str]
    """Its group, of those that `rollout` names."""


class Rollout(TypedDict, total=False):
    """How carefully changed configs come to the machines: in waves, each after the one before it is proven."""

    canary: int
    """So many machines of each config, by its `configName`, go first; 1 by default."""
    batch: str
    """How many machines a wave has at most: a count, or a percentage of all; `25%` by default."""
    max_unavailable: int
    """How many machines of a wave may be away at the same time; by default all of them."""
    pause: int
    """Seconds to wait between waves."""
    groups: list[str]
    """The order of groups, when machines have one: machines of different groups are never in one wave."""


class FleetArgs(TypedDict):
    """Machines whose changes go in waves."""

    machines: dict[str, FleetMachine]
    """The machines, by name."""
    rollout: NotRequired[Rollout]
    """How carefully changed configs come to them."""
    aws: NotRequired[Any]
    """They are instances on EC2, which share this."""
    digitalocean: NotRequired[Any]
    """They are droplets, which share this."""
    variables: NotRequired[dict[str, pulumi.Input[str]]]
    """Values for `${name}` in the configs of all machines, which may be left unused."""
    secrets: NotRequired[dict[str, pulumi.Input[str]]]
    """The same, masked wherever they would be shown."""
    ssh: NotRequired[Ssh]
    """The login of those that name none."""


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


class AwsSharedArgs(TypedDict):
    """What instances on EC2 share. A change of type, image, key or network is for new instances; others keep theirs."""

    ami: Ami
    """The image of new instances."""
    ssh_from: list[str]
    """The networks that may log in, such as `203.0.113.7/32`."""
    store: Bucket
    """The bucket for their configs, which is made."""
    instance_type: NotRequired[str]
    """The type of those that name none; `t3.small` by default."""
    key_name: NotRequired[str]
    """An EC2 key pair, whose key comes to `core` at each boot; by default none: the config brings keys."""
    open_ports: NotRequired[list[str]]
    """Ports that anybody may reach, such as `443/tcp` or `60000-61000/udp`."""
    tags: NotRequired[dict[str, str]]
    """Tags of all that is made on EC2."""
    vpc: NotRequired[str]
    """The id of a VPC, with `subnet`; the default network without."""
    subnet: NotRequired[str]
    """The id of a subnet of `vpc`."""
    availability_zone: NotRequired[str]
    """The zone of new instances; needed for data volumes."""
    address: NotRequired[str]
    """Which address ssh uses: `public` (the default), or `private`, through a jump host or a VPN."""
    retain_on_delete: NotRequired[bool]
    """Whether Pulumi only forgets the security group: for instances that stay when Pulumi forgets them."""


class DigitalOceanSharedArgs(TypedDict):
    """What droplets share. A change of image, keys, region or VPC is for new droplets; others keep theirs."""

    region: str
    """Where droplets are made, such as `fra1`."""
    image: DropletImage
    """What new droplets start from."""
    ssh_keys: list[str]
    """Public keys to register, or the ids or fingerprints of registered ones: a custom image needs one."""
    ssh_from: list[str]
    """The networks that may log in, such as `203.0.113.7/32`."""
    store: Bucket
    """The bucket for their configs, which is made."""
    size: NotRequired[str]
    """The size of those that name none; `s-1vcpu-1gb` by default."""
    open_ports: NotRequired[list[str]]
    """Ports that anybody may reach, such as `443/tcp` or `60000-61000/udp`."""
    tags: NotRequired[list[str]]
    """Tags of all droplets."""
    vpc: NotRequired[str]
    """The id of a VPC; the region's default one without."""
    retain_on_delete: NotRequired[bool]
    """Whether Pulumi only forgets tag and firewall: for droplets that stay when Pulumi forgets them."""
