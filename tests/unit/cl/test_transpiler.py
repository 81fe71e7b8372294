"""The core under the dialects, where no dialect's golden cases lead: rare YAML, rare fields, wrong use."""

from __future__ import annotations

import io
import json
import os
import runpy
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cl.transpiler import gojson, schema, transpile
from cl.transpiler.clc.to_butane import to_butane
from cl.transpiler.cli import main
from cl.transpiler.detect import detect_text
from cl.transpiler.ignition import v3_json
from cl.transpiler.ignition.v3_config import encode
from cl.transpiler.report import Diagnostic, Locator, Report
from cl.transpiler.yamlnode import Scalar, YamlError, compose, resolve

pytestmark = pytest.mark.covering

HEAD = "variant: flatcar\nversion: 1.0.0\n"


def messages(text: str, **options: object) -> list[str]:
    return [entry.message for entry in transpile(text, **options).report]  # type: ignore[arg-type]


def test_wrong_options_are_the_callers_mistake() -> None:
    with pytest.raises(ValueError, match="dialect is one of"):
        transpile("", dialect="yaml")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="spec is one of"):
        transpile("", spec="4")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "dialect"),
    [
        ("variant: fcos", "butane"),
        ("systemd: {}", "clc"),
        ("[", "clc"),
        ('{"ignition": {"version": "3.0.0"}}', "ignition"),
    ],
)
def test_the_dialect_of_a_text(text: str, dialect: str) -> None:
    assert detect_text(text) == dialect


def test_variables_known_unknown_unused_and_escaped() -> None:
    config = HEAD + 'systemd: {units: [{name: a.service, contents: "$${x} ${x} $${"}]}\n'
    made = transpile(config, variables={"x": "1"}).unwrap()
    assert '"contents":"${x} 1 ${"' in made
    assert messages(config, variables={}) == ["variable 'x' is not known"]
    assert messages(HEAD, variables={"x": "1"}) == ["variable 'x' is not used"]
    assert transpile(HEAD + "systemd: {units: [{name: '${u}'}]}", variables={"u": "~"}).report.is_fatal


def test_a_text_that_cannot_be_read_leaves_no_variable_unused() -> None:
    (message,) = messages(HEAD + "systemd: [\nname: ${x}\n- ", variables={"x": "1", "y": "2"})
    assert "variable" not in message


def test_a_filled_scalar_never_becomes_null() -> None:
    root = compose("a: ${x}", lambda _value, _line, _column: "null")
    assert isinstance(root, object) and root is not None
    value = root.child("a")  # type: ignore[attr-defined]
    assert isinstance(value[1], Scalar) and (value[1].tag, value[1].value) == ("!!str", "null")


@pytest.mark.parametrize(
    ("tag", "text", "expected"),
    [
        ("!mine", "x", ("!mine", "x")),
        ("!!float", "1", ("!!float", 1.0)),
        ("", "0b-1", ("!!int", -1)),
        ("", ".5", ("!!float", 0.5)),
        ("", ".x", ("!!str", ".x")),
        ("", "2020-13-01", ("!!str", "2020-13-01")),
        ("", "2021-02-29", ("!!str", "2021-02-29")),
        ("", "2020-02-29", ("!!timestamp", "2020-02-29")),
    ],
)
def test_scalars_as_yaml_v3_resolves_them(tag: str, text: str, expected: tuple[str, object]) -> None:
    assert resolve(tag, text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: \ud800", "characters that are not Unicode"),
        ("a: [" * 11000, "levels deep"),
        ("a: \x00", "character"),
        ("a: [", "did not find expected node content"),
    ],
)
def test_texts_that_are_no_yaml(text: str, message: str) -> None:
    with pytest.raises(YamlError, match=message):
        compose(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<<: &a {<<: *a}", "contains itself"),
        ("storage: {files: [{path: /a, !!binary cGF0aA==: /b}]}", "key 'path' is given twice"),
        ("storage: {<<: {files: [], files: []}}", "already defined at line"),
        ("<<: {x: 1, x: 2}", "already defined at line"),
        ("storage: {x: 1, x: 2}", "already defined at line"),
        ("storage: {directories: [{path: /a, mode: -1e30}]}", ""),
        ("storage: {directories: [{path: /a, overwrite: 1}]}", "found '1'"),
        ("storage: {? [a] : b}", "expected a text"),
        ("storage: {files: [{path: /a, mode: !!binary '@'}]}", "invalid base64"),
        ("storage: {files: [{path: /a, mode: !!int x}]}", "cannot read 'x' as !!int"),
        ("storage: {files: [{path: /a, mode: {}}]}", "found a mapping"),
        ("storage: {files: [{path: /a, mode: []}]}", "found a list"),
        ("storage: {files: [{path: /a, overwrite: 'true', mode: '420'}]}", "the quoted text '420'"),
        (
            "storage: {files: [{path: /a, mode: '0644'}]}",
            "'0644': quotes make a text of it, write 0644",
        ),
        ("storage: {files: [{path: /a, path: /b}]}", "already defined at line"),
        ("<<: [x]", "a merge key wants a mapping"),
        ("<<: x", "a merge key wants a mapping"),
        ("storage: {directories: [{path: /a, mode: 9223372036854775808}]}", "found '9223372036854775808'"),
        ("storage: {directories: [{path: /a, mode: 1e30}]}", "found '1e30'"),
        ("storage: {directories: [{path: /a, mode: true}]}", "found 'true'"),
    ],
)
@pytest.mark.parametrize("head", ["", HEAD])
def test_values_of_the_wrong_type(head: str, text: str, message: str) -> None:
    result = transpile(head + text)
    assert result.json is None
    assert message in "\n".join(entry.message for entry in result.report)


def test_merge_keys_of_all_forms() -> None:
    text = HEAD + (
        "x: &x {name: a.service, enabled: true}\ny: &y {enabled: false, mask: false}\n"
        "systemd:\n  units:\n    - {<<: *x}\n    - {<<: [*x, *y], name: b.service}\n    - {<<: {name: c.service}}\n"
    )
    made = transpile(text)
    assert made.json is not None, made.report.render()
    assert '{"enabled":true,"name":"a.service"}' in made.json
    assert '"name":"c.service"' in made.json


def test_a_place_past_the_end_of_its_source_is_shown_without_a_quote() -> None:
    entry = Diagnostic(severity="error", path="$", message="m", line=9, column=1, filename="a")
    assert Report((entry,), sources=(("a", "x"),)).render() == "error: m\n  --> a:9:1"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda folder: folder / "none.yaml", "can't be read: No such file"),
        (lambda _folder: "a\0b", "is no file name"),
    ],
)
def test_input_that_cannot_be_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Path], object], message: str
) -> None:
    assert main([str(change(tmp_path))]) == 1
    assert message in capsys.readouterr().err


def given(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff\xfea", "the text is not UTF-16"),
        (b"a\n\xc3", "the text is not UTF-8"),
        (b"a\n\xc3", "<stdin>:2:1"),
        (b"a: \xff", "(0xff)"),
    ],
)
def test_input_that_is_no_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], data: bytes, message: str
) -> None:
    given(monkeypatch, data)
    assert main([]) == 1
    assert message in capsys.readouterr().err


def test_utf_16_with_a_mark(monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    given(monkeypatch, HEAD.encode("utf-16"))
    assert main([]) == 0
    assert capsysbinary.readouterr().out == b'{"ignition":{"version":"3.3.0"}}\n'


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    given(monkeypatch, HEAD.encode())
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        assert main([]) == 1
    assert "<stdout>: can't be written: No space left on device" in capsys.readouterr().err


def test_nobody_reads(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "a.yaml"
    config.write_text(HEAD)
    read, write = os.pipe()
    os.close(read)
    with open(write, "w", encoding="utf-8") as pipe:
        monkeypatch.setattr(sys, "stdout", pipe)
        with pytest.raises(SystemExit) as ended:
            main([str(config)])
        assert ended.value.code == 1


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    config = tmp_path / "a.yaml"
    config.write_text(HEAD)
    assert main(["-o", "/dev/null", str(config)]) == 0


def test_an_output_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config, out = tmp_path / "a.yaml", tmp_path / "out"
    config.write_text(HEAD)

    def broken(_self: Path, _target: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "replace", broken)
    assert main(["-o", str(out), str(config)]) == 1
    assert "can't be written: Input/output error" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


def chained(levels: int, each: str) -> str:
    """A unit under merge keys, `levels` deep; `each` has the merges of one level, of the level N before."""
    merges = (f"a{level}: &a{level} {{<<: {each.replace('N', str(level - 1))}}}\n" for level in range(1, levels))
    return f"a0: &a0 {{name: x.service}}\n{''.join(merges)}systemd: {{units: [{{<<: *a{levels - 1}}}]}}\n"


@pytest.mark.parametrize(
    ("above", "accepted"),
    [
        ("  # a\n\t# b\n \t # c\n", True),
        ("  # a\n \t\n\n\t# b\n", True),
        ("\t# b\n", False),
        ("  # a\n\tb: 1\n", False),
    ],
)
def test_a_comment_after_a_comment_may_be_indented_by_tabs(above: str, accepted: bool) -> None:
    text = f"storage:\n{above}  files: [{{path: /a, mode: x}}]\n"
    entries = transpile(text, dialect="clc").report.entries
    assert [(entry.line, "tab" in entry.message) for entry in entries] == [
        (text[: text.index("x}")].count("\n") + 1, False)
        if accepted
        else (text[: text.index("\t")].count("\n") + 1, True)
    ]


@pytest.mark.parametrize("head", ["", "variant: flatcar\nversion: 1.0.0\n"])
def test_merge_keys_may_form_a_long_chain(head: str) -> None:
    assert '"x.service"' in transpile(head + chained(5000, "*aN")).unwrap()


@pytest.mark.parametrize("head", ["", "variant: flatcar\nversion: 1.0.0\n"])
@pytest.mark.parametrize(("levels", "accepted"), [(9, True), (10, False), (100, False)])
def test_merges_that_double_at_each_level_have_an_end(head: str, levels: int, accepted: bool) -> None:
    result = transpile(head + chained(levels, "[*aN, *aN]"))
    assert (result.json is not None) == accepted
    assert accepted or "aliases excessively" in [*result.report][-1].message


def test_of_a_large_text_less_may_come_from_aliases() -> None:
    assert [round(schema._share(count), 3) for count in (1, 400_000, 2_200_000, 4_000_000, 9_000_000)] == [
        0.99, 0.99, 0.545, 0.1, 0.1,
    ]  # fmt: skip


def test_the_module_is_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "a.yaml"
    config.write_text(HEAD)
    monkeypatch.setattr(sys, "argv", ["cl.transpiler", "--check", str(config)])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("cl.transpiler", run_name="__main__")
    assert ended.value.code == 0


def test_a_header_without_a_value_takes_an_inherited_one_away() -> None:
    def source(header: str) -> str:
        resource = f"{{source: 'https://h/x', http_headers: [{header}]}}"
        return HEAD + f"storage: {{files: [{{path: /a, mode: 0644, contents: {resource}}}]}}\n"

    made = transpile(source("{name: a, value: b}, {name: c, value: d}"), snippets=[source("{name: a}")])
    assert made.json is not None, made.report.render()
    assert '"httpHeaders":[{"name":"c","value":"d"}]' in made.json


def test_flannel_without_a_network_config() -> None:
    made = transpile("flannel: {version: 0.7.0, interface: eth0}", spec="3").unwrap()
    assert "flanneld.service" in made
    assert "ExecStartPre" not in made


def test_a_tree_fills_a_file_that_says_how_it_is_compressed(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").write_text("a")
    config = HEAD + "storage:\n  trees: [{local: tree}]\n  files: [{path: /a, contents: {compression: gzip}}]\n"
    made = transpile(config, files_dir=tmp_path)
    assert made.json is not None, made.report.render()
    assert '"compression":"gzip"' in made.json


def test_a_locator_knows_no_place() -> None:
    assert Locator()(("a",)) is None


def test_a_directory_of_a_snippet_takes_the_place_of_a_file() -> None:
    base = HEAD + "storage: {files: [{path: /a, mode: 0644}]}\n"
    made = transpile(base, snippets=[HEAD + "storage: {directories: [{path: /a, mode: 0755}]}\n"]).unwrap()
    assert '"directories":[{"path":"/a","mode":493}]' in made
    assert "files" not in made


def test_a_deep_merge_of_an_older_yaml_v3() -> None:
    text = "<<: {locksmith: {reboot_strategy: off}}\nlocksmith: {group: g}\n"
    made = transpile(text, dialect="clc").unwrap()
    assert "REBOOT_STRATEGY%3D%22off%22" in made
    assert "LOCKSMITHD_GROUP%3D%22g%22" in made


@pytest.mark.parametrize(
    ("gid", "fits"),
    [("7", True), ("7.9", True), ("1e19", True), ("-1.5", True), ("-1", False), ("1e30", False), ("true", False)],
)
def test_whole_numbers_without_a_sign_as_go_converts_them(gid: str, fits: bool) -> None:
    report = transpile(f"passwd: {{groups: [{{name: a, gid: {gid}}}]}}", dialect="clc").report
    assert any(f"found '{gid}'" in entry.message for entry in report) is not fits


def test_a_config_that_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "a.yaml"
    config.write_text(HEAD + "storage: {files: [{path: a}]}")
    assert main([str(config)]) == 1
    assert capsys.readouterr().err.endswith("Error translating config: source config is invalid\n")


def test_json_is_escaped_as_go_does_it() -> None:
    made = transpile("systemd: {units: [{name: a.service, contents: 'a<b', enable: true}, {name: !!binary /w==}]}")
    assert "a\\u003cb" in gojson.dumps({"a": "a<b"})
    assert "\\ufffd" in gojson.dumps({"a": "\udcff"})
    assert made.json is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{", "line 1, column 2"), ("[NaN]", "NaN is no number"), ("[" * 100_000, "no JSON"), ('["a"]', "")],
)
def test_an_ignition_config_that_is_no_json(text: str, reason: str) -> None:
    if not reason:
        assert v3_json.parse(text) == ["a"]
        return
    with pytest.raises(v3_json.NotAnIgnitionConfigError, match=reason):
        v3_json.parse(text)


def test_a_key_that_comes_again_is_filled_further() -> None:
    text = """{"ignition": {"version": "3.4.0"}, "Ignition": {"version": null},
        "storage": {"files": [{"path": "/a", "mode": 1, "contents": {"source": "data:,a"}}, {"path": "/b"}]},
        "STORAGE": {"files": [{"path": null, "Mode": 2, "contents": null}], "raid": null},
        "kernelArguments": {"shouldExist": ["a", "b"], "shouldExist": [null]},
        "passwd": {"users": [{"name": "core", "groups": ["a"]}]}, "passwd": {"users": [null, {"uid": 1, "uid": null}]},
        "storage": {"files": [{"mode": null}]}, "Systemd": {"units": [{"dropins": [{"name": "x"}]}], "units": null}}"""
    document = v3_json.parse(text)
    assert v3_json.versions(document) == ["3.4.0", None]
    assert encode(v3_json.read(document, 4), 4) == {
        "ignition": {"version": "3.4.0"},
        "kernelArguments": {"shouldExist": ["a"]},
        "passwd": {"users": [{"groups": ["a"], "name": "core"}, {"name": ""}]},
        "storage": {"files": [{"contents": {"source": "data:,a"}, "path": "/a"}]},
    }


def test_a_reference_of_spec_3_0_is_printed_without_a_source() -> None:
    made = transpile("variant: fcos\nversion: 1.0.0\nignition: {config: {merge: [{}]}}\n")
    assert made.json is not None, made.report.render()
    assert made.json == '{"ignition":{"config":{"merge":[{"source":null}]},"version":"3.0.0"}}'


def test_a_finding_without_a_place_names_its_source() -> None:
    entry = Diagnostic(severity="warning", path="$", message="m", filename="a")
    assert Report((entry,)).render() == "warning: m\n  --> a"


def test_only_so_many_colons_are_mended() -> None:
    report = transpile(f"docker: {{flags: [{'a:,' * 101}]}}\n", dialect="clc").report
    assert [entry.line for entry in report] == [1]
    assert transpile(f"docker: {{flags: [{'a:,' * 100}]}}\n", dialect="clc").json is not None


def test_colons_are_mended_behind_a_byte_order_mark_and_among_all_characters() -> None:
    assert transpile("\ufeffdocker: {flags: [a:,b]}\n", dialect="clc").json is not None
    every = "".join(map(chr, range(0xE000, 0xF900)))
    assert transpile(f"# {every}\ndocker: {{flags: [a:,b]}}\n", dialect="clc").json is None


def test_a_byte_order_mark_inside_of_a_text_is_a_character() -> None:
    text = "\ufeff{h}\ufeffx: 1\nstorage:\n  files:\n    - {{path: /a\ufeff, contents: &c {{inline: [a:,b]}}}}\n"
    report = transpile(text.format(h=HEAD)).report
    assert [(entry.line, entry.column, entry.message) for entry in report] == [
        (6, 41, "expected a text, found a list"),
    ]
    result = transpile(text.format(h=HEAD).replace("[a:,b]", "'\ufeffb'"))
    assert [(entry.path, entry.line, entry.column) for entry in result.report] == [("$.\ufeffx", 3, 1)]
    assert json.loads(result.unwrap())["storage"]["files"] == [
        {"path": "/a\ufeff", "contents": {"compression": "", "source": "data:,%EF%BB%BFb"}}
    ]


def test_a_comment_keeps_its_byte_order_mark() -> None:
    rewritten = to_butane("# \ufeffold\nsystemd: {units: [{name: a.service}]}\n")
    assert "# \ufeffold\n" in (rewritten.text or "")
    assert compose("# \ufeffalone\n") is None
