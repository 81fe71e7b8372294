"""What programs find in their environment that the program starts: nothing of Pulumi's."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from components.commands.environment import for_child, for_daemon

COMPONENTS = Path(__file__).resolve().parents[4] / "components"
ALL_OF_IT = {
    "audit/records.py",  # it asks Pulumi for the stack
    "operate/__main__.py",  # so does it
    "commands/qemu/supervisor.py",  # it has a daemon's environment itself
}


def test_a_child_has_the_keys_of_clouds_and_nothing_of_pulumis(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PULUMI_CONFIG_PASSPHRASE", "PULUMI_ACCESS_TOKEN", "PULUMI_COMMAND_STDOUT", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "hunter2")
    assert {name for name, value in for_child().items() if value == "hunter2"} == {"AWS_SECRET_ACCESS_KEY"}
    assert "hunter2" not in for_daemon().values()
    assert for_daemon()["PATH"] == for_child()["PATH"]


def test_whatever_is_started_gets_an_environment() -> None:
    starts = []
    for path in sorted(COMPONENTS.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("subprocess.run", "subprocess.Popen"):
                given = any(keyword.arg == "env" for keyword in node.keywords)
                starts.append((path.relative_to(COMPONENTS).as_posix(), given))
    assert {name for name, given in starts if not given} == ALL_OF_IT
