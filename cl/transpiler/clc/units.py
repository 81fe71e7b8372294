"""The units that `ct` makes of the `docker`, `etcd` and `flannel` sections and for some platforms.

All are drop-ins of units that Container Linux had. Source: ct v0.9.4, config/types/{common,docker,etcd,flannel}.go.
"""

from __future__ import annotations

from cl.transpiler.clc import schema
from cl.transpiler.clc.clusters import Cluster, Etcd, Flannel
from cl.transpiler.clc.platforms import METADATA_PROVIDERS, fill, has_templating
from cl.transpiler.gotext import quote
from cl.transpiler.ignition import v2

_FLAG_NAMES = {"interface": "iface"}


def metadata_units(platform: str) -> tuple[v2.Unit, ...]:
    """Two units that tell coreos-metadata which provider to ask; none on platforms where it knows."""
    if platform not in METADATA_PROVIDERS:
        return ()
    contents = f"[Service]\nEnvironment=COREOS_METADATA_OPT_PROVIDER=--provider={platform}"
    dropin = v2.Dropin(name="20-clct-provider-override.conf", contents=contents)
    return (
        v2.Unit(name="coreos-metadata.service", dropins=(dropin,)),
        v2.Unit(name="coreos-metadata-sshkeys@.service", enabled=True, dropins=(dropin,)),
    )


def docker_unit(docker: schema.Docker) -> v2.Unit:
    """docker.service with the flags in DOCKER_OPTS, joined by spaces and not escaped, as in `ct`."""
    return _enabled_unit("docker", "docker", f'[Service]\nEnvironment="DOCKER_OPTS={" ".join(docker.flags)}"')


def etcd_unit(etcd: Etcd, platform: str) -> v2.Unit:
    """etcd-member.service with the options as flags. Raises platforms.TemplatingError."""
    return _enabled_unit("etcd-member", "etcd-member", _wrapper_text("etcd", etcd, platform))


def flannel_unit(flannel: Flannel, platform: str) -> v2.Unit:
    """flanneld.service with the options as flags. Raises platforms.TemplatingError.

    The network config is put into etcd before flannel starts; placeholders in that line stay as they are: a
    bug of `ct`, kept because the bytes of a machine's config are kept.
    """
    contents = _wrapper_text("flannel", flannel, platform)
    if flannel.network_config:
        contents += f"\n{_set_network_config(flannel)}"
    return _enabled_unit("flanneld", "flannel", contents)


def _enabled_unit(service: str, dropin: str, contents: str) -> v2.Unit:
    return v2.Unit(
        name=f"{service}.service", enable=True, dropins=(v2.Dropin(name=f"20-clct-{dropin}.conf", contents=contents),)
    )


def _set_network_config(flannel: Flannel) -> str:
    words = ["ExecStartPre=/usr/bin/etcdctl"]
    for option, flag in (
        ("etcd_endpoints", "endpoints"),
        ("etcd_cafile", "ca-file"),
        ("etcd_certfile", "cert-file"),
        ("etcd_keyfile", "key-file"),
    ):
        value = flannel.options.get(option)
        if value is not None:
            words.append(f"--{flag}={quote(str(value))}")
    return " ".join([*words, "set /coreos.com/network/config", quote(flannel.network_config)])


def _wrapper_text(program: str, cluster: Cluster, platform: str) -> str:
    """A drop-in that calls a wrapper with options; it waits for the metadata service when there is templating."""
    arguments = [_flag(name, value) for name, value in cluster.options.items()]
    lines = []
    if has_templating(arguments):
        arguments = [fill(argument, platform) for argument in arguments]
        metadata = "coreos-metadata.service"
        lines = ["[Unit]", f"Requires={metadata}", f"After={metadata}", "", "[Service]"]
        lines.append("EnvironmentFile=/run/metadata/coreos")
    else:
        lines = ["[Service]"]
    if cluster.version is not None:
        lines.append(f'Environment="{program.upper()}_IMAGE_TAG=v{cluster.version}"')
    command = f"/usr/lib/coreos/{program}-wrapper ${program.upper()}_OPTS"
    lines += ["ExecStart=", "ExecStart=" + " \\\n  ".join([command, *arguments])]
    return "\n".join(lines)


def _flag(name: str, value: str | int | bool | None) -> str:
    if isinstance(value, bool):
        shown = "true" if value else "false"
    else:
        shown = quote(value) if isinstance(value, str) else str(value)
    return f"--{_FLAG_NAMES.get(name, name.replace('_', '-'))}={shown}"
