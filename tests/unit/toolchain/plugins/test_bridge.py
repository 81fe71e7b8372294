"""Stand-in plugins are for tests on this computer."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from toolchain.places import ROOT


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
