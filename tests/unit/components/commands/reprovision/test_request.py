"""What re-provisions a machine takes a request on stdin and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys

from toolchain.places import ROOT


def test_nothing_but_a_request_is_accepted() -> None:
    command = [sys.executable, "-m", "components.commands.reprovision"]
    done = subprocess.run(command, input="{}", capture_output=True, text=True, cwd=ROOT, env={**os.environ})
    assert done.returncode == 2
    assert "stdin is not a request" in done.stderr
    assert "Traceback" not in done.stderr
