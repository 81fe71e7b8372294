"""What the documentation shows works."""

from __future__ import annotations

import json
import re
from pathlib import Path

from cl.transpiler.lint import Rule

CONFIGS = (Path(__file__).parents[2] / "docs" / "configs.md").read_text()


def test_the_config_in_python_is_one() -> None:
    (source,) = re.findall(r"```python\n(.*?)```", CONFIGS, re.DOTALL)
    shown: dict[str, str] = {}
    exec(source, shown)
    config = json.loads(shown["ignition"])
    assert [file["path"] for file in config["storage"]["files"]] == ["/etc/api.env", "/etc/metrics.env"]
    assert config["passwd"]["users"][0]["name"] == "core"


def test_every_rule_is_described() -> None:
    assert set(re.findall(r"^\| `(\w+)` \| (?:error|warning) \|", CONFIGS, re.MULTILINE)) == set(Rule)
