"""Parts of the Butane dialect that recorded configs don't reach: contents, Python configs, local files, snippets."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from cl.transpiler import Snippet, Transpiled, TranspileError, transpile
from cl.transpiler.butane import Butane, Clevis, File, Luks, Quadlet, Resource, Storage, Systemd, Unit
from cl.transpiler.butane.contents import encode
from cl.transpiler.butane.gogzip import gzip_length
from cl.transpiler.butane.source_checks import plausible_mode
from cl.transpiler.ignition.checks import decode_data_url

pytestmark = pytest.mark.covering

HEAD = "variant: flatcar\nversion: 1.1.0\n"


def butane(text: str, files_dir: Path | None = None) -> Transpiled:
    return transpile(HEAD + text, files_dir=files_dir)


# --- contents


@pytest.mark.parametrize("size", [0, 1, 30, 60, 100, 1000, 100_000])
@pytest.mark.parametrize("unit", [b"a", b"\xc3\xa9", b"line\n", b"J\x14Em\x87\xad\x9f"])
def test_contents_survive_their_encoding(unit: bytes, size: int) -> None:
    data = (unit * size)[:size]
    source, compression = encode(data, None)
    decoded = decode_data_url(source)
    assert (gzip.decompress(decoded) if compression == "gzip" else decoded) == data


def test_compressed_contents_have_no_time_in_them() -> None:
    assert encode(b"x" * 1000, None) == encode(b"x" * 1000, None)
    assert decode_data_url(encode(b"x" * 1000, None)[0])[4:8] == bytes(4)


def test_modes_that_people_write_are_plausible() -> None:
    assert all(plausible_mode(mode, directory=False) for mode in (0o644, 0o600, 0o755, 0o400, 0o4755, 0))
    assert all(plausible_mode(mode, directory=True) for mode in (0o755, 0o700, 0o1777, 0o2775, 0))
    assert not any(
        plausible_mode(mode, directory=False) for mode in (644, 755, 0o1644, 0o666 | 0o4000, 0o004, 0o200, 0o1000)
    )
    assert not any(plausible_mode(mode, directory=True) for mode in (755, 0o644, 0o4755, 0o1555))


# --- configs in Python


def test_a_config_in_python_shows_what_was_said() -> None:
    shown = repr(File(path="/a", contents=Resource(inline="x"), mode=0o644))
    assert shown == "File(path='/a', contents=Resource(inline='x'), mode=420)"


def test_a_config_in_python_is_that_config_in_yaml() -> None:
    config = Butane(
        storage=Storage(files=[File(path="/etc/motd", mode=0o644, contents=Resource(inline="hello"))]),
        systemd=Systemd(units=[Unit(name="a.service", enabled=True)]),
    )
    text = (
        "storage: {files: [{path: /etc/motd, mode: 0644, contents: {inline: hello}}]}\n"
        "systemd: {units: [{name: a.service, enabled: true}]}\n"
    )
    assert transpile(config).json == butane(text).json is not None


def test_findings_about_python_name_the_field() -> None:
    config = Butane(storage=Storage(files=[File(path="etc"), File(path="/a", mode=644)]))
    found = transpile(config, filename="machines.py").report
    assert ("error", "storage.files[0].path", None, "machines.py") in {
        (entry.severity, entry.path, entry.line, entry.filename) for entry in found
    }
    assert "storage.files[1].mode" in {entry.path for entry in found if entry.severity == "warning"}


@pytest.mark.parametrize(
    ("config", "path"),
    [
        (Butane(storage=Storage(files="/a")), "storage.files"),  # type: ignore[arg-type]
        (Butane(storage=Storage(files=[{"path": "/a"}])), "storage.files[0]"),  # type: ignore[list-item]
        (Butane(storage=Storage(files=[File(path="/a", mode="0644")])), "storage.files[0].mode"),  # type: ignore[arg-type]
        (Butane(storage=Storage(files=[File(path="/a", overwrite=1)])), "storage.files[0].overwrite"),  # type: ignore[arg-type]
        (Butane(storage=Storage(files=[File(path=None)])), "storage.files[0].path"),  # type: ignore[arg-type]
        (Butane(storage=None), "storage"),  # type: ignore[arg-type]
        (Butane(variant="x"), "variant"),
        (Butane(version="9"), "version"),
    ],
)
def test_wrong_python_values_are_findings(config: Butane, path: str) -> None:
    result = transpile(config)
    assert result.json is None
    assert [entry.path for entry in result.report if entry.severity == "error"] == [path]


def test_an_output_of_pulumi_belongs_into_variables() -> None:
    class Output:
        def apply(self) -> None:
            """What Outputs are known by."""

    (entry,) = transpile(Butane(storage=Storage(files=[File(path=Output())]))).report  # type: ignore[arg-type]
    assert (entry.path, entry.message) == ("storage.files[0].path", "expected a text, found Output")
    assert "variables" in (entry.hint or "")


def test_fields_of_a_later_version_are_warned_of() -> None:
    config = Butane(
        version="1.0.0",
        storage=Storage(luks=[Luks(name="a", device="/dev/a", discard=True, clevis=Clevis())]),
        systemd=Systemd(quadlets=[Quadlet(name="a.pod")]),
    )
    result = transpile(config)
    assert [entry.path for entry in result.report] == ["storage.luks[0].discard", "systemd.quadlets"]
    assert "discard" not in result.unwrap()


def test_text_that_is_not_unicode_is_a_finding_or_replaced() -> None:
    result = transpile(Butane(storage=Storage(files=[File(path="/\ud800")])))
    assert [entry.path for entry in result.report] == ["storage.files[0].path"]
    inline = '{"ignition":{"version":"3.4.0"},"storage":{"luks":[{"name":"a","device":"/dev/a","label":"\\ud800"}]}}'
    assert butane(f"ignition: {{config: {{merge: [{{inline: '{inline}'}}]}}}}\n").json is not None


# --- what is no config at all


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (HEAD + "storage: {files: [{path: /a, mode: rw}]}\n", 3),
        (HEAD + "systemd: {units: [{name: a.service}\n", 4),
        ("variant: flatcar\nversion: 1.9.0\n", 2),
    ],
)
def test_what_can_not_be_read_is_told_beside_the_entries(text: str, line: int) -> None:
    result = transpile(text, dialect="butane")
    assert (result.json, result.report.entries) == (None, ())
    assert [entry.line for entry in result.report.unreadable] == [line]
    assert f"<config>:{line}:" in result.report.render()
    assert result.report.is_fatal


def test_a_section_of_container_linux_config_is_known_as_one() -> None:
    report = butane("update: {group: beta}\nstorge: {}\nsystemd: {docker: {}}\n").report
    hints = {entry.path: entry.hint for entry in report}
    assert "--to butane" in (hints["$.update"] or "")
    assert hints["$.storge"] == "did you mean 'storage'?"
    assert hints["$.systemd.docker"] is None


# --- snippets


def test_a_snippet_may_be_written_in_python() -> None:
    extra = Butane(systemd=Systemd(units=[Unit(name="a.service", mask=True)]))
    result = transpile(HEAD + "systemd: {units: [{name: a.service, enabled: false}]}\n", snippets=[extra])
    unit = json.loads(result.unwrap())["systemd"]["units"]
    assert unit == [{"enabled": False, "mask": True, "name": "a.service"}]


def test_a_finding_in_a_snippet_names_its_file() -> None:
    result = transpile(HEAD, snippets=["variant: flatcar\nversion: 1.0.0\n", Snippet(HEAD + "x: 1\n", "users.yaml")])
    assert [(entry.filename, entry.line) for entry in result.report] == [("users.yaml", 3)]
    assert "users.yaml:3:1" in result.report.render()
    broken = transpile(HEAD, snippets=["variant: flatcar\nversion: 1.0.0\nstorage: []\n"])
    assert [(entry.filename, entry.line) for entry in broken.report] == [("<snippet 1>", 3)]
    with pytest.raises(TranspileError, match="snippet 1"):
        broken.unwrap()


def test_sources_that_contradict_each_other_are_refused_where_it_happens() -> None:
    base = HEAD + "storage:\n  files:\n    - path: /etc/a\n"
    link = Snippet(HEAD + "storage:\n  links:\n    - {path: /etc, target: /x}\n", "link.yaml")
    found = transpile(base, snippets=[link], filename="base.yaml").report
    assert [(entry.filename, entry.line, entry.path) for entry in found] == [("base.yaml", 5, "$.storage.files.0")]
    turned = transpile(str(link), snippets=[Snippet(base, "base.yaml")]).report
    assert [(entry.filename, entry.line) for entry in turned] == [("base.yaml", 5)]


def test_everything_of_two_sources_has_its_place() -> None:
    base = HEAD + (
        "passwd: {users: [{name: core, groups: [a], ssh_authorized_keys: [k]}]}\n"
        "storage: {filesystems: [{device: /dev/a, format: ext4, options: [x]}], links: [{path: /a, target: x}],"
        " files: [{path: /f, user: {id: 0}}]}\n"
        "ignition: {config: {merge: [{source: https://a, http_headers: [{name: A, value: a}]}]}}\n"
    )
    extra = Snippet(
        HEAD + "passwd: {users: [{name: core, groups: [a, b], uid: 5}]}\n"
        "storage: {filesystems: [{device: /dev/a, format: xfs, options: [y]}],"
        " files: [{path: /f, user: {name: core}}, {path: /a/b}]}\n"
        "ignition: {config: {merge: [{source: https://a, http_headers: [{name: A}]}]}, timeouts: {http_total: 1}}\n",
        "extra.yaml",
    )
    found = transpile(base, snippets=[extra], filename="base.yaml").report
    assert [(entry.filename, entry.path) for entry in found] == [
        ("extra.yaml", "$.storage.files.1"),
        ("extra.yaml", "$.storage.files.0.user"),
    ]


def test_the_newest_version_of_the_parts_is_that_of_the_whole() -> None:
    result = transpile("variant: flatcar\nversion: 1.0.0\n", snippets=[HEAD])
    assert result.json == '{"ignition":{"version":"3.4.0"}}'


def test_container_linux_configs_are_appended() -> None:
    one = "storage: {files: [{path: /a, filesystem: root, mode: 0644, contents: {inline: a}}]}\n"
    both = json.loads(transpile(one, snippets=[one.replace("/a", "/b")]).unwrap())
    assert [file["path"] for file in both["storage"]["files"]] == ["/a", "/b"]
    assert both["ignition"]["version"] == "2.3.0"


def test_the_two_dialects_merge_in_spec_3_only() -> None:
    clc = Snippet("systemd: {units: [{name: a.service, enabled: true}]}\n", "old.yaml")
    refused = transpile(HEAD, snippets=[clc])
    assert refused.json is None
    assert [entry.filename for entry in refused.report] == ["old.yaml"]
    merged = json.loads(transpile(HEAD, snippets=[clc], spec="3").unwrap())
    assert merged["systemd"]["units"][0]["name"] == "a.service"


# --- local files


@pytest.fixture
def nobody() -> Iterator[Path]:
    """A folder that all may read, and, for root, the rights of somebody else."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        yield Path(name)
        if os.getuid() == 0:
            os.seteuid(0)


@pytest.mark.parametrize("text", ["trees: [{local: tree}]", "files: [{path: /a, contents: {local: tree/secret}}]"])
@pytest.mark.parametrize("shut", ["tree", "tree/secret"])
def test_what_may_not_be_read_is_a_finding(nobody: Path, text: str, shut: str) -> None:
    (nobody / "tree").mkdir()
    (nobody / "tree" / "secret").write_text("x")
    (nobody / shut).chmod(0)
    if os.getuid() == 0:
        os.seteuid(65534)
    found = butane(f"storage: {{{text}}}\n", nobody).report
    if os.getuid() == 0:
        os.seteuid(0)
    (nobody / shut).chmod(0o700)
    assert "Permission denied" in found.render()


def test_a_tree_holds_files_directories_and_links_only(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    found = butane("storage: {trees: [{local: .}]}\n", tmp_path).report
    assert found.is_fatal
    assert [entry.path for entry in found] == ["$.storage.trees.0"]


def test_a_tree_does_not_follow_links_out_of_itself(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "out").symlink_to("/etc")
    config = json.loads(butane("storage: {trees: [{local: .}]}\n", tmp_path / "files").unwrap())
    assert config["storage"] == {"links": [{"path": "/out", "target": "/etc"}]}


@pytest.mark.parametrize("name", ["a\\0b", "x" * 5000])
@pytest.mark.parametrize("kind", ['files: [{path: /a, contents: {local: "NAME"}}]', 'trees: [{local: "NAME"}]'])
def test_impossible_names_are_findings(tmp_path: Path, kind: str, name: str) -> None:
    result = butane(f"storage: {{{kind.replace('NAME', name)}}}\n", tmp_path)
    assert result.json is None


def test_bytes_that_are_not_utf8_pass_through_contents_unchanged() -> None:
    config = json.loads(butane("storage: {files: [{path: /a, contents: {inline: !!binary /w==}}]}\n").unwrap())
    assert decode_data_url(config["storage"]["files"][0]["contents"]["source"]) == b"\xff"


# --- embedded configs and headers


@pytest.mark.parametrize(
    "inline", ["[]", "null", '{"storage":{"files":{}}}', '{"ignition":[]}', '{"ignition":{"version":3}}', "5", '"x"']
)
def test_an_inline_config_of_the_wrong_shape_is_refused(inline: str) -> None:
    assert butane(f"ignition: {{config: {{replace: {{inline: '{inline}'}}}}}}\n").json is None


def test_a_header_without_value_takes_the_header_of_the_parent_away() -> None:
    merge = "ignition: {config: {merge: [{source: https://a, http_headers: [HEADERS]}]}}\n"
    base = HEAD + merge.replace("HEADERS", "{name: A, value: a}, {name: B, value: b}")
    result = json.loads(transpile(base, snippets=[HEAD + merge.replace("HEADERS", "{name: A}")]).unwrap())
    assert result["ignition"]["config"]["merge"][0]["httpHeaders"] == [{"name": "B", "value": "b"}]


# --- Go's gzip


def noise(size: int) -> bytes:
    return b"".join(hashlib.sha256(b"%d" % n).digest() for n in range(size // 32))


NOISE = noise(96_000)


@pytest.mark.parametrize("size", [1000, 90_000, 290_000])
def test_what_can_not_be_compressed_is_not(size: int) -> None:
    source, compression = encode(noise(size), None)
    assert (source[:13], compression) == ("data:;base64,", "")


@pytest.mark.parametrize(
    ("contents", "length"),
    [
        (b"a", 25),
        (b"abc" * 100, 31),
        (bytes(range(256)), 284),
        (bytes(range(97, 123)) * 2, 52),
        (b"x" * 1000, 32),
        (b"".join(b"%d=%d\n" % (n, n * n) for n in range(300)), 1288),
        (b"".join(bytes((n * n % 251, n % 7)) for n in range(2000)), 2660),
        (b"0123" + bytes(range(4, 220)) * 24 + b"0123", 302),
        (bytes(n.bit_length() for n in range(1, 9000)), 78),
        (b"".join(bytes((n,)) * (1 << n) for n in range(13)), 75),
        # More than one block
        (NOISE, 96_053),
        (bytes(byte % 250 for byte in NOISE), 95_681),
        (NOISE[:50_000] + b"x" * 150_000 + NOISE[:20_000], 70_627),
        (b"".join(b"%d=%d\n" % (n, n * n) for n in range(9000)), 53_269),
        (b"xy" * 100_000, 233),
        (NOISE[:16_383] + NOISE[100:110], 16_421),
    ],
)
def test_go_gzips_to_as_many_bytes(contents: bytes, length: int) -> None:
    assert gzip_length(contents) == length  # recorded from Go 1.26
