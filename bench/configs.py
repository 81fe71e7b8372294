"""Configs of a wanted length: files, units, a user; the same machine in both dialects.

`config` is what people write, with texts in it; `dense` has a key on each line, so that it has most nodes.
"""

from __future__ import annotations

from loopback.first_resource import KEY


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


def dense(dialect: str, lines: int) -> str:
    """About `lines` lines of `clc` or `butane`, a key or more on each."""
    is_butane = dialect == "butane"
    head = ["variant: flatcar", "version: 1.0.0"] if is_butane else ["update:", "  group: stable"]
    place = [] if is_butane else ["      filesystem: root"]
    users, files, links, units = (list[str]() for _ in range(4))
    for number in range(max(1, (lines - 7) // 27)):
        users += [f"    - name: user{number}", f"      uid: {1000 + number}", "      groups: [sudo, docker]"]
        users += ["      home_dir: /home/user", "      ssh_authorized_keys:", f"        - {KEY}"]
        files += [f"    - path: /etc/app/{number}.conf", *place, "      mode: 0640", "      overwrite: true"]
        files += ["      user: {name: core}", f"      group: {{id: {500 + number}}}", "      contents:"]
        files += [f"        inline: listen = 0.0.0.0:{8000 + number}"]
        links += [f"    - path: /etc/link{number}", *place, "      target: /usr/share/app", "      hard: false"]
        units += [f"    - name: app-{number}.service", "      enabled: true", "      mask: false"]
        units += ['      contents: "[Service]\\nExecStart=/bin/app\\n[Install]\\nWantedBy=multi-user.target\\n"']
        units += [
            "      dropins:",
            "        - name: 10-limits.conf",
            '          contents: "[Service]\\nLimitNOFILE=9999\\n"',
        ]
        units += ["        - name: 20-restart.conf", '          contents: "[Service]\\nRestart=always\\n"']
    storage = ["storage:", "  files:", *files, "  links:", *links]
    return "\n".join([*head, "passwd:", "  users:", *users, *storage, "systemd:", "  units:", *units]) + "\n"


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
