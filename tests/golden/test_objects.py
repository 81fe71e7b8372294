"""Objects have the bytes and config ids that they had: another version of this program re-provisions no machine.

`objects.txt` has a line for each: its name, the first digits of its config id and of the SHA-256 of its text
without the scripts of this program.
"""

from __future__ import annotations

import hashlib
import os
import re
from itertools import product
from pathlib import Path
from typing import Any

from cl.transpiler.lint import Rule
from components.commands.reprovision.request import HealthCheck
from components.payload.machine_config import MachineConfig
from components.settings.lifecycle import Lifecycle
from components.settings.pull import PullSettings
from tests.support.cases import GOLDEN
from tests.support.machine_configs import made_config

RECORDED = GOLDEN / "objects.txt"
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA"
EVERYTHING = r"""
variant: flatcar
version: 1.1.0
passwd:
  users:
    - {name: core, ssh_authorized_keys: ["${ssh_public_key}"], password_hash: "${token}"}
storage:
  filesystems:
    - {device: /dev/disk/by-label/ROOT, format: xfs, wipe_filesystem: false, label: ROOT}
    - {device: /dev/disk/by-partlabel/ROOT, format: ext4}
    - {device: /dev/vdb, format: ext4}
  files:
    - {path: /etc/remote, contents: {source: "https://example.com/<${token}>&é"}}
    - {path: /etc/said, overwrite: false, contents: {inline: "é < >\n"}}
    - {path: /etc/appended, append: [{source: "http://example.com/a"}]}
    - {path: /etc/empty, mode: 0600}
  directories: [{path: /srv/a}]
  links: [{path: /etc/link, target: /etc/said}, {path: /etc/other, target: /srv/a, overwrite: false}]
systemd:
  units: [{name: a.service, enabled: true, contents: "[Service]\nExecStart=/bin/true\n"}]
kernel_arguments: {should_exist: ["quiet"]}
"""
PATIENT = """
variant: flatcar
version: 1.1.0
ignition: {timeouts: {http_total: 5}}
storage: {files: [{path: /etc/remote, contents: {source: "https://example.com/${token}"}}]}
"""
CONFIGS: dict[str, Path | str] = {
    "web": GOLDEN.parents[1] / "cl/machine-web.yaml",
    "worker": GOLDEN.parents[1] / "cl/machine-worker.yaml",
    "everything": EVERYTHING,
    "patient": PATIENT,
    "empty": "variant: flatcar\nversion: 1.0.0\n",
}
SNIPPET = "variant: flatcar\nversion: 1.0.0\nstorage: {files: [{path: /etc/snippet, contents: {inline: 'a'}}]}\n"
SETTINGS = {
    "pull": PullSettings(),
    "signed": PullSettings(
        interval=60,
        jitter=5,
        windows=((0, 60), (120, 180)),
        lock="http://lock.example/it's",
        report="https://me:secret@reports.example/web",
        signers=(KEY,),
    ),
}
HEALTH = [
    HealthCheck(name="up", subject="http://{address}:80/", kind="http", expected="204", seconds=5),
    HealthCheck(name="outside", subject="22", seconds=9, kind="tcp", vantage="operator"),
]
FIRST: dict[str, Any] = {
    "config": "web", "lifecycle": "reset", "rollback": 300, "generation": 0, "salt": "", "pull": "", "secrets": "",
    "snippets": 0, "platform": "qemu",
}  # fmt: skip


def cases() -> dict[str, dict[str, Any]]:
    """Each config with each lifecycle, pulled and not, with and without rollback; else one change at a time."""
    found = [
        {"config": config, "lifecycle": lifecycle, "rollback": rollback, "pull": pull}
        for config, lifecycle, rollback, pull in product(CONFIGS, Lifecycle, (0, 300), ("", "pull"))
    ]
    for change in ({"generation": 2}, {"salt": "5a" * 32}, {"secrets": "hunter2"}, {"snippets": 1}):
        found += [{"config": config, "pull": pull, **change} for config, pull in product(CONFIGS, ("", "signed"))]
    found += [{"pull": pull, "platform": "metal"} for pull in ("", "signed")]
    found += [{"pull": "signed", "generation": 1, "salt": "5a" * 32, "secrets": "hunter2", "config": "everything"}]
    return {" ".join(f"{key}={value}" for key, value in case.items()): {**FIRST, **case} for case in found}


def made(case: dict[str, Any]) -> MachineConfig:
    return made_config(
        CONFIGS[case["config"]], snippets=[SNIPPET] * case["snippets"], files_dir=GOLDEN.parents[1] / "cl/files",
        platform=case["platform"], strict=False,
        shared={"ssh_public_key": KEY, "machine_name": "web", "token": "plain"},
        secrets={"token": case["secrets"]} if case["secrets"] else {},
        lifecycle=Lifecycle(case["lifecycle"]), keep=("/etc/ssh/ssh_host_.*", "/var/log"),
        generation=case["generation"], rollback_after=case["rollback"], salt=case["salt"], allow=tuple(Rule),
        pull=SETTINGS[case["pull"]] if case["pull"] else None, health=HEALTH, allow_degraded=True, os_update="refuse",
        owner="acme/flatcar/new/web",
    )  # fmt: skip


def without_scripts(text: str) -> str:
    """The object without what else changes: the program's own scripts, as the agent and the rollback bring them."""
    scripts = r'"path":"(/etc/flatcar/(?:rollback\.sh|pull/[a-z-]+\.sh))"(.*?)"source":"[^"]*"'
    return re.sub(scripts, r'"path":"\1"\2"source":"…"', text)


def test_objects_have_the_bytes_that_they_had() -> None:
    lines = []
    for name, case in cases().items():
        config = made(case)
        digest = hashlib.sha256(without_scripts(config.text).encode()).hexdigest()
        lines.append(f"{name}: {config.config_id[:16]} {digest[:16]}\n")
        if not case["salt"]:
            assert config.unsalted_id == config.config_id
    found = "".join(lines)
    if os.environ.get("RECORD"):
        RECORDED.write_text(found)
    assert RECORDED.read_text() == found
