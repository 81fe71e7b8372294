"""Edits in files that people write: what is raised, what stays, and what is left to a person."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

from components.operate.stack_file import (
    EditError,
    file_settings,
    machine_texts,
    members,
    pinned,
    raised,
    stacks_of,
    write,
)
from toolchain.places import ROOT

if TYPE_CHECKING:
    from pathlib import Path

LAYOUTS = {
    "after the last line of one": (
        """\
        web:
          config: cl/web.yaml   # the page, für alle
          keep: [logs,   '/var/lib/web']

          health:
            units: [web.service]
        """,
        """\
        web:
          config: cl/web.yaml   # the page, für alle
          keep: [logs,   '/var/lib/web']
          generation: 1

          health:
            units: [web.service]
        """,
    ),
    "its own": (
        "web: {generation: 4,   config: a}   # by hand\n",
        "web: {generation: 5,   config: a}   # by hand\n",
    ),
    "in one line": ("web: { config: a }\n", "web: { generation: 1, config: a }\n"),
    "before what takes more lines": (
        """\
        web:
          # why
          keep:
          - logs
        db: {config: c}
        """,
        """\
        web:
          # why
          generation: 1
          keep:
          - logs
        db: {config: c}
        """,
    ),
    "of whom an alias stands for": (
        """\
        base: &base {config: a, generation: 2}
        web: *base # the second
        """,
        """\
        base: &base {config: a, generation: 2}
        web: {<<: *base, generation: 3} # the second
        """,
    ),
    "of who merges another": (
        """\
        base: &base {config: a, generation: 2}
        web:
          <<: *base
        """,
        """\
        base: &base {config: a, generation: 2}
        web:
          <<: *base
          generation: 3
        """,
    ),
    "of whose anchor others have, who keep theirs": (
        """\
        web: &web
          config: a
        web-2: *web
        web-3:
          <<: *web
          keep: [logs]
        """,
        """\
        web: &web
          config: a
          generation: 1
        web-2: {<<: *web, generation: 0}
        web-3:
          <<: *web
          keep: [logs]
          generation: 0
        """,
    ),
}


def written(folder: Path, machines: str) -> Path:
    (folder / "Pulumi.yaml").write_text("name: x\nstackConfigDir: stacks\n")
    (folder / "stacks").mkdir()
    file = folder / "stacks/Pulumi.dev.yaml"
    body = textwrap.indent(textwrap.dedent(machines), "    ")
    file.write_text(f"# mine\nencryptionsalt: v1:a=:b\nconfig:\n  flatcar:machines:\n{body}  other:key: 'x'  # last\n")
    return file


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_generation_is_raised_where_it_stands_and_nothing_else_changes(tmp_path: Path, layout: str) -> None:
    before, after = (written(_made(tmp_path / name), text) for name, text in zip("ab", LAYOUTS[layout], strict=True))
    write(raised(machine_texts(tmp_path / "a", "org/project/dev"), ["web"]))
    assert before.read_text() == after.read_text()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


FILE = "stacks/pinned/web-0123.ign"
PINS = {
    "in a line": (
        "web:\n  config: a   # why\n  pinned: 'old.ign' # for a day\n  keep: [logs]\n",
        f"web:\n  config: a   # why\n  pinned: {FILE} # for a day\n  keep: [logs]\n",
        "web:\n  config: a   # why\n  keep: [logs]\n",
    ),
    "after the others": (
        "web:\n  config: a   # why\n\ndb: {config: b}\n",
        f"web:\n  config: a   # why\n  pinned: {FILE}\n\ndb: {{config: b}}\n",
        "web:\n  config: a   # why\n\ndb: {config: b}\n",
    ),
    "in braces": ("web: {config: a}\n", f"web: {{pinned: {FILE}, config: a}}\n", "web: {config: a}\n"),
    "of whom an alias stands for": (
        "db: &db {config: b}\nweb: *db\n",
        f"db: &db {{config: b}}\nweb: {{<<: *db, pinned: {FILE}}}\n",
        "db: &db {config: b}\nweb: {<<: *db}\n",
    ),
    "of whose anchor others have, who are not pinned": (
        "web: &web\n  config: a\ndb: *web\n",
        f"web: &web\n  config: a\n  pinned: {FILE}\ndb: {{<<: *web, pinned: ''}}\n",
        "web: &web\n  config: a\ndb: {<<: *web, pinned: ''}\n",
    ),
}


@pytest.mark.parametrize("layout", PINS)
def test_a_machine_is_pinned_and_let_go_where_that_stands(tmp_path: Path, layout: str) -> None:
    before, held, after = (
        written(_made(tmp_path / name), text) for name, text in zip("abc", PINS[layout], strict=True)
    )
    write(pinned(machine_texts(tmp_path / "a", "dev"), {"web": FILE}))
    assert before.read_text() == held.read_text()
    with pytest.raises(EditError, match="web is pinned to a former config, and generation has no effect on that"):
        raised(machine_texts(tmp_path / "a", "dev"), ["web"])
    write(pinned(machine_texts(tmp_path / "a", "dev"), {"web": ""}))
    assert before.read_text() == after.read_text()


def test_line_ends_stay(tmp_path: Path) -> None:
    file = written(tmp_path, "web:\n  config: a\n")
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    write(raised(machine_texts(tmp_path, "dev"), ["web"]))
    assert b"      config: a\r\n      generation: 1\r\n" in file.read_bytes()
    assert b"\n" not in file.read_bytes().replace(b"\r\n", b"")


def test_machines_in_files_of_their_own(tmp_path: Path) -> None:
    file = written(tmp_path, "web: {config: a}\n")
    file.write_text(file.read_text() + "  flatcar:machine_files: [fleet.yaml]\n")
    fleet = tmp_path / "fleet.yaml"
    fleet.write_text("# the fleet\nnode-1:\n  config: b\n  group: staging\nnode-2: {config: b, group: staging}\n")
    texts = machine_texts(tmp_path, "dev")
    assert members(texts, "staging") == ["node-1", "node-2"]
    edited = raised(texts, ["node-2", "node-1", "node-1"])
    stack_difference, difference = (old.difference(new) for old, new in zip(texts, edited, strict=True))
    assert stack_difference == ""
    assert difference.splitlines() == [
        "--- fleet.yaml",
        "+++ fleet.yaml",
        "@@ -3,3 +3,4 @@",
        "   config: b",
        "   group: staging",
        "-node-2: {config: b, group: staging}",
        "+  generation: 1",
        "+node-2: {generation: 1, config: b, group: staging}",
    ]
    write(edited)
    assert fleet.read_text().count("generation: 1") == 2


@pytest.mark.parametrize(
    ("machines", "name", "said"),
    [
        ("web: {config: a}\n", "wbe", "stacks/Pulumi.dev.yaml has no machine wbe; did you mean 'web'? there are: web"),
        ("{}\n", "web", "stacks/Pulumi.dev.yaml has no machine web; there are: none"),
        ("'{}'\n", "web", "flatcar:machines in stacks/Pulumi.dev.yaml is in another form than YAML's own"),
        ("web:\n", "web", "is written in a way that can't be edited here: give web generation: 1 by hand"),
        ("web: {generation: &g 1}\nx: {generation: *g}\n", "web", "would not be after the edit"),
        ("web: [\n", "web", "is not YAML"),
    ],
)
def test_what_is_left_to_a_person(tmp_path: Path, machines: str, name: str, said: str) -> None:
    file = written(tmp_path, machines)
    before = file.read_text()
    with pytest.raises(EditError) as caught:
        raised(machine_texts(tmp_path, "dev"), [name])
    assert said in str(caught.value)
    assert file.read_text() == before


def test_a_group_without_machines_and_a_stack_without_a_file(tmp_path: Path) -> None:
    written(tmp_path, "web: {config: a, group: staging}\n")
    with pytest.raises(EditError, match=r"no machine is in group stagin; did you mean 'staging'\? there are: staging"):
        members(machine_texts(tmp_path, "dev"), "stagin")
    with pytest.raises(EditError, match=r"stacks/Pulumi\.prod\.yaml can't be read: .*No such file"):
        machine_texts(tmp_path, "prod")


@pytest.mark.parametrize("stack", ["local", "dev", "production"])
def test_each_stack_of_this_project_gains_one_line_for_a_machine_of_its_own(stack: str) -> None:
    texts = machine_texts(ROOT, stack)
    for name in texts[0].machines:
        edited = raised(texts, [name])
        changed = [line for line in texts[0].difference(edited[0]).splitlines() if line[0] in "+-"]
        shares = "<<" in texts[0].difference(edited[0])
        assert len(changed) == (5 if name == "web-1" else 4 if shares else 3), changed


def test_of_stacks_that_share_a_file_each_has_its_own_machines(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("stackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    (tmp_path / "more.yaml").write_text("db: {config: a, stack: us}\n")
    file = tmp_path / "stacks/Pulumi.fleet.yaml"
    file.write_text(
        "config:\n  flatcar:stacks: [eu, us]\n  flatcar:machine_files: [more.yaml]\n  flatcar:machines:\n"
        "    web-1: &web {config: a, stack: eu}\n    web-2: {<<: *web, stack: us}\n    odd: 1\n"
    )
    for stack in ("eu", "us"):
        (tmp_path / f"stacks/Pulumi.{stack}.yaml").symlink_to(file.name)

    def machines(stack: str) -> list[str]:
        return [name for text in machine_texts(tmp_path, stack) for name in text.machines]

    assert machines("fleet") == ["web-1", "web-2", "odd", "db"]
    assert (machines("eu"), machines("me/flatcar/us")) == (["web-1"], ["web-2", "db"])
    assert stacks_of(tmp_path, "fleet") == ["eu", "us"]
    assert stacks_of(tmp_path, "me/flatcar/fleet") == ["me/flatcar/eu", "me/flatcar/us"]
    assert stacks_of(tmp_path, "eu") == ["eu"]
    assert file_settings(tmp_path, "eu")["machines"] == {"web-1": {"config": "a", "stack": "eu"}}
    with pytest.raises(EditError, match="has no machine db"):
        raised(machine_texts(tmp_path, "eu"), ["db"])
    write(raised(machine_texts(tmp_path, "eu"), ["web-1"]))
    assert (tmp_path / "stacks/Pulumi.eu.yaml").is_symlink(), "the one file is written"
    assert file.read_text().splitlines()[-3:] == [
        "    web-1: &web {generation: 1, config: a, stack: eu}",
        "    web-2: {generation: 0, <<: *web, stack: us}",
        "    odd: 1",
    ]
