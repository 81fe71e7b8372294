"""What `pulumi preview --diff` shows of a change of a Butane config: the line that was edited, in plain text."""

from __future__ import annotations

import re

import pytest

from tests.engine.test_machine import Lab, lab  # noqa: F401 - a fixture

BUTANE = """\
variant: flatcar
version: 1.1.0
passwd:
  users:
    - {name: core, groups: [docker, wheel], ssh_authorized_keys: ['${ssh_public_key}']}
storage:
  filesystems:
    - {device: /dev/disk/by-label/data, format: ext4, label: data}
  files:
    - path: /etc/numbers
      mode: 0644
      contents:
        inline: |
NUMBERS
systemd:
  units:
    - name: web.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/opt/web --port 8080
        Restart=always

        [Install]
        WantedBy=multi-user.target
""".replace("NUMBERS", "\n".join(f"          number {n}" for n in range(300)))


@pytest.mark.parametrize(
    ("old", "new", "shown"),
    [
        ("number 157", "number 157.5", ["- number 157", "+ number 157.5"]),  # in a text so long that it is compressed
        ("--port 8080", "--port 80", ["- ExecStart=/opt/web --port 8080", "+ ExecStart=/opt/web --port 80"]),
        ("label: data", "label: more", ['~ label : "data" => "more"']),
        ("[docker, wheel]", "[docker, sudo]", ['~ [1]: "wheel" => "sudo"']),
    ],
    ids=["file", "unit", "disk", "user"],
)
def test_a_preview_shows_what_was_edited_and_nothing_else(
    lab: Lab,  # noqa: F811
    old: str,
    new: str,
    shown: list[str],
) -> None:
    lab.config.write_text(BUTANE)
    lab.stack.up()
    lab.edit(old, new)
    preview = lab.stack.preview("--diff")
    machine = preview.output.partition("flatcar:index:Machine: (update)")[2].partition("command:local:Command")[0]
    changed = [" ".join(line.split()) for line in machine.splitlines() if re.match(r"\s*([-+] |~ .* => )", line)]
    assert [line for line in changed if not line.startswith("~ configId")] == shown, preview.output
