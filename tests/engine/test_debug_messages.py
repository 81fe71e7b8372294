"""The SDK's debug messages cost a third of the program's time, and are sent when somebody asks for them alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from components.sdk import SDK_DEBUG
from loopback.first_resource import KEY

if TYPE_CHECKING:
    from tests.conftest import Project

PROJECT = Path(__file__).parents[2]


@pytest.mark.parametrize("asked", [False, True])
def test_the_sdk_sends_its_debug_messages_when_asked_alone(tmp_path: Path, pulumi: Project, asked: bool) -> None:
    env = {"MACHINES_DIR": str(tmp_path / "machines"), **({SDK_DEBUG: "1"} if asked else {})}
    stack = pulumi(PROJECT, env=env)
    assert stack.config_file is not None
    config = {
        "flatcar:image": "README.md",  # a preview looks no further than that it is there
        "flatcar:ssh": {"public_key": KEY},
        "flatcar:machines": {"web": {"config": "cl/machine-web.yaml"}},
    }
    stack.config_file.write_text(json.dumps({"config": config}))
    said = stack.preview("--debug").output
    assert ("registering resource: ty=flatcar:index:Machine, name=web" in said) is asked, said
