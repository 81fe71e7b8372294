"""`python -m cl.transpiler --to butane`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cl.transpiler import transpile
from cl.transpiler.clc.to_butane import to_butane
from cl.transpiler.cli import main

pytestmark = pytest.mark.covering


def test_a_config_is_written_as_butane(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "old.yaml"
    source.write_text("# flags\ndocker: {flags: [-d]}\n")
    assert main(["--to", "butane", str(source)]) == 0
    written = capsys.readouterr().out
    assert written.startswith("variant: flatcar\nversion: 1.0.0\n")
    assert "# flags" in written
    target = tmp_path / "new.yaml"
    assert main(["--to=butane", "-o", str(target), str(source)]) == 0
    assert target.read_text() == written
    assert main(["--to=butane", "--check", str(source)]) == 0
    assert capsys.readouterr().out == ""


def test_what_can_not_be_said_in_butane_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "old.yaml"
    source.write_text("storage: {files: [{path: /a, mode: 0644, contents: {remote: {url: 'oem:///a'}}}]}\n")
    assert main(["--to", "butane", str(source)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "not 'oem'" in captured.err
    source.write_text("storage: {files: [{path: /a}]}\n")
    assert main(["--to", "butane", "--strict", str(source)]) == 1


@pytest.mark.parametrize(
    ("text", "what"),
    [("variant: flatcar\n", "a Butane config"), ('{"ignition": {"version": "2.3.0"}}', "an Ignition config")],
)
def test_what_is_no_container_linux_config_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, what: str
) -> None:
    source = tmp_path / "a"
    source.write_text(text)
    assert main(["--to", "butane", str(source)]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"this is {what}" in captured.err


def test_snippets_and_variables_have_no_place_in_a_rewrite(tmp_path: Path) -> None:
    source = tmp_path / "old.yaml"
    source.write_text("{}\n")
    assert main(["--to", "butane", "--snippet", str(source), str(source)]) == 2


def test_ignition_json_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "a.ign"
    source.write_text('{"ignition": {"version": "3.3.0"}}')
    assert main([str(source)]) == 0
    assert capsys.readouterr().out == '{"ignition":{"version":"3.3.0"}}\n'
    assert main(["--dialect", "ignition", "--spec", "3", str(source)]) == 0


def test_variables_of_the_source_are_those_of_the_rewrite(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "old.yaml"
    source.write_text("passwd: {users: [{name: core, ssh_authorized_keys: ['${key}', '$${key}']}]}\n")
    assert main(["--to", "butane", str(source)]) == 0
    made = transpile(capsys.readouterr().out, variables={"key": "k"}).unwrap()
    assert '"sshAuthorizedKeys":["k","${key}"]' in made
    assert main(["--help"]) == 0
    assert "where it is no variable, write $${...}" in capsys.readouterr().out


def test_the_writer_of_yaml_is_imported_for_it_alone(tmp_path: Path) -> None:
    source = tmp_path / "old.yaml"
    source.write_text("passwd: {}\n")
    code = "import sys; from cl.transpiler.cli import main; main(sys.argv[1:]); print('ruamel.yaml' in sys.modules)"
    for arguments, imported in (([], "False"), (["--to", "butane"], "True")):
        run = [sys.executable, "-c", code, *arguments, "-o", os.devnull, str(source)]
        assert subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip() == imported


def test_dynamic_data_is_told_from_variables() -> None:
    source = "etcd: {version: 3.1.6, name: '{HOSTNAME}'}\n"
    text = to_butane(source, platform="ec2").text or ""
    assert text.splitlines()[:3] == [
        "# ${COREOS_EC2_HOSTNAME}: filled in on the machine, from /run/metadata/flatcar (coreos-metadata.service).",
        "# `butane` takes them as they stand; in `pulumi up` ${…} is a variable: write $${COREOS_EC2_HOSTNAME}.",
        "variant: flatcar",
    ]
    assert "variable 'COREOS_EC2_HOSTNAME' is not known" in transpile(text, variables={}).report.render()
    escaped = text.replace("${COREOS_", "$${COREOS_")
    made = json.loads(transpile(escaped, variables={}).unwrap())
    assert '--name="${COREOS_EC2_HOSTNAME}"' in made["systemd"]["units"][0]["dropins"][0]["contents"]
