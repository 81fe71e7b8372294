"""The programs of `components.commands` are found from any folder, past whatever lies there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAMS = Path(__file__).parents[3] / "components/commands/__main__.py"


def run(folder: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", str(PROGRAMS), *words]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run(
        command, cwd=folder, env=environment, input=stdin, capture_output=True, text=True, check=False
    )


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder with packages and modules that have the names of the programs' own."""
    for name in ("components", "json", "cl"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise AssertionError('not this one')\n")
    return tmp_path


def test_a_program_runs_elsewhere(elsewhere: Path) -> None:
    document = {"path": "object", "written": "2025-01-31T12:00:00.000000Z", "content": "not packed"}
    done = run(elsewhere, "write_object", "write", stdin=json.dumps(document))
    assert (done.returncode, done.stderr) == (1, "error: the JSON on stdin needs path, content and written\n")


@pytest.mark.parametrize("words", [(), ("health",), ("../audit",)])
def test_other_programs_are_none(elsewhere: Path, words: tuple[str, ...]) -> None:
    done = run(elsewhere, *words)
    assert done.returncode == 1
    assert done.stderr == "usage: python -m components.commands qemu|reprovision|sign|write_object …\n"
