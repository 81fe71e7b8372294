"""The command line, as butane and ct are used: arguments, exit status, what is written and what isn't."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import pytest

from cl.transpiler.cli import UsageError, main, parse_arguments
from cl.transpiler.json_schema import json_schema

if TYPE_CHECKING:
    from cl.transpiler.json_schema import SchemaName

pytestmark = pytest.mark.covering

GOOD = "variant: flatcar\nversion: 1.0.0\nstorage:\n  files:\n    - path: /a\n      contents: {inline: é<}\n"
WARNS = GOOD + "foo: 1\n"
BAD = "variant: flatcar\nversion: 1.0.0\nstorage:\n  files:\n    - path: a\n"
CONTENTS = '{"compression":"","source":"data:,%C3%A9%3C"}'
JSON = f'{{"ignition":{{"version":"3.3.0"}},"storage":{{"files":[{{"path":"/a","contents":{CONTENTS}}}]}}}}'
CLC = "systemd:\n  units:\n    - name: a.service\n"


def run(*arguments: str | Path, stdin: str | bytes = "") -> subprocess.CompletedProcess[bytes]:
    data = stdin.encode() if isinstance(stdin, str) else stdin
    command = [sys.executable, "-m", "cl.transpiler", *map(str, arguments)]
    return subprocess.run(command, input=data, capture_output=True, check=False)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(GOOD)
    return path


def test_from_standard_input_to_standard_output() -> None:
    done = run(stdin=GOOD)
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, JSON + "\n", b"")


def test_pretty_json_is_the_same_json(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-p", str(good)]) == 0
    out = capsys.readouterr().out
    assert json.loads(out) == json.loads(JSON)
    assert out.startswith('{\n  "ignition": {')
    assert out.endswith("}\n")


def test_ct_prints_no_last_newline_unless_pretty() -> None:
    compact, pretty = run("-strict", stdin=CLC), run("-pretty", stdin=CLC)
    assert compact.returncode == pretty.returncode == 0
    assert not compact.stdout.endswith(b"\n")
    assert pretty.stdout.endswith(b"}\n")


@pytest.mark.parametrize("flags", [["-o"], ["--output"], ["-out-file"]])
def test_a_file_is_written_whole(good: Path, tmp_path: Path, flags: list[str]) -> None:
    out = tmp_path / "out.ign"
    out.write_text("old")
    out.chmod(0o600)
    assert main([*flags, str(out), "-in-file", str(good)]) == 0
    assert out.read_text() == JSON + "\n"
    assert out.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.yaml", "out.ign"]


def test_a_new_file_has_the_usual_mode_and_a_link_stays_one(good: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("target")
    umask = os.umask(0o022)
    try:
        assert main([str(good), f"-o{link}"]) == 0
    finally:
        os.umask(umask)
    assert link.is_symlink()
    assert (tmp_path / "target").stat().st_mode & 0o777 == 0o644


def test_what_is_no_regular_file_is_written_to() -> None:
    done = run("--output=/dev/stdout", stdin=GOOD)
    assert (done.returncode, done.stdout.decode()) == (0, JSON + "\n")


@pytest.mark.parametrize(
    ("text", "flags"), [(BAD, []), (WARNS, ["-s"]), (WARNS, ["-sc"]), ("[", []), (CLC, ["--dialect=butane"])]
)
def test_on_failure_nothing_is_written(tmp_path: Path, text: str, flags: list[str]) -> None:
    source, out = tmp_path / "in", tmp_path / "out"
    source.write_text(text)
    done = run(source, "-o", out, *flags)
    assert (done.returncode, done.stdout) == (1, b"")
    assert not out.exists()
    assert b"Error translating config" in done.stderr or b"--strict" in done.stderr
    assert b"Traceback" not in done.stderr


def test_check_writes_nothing(good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", str(good)]) == 0
    assert capsys.readouterr().out == ""


def test_findings_in_one_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "in"
    source.write_text(WARNS)
    assert main(["--raw-errors", str(source)]) == 0
    assert capsys.readouterr().err == "warning at $.foo, line 7 col 1: unused key 'foo'\n"
    assert main(["--color=always", str(source)]) == 0
    assert "\x1b[" in capsys.readouterr().err
    assert main(["--color", "--colour=never", str(source)]) == 0
    assert "\x1b[" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["a", "b"], ["--nope"], ["-x"], ["-o"], ["--output"], ["--dialect", "x"], ["--spec=2"], ["a", "--in-file", "b"],
     ["--pretty=x"], ["--variables", "-"]],
)  # fmt: skip
def test_wrong_usage_has_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "usage:" in capsys.readouterr().err


def test_an_unknown_option_is_named_whole_with_one_that_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    for word, said in (("-plaform=ec2", "'--platform'"), ("--strickt", "'--strict'"), ("-nope", ""), ("---pretty", "")):
        assert main([word]) == 2
        first = capsys.readouterr().err.splitlines()[0]
        assert first.startswith(f"error: unknown option {word.partition('=')[0]}")
        assert said in first


def test_a_dash_is_standard_input() -> None:
    assert run("-", stdin=GOOD).stdout.decode() == JSON + "\n"


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    for flags, start in ((["-h"], "usage:"), (["--help"], "usage:"), (["-V"], "cl.transpiler "), (["-version"], "cl.")):
        assert main(flags) == 0
        assert capsys.readouterr().out.startswith(start)


def test_arguments_in_all_their_forms() -> None:
    given = parse_arguments(["-psd", "dir", "-o=x", "--snippet=a", "-snippet", "b", "--pretty=false", "--", "-file"])
    assert given.switches == {"strict"}
    assert given.values == {"files-dir": "dir", "output": "x"}
    assert (given.snippets, given.files) == (["a", "b"], ["-file"])
    assert parse_arguments(["-sp=true", "--check", "-c=false"]).switches == {"strict", "pretty"}
    with pytest.raises(UsageError):
        parse_arguments(["-d"])


@pytest.mark.parametrize("text", [b"variant: \xff\n", b"\xff\xfea", b"a\n\xc3"])
def test_input_that_is_no_text(text: bytes) -> None:
    done = run(stdin=text)
    assert done.returncode == 1
    assert b"the text is not UTF-" in done.stderr


def test_utf_16_is_read_as_yaml_allows_it() -> None:
    assert run(stdin=GOOD.encode("utf-16")).stdout.decode() == JSON + "\n"


def test_files_that_are_not_there(tmp_path: Path, good: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "missing")]) == 1
    assert main(["a\0b"]) == 1
    assert main([str(good), "-o", str(tmp_path / "missing" / "out")]) == 1
    assert main([str(good), "-o", str(tmp_path / "a\0b")]) == 1
    error = capsys.readouterr().err
    assert error.count("can't be") == 3
    assert "no file name" in error


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [[], ["--help"]])
def test_an_output_that_is_full_or_gone(arguments: list[str], unbuffered: str) -> None:
    def command(stdout: BinaryIO) -> subprocess.CompletedProcess[bytes]:
        argv = [sys.executable, "-m", "cl.transpiler", *arguments]
        env = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        return subprocess.run(argv, input=GOOD.encode(), stdout=stdout, stderr=subprocess.PIPE, env=env, check=False)

    with Path("/dev/full").open("wb") as full:
        done = command(full)
    assert (done.returncode, done.stderr) == (1, b"<stdout>: can't be written: No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        done = command(gone)
    assert (done.returncode, done.stderr) == (1, b"")


def test_snippets_variables_files_and_spec(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "main.yaml").write_text(CLC)
    (tmp_path / "more.yaml").write_text(
        "variant: flatcar\nversion: 1.0.0\nstorage: {files: [{path: '/${name}', contents: {local: f}}]}\n"
    )
    (tmp_path / "f").write_text("x")
    variables = tmp_path / "variables.json"
    variables.write_text('{"name": "web"}')
    flags = [
        "--spec",
        "3",
        "--snippet",
        str(tmp_path / "more.yaml"),
        "--variables",
        str(variables),
        "-d",
        str(tmp_path),
    ]
    assert main([*flags, str(tmp_path / "main.yaml")]) == 0
    assert json.loads(capsys.readouterr().out)["storage"]["files"][0]["path"] == "/web"
    for text in ("[]", "{", '{"a": 1}'):
        variables.write_text(text)
        assert main([*flags, str(tmp_path / "main.yaml")]) == 1
        assert "variables" in capsys.readouterr().err


def test_findings_as_annotations_of_a_pull_request(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "a,b.bu"
    config.write_text("variant: flatcar\nversion: 1.1.0\nstorge: {}\n'100%': 1\n")
    assert main(["--check", "--format", "github", str(config)]) == 0
    place = f"file={tmp_path}/a%2Cb.bu"
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        f"::warning {place},line=3,col=1::unused key 'storge'%0Ahint: did you mean 'storage'?",
        f"::warning {place},line=4,col=1::unused key '100%25'",
    ]
    assert main(["--format", "html", str(config)]) == 2


def test_several_files_are_checked_at_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad, missing = (tmp_path / name for name in ("good.bu", "bad.bu", "missing.bu"))
    good.write_text("variant: flatcar\nversion: 1.1.0\n")
    bad.write_text("variant: flatcar\nversion: 1.1.0\nstorage: {files: [{}]}\n")
    assert main(["--check", str(good), str(good)]) == 0
    assert main(["--check", *map(str, (bad, missing, good))]) == 1
    told = capsys.readouterr().err
    assert f"--> {bad}:3:" in told
    assert f"\n{missing}: can't be read: No such file or directory\n" in told
    assert told.endswith(f"2 of 3 configs can't be used: {bad}, {missing}\n")
    assert main([str(good), str(good)]) == 2


@pytest.mark.parametrize("name", ["butane", "clc"])
def test_a_schema_for_editors(name: SchemaName, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--schema", name]) == 0
    assert json.loads(capsys.readouterr().out) == json_schema(name)
    assert main(["--schema", "toml"]) == 2
