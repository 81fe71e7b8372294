"""Parts of the Container Linux Config dialect that golden cases don't reach."""

from __future__ import annotations

from pathlib import Path

import pytest

from cl.transpiler import transpile
from cl.transpiler.clc.to_butane import to_butane

pytestmark = pytest.mark.covering

COMMENTED = """\
# my machine
passwd:
  users:
    # the admin
    - name: core  # may log in
      ssh_authorized_keys: ["ssh-ed25519 AAAA x#y"]
update:
  group: stable  # no surprises
etcd:
  # the newest
  version: 3.5.0
storage:
  disks:
    - device: /dev/sdb
      partitions:
        - number: 1
          size: 1MiB  # tiny
  files:
    - path: /etc/motd
      filesystem: root
      mode: 0644
      contents:
        remote: # from afar
          url: data:,x # here
  # both below and above
  links: []
systemd:
  units:
    - name: a.service
      enable: true # turn it on
      contents: | # text
        [Service]
        # not a comment of YAML
        ExecStart=/bin/true
    - name: b.service
      mask: yes
# the end
---
# of another document
"""

AS_BUTANE = """\
variant: flatcar
version: 1.0.0
# my machine
passwd:
  users:
    # the admin
    # may log in
    - name: core
      ssh_authorized_keys:
        - "ssh-ed25519 AAAA x#y"
# both below and above
storage:
  disks:
    - device: /dev/sdb
      partitions:
        - number: 1
          # tiny
          size_mib: 1
  files:
    - path: /etc/motd
      overwrite: true
      # from afar
      # here
      contents:
        inline: x
      mode: 0644
    # made from update
    # no surprises
    - path: /etc/coreos/update.conf
      overwrite: true
      contents:
        inline: GROUP=stable
      mode: 0644
systemd:
  units:
    # made from etcd
    # the newest
    - name: etcd-member.service
      dropins:
        - name: 20-clct-etcd-member.conf
          contents: |-
            [Service]
            Environment="ETCD_IMAGE_TAG=v3.5.0"
            ExecStart=
            ExecStart=/usr/lib/coreos/etcd-wrapper $ETCD_OPTS
      enabled: true
    - name: a.service
      # text
      contents: |
        [Service]
        # not a comment of YAML
        ExecStart=/bin/true
      # turn it on
      enabled: true
    - name: b.service
      mask: true
# the end
"""


def test_comments_move_with_what_they_are_about() -> None:
    assert to_butane(COMMENTED).text == AS_BUTANE
    assert transpile(AS_BUTANE).json is not None


def test_a_comment_of_what_becomes_an_items_first_key_stands_before_the_item() -> None:
    source = "systemd:\n  units:\n    - mask: true  # off\n      # it is called\n      name: a.service\n"
    head = "variant: flatcar\nversion: 1.0.0\nsystemd:\n  units:\n"
    below = "    # off\n    # it is called\n    - name: a.service\n      mask: true\n"
    assert to_butane(source).text == head + below


def test_comments_of_an_empty_config_are_kept() -> None:
    assert to_butane("# nothing\n# yet\n").text == "variant: flatcar\nversion: 1.0.0\n# nothing\n# yet\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: b",
        "#",
        " a ",
        "yes",
        "~",
        "1",
        "\x07\x7f\u2028\ufeff\U0001f600",
        "a\nb",
        " a\nb\n",
        "a\n\n\n",
        "\n",
        "a\n\tb",
        "- a",
        "a #b",
        "'",
        "true",
        "0644",
        "a\\b",
        "é",
        "a:",
        "1e3",
        "=",
        "<<",
    ],
)
def test_any_text_survives_being_written_as_yaml(text: str) -> None:
    quoted = "".join(f"\\U{ord(character):08x}" for character in text)
    user = f'{{name: core, gecos: "x{quoted}", shell: "{quoted}", ssh_authorized_keys: ["{quoted}"]}}'
    written = to_butane(f"passwd: {{users: [{user}]}}\nsystemd: {{units: [{{name: a.service}}]}}\n").text
    config = transpile(written or "").config
    assert config is not None
    expected = {"gecos": f"x{text}", "name": "core", "shell": text, "sshAuthorizedKeys": [text]}
    assert config["passwd"]["users"] == [{key: value for key, value in expected.items() if value}]
    assert config["systemd"]["units"] == [{"name": "a.service"}]


def test_bytes_that_are_no_text_stay_a_data_url() -> None:
    text = to_butane("storage: {files: [{path: /a, mode: 1, contents: {inline: !!binary /w==}}]}").text
    assert text is not None
    assert 'source: "data:,%FF"' in text


def test_text_that_is_no_yaml_is_refused_when_rewritten() -> None:
    result = to_butane("a: [\n")
    assert result.text is None
    assert result.report.entries[0].line == 2


def test_findings_about_a_unit_are_placed_at_that_unit_and_not_further_down() -> None:
    config = "docker: {}\nsystemd:\n  units:\n    - name: a.service\n    - name: wrong\n    - name: b.service\n"
    (entry,) = transpile(config, dialect="clc").report.entries
    assert (entry.path, entry.line) == ("$.systemd.units.1.name", 5)


def test_a_percent_sign_is_printed_as_it_is() -> None:
    (entry,) = transpile('ignition: {config: {replace: {source: "%zz"}}}\n', dialect="clc").report.entries
    assert "%zz" in entry.message


def test_findings_about_generated_entries_name_their_section() -> None:
    report = transpile('docker: {flags: ["a\\nb"]}\n', dialect="clc").report
    assert report.entries[0].hint == "this was made from docker"


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (
            "networkd: {units: [{name: a.network, dropins: [{name: a.conf}, {name: a.conf}]}]}",
            "$.networkd.units.0.dropins.1",
        ),
        ("storage: {filesystems: [{name: data, path: /mnt}]}", "$.storage.filesystems.0"),
        ("storage: {files: [{path: /a, mode: 1}, {path: /b/../a, mode: 1}]}", "$.storage.files.1"),
        ("storage: {files: [{path: /a/b, mode: 1}], links: [{path: /a, target: /c}]}", "$.storage.files.0"),
        (
            "systemd: {units: [{name: a.service, dropins: [{name: a.conf}, {name: a.conf}]}]}",
            "$.systemd.units.0.dropins.1",
        ),
        ("passwd: {users: [{name: a}, {name: a}]}", "$.passwd.users.1"),
    ],
)
def test_what_flatcar_refuses_to_convert_fails_at_its_line(config: str, path: str) -> None:
    result = transpile(config, dialect="clc", spec="3")
    assert result.json is None
    assert path in [entry.path for entry in result.report.entries if entry.severity == "error"]
    assert transpile(config, dialect="clc").json is not None


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ("storage: {files: [{path: /a, mode: 1, filesystem: x}]}", "$.storage.files.0.filesystem"),
        ("storage: {filesystems: [{name: root, mount: {device: /a, format: xfs}}]}", "$.storage.filesystems.0"),
        ("storage: {files: [{path: /a, mode: 04755}]}", "$.storage.files.0.mode"),
    ],
)
def test_what_is_lost_in_the_conversion_is_a_warning(config: str, path: str) -> None:
    result = transpile(config, dialect="clc", spec="3")
    assert result.json is not None
    assert ("warning", path) in [(entry.severity, entry.path) for entry in result.report.entries]


def test_a_comment_behind_a_list_is_about_what_stands_before_it() -> None:
    text = to_butane("docker:\n  flags: [\n  a\n  ]  # flags\n").text
    assert text is not None
    assert text.index("# flags") < text.index("docker.service")


def test_an_update_file_that_the_config_writes_too_is_named_by_its_section() -> None:
    config = "update: {group: stable}\nstorage: {files: [{path: /etc/coreos/update.conf, mode: 0644}]}\n"
    (entry,) = transpile(config, dialect="clc", spec="3").report.entries
    assert (entry.line, entry.hint) == (2, "this was made from update")


@pytest.mark.parametrize(
    ("config", "accepted"),
    [
        ('flannel: {network_config: "{\\"a\\": [1, 2.5]}"}', True),
        ('flannel: {network_config: "{\\"a\\": NaN}"}', False),
        (f"flannel: {{network_config: '{'[' * 5000}'}}", False),
        ("locksmith: {window_start: '4:00', window_length: 99999999999999999999ns}", False),
        ("storage: {files: &a [{path: a, mode: 1}]}", False),
        ("x: &a [{path: a, mode: 1}]\nstorage: {files: *a}", False),
        ("x: &a {url: gopher://a}\nstorage: {files: [{path: /a, mode: 1, contents: {remote: *a}}]}", False),
    ],
)
def test_rare_values(config: str, accepted: bool) -> None:
    assert (transpile(config, dialect="clc").json is not None) == accepted


def test_deep_nesting_is_rewritten_as_well() -> None:
    assert to_butane("a: " + "{b: " * 2000 + "c # deep\n" + "}" * 2000).text is not None


def test_a_files_directory_that_is_none_is_said(tmp_path: Path) -> None:
    text = "storage: {files: [{path: /a, mode: 0644, contents: {local: b}}]}"
    for folder, hint in ((tmp_path, None), (tmp_path / "c", f"the files directory {tmp_path / 'c'} is no directory")):
        (entry,) = transpile(text, files_dir=folder).report
        assert entry.hint == hint
