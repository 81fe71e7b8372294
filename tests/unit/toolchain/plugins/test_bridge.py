"""Stand-in plugins are for tests on this computer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolchain.places import ROOT
from toolchain.plugins.base import Properties
from toolchain.plugins.bridge import asset_file


@pytest.mark.parametrize(("name", "variable"), [("aws", "AWS_ENDPOINT_URL"), ("digitalocean", "DIGITALOCEAN_API_URL")])
@pytest.mark.parametrize("address", ["", "https://api.example.com", "http://10.0.0.1:80"])
def test_a_stand_in_plugin_refuses_any_api_but_one_on_this_computer(name: str, variable: str, address: str) -> None:
    env = {key: value for key, value in os.environ.items() if key not in (variable, "HTTP_PROXY")}
    done = subprocess.run(
        [sys.executable, "-m", f"toolchain.plugins.{name}", "127.0.0.1:1"],
        cwd=ROOT,
        env={**env, variable: address},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "this plugin is a stand-in for tests" in done.stderr and "install the real plugin" in done.stderr


def test_an_asset_is_copied_to_the_temporary_folder_as_the_bridge_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    file = tmp_path / "object"
    file.write_text("a config")
    known: Properties = {"hash": "abc"}
    copy = asset_file({**known, "path": str(file)})
    assert copy == tmp_path / "pulumi-asset-abc" and copy.read_text() == "a config"
    assert copy.stat().st_mode & 0o777 == 0o600
    file.unlink()
    assert asset_file(known) == copy, "of a state's asset the hash alone is known"
    copy.unlink()
    assert asset_file(known) == copy and not copy.exists()
