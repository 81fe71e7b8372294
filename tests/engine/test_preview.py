"""What a preview shows: the lines of a config that were edited, and in words what happens to a machine."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.engine.test_machine import CONFIG, Lab, lab  # noqa: F401 - a fixture

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
        ("label: data", "label: more", ["- label: data", "+ label: more"]),
        ("[docker, wheel]", "[docker, sudo]", ["- groups: docker, wheel", "+ groups: docker, sudo"]),
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
    for arguments in ((), ("--diff",)):
        preview = lab.stack.preview(*arguments)
        messages = [event["diagnosticEvent"]["message"] for event in preview.events if "diagnosticEvent" in event]
        (edits,) = (text for text in messages if text.startswith("web:\n"))
        changed = [" ".join(line.split()) for line in edits.splitlines() if re.match(r"\s*[-+] ", line)]
        assert changed == shown, preview.output
    shutil.rmtree(next(lab.stack.scratch.parent.rglob(".shown")))
    preview = lab.stack.preview()
    assert ": what it was before is not known on this computer" in preview.output
    assert shown[0].removeprefix("- ") not in preview.output


def told(lab: Lab, *arguments: str) -> list[str]:  # noqa: F811
    """The lines of a preview's message to the operator."""
    events = lab.stack.preview(*arguments).events
    said = [event["diagnosticEvent"]["message"] for event in events if "diagnosticEvent" in event]
    return [line for text in said if "reboots" in text.splitlines()[-1] for line in text.splitlines()]


RESET = "reset: reboots, ROOT is wiped but for 2 kept paths"


def test_a_preview_says_in_words_what_happens(lab: Lab) -> None:  # noqa: F811
    assert told(lab) == ["web: new", "nothing reboots"]
    lab.stack.up()
    assert told(lab) == ["nothing reboots"]
    lab.edit("first line", "another line")
    for arguments in ((), ("--diff",)):
        assert told(lab, *arguments) == [f"web: /etc/motd changes; {RESET}", "1 of 1 machine reboots"]
    assert "rollback.sh" not in lab.stack.preview("--diff").output, "none of the project's own files"

    lab.stack.set("check", "false")
    lab.stack.up(code=None)
    assert told(lab) == [f"web: its last change is tried again; {RESET}", "1 of 1 machine reboots"]
    lab.stack.set("check", "true")
    lab.stack.up()
    lab.stack.set("timeout", "90")
    assert told(lab) == ["nothing reboots"]
    lab.stack.set("token", "another-token", secret=True)
    assert told(lab) == [f"web: a masked value changes; {RESET}", "1 of 1 machine reboots"]
    lab.stack.set("lifecycle", "ignore")
    assert told(lab)[-1] == "nothing reboots"
    lab.edit("    - path: /etc/motd", "    - pth: /etc/motd")
    assert "reboots" not in lab.stack.preview(code=None).output


READER = """\
systemd:
  units:
    - name: reader.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/usr/bin/reader /etc/motd /etc/token
        [Install]
        WantedBy=multi-user.target
"""


def test_a_preview_says_what_is_live_also_of_a_config_with_secrets(lab: Lab) -> None:  # noqa: F811
    lab.stack.set("lifecycle", "live")
    lab.stack.set("rollback_after", "300")
    lab.config.write_text(CONFIG + READER)
    lab.stack.up()
    assert told(lab) == ["nothing reboots"]
    lab.edit("first line", "another line")
    assert told(lab) == ["web: /etc/motd changes; live: reader.service restarts", "nothing reboots"]
    lab.stack.set("token", "another-token", secret=True)
    lab.edit("another line", "first line")
    assert told(lab) == ["web: a masked value changes; live: reader.service restarts", "nothing reboots"]
    lab.edit("path: /etc/motd", "path: /etc/sysctl.d/motd.conf")
    why = "reset, since not all of it can be live: reboots, ROOT is wiped but for 2 kept paths"
    line, reboots = told(lab)
    assert line.endswith(why) and reboots == "1 of 1 machine reboots"
    lab.config.write_text((CONFIG + READER).replace("${token}", "none"))
    assert told(lab)[0].endswith("live if all of it can be, else reset: reboots, ROOT is wiped but for 2 kept paths")
    lab.stack.up()
    lab.edit("first line", "another line")
    assert told(lab) == ["web: live: /etc/motd changes, reader.service restarts", "nothing reboots"]
