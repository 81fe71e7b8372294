"""The plans in an object: what a shell makes of them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

from cl.transpiler.ignition.checks import decode_data_url
from components.commands.live_plans import Printed
from components.commands.reprovision.live_plan import LiveSettings, live_plan
from components.commands.reprovision.manifest import Manifest
from components.payload.agent import LIVE, LIVE_PARTS, NO_PLANS
from components.payload.machine_config import MachineConfig
from components.payload.plans import MOST_BYTES, plan_file, shape, with_plans
from components.settings.lifecycle import Lifecycle
from components.settings.pull import PullSettings
from tests.support.machine_configs import config_args, made_config
from tests.support.planned import Planned

CONFIG = """\
variant: flatcar
version: 1.0.0
storage:
  files:
    - {path: "/srv/web/it's", contents: {inline: "PAGE"}}
systemd:
  units:
    - name: web.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/usr/bin/web /srv/web
    - {name: old.service, mask: true}
    - {name: docker.service, enabled: false}
    - {name: other.service, dropins: [{name: a.conf, contents: "[Unit]"}]}
"""
CHANGES: dict[str, Any] = {
    "strict": False, "pull": PullSettings(), "rollback_after": 100, "timeout": 200, "lifecycle": Lifecycle.LIVE,
    "live": LiveSettings(drift="refuse"),
}  # fmt: skip


def made(tmp_path: Path, page: str, **changes: Any) -> MachineConfig:
    file = tmp_path / "a.yaml"
    file.write_text(CONFIG.replace("PAGE", page))
    return made_config(file, files_dir=tmp_path, **{**CHANGES, **changes})


def objects(tmp_path: Path, *pages: str) -> list[str]:
    """The object of each page, in order."""
    plans, settings = Planned(), config_args(tmp_path, files_dir=tmp_path, **CHANGES).settings
    return [plans.text(made(tmp_path, page), settings) for page in pages]


def plan(text: str) -> str:
    (file,) = [file for file in json.loads(text)["storage"]["files"] if file["path"] == LIVE]
    assert file["mode"] == 0o600
    return decode_data_url(file["contents"]["source"], file["contents"]["compression"]).decode()


def in_shell(text: str, script: str) -> str:
    done = subprocess.run(["bash", "-c", f"{plan(text)}{script}"], capture_output=True, text=True, check=True)
    return done.stdout


def test_a_shell_reads_a_plan_from_each_config_that_the_machine_may_run(tmp_path: Path) -> None:
    texts = objects(tmp_path, "a", "b", "c")
    for older in texts[:2]:
        (before,) = in_shell(older, "echo $LIVE_SHAPE").split()
        told = in_shell(texts[2], f'live_from {before}; echo "$PATHS|$KINDS|$MODES|$CONTENTS|$SUMS|$RESTARTS"')
        sums = hashlib.sha512(b"c").hexdigest()
        assert told == f"/srv/web/it's|file|0644|{base64.b64encode(b'c').decode()}|{sums}|web.service\n"
    assert in_shell(texts[2], "live_from other || echo none") == "none\n"


def test_why_there_is_none_is_told(tmp_path: Path) -> None:
    plans, settings = Planned(), config_args(tmp_path, files_dir=tmp_path, **CHANGES).settings
    first = plans.text(made(tmp_path, "a"), settings)
    second = plans.text(made(tmp_path, "a", generation=1), settings)
    (before,) = in_shell(first, "echo $LIVE_SHAPE").split()
    assert in_shell(second, f'live_from {before} || echo "$WHY"') == "its generation is another one\n"


def test_a_plan_back_leaves_contents_to_the_machine(tmp_path: Path) -> None:
    first, second = objects(tmp_path, "a", "b")
    (before,) = in_shell(first, "echo $LIVE_SHAPE").split()
    told = in_shell(second, f'live_back {before}; echo "$PATHS|$KINDS|$MODES|$OWNERS|${{#CONTENTS[@]}}|$RESTARTS"')
    assert told == "/srv/web/it's|file|0644|0:0|0|web.service\n"


def test_there_is_none_back_from_other_accounts(tmp_path: Path) -> None:
    settings = config_args(tmp_path, files_dir=tmp_path, **CHANGES).settings
    key = {"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 AAAA"]}]}, "storage": {"files": []}}
    other = {"passwd": {"users": [{"name": "core", "sshAuthorizedKeys": ["ssh-ed25519 BBBB"]}]}}
    printed = Printed(
        known={"old": Manifest.of(other).to_json()}, back={"old": live_plan(Manifest.of(key), Manifest.of(other))}
    )
    text = plan_file(json.dumps(key), printed, settings)
    done = subprocess.run(
        ["bash", "-c", f'{text}live_back old || echo "$WHY"'], capture_output=True, text=True, check=True
    )
    assert done.stdout == "users change\n"


def test_what_the_machine_is_held_against(tmp_path: Path) -> None:
    (text,) = objects(tmp_path, "a")
    states = in_shell(text, 'for i in ${!LIVE_UNITS[@]}; do echo "${LIVE_UNITS[i]} ${LIVE_STATES[i]}"; done')
    assert states.splitlines()[:4] == [
        "web.service enabled", "old.service masked", "docker.service disabled", "other.service ",
    ]  # fmt: skip
    paths = in_shell(text, r"printf '%s\n' ${LIVE_PATHS[@]}").split()
    assert LIVE in paths
    assert "/etc/flatcar/config-id" not in paths, "it is taken away while the machine is changed"
    assert in_shell(text, "echo $LIVE_DRIFT $SECONDS_LEFT $MOST_SECONDS") == "refuse 100 80\n"


def test_the_same_configs_are_the_same_object_and_the_shape_leaves_the_plans_out(tmp_path: Path) -> None:
    assert objects(tmp_path, "a", "b") == objects(tmp_path, "a", "b")
    direct, _, other = objects(tmp_path, "b", "a", "b")
    assert direct != other
    assert in_shell(direct, "echo $LIVE_SHAPE") == in_shell(other, "echo $LIVE_SHAPE")
    assert in_shell(direct, "echo $LIVE_SHAPE") == shape(made(tmp_path, "b").text) + "\n"


def test_another_window_is_no_other_shape(tmp_path: Path) -> None:
    window = PullSettings(windows=((0, 60),))
    assert made(tmp_path, "a").text != made(tmp_path, "a", pull=window).text
    assert shape(made(tmp_path, "a").text) == shape(made(tmp_path, "a", pull=window).text)
    assert shape(made(tmp_path, "a").text) != shape(made(tmp_path, "a", generation=1).text)


def test_a_plan_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    first, second = objects(tmp_path, "a", "x" * MOST_BYTES)
    (before,) = in_shell(first, "echo $LIVE_SHAPE").split()
    assert in_shell(second, f"live_from {before} || echo none") == "none\n"


def test_other_objects_have_no_plans(tmp_path: Path) -> None:
    text = made(tmp_path, "a", lifecycle=Lifecycle.RESET).text
    settings = config_args(tmp_path, files_dir=tmp_path, **CHANGES).settings
    assert NO_PLANS not in text
    assert not [part for part in LIVE_PARTS if f"/pull/{part}" in text]
    assert with_plans(text, "", settings) == text


def test_an_agent_of_before_is_told_to_reset(tmp_path: Path) -> None:
    files = {file["path"]: file for file in json.loads(made(tmp_path, "a").text)["storage"]["files"]}
    settings = decode_data_url(files["/etc/flatcar/pull/settings"]["contents"]["source"]).decode()
    assert "LIFECYCLE=reset\nLIVE=yes\n" in settings


def test_the_agents_scripts_are_in_it(tmp_path: Path) -> None:
    files = {file["path"]: file for file in json.loads(made(tmp_path, "a").text)["storage"]["files"]}
    for part in LIVE_PARTS:
        source = files[f"/etc/flatcar/pull/{part}"]["contents"]["source"]
        whole = gzip.decompress(base64.b64decode(source.partition("base64,")[2]))
        assert subprocess.run(["bash", "-n"], input=whole, check=True).returncode == 0
