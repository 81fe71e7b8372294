"""Objects in a folder: when they are written."""

from __future__ import annotations

from typing import TYPE_CHECKING

from components.commands.objects.folder import FolderWriter

if TYPE_CHECKING:
    from pathlib import Path


def test_an_object_is_written_again_only_when_it_is_another(tmp_path: Path) -> None:
    writer = FolderWriter(path=str(tmp_path / "config.ign"), written="2025-01-31T12:00:00.000000Z")
    assert writer.put("new") is True
    assert writer.put("new") is False
    written = (tmp_path / "config.ign").stat().st_mtime
    writer.roll_back("old")
    assert (tmp_path / "config.ign").read_text() == "old"
    assert (tmp_path / "config.ign").stat().st_mtime != written, "Pulumi's next run has to notice"
