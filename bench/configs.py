"""Configs of a wanted length: files, units, a user; the same machine in both dialects."""

from __future__ import annotations

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl bench"


def config(dialect: str, lines: int, *, variables: bool = False) -> str:
    """About `lines` lines of `clc` or `butane`. With `variables` it names `${name}`, `${address}` and `${rack}`."""
    is_butane = dialect == "butane"
    blocks = max(0, (lines - 18) // 18)
    name = "${name}" if variables else "web-1"
    head = ["variant: flatcar", "version: 1.0.0"] if is_butane else []
    head += ["passwd:", "  users:", "    - name: core", "      ssh_authorized_keys:", f"        - {KEY}"]
    storage = ["storage:", "  files:", *_file(is_butane, "/etc/hostname", [name], mode="0644")]
    storage += _file(is_butane, "/etc/flatcar/update.conf", ["REBOOT_STRATEGY=off"], mode="0644")
    if variables:
        storage += _file(is_butane, "/etc/rack", ["${address} ${rack}"], mode="0600")
    units = ["systemd:", "  units:"]
    for number in range(blocks):
        storage += _file(
            is_butane,
            f"/etc/app/{number}.conf",
            [f"listen = 0.0.0.0:{8000 + number}", f"name = {name}", "workers = 4", "# tuned by hand"],
            mode="0640" if number % 2 else "0644",
        )
        units += _unit(number)
    return "\n".join([*head, *storage, *units]) + "\n"


def snippet(dialect: str, number: int) -> str:
    """A small config to merge: a file and a unit. The first two name a machine's variable, as few snippets do."""
    is_butane = dialect == "butane"
    head = ["variant: flatcar", "version: 1.0.0"] if is_butane else []
    file = _file(
        is_butane,
        f"/etc/snippet/{number}",
        ["${name}" if number < 2 else "any machine", f"snippet {number}"],
        mode="0644",
    )
    return "\n".join([*head, "storage:", "  files:", *file, "systemd:", "  units:", *_unit(100 + number)]) + "\n"


def _file(is_butane: bool, path: str, text: list[str], *, mode: str) -> list[str]:
    place = [] if is_butane else ["      filesystem: root"]
    body = [f"          {line}" for line in text]
    return [f"    - path: {path}", *place, f"      mode: {mode}", "      contents:", "        inline: |", *body]


def _unit(number: int) -> list[str]:
    return [
        f"    - name: app-{number}.service",
        "      enabled: true",
        "      contents: |",
        "        [Unit]",
        "        After=network-online.target",
        "        [Service]",
        f"        ExecStart=/usr/bin/docker run --rm app:{number}",
        "        [Install]",
        "        WantedBy=multi-user.target",
    ]
