"""The names that a shell's completion offers: of files alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.operate.names import names

if TYPE_CHECKING:
    from pathlib import Path


def test_names_are_of_one_stack_or_of_all_that_can_be_read(tmp_path: Path) -> None:
    (tmp_path / "Pulumi.yaml").write_text("name: x\nstackConfigDir: stacks\n")
    (tmp_path / "stacks").mkdir()
    for stack, machines in (("dev", "{web: {config: a, group: front}, db: }"), ("prod", "{web-1: {}}"), ("odd", "[")):
        (tmp_path / f"stacks/Pulumi.{stack}.yaml").write_text(f"config:\n  flatcar:machines: {machines}\n")
    assert names(tmp_path, "stacks") == ["dev", "odd", "prod"]
    assert names(tmp_path, "machines") == ["db", "web", "web-1"]
    assert names(tmp_path, "machines", "prod") == ["web-1"]
    assert names(tmp_path, "groups", "dev") == ["front"]
    assert names(tmp_path, "groups", "odd") == names(tmp_path, "machines", "none") == []
