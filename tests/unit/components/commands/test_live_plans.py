"""Plans of a machine that pulls, from the configs that the state knows, and what it forgets."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.commands.environment import PREVIOUS_OUTPUT
from components.commands.live_plans import MOST_BYTES, MOST_KNOWN, SALT_VARIABLE, Printed, printed
from components.commands.objects.packing import packed
from components.commands.reprovision.live_plan import Live, Reset
from components.commands.reprovision.manifest import Manifest

MAIN = Path(__file__).resolve().parents[4] / "components/commands/__main__.py"
UNIT = {"name": "web.service", "enabled": True, "contents": "[Service]\nExecStart=/usr/bin/web /srv/web\n"}


def document(page: str, *, salt: str = "salt", restart: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """A request for a config with this page."""
    file = {"path": "/srv/web/page", "contents": {"source": f"data:,{page}"}}
    config = {"storage": {"files": [file]}, "systemd": {"units": [UNIT]}, **more}
    manifest = Manifest.of(config, salt).to_json()
    manifest.pop("salt", None)
    live = {"restart": restart or {}, "reload": {}, "drift": "reset"}
    return {"shape": f"shape-{page}", "manifest": packed(json.dumps(manifest)), "live": live}


def after(*pages: str) -> Printed:
    """What is printed for the last of these pages."""
    told = Printed()
    for page in pages:
        told = Printed.of(printed(document(page), "salt", told).text())
    return told


def test_there_is_a_plan_from_each_config_that_is_known() -> None:
    told = after("a", "b", "c")
    assert list(told.known) == ["shape-c", "shape-b", "shape-a"]
    assert {shape: str(plan) for shape, plan in told.plans.items()} == dict.fromkeys(
        ("shape-a", "shape-b"), "/srv/web/page changes, web.service restarts"
    )


def test_there_is_one_back() -> None:
    told = printed(document("b", kernelArguments={"shouldExist": ["quiet"]}), "salt", after("c", "a"))
    assert told.back == dict.fromkeys(("shape-a", "shape-c"), Reset(reason="kernel arguments change"))
    assert {str(plan) for plan in after("a", "b").back.values()} == {"/srv/web/page changes, web.service restarts"}


def test_the_first_config_has_none_and_the_same_again_is_not_another() -> None:
    assert after("a").plans == {}
    assert after("a", "a") == after("a")
    assert list(after("a", "b", "a").known) == ["shape-a", "shape-b"]
    assert list(after("a", "b", "a").plans) == ["shape-b"]


def test_why_there_is_none_is_kept() -> None:
    told = printed(document("b", kernelArguments={"shouldExist": ["quiet"]}), "salt", after("a"))
    assert told.plans == {"shape-a": Reset(reason="kernel arguments change")}
    assert Printed.of(told.text()) == told


def test_a_few_are_remembered() -> None:
    assert list(after(*"abcdefghijk").known) == [f"shape-{page}" for page in "kjihgfedcba"[:MOST_KNOWN]]


def test_settings_count() -> None:
    told = printed(document("b", restart={"/srv/*": "db.service"}), "salt", after("a"))
    plan = told.plans["shape-a"]
    assert isinstance(plan, Live)
    assert plan.restarts == ("web.service", "db.service")


def test_manifests_with_another_salt_are_forgotten() -> None:
    told = printed(document("b", salt="other"), "other", after("a"))
    assert list(told.known) == ["shape-b"]
    assert told.plans == {}


def test_what_is_printed_fits_into_a_variable_and_the_oldest_goes_first() -> None:
    def manifest(number: int, count: int) -> dict[str, Any]:
        files = [{"path": f"/srv/{number}/{one}", "contents": {"source": f"data:,{one}"}} for one in range(count)]
        return Manifest.of({"storage": {"files": files}}, "salt").to_json()

    for count, known in ((500, 3), (1500, 2), (6000, 0)):
        told = Printed(salt="", known={f"shape-{number}": manifest(number, count) for number in range(3)})
        assert len(told.text()) <= MOST_BYTES
        assert list(Printed.of(told.text()).known) == [f"shape-{number}" for number in range(known)]


def run(stdin: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """The Command, as Pulumi starts it."""
    return subprocess.run(
        [sys.executable, "-I", str(MAIN), "live_plans"],
        input=stdin, capture_output=True, text=True, check=False, env={**os.environ, **environment},
    )  # fmt: skip


def test_the_program_goes_on_from_what_it_printed() -> None:
    first = run(json.dumps(document("a")), **{SALT_VARIABLE: "salt"})
    done = run(json.dumps(document("b")), **{SALT_VARIABLE: "salt", PREVIOUS_OUTPUT: first.stdout})
    assert (done.returncode, done.stderr) == (0, "")
    assert Printed.of(done.stdout) == after("a", "b")


@pytest.mark.parametrize("before", ["", "nonsense", packed("[]"), packed("{}")])
def test_what_an_older_version_printed_is_of_no_use_and_no_error(before: str) -> None:
    done = run(json.dumps(document("a")), **{SALT_VARIABLE: "salt", PREVIOUS_OUTPUT: before})
    assert Printed.of(done.stdout) == after("a")


@pytest.mark.parametrize("stdin", ["", "[]", "{}", '{"shape": "a", "manifest": "hunter2", "live": {}}'])
def test_what_is_no_request_is_told_without_what_it_says(stdin: str) -> None:
    done = run(stdin, **{SALT_VARIABLE: "salt"})
    assert done.returncode == 2
    assert done.stderr.startswith("live_plans: stdin is not a request: ")
    assert "hunter2" not in done.stderr
    assert done.stdout == ""
