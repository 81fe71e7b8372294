"""The lifecycle `live` of a machine that pulls: its agent changes it without a reboot, or resets it.

Real scripts and curl, a stand-in for the machine's system; the object's plans are made as a program makes them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from components.commands.live_plans import Printed, printed
from components.commands.objects.packing import packed
from components.commands.reprovision.live_plan import LiveSettings
from components.commands.reprovision.manifest import Manifest
from components.payload.plans import shape, with_plans
from components.settings.lifecycle import Lifecycle
from loopback.machine import wait_until
from tests.engine.pull_lab import Pulled, machine_of
from tests.support.machine_configs import config_args

if TYPE_CHECKING:
    from collections.abc import Iterator

    from components.payload.machine_config import MachineConfig

pytestmark = pytest.mark.engine

SALT = "ab" * 32
PAGE = "/srv/web/page"
LEFT = ("/boot/flatcar/first_boot", "/selective-os-reset", "/.flatcar-unwiped", "/oem/config.ign", "/run/flatcar-pull/changing")
CONFIG = """\
variant: flatcar
version: 1.0.0
storage:
  files:
    - path: /srv/web/page
      contents: {inline: PAGE}
    - path: /etc/passwd   # ssh-keygen wants to know who runs it
      contents: {inline: "root:x:0:0:root:/root:/bin/bash"}
    - path: /etc/flatcar/update.conf
      contents: {inline: REBOOT_STRATEGY=off}
systemd:
  units:
    - name: web.service
      enabled: true
      contents: |
        [Service]
        ExecStart=/usr/bin/web /srv/web
        [Install]
        WantedBy=multi-user.target
"""


class LivePulled(Pulled):
    """One whose configs are a page, and the service that names it; `sick` fails the health check."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.live = LiveSettings()
        self.printed = Printed()

    def written(self, name: str) -> Path:
        path = self.folder / "web.yaml"
        path.write_text(CONFIG.replace("PAGE", name))
        return path

    def arguments(self, generation: int, **changes: Any) -> dict[str, Any]:
        own = {"lifecycle": Lifecycle.LIVE, "live": self.live, "rollback_after": 30}
        return super().arguments(generation, **{**own, **changes})

    def config(self, name: str, generation: int = 0, **changes: Any) -> MachineConfig:
        self.made_with = config_args(self.written(name), **self.arguments(generation, **changes)).settings
        return super().config(name, generation, **changes)

    def text_of(self, config: MachineConfig) -> str:
        """With the plans, as `components.live_plans` has it."""
        manifest = Manifest.of(json.loads(config.text), SALT).to_json()
        manifest.pop("salt")
        live = {"restart": dict(self.live.restart), "reload": dict(self.live.reload), "drift": self.live.drift}
        document = {"shape": shape(config.text), "manifest": packed(json.dumps(manifest)), "live": live}
        text = printed(document, SALT, self.printed).text()
        self.printed = Printed.of(text)
        return with_plans(config.text, text, self.made_with)

    def look(self) -> str:
        """On a machine that has run for longer than its own timer."""
        self.machine.path("/run/rollback-timer").unlink(missing_ok=True)
        return super().look()

    def runs(self, name: str, config_id: str, boots: int) -> None:
        """Assert that the machine runs the config of this name, proven, and that nothing is left of its way there."""
        assert self.reports("proven", config_id)
        assert self.stamp() == config_id
        assert self.machine.text(PAGE) == name
        assert self.machine.boots == boots
        assert self.machine.text("/oem/.flatcar-reprovision/last-good").split()[0] == config_id
        assert not [path for path in LEFT if self.machine.path(path).exists()]
        assert self.lock.holders.get("default", []) == []


@pytest.fixture
def pulled(tmp_path: Path) -> Iterator[LivePulled]:
    with machine_of(tmp_path, LivePulled) as made:
        yield made


def test_a_changed_page_needs_no_reboot(pulled: LivePulled) -> None:
    for name in ("b", "c"):
        wanted = pulled.publish(name)
        told = pulled.look()
        print(told, pulled.store.reports)
        assert "not live" not in told, told
        pulled.runs(name, wanted, boots=1)
        assert pulled.history()[-3:] == [f"pull {wanted} {word}" for word in ("staged", "live", "proven")]
    assert pulled.store.states == ["proven", *["staging", "proven"] * 2]
