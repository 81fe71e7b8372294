"""What re-provisions a machine takes a request on stdin and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from toolchain.places import ROOT


def test_nothing_but_a_request_is_accepted() -> None:
    command = [sys.executable, "-m", "components.commands.reprovision"]
    done = subprocess.run(command, input="{}", capture_output=True, text=True, cwd=ROOT, env={**os.environ})
    assert done.returncode == 2
    assert "stdin is not a request" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_what_is_told_is_utf_8_wherever_it_runs(encoding: str) -> None:
    """Pulumi's command plugin fails at anything else after the command has run."""
    command = [sys.executable, "components/commands/__main__.py", "reprovision"]
    done = subprocess.run(
        command,
        input=b'{"target": {"\xc3\xa9\\u00e9": 1}}',
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )
    assert "argument 'éé'" in done.stderr.decode()
