"""What one transpilation remembers must not show in the next."""

from __future__ import annotations

from pathlib import Path

import pytest

from cl.transpiler import Snippet, transpile

pytestmark = pytest.mark.covering

HEAD = "variant: flatcar\nversion: 1.0.0\n"
MAIN = HEAD + "storage: {files: [{path: /etc/name, contents: {inline: '${name}'}}]}\n"
SNIPPET = HEAD + "storage: {files: [{path: /etc/rack, contents: {inline: '${rack}'}}]}\n"


def test_each_machine_gets_its_own_values() -> None:
    texts = {
        transpile(MAIN, variables={"name": name, "rack": rack}, snippets=[SNIPPET]).unwrap()
        for name, rack in (("a", "1"), ("b", "1"), ("a", "2"), ("a", "1"))
    }
    assert len(texts) == 3


def test_a_variable_is_unused_the_second_time_as_well() -> None:
    for _ in range(2):
        report = transpile(MAIN, variables={"name": "a", "other": "b"}).report
        assert [entry.message for entry in report] == ["variable 'other' is not used"]


def test_a_hint_knows_the_variables_of_this_time() -> None:
    hints = [transpile(MAIN, variables={other: "x"}).report.entries[0].hint for other in ("nam", "namee", "nam")]
    assert hints == ["did you mean 'nam'?", "did you mean 'namee'?", "did you mean 'nam'?"]


def test_local_files_are_read_again(tmp_path: Path) -> None:
    source = HEAD + "storage: {files: [{path: /etc/name, contents: {local: name}}]}\n"
    texts = []
    for content in ("first", "second"):
        (tmp_path / "name").write_text(content)
        texts.append(transpile(source, files_dir=tmp_path).unwrap())
    assert "first" in texts[0] and "second" in texts[1]


def test_findings_name_the_file_of_this_time() -> None:
    wrong = HEAD + "storage: {files: [{path: relative}]}\n"
    for filename in ("one.yaml", "two.yaml"):
        report = transpile(MAIN, variables={"name": "a"}, snippets=[Snippet(wrong, filename)]).report
        assert {entry.filename for entry in report} == {filename}


def test_a_placeholder_behind_an_escape_is_filled_each_time() -> None:
    source = HEAD + 'storage: {files: [{path: /etc/name, contents: {inline: "\\u0024{name}"}}]}\n'
    assert ["data:," + name in transpile(source, variables={"name": name}).unwrap() for name in "ab"] == [True, True]
